//! A ledger with a history: coupons that are live, one with many winners, and rows of coupons that
//! are over. Written through the ledger's own interface, as a keeper would, in large commits.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use sluice_domain::change;
use sluice_domain::claim::{Durability, Grant, GrantBatch};
use sluice_domain::coupon::Coupon;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{CouponId, EntryNumber, LaneId, Ticket, UserId};
use sluice_domain::input;
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::lease::LEASE_TICKETS_MAX;
use sluice_domain::time::Timestamp;
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::claims::{AppendFrom, Appended};
use sluice_ledger::coupons::CouponWrite;
use sluice_ledger::lanes::{LaneRow, LaneWrite};
use sluice_ledger::leases::{LeaseOpened, LeaseStep};
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{Ledger, SqliteLedger};
use tokio::task::JoinSet;

/// Lanes of the ledger: the server's default.
const LANES: u16 = 16;
/// Claims of one outbox entry, and entries of one commit.
const ENTRY_CLAIMS: usize = 128;
const COMMIT_ENTRIES: usize = 8;
/// Coupons that are written at once: they share commits.
const AT_ONCE: usize = 256;
/// When all of it happened: long before any run.
const THEN: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// What a ledger is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Live coupons without a claim.
    pub definitions: usize,
    /// Claims of one live coupon, of users `w0000001` and on.
    pub winners: usize,
    /// Claims of coupons that are over.
    pub rows: usize,
}

/// What was written.
#[derive(Debug, Clone, Default)]
pub struct Filled {
    /// The live coupons, in the form of their ids in URLs.
    pub definitions: Vec<String>,
    /// The coupon with the winners, where there are any.
    pub winners_of: Option<String>,
}

/// The keeper of a lane, while it is filled.
struct Keeper {
    ledger: Arc<dyn Ledger>,
    fence: LaneFence,
    entry: u64,
}

/// Makes a ledger in this file and fills it.
///
/// # Errors
/// Where the ledger refuses something.
pub async fn fill(file: &Path, history: History) -> anyhow::Result<Filled> {
    let lanes = LaneCount::new(LANES).map_err(|count| anyhow!("{count} lanes"))?;
    let sqlite = Arc::new(SqliteLedger::open(file, OpenOptions::new(lanes))?);
    let ledger: Arc<dyn Ledger> = Arc::<SqliteLedger>::clone(&sqlite);
    let keys = HashKeys::derive(&ledger.identity().hash_key);
    let mut filled = Filled::default();
    for chunk in sizes(history.definitions, AT_ONCE) {
        let mut writes = JoinSet::new();
        for _coupon in 0..chunk {
            writes.spawn(create(Arc::clone(&ledger), keys.clone()));
        }
        while let Some(written) = writes.join_next().await {
            filled.definitions.push(written??.id.to_string());
        }
    }
    if history.winners > 0 {
        let coupon = create(Arc::clone(&ledger), keys.clone()).await?;
        grant(&ledger, &keys, &coupon, 'w', history.winners).await?;
        filled.winners_of = Some(coupon.id.to_string());
    }
    if history.rows > 0 {
        let coupon = create(Arc::clone(&ledger), keys.clone()).await?;
        grant(&ledger, &keys, &coupon, 'h', history.rows).await?;
        // Over for long: in the ledger alone.
        ledger.set_retired(coupon.id, true).await?;
    }
    sqlite.close().await;
    Ok(filled)
}

/// A published coupon without an end of its stock.
async fn create(ledger: Arc<dyn Ledger>, keys: HashKeys) -> anyhow::Result<Coupon> {
    let json = r#"{"name":"Filled in","currency":"USD","benefit":{"type":"fixed","off":"5.00"},
        "limits":{"total":null},"durability":"ledger"}"#;
    let spec = input::coupon(json.as_bytes()).map_err(|faults| anyhow!("{faults:?}"))?;
    let number = ledger.next_number().await?;
    let draft = change::create(keys.coupon_id(number), number, spec, THEN);
    let coupon = change::publish(&draft, THEN).map_err(|faults| anyhow!("{faults:?}"))?;
    let entry = AuditEntry {
        at: THEN,
        actor: "cli".to_owned(),
        action: "coupon.create".to_owned(),
        object: coupon.id.to_string(),
        before: String::new(),
        after: "{}".to_owned(),
        request_id: String::new(),
    };
    match ledger.create_coupon(&coupon, entry).await? {
        CouponWrite::Done => Ok(coupon),
        refused => bail!("a coupon was refused: {refused:?}"),
    }
}

/// Grants so many claims of a coupon, and gives its lane back as after a graceful stop.
async fn grant(
    ledger: &Arc<dyn Ledger>,
    keys: &HashKeys,
    coupon: &Coupon,
    prefix: char,
    claims: usize,
) -> anyhow::Result<()> {
    let lane = ledger.identity().lanes.lane_of(coupon.id);
    let mut keeper = Keeper::take(ledger, lane).await?;
    let mut user = 0;
    for size in sizes(claims, LEASE_TICKETS_MAX as usize) {
        let opened = ledger
            .open_lease(keeper.fence, coupon.id, u32::try_from(size)?, false)
            .await?;
        let LeaseOpened::Opened(lease, _seq) = opened else {
            bail!("no lease: {opened:?}")
        };
        let mut ticket = lease.first.0;
        for size in sizes(lease.size as usize, ENTRY_CLAIMS * COMMIT_ENTRIES) {
            let mut entries = Vec::with_capacity(COMMIT_ENTRIES);
            for size in sizes(size, ENTRY_CLAIMS) {
                let mut grants = Vec::with_capacity(size);
                for _claim in 0..size {
                    user += 1;
                    grants.push(claim(keys, coupon.id, prefix, user, ticket)?);
                    ticket += 1;
                }
                entries.push(GrantBatch {
                    entry: keeper.next_entry(),
                    coupon: coupon.id,
                    lease: lease.number,
                    revision: coupon.revision,
                    version: coupon.version,
                    granted_at: THEN,
                    durability: Durability::Ledger,
                    grants,
                });
            }
            keeper.append(&entries).await?;
        }
        let closed = ledger
            .close_lease(keeper.fence, coupon.id, lease.number)
            .await?;
        if closed == LeaseStep::Deposed {
            bail!("the lane was taken by somebody else");
        }
    }
    keeper.give_back().await
}

fn claim(
    keys: &HashKeys,
    coupon: CouponId,
    prefix: char,
    user: usize,
    ticket: u64,
) -> anyhow::Result<Grant> {
    let user = UserId::new(&format!("{prefix}{user:07}"))?;
    Ok(Grant {
        ticket: Ticket(ticket),
        claim_id: keys.single_claim_id(coupon, &user),
        user,
        device: None,
        address: None,
    })
}

/// A number cut into parts of at most so much.
fn sizes(all: usize, most: usize) -> impl Iterator<Item = usize> {
    (0..all.div_ceil(most)).map(move |part| most.min(all - part * most))
}

// === impl Keeper ===

impl Keeper {
    async fn take(ledger: &Arc<dyn Ledger>, lane: LaneId) -> anyhow::Result<Self> {
        let seen = ledger.lane(lane).await?;
        let taken = ledger.take_lane(&seen, "filling", THEN).await?;
        let LaneWrite::Done(row) = taken else {
            bail!("the lane is not ours: {taken:?}")
        };
        Ok(Self {
            ledger: Arc::clone(ledger),
            fence: LaneFence {
                lane: row.lane,
                epoch: row.epoch,
                keeper: row.keeper,
            },
            entry: 0,
        })
    }

    fn next_entry(&mut self) -> EntryNumber {
        self.entry += 1;
        EntryNumber(self.entry)
    }

    async fn append(&self, entries: &[GrantBatch]) -> anyhow::Result<()> {
        let appended = self
            .ledger
            .append(self.fence, AppendFrom::Current, entries)
            .await?;
        match appended {
            Appended::Done { conflicts, .. } if conflicts.is_empty() => Ok(()),
            refused => bail!("claims were refused: {refused:?}"),
        }
    }

    async fn give_back(self) -> anyhow::Result<()> {
        let given = self
            .ledger
            .renew_lane(self.fence, LaneRow::GIVEN_BACK)
            .await
            .context("giving the lane back")?;
        match given {
            LaneWrite::Done(_row) => Ok(()),
            LaneWrite::Refused(row) => bail!("the lane is not ours any more: {row:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_domain::lease::LeaseState;

    use super::*;

    #[test]
    fn parts_add_up_and_none_is_larger_than_allowed() {
        for all in [0, 1, 127, 128, 129, 1_000] {
            let parts: Vec<usize> = sizes(all, 128).collect();
            assert_eq!(parts.iter().sum::<usize>(), all);
            assert!(parts.iter().all(|&part| (1..=128).contains(&part)));
        }
    }

    #[tokio::test]
    async fn what_was_asked_for_is_in_the_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ledger.sqlite");
        let history = History {
            definitions: 3,
            winners: 300,
            rows: 200,
        };
        let filled = fill(&file, history).await.unwrap();
        assert_eq!(filled.definitions.len(), 3);
        let ledger = SqliteLedger::open_read_only(&file).unwrap();
        let ledger: Arc<dyn Ledger> = Arc::new(ledger);
        let coupon: CouponId = filled.winners_of.unwrap().parse().unwrap();
        assert_eq!(ledger.granted(coupon).await.unwrap(), 300);
        let leases = ledger.leases(coupon).await.unwrap();
        let open = leases
            .iter()
            .filter(|lease| lease.state == LeaseState::Open);
        assert_eq!(open.count(), 0, "{leases:?}");
        let mut retired = 0;
        for lane in ledger.identity().lanes.iter() {
            assert!(ledger.lane(lane).await.unwrap().is_free());
            let published = ledger.published_coupons(lane).await.unwrap();
            retired += published.iter().filter(|(_id, retired)| *retired).count();
        }
        assert_eq!(retired, 1);
    }
}
