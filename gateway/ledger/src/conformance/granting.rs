//! Coupons and claims for tests that need some and are about something else.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_domain::claim::{ClaimForm, Durability, Grant, GrantBatch};
use sluice_domain::coupon::{Coupon, CouponSpec};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, LaneId, Ticket, UserId};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::Lease;
use sluice_domain::time::Timestamp;
use tokio::sync::Mutex;

use super::sample;
use crate::Ledger;
use crate::claims::{AppendFrom, Appended};
use crate::coupons::CouponWrite;
use crate::lanes::LaneWrite;
use crate::leases::LeaseOpened;

/// Tickets of one lease.
const LEASE_TICKETS: u32 = 1_000;

/// The keeper of lane 0 of a ledger with one lane. What it cannot do ends the test.
pub struct Granting {
    ledger: Arc<dyn Ledger>,
    keys: HashKeys,
    fence: LaneFence,
    entries: AtomicU64,
    /// The open lease of each coupon, and how many of its tickets are used.
    leases: Mutex<HashMap<CouponId, (Lease, u32)>>,
}

// === impl Granting ===

impl Granting {
    /// Takes the lane.
    ///
    /// # Panics
    /// Where somebody else has it.
    pub async fn start(ledger: Arc<dyn Ledger>) -> Self {
        let seen = ledger.lane(LaneId(0)).await.expect("there is a lane");
        let taken = ledger.take_lane(&seen, "granting", sample::NOW).await;
        let Ok(LaneWrite::Done(row)) = taken else {
            panic!("the lane is not ours: {taken:?}")
        };
        Self {
            keys: HashKeys::derive(&ledger.identity().hash_key),
            fence: LaneFence {
                lane: row.lane,
                epoch: row.epoch,
                keeper: row.keeper,
            },
            ledger,
            entries: AtomicU64::new(1),
            leases: Mutex::new(HashMap::new()),
        }
    }

    /// A published coupon: 5.00 USD off, unlimited stock, one claim per user, but for what is
    /// changed.
    ///
    /// # Panics
    /// Where the ledger refuses it.
    pub async fn coupon(&self, change: impl FnOnce(&mut CouponSpec)) -> CouponId {
        let number = self.ledger.next_number().await.expect("a number");
        let mut coupon = sample::coupon(self.keys.coupon_id(number), None);
        coupon.number = number;
        coupon.spec.limits.per_device = None;
        coupon.spec.limits.per_address = None;
        change(&mut coupon.spec);
        let entry = sample::entry("coupon.create", &coupon.id.to_string());
        let made = self.ledger.create_coupon(&coupon, entry).await;
        assert!(matches!(made, Ok(CouponWrite::Done)), "{made:?}");
        coupon.id
    }

    /// Changes a coupon, as an operator would; where its terms change it gets a new version.
    ///
    /// # Panics
    /// Where the ledger refuses it.
    pub async fn change(&self, coupon: CouponId, change: impl FnOnce(&mut Coupon)) {
        let seen = self.find(coupon).await;
        let mut changed = seen.clone();
        change(&mut changed);
        changed.revision.0 += 1;
        changed.terms_revision = changed.revision;
        if changed.spec.terms != seen.spec.terms {
            changed.version.0 += 1;
        }
        let entry = sample::entry("coupon.change", &coupon.to_string());
        let written = self
            .ledger
            .update_coupon(seen.revision, &changed, "key:sample", entry)
            .await;
        assert!(matches!(written, Ok(CouponWrite::Done)), "{written:?}");
    }

    /// Grants a claim under the coupon's present terms. Where one user may have several, `key` tells
    /// them apart.
    ///
    /// # Panics
    /// Where the ledger refuses it.
    pub async fn grant(
        &self,
        coupon: CouponId,
        user: &UserId,
        key: &str,
        at: Timestamp,
    ) -> ClaimId {
        let document = self.find(coupon).await;
        let claim_id = match document.spec.limits.form() {
            ClaimForm::Single => self.keys.single_claim_id(coupon, user),
            ClaimForm::Keyed => self.keys.keyed_claim_id(coupon, user, key),
        };
        let (lease, ticket) = self.ticket(coupon).await;
        let batch = GrantBatch {
            entry: EntryNumber(self.entries.fetch_add(1, Ordering::Relaxed)),
            coupon,
            lease: lease.number,
            revision: document.revision,
            version: document.version,
            granted_at: at,
            durability: Durability::Ledger,
            grants: vec![Grant {
                ticket,
                claim_id,
                user: *user,
                device: None,
                address: None,
            }],
        };
        let appended = self
            .ledger
            .append(self.fence, AppendFrom::Current, &[batch])
            .await;
        match appended {
            Ok(Appended::Done { conflicts, .. }) if conflicts.is_empty() => claim_id,
            other => panic!("the claim is not granted: {other:?}"),
        }
    }

    async fn ticket(&self, coupon: CouponId) -> (Lease, Ticket) {
        let mut leases = self.leases.lock().await;
        let full = |(lease, used): &(Lease, u32)| *used == lease.size;
        if leases.get(&coupon).is_none_or(full) {
            let opened = self
                .ledger
                .open_lease(self.fence, coupon, LEASE_TICKETS, false)
                .await;
            let Ok(LeaseOpened::Opened(lease, _seq)) = opened else {
                panic!("no lease: {opened:?}")
            };
            leases.insert(coupon, (lease, 0));
        }
        let (lease, used) = leases.get_mut(&coupon).expect("opened above");
        let ticket = Ticket(lease.first.0 + u64::from(*used));
        *used += 1;
        (lease.clone(), ticket)
    }

    async fn find(&self, coupon: CouponId) -> Coupon {
        let found = self.ledger.coupon(coupon).await;
        found
            .expect("the ledger answers")
            .expect("there is a coupon")
    }
}
