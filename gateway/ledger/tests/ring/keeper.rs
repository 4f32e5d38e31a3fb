//! A keeper that appends batch after batch, each until it is told that it is in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sluice_domain::id::{CouponId, LaneId};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::Lease;
use sluice_ledger::audit_facts::AuditFacts;
use sluice_ledger::claims::{AppendFrom, Appended, Claims, ClaimsPage};
use sluice_ledger::conformance::sample;
use sluice_ledger::coupons::Coupons;
use sluice_ledger::lanes::{LaneWrite, Lanes};
use sluice_ledger::leases::{LeaseOpened, Leases};
use sluice_ledger::{CqlLedger, LedgerError};

/// The coupon that all claims are of.
pub(crate) const COUPON: CouponId = CouponId(7);
/// Rows of a batch.
pub(crate) const ROWS: u32 = 8;
const LEASE: u32 = 1_024;
const BATCHES_OF_LEASE: u32 = LEASE / ROWS;
/// Rest after each attempt: the story is about nodes, not about speed.
const REST: Duration = Duration::from_millis(50);

pub(crate) struct Keeper {
    ledger: Arc<CqlLedger>,
    fence: LaneFence,
    appended: AtomicU64,
    refused: AtomicU64,
}

// === impl Keeper ===

impl Keeper {
    /// Takes the lane, and makes an unlimited coupon.
    pub(crate) async fn start(ledger: Arc<CqlLedger>) -> Self {
        let seen = ledger.lane(LaneId(0)).await.unwrap();
        let taken = ledger.take_lane(&seen, "ring", sample::NOW).await.unwrap();
        let LaneWrite::Done(row) = taken else {
            panic!("nobody else keeps the lane")
        };
        let (coupon, entry) = (
            sample::coupon(COUPON, None),
            sample::entry("coupon.create", "ring"),
        );
        ledger.create_coupon(&coupon, entry).await.unwrap();
        let fence = LaneFence {
            lane: row.lane,
            epoch: row.epoch,
            keeper: row.keeper,
        };
        Self {
            ledger,
            fence,
            appended: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Batches acknowledged.
    pub(crate) fn appended(&self) -> u64 {
        self.appended.load(Ordering::Acquire)
    }

    /// Attempts that were not.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    /// Appends until told to stop.
    pub(crate) async fn append_until(self: Arc<Self>, stop: Arc<AtomicBool>) {
        let mut lease = None;
        for number in 0.. {
            if number % BATCHES_OF_LEASE == 0 {
                lease = None;
            }
            while !stop.load(Ordering::Relaxed) {
                let done = match &lease {
                    Some(lease) => self.append(lease, number).await,
                    None => self.open().await.map(|opened| {
                        lease = Some(opened);
                        false
                    }),
                };
                tokio::time::sleep(REST).await;
                match done {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(LedgerError::Unavailable { .. } | LedgerError::Unknown { .. }) => {
                        self.refused.fetch_add(1, Ordering::Release);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
            self.appended.fetch_add(1, Ordering::Release);
        }
    }

    async fn open(&self) -> Result<Lease, LedgerError> {
        let opened = self.ledger.open_lease(self.fence, COUPON, LEASE, false);
        let LeaseOpened::Opened(lease, _seq) = opened.await? else {
            panic!("an unlimited coupon has leases")
        };
        Ok(lease)
    }

    /// True: it is in.
    async fn append(&self, lease: &Lease, number: u32) -> Result<bool, LedgerError> {
        let claims = number * ROWS..(number + 1) * ROWS;
        let offset = u64::from(number % BATCHES_OF_LEASE * ROWS);
        let batch = [sample::batch(u64::from(number) + 1, lease, offset, claims)];
        let appended = self.ledger.append(self.fence, AppendFrom::Current, &batch);
        let Appended::Done { conflicts, .. } = appended.await? else {
            panic!("nobody else took the lane")
        };
        assert_eq!(conflicts, [], "every ticket is new or one's own");
        Ok(true)
    }

    /// Every acknowledged claim is there once, and the last batch in whole or not at all.
    pub(crate) async fn check(&self, ledger: &CqlLedger) {
        let page = ClaimsPage {
            after: None,
            limit: 100_000,
        };
        let rows = ledger.claims_of_coupon(COUPON, page).await.unwrap();
        let batches = rows.len() as u64 / u64::from(ROWS);
        assert_eq!(rows.len() as u64, batches * u64::from(ROWS));
        let acknowledged = self.appended();
        assert!(
            batches == acknowledged || batches == acknowledged + 1,
            "{acknowledged} batches were acknowledged, {batches} are there"
        );
        for (row, number) in rows.iter().zip(0..) {
            assert_eq!(row.claim_id, sample::claim_id(COUPON, number));
        }
        assert_eq!(ledger.granted(COUPON).await.unwrap(), rows.len() as u64);
        assert_eq!(ledger.integrity_problems().await.unwrap(), [""; 0]);
    }
}
