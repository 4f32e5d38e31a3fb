//! Reading the facts of a coupon from both stores.

use std::collections::HashSet;
use std::sync::Arc;

use sluice_domain::claim::GrantRecord;
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, Epoch, LaneId, LeaseNumber, Ticket, UserId,
};
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
    /// Its lanes, each with what it keeps of the coupon: one per shard, the home lane first.
    pub lanes: Vec<LaneReading>,
    /// Its claims in the outbox that are no rows yet.
    pub outbox: Vec<OutboxClaim>,
    /// Entries after the mark that are missing or cannot be read.
    pub bad_entries: Vec<String>,
}

/// One lane of a coupon.
#[derive(Debug, Clone)]
pub(crate) struct LaneReading {
    /// Which.
    pub lane: LaneId,
    /// Its epoch in the ledger, read before hot state.
    pub epoch: Epoch,
    /// The lane in hot state, read before the coupon.
    pub facts: LaneFacts,
    /// The coupon; `None` where hot state has nothing of it.
    pub figures: Option<CouponFigures>,
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

// === impl HotReading ===

impl HotReading {
    /// Whether every shard serves.
    pub(crate) fn is_ready(&self) -> bool {
        let ready = |one: &LaneReading| one.figures.as_ref().is_some_and(|held| held.ready);
        self.lanes.iter().all(ready)
    }

    /// The leases on the lists of all shards.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &(LeaseNumber, Ticket, Ticket)> {
        let figures = self.lanes.iter().filter_map(|one| one.figures.as_ref());
        figures.flat_map(|figures| &figures.leases)
    }
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
    let mut reading = HotReading {
        lanes: Vec::new(),
        outbox: Vec::new(),
        bad_entries: Vec::new(),
    };
    let coupon = &ledger.coupon;
    let lanes = source.ledger.identity().lanes;
    for lane in lanes.lanes_of(coupon.id, coupon.spec.shards) {
        let epoch = if lane == ledger.lane.lane {
            ledger.lane.epoch
        } else {
            source.ledger.lane(lane).await?.epoch
        };
        let one = match read_lane(store, lane, epoch, coupon.id).await {
            Ok(one) => one,
            Err(reason) => return Ok(Err(reason)),
        };
        if let Err(reason) = read_outbox(store, coupon.id, &one, &mut reading).await {
            return Ok(Err(reason));
        }
        reading.lanes.push(one);
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

async fn read_lane(
    store: &Arc<dyn LaneStore>,
    lane: LaneId,
    epoch: Epoch,
    coupon: CouponId,
) -> Result<LaneReading, String> {
    let facts = match store.facts(lane).await {
        Ok(Some(facts)) => facts,
        Ok(None) => return Err(format!("lane {lane} has no state in hot state")),
        Err(error) => return Err(error.to_string()),
    };
    if facts.state != LaneState::Open || !facts.same_server || !facts.unsalvaged.is_empty() {
        return Err(format!("lane {lane} is not open"));
    }
    let figures = store.figures(lane, coupon).await;
    Ok(LaneReading {
        lane,
        epoch,
        facts,
        figures: figures.map_err(|error| error.to_string())?,
    })
}

/// Looks through a lane's entries after the mark for claims of the coupon.
async fn read_outbox(
    store: &Arc<dyn LaneStore>,
    coupon: CouponId,
    of: &LaneReading,
    reading: &mut HotReading,
) -> Result<(), String> {
    let lane = of.lane;
    let mark = of.facts.mark.unwrap_or_default();
    let tail = of.facts.tail;
    if tail.0.saturating_sub(mark.0) > OUTBOX_MAX {
        return Err(format!(
            "lane {lane} has more than {OUTBOX_MAX} entries in its outbox"
        ));
    }
    let mut last = mark;
    while last < tail {
        let entries = store
            .read_outbox(lane, of.facts.epoch, last, OUTBOX_PAGE)
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
            take_entry(coupon, entry, reading);
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
        && hot.is_ready()
    {
        claims.hot = read_hot_claims(store, id, hot).await;
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
    coupon: CouponId,
    hot: &HotReading,
) -> Option<Vec<(UserId, GrantRecord)>> {
    let mut claims = Vec::new();
    for one in &hot.lanes {
        claims.extend(read_lane_claims(store, coupon, one.lane).await?);
    }
    Some(claims)
}

async fn read_lane_claims(
    store: &Arc<dyn LaneStore>,
    coupon: CouponId,
    lane: LaneId,
) -> Option<Vec<(UserId, GrantRecord)>> {
    let mut claims = Vec::new();
    let mut seen = HashSet::new();
    let mut cursor = 0;
    loop {
        let page = store.claims(lane, coupon, cursor).await;
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
