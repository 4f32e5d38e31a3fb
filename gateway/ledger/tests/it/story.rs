//! A keeper that appends, batch after batch, and the check that nothing of it is lost.

use std::path::Path;
use std::sync::Arc;

use sluice_domain::id::{CouponId, LaneId};
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::lease::Lease;
use sluice_ledger::claims::{AppendFrom, Appended, Claims, ClaimsPage};
use sluice_ledger::conformance::sample;
use sluice_ledger::coupons::Coupons;
use sluice_ledger::lanes::{LaneWrite, Lanes};
use sluice_ledger::leases::{LeaseOpened, Leases};
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{LedgerError, SqliteLedger};

/// Rows in a batch. Divides the size of a lease.
pub(crate) const ROWS: u32 = 16;

/// The coupon that all claims are of.
pub(crate) const COUPON: CouponId = CouponId(7);

/// A runtime for one test.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// One lane, and a fatal hook that only panics: no test process is to end by it.
pub(crate) fn options() -> OpenOptions {
    OpenOptions {
        fatal: Arc::new(|error| panic!("fatal: {error}")),
        ..OpenOptions::new(LaneCount::new(1).unwrap())
    }
}

/// A keeper of the one lane.
pub(crate) struct Keeper {
    pub(crate) ledger: SqliteLedger,
    pub(crate) fence: LaneFence,
    lease: Option<Lease>,
    used: u64,
}

impl Keeper {
    /// Takes the lane, and makes the coupon where there is none.
    pub(crate) async fn start(ledger: SqliteLedger) -> Self {
        let seen = ledger.lane(LaneId(0)).await.unwrap();
        let taken = ledger.take_lane(&seen, "story", sample::NOW).await.unwrap();
        let LaneWrite::Done(row) = taken else {
            panic!("nobody else keeps the lane")
        };
        if ledger.coupon(COUPON).await.unwrap().is_none() {
            let entry = sample::entry("coupon.create", "story");
            let coupon = sample::coupon(COUPON, None);
            ledger.create_coupon(&coupon, entry).await.unwrap();
        }
        let fence = LaneFence {
            lane: row.lane,
            epoch: row.epoch,
            keeper: row.keeper,
        };
        Self {
            ledger,
            fence,
            lease: None,
            used: 0,
        }
    }

    /// Appends batch number `n` (claims `n * ROWS` and on); gives the lane's number.
    pub(crate) async fn append(&mut self, n: u32) -> Result<u64, LedgerError> {
        let full = |lease: &Lease| self.used + u64::from(ROWS) > u64::from(lease.size);
        if self.lease.as_ref().is_none_or(full) {
            let opened = self.ledger.open_lease(self.fence, COUPON, 8_192, false);
            let LeaseOpened::Opened(lease, _seq) = opened.await? else {
                panic!("an unlimited coupon has leases")
            };
            self.lease = Some(lease);
            self.used = 0;
        }
        let lease = self.lease.as_ref().unwrap();
        let batch = sample::batch(u64::from(n), lease, self.used, n * ROWS..(n + 1) * ROWS);
        let (from, batches) = (AppendFrom::Current, [batch]);
        match self.ledger.append(self.fence, from, &batches).await? {
            Appended::Done { seq, conflicts } => {
                assert_eq!(conflicts, [], "every ticket is new");
                self.used += u64::from(ROWS);
                Ok(seq)
            }
            Appended::Deposed { reason } => panic!("deposed by {reason:?}"),
        }
    }
}

/// Opens the ledger and checks that it holds whole batches from number 0 without a gap, counted
/// right everywhere. Gives how many, and the lane's number.
pub(crate) async fn check_batches(path: &Path) -> (u32, u64) {
    let ledger = SqliteLedger::open(path, options()).unwrap();
    let mut rows = Vec::new();
    loop {
        let after = rows
            .last()
            .map(|row: &sluice_domain::claim::ClaimRow| row.ticket);
        let page = ClaimsPage {
            after,
            limit: 10_000,
        };
        let more = ledger.claims_of_coupon(COUPON, page).await.unwrap();
        if more.is_empty() {
            break;
        }
        rows.extend(more);
    }
    let batches = u32::try_from(rows.len()).unwrap() / ROWS;
    assert_eq!(
        rows.len(),
        (batches * ROWS) as usize,
        "no batch is there in part"
    );
    for n in 0..batches * ROWS {
        let found = ledger.claim(sample::claim_id(COUPON, n)).await.unwrap();
        assert!(found.is_some(), "claim {n} of {batches} batches is there");
    }
    let seq = check_facts(&ledger).await;
    ledger.close().await;
    (batches, seq)
}

async fn check_facts(ledger: &SqliteLedger) -> u64 {
    use sluice_ledger::audit_facts::AuditFacts;
    assert_eq!(ledger.integrity_problems().await.unwrap(), [""; 0]);
    if let Some(facts) = ledger.coupon_facts(COUPON).await.unwrap() {
        assert_eq!(facts.outside_range.count, 0);
        assert_eq!(facts.repeated_claim_ids + facts.repeated_tickets, 0);
        for lease in &facts.leases {
            assert_eq!(
                u64::from(lease.lease.rows),
                lease.rows,
                "the counter is right"
            );
        }
        assert_eq!(ledger.granted(COUPON).await.unwrap(), facts.rows);
    }
    ledger.lane(LaneId(0)).await.unwrap().seq
}
