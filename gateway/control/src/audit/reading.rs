//! Reading the facts of a coupon from both stores.

use std::collections::HashSet;
use std::sync::Arc;

use sluice_domain::claim::GrantRecord;
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, LeaseNumber, Ticket, UserId};
use sluice_hotstate::LaneStore;
use sluice_hotstate::lane_store::{CouponFigures, LaneFacts, LaneState, OutboxEntry};
use sluice_ledger::LedgerError;
use sluice_ledger::audit_facts::CouponLedgerFacts;
use sluice_ledger::claims::ClaimsPage;

use super::AuditSource;

/// Entries per call, and most entries of a lane that are looked through.
const OUTBOX_PAGE: usize = 500;
const OUTBOX_MAX: u64 = 50_000;
/// Rows per call, and most claims of a coupon that are compared one by one.
const ROWS_PAGE: usize = 10_000;
const CLAIMS_MAX: usize = 1_000_000;

/// One round of reading.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    /// From the ledger, of one instant.
    pub ledger: CouponLedgerFacts,
    /// From hot state, read after it, or why not.
    pub hot: Result<HotReading, String>,
}

/// A coupon in hot state.
#[derive(Debug, Clone)]
pub(crate) struct HotReading {
    /// The lane, read first.
    pub lane: LaneFacts,
    /// The coupon; `None` where hot state has nothing of it.
    pub figures: Option<CouponFigures>,
    /// Its claims in the outbox that are no rows yet.
    pub outbox: Vec<OutboxClaim>,
    /// Entries after the mark that are missing or cannot be read.
    pub bad_entries: Vec<String>,
}

/// A claim on its way to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutboxClaim {
    /// The claim.
    pub claim_id: ClaimId,
    /// The lease of its ticket.
    pub lease: LeaseNumber,
    /// Its ticket.
    pub ticket: Ticket,
}

/// Every claim of a coupon, one by one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    /// Rows of the ledger.
    pub rows: Vec<(ClaimId, UserId)>,
    /// What hot state remembers; `None` where it was not read.
    pub hot: Option<Vec<(UserId, GrantRecord)>>,
}

/// Reads one round; `None` for an unknown coupon.
pub(crate) async fn read(
    source: &AuditSource,
    id: CouponId,
) -> Result<Option<Reading>, LedgerError> {
    let Some(ledger) = source.ledger.coupon_facts(id).await? else {
        return Ok(None);
    };
    let hot = match &source.lanes_store {
        Some(store) => read_hot(source, store, &ledger).await?,
        None => Err("hot state is stopped".to_owned()),
    };
    Ok(Some(Reading { ledger, hot }))
}

async fn read_hot(
    source: &AuditSource,
    store: &Arc<dyn LaneStore>,
    ledger: &CouponLedgerFacts,
) -> Result<Result<HotReading, String>, LedgerError> {
    let lane_id = ledger.lane.lane;
    let lane = match store.facts(lane_id).await {
        Ok(Some(lane)) => lane,
        Ok(None) => return Ok(Err(format!("lane {lane_id} has no state in hot state"))),
        Err(error) => return Ok(Err(error.to_string())),
    };
    if lane.state != LaneState::Open || !lane.same_server || !lane.unsalvaged.is_empty() {
        return Ok(Err(format!("lane {lane_id} is not open")));
    }
    let figures = match store.figures(lane_id, ledger.coupon.id).await {
        Ok(figures) => figures,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut reading = HotReading {
        lane,
        figures,
        outbox: Vec::new(),
        bad_entries: Vec::new(),
    };
    if let Err(reason) = read_outbox(store, ledger, &mut reading).await {
        return Ok(Err(reason));
    }
    // Between append and trim an entry is in both stores; it counts as a row.
    let mut waiting = Vec::with_capacity(reading.outbox.len());
    for claim in reading.outbox {
        if source.ledger.claim(claim.claim_id).await?.is_none() {
            waiting.push(claim);
        }
    }
    reading.outbox = waiting;
    Ok(Ok(reading))
}

/// Looks through the entries after the mark for claims of the coupon.
async fn read_outbox(
    store: &Arc<dyn LaneStore>,
    ledger: &CouponLedgerFacts,
    reading: &mut HotReading,
) -> Result<(), String> {
    let lane = ledger.lane.lane;
    let mark = reading.lane.mark.unwrap_or_default();
    let tail = reading.lane.tail;
    if tail.0.saturating_sub(mark.0) > OUTBOX_MAX {
        return Err(format!(
            "lane {lane} has more than {OUTBOX_MAX} entries in its outbox"
        ));
    }
    let mut last = mark;
    while last < tail {
        let entries = store
            .read_outbox(lane, reading.lane.epoch, last, OUTBOX_PAGE)
            .await
            .map_err(|error| error.to_string())?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            let number = entry_number(&entry);
            // What the keeper trimmed meanwhile is a gap too; the next round has another mark.
            if number != last.next() {
                reading
                    .bad_entries
                    .push(format!("lane {lane}: entry {} is missing", last.next()));
            }
            last = number;
            take_entry(ledger.coupon.id, entry, reading);
        }
    }
    if last < tail {
        reading.bad_entries.push(format!(
            "lane {lane}: entries after {last} are missing, up to {tail}"
        ));
    }
    Ok(())
}

fn take_entry(coupon: CouponId, entry: OutboxEntry, reading: &mut HotReading) {
    match entry {
        OutboxEntry::Batch(batch) if batch.coupon == coupon => {
            let claims = batch.grants.iter().map(|grant| OutboxClaim {
                claim_id: grant.claim_id,
                lease: batch.lease,
                ticket: grant.ticket,
            });
            reading.outbox.extend(claims);
        }
        OutboxEntry::Batch(_other) => {}
        OutboxEntry::Unreadable { entry, reason, .. } => reading
            .bad_entries
            .push(format!("entry {entry} cannot be read: {reason}")),
    }
}

fn entry_number(entry: &OutboxEntry) -> EntryNumber {
    match entry {
        OutboxEntry::Batch(batch) => batch.entry,
        OutboxEntry::Unreadable { entry, .. } => *entry,
    }
}

/// Reads every claim of a coupon from both stores: hot state first, so that what it remembers is a
/// row, or on its way, by the time the rows are read. `None` where there are too many.
pub(crate) async fn read_claims(
    source: &AuditSource,
    reading: &Reading,
) -> Result<Option<Claims>, LedgerError> {
    if usize::try_from(reading.ledger.rows).unwrap_or(usize::MAX) > CLAIMS_MAX {
        return Ok(None);
    }
    let id = reading.ledger.coupon.id;
    let mut claims = Claims::default();
    if let (Some(store), Ok(hot)) = (&source.lanes_store, &reading.hot)
        && hot.figures.as_ref().is_some_and(|figures| figures.ready)
    {
        claims.hot = read_hot_claims(store, reading).await;
    }
    let mut after = None;
    loop {
        let page = ClaimsPage {
            after,
            limit: ROWS_PAGE,
        };
        let rows = source.ledger.claims_of_coupon(id, page).await?;
        let Some(last) = rows.last() else {
            return Ok(Some(claims));
        };
        after = Some(last.ticket);
        claims
            .rows
            .extend(rows.iter().map(|row| (row.claim_id, row.user)));
        if claims.rows.len() > CLAIMS_MAX {
            return Ok(None);
        }
    }
}

async fn read_hot_claims(
    store: &Arc<dyn LaneStore>,
    reading: &Reading,
) -> Option<Vec<(UserId, GrantRecord)>> {
    let lane = reading.ledger.lane.lane;
    let mut claims = Vec::new();
    let mut seen = HashSet::new();
    let mut cursor = 0;
    loop {
        let page = store.claims(lane, reading.ledger.coupon.id, cursor).await;
        let (items, next) = page.ok()?;
        // A user may come twice over the pages of a hash that is being resized.
        claims.extend(
            items
                .into_iter()
                .filter(|(_user, grant)| seen.insert(grant.claim_id)),
        );
        match next {
            Some(next) if claims.len() <= CLAIMS_MAX => cursor = next,
            Some(_too_many) => return None,
            None => return Some(claims),
        }
    }
}
