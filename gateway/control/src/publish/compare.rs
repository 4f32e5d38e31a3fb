//! Before the first change: does hot state know more of the coupon than the ledger?
//!
//! A ledger from a backup has forgotten revisions that hot state may still have in force. A change
//! made on it would be given such a number a second time: its installation would be taken for a
//! repeat, hot state and ledger would say different things under one revision, and the keeper, who
//! compares revisions when it takes the lane, would not see that the ledger was set back. So before
//! this process changes a published coupon for the first time, it installs what the ledger has, which
//! is harmless, and hears from every lane that this is the newest there; until then the change is
//! refused, and nothing is written. A ledger is set back only while no process runs, so once is enough.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sluice_domain::id::{CouponId, Revision};
use sluice_domain::published::Published;
use sluice_domain::reason::ReasonCode;

use super::{Behind, Publisher};
use crate::error::{Answer, Problem};

/// Coupons that are remembered, some megabytes; others are compared at every change.
const COMPARED_MAX: usize = 100_000;

/// Coupons of which this process knows that no lane has more than the ledger.
#[derive(Debug, Default)]
pub(super) struct Compared(Mutex<HashSet<CouponId>>);

// === impl Compared ===

impl Compared {
    pub(super) fn add(&self, coupon: CouponId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < COMPARED_MAX {
            known.insert(coupon);
        }
    }

    fn has(&self, coupon: CouponId) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&coupon)
    }
}

// === impl Publisher ===

impl Publisher {
    /// Makes sure that no lane has more of a published coupon than the ledger, which has `seen`.
    ///
    /// # Errors
    /// 503 `recovering`, nothing written, where a lane has more or does not say.
    pub(super) async fn compare(&self, seen: Revision, id: CouponId) -> Answer<()> {
        if self.compared.has(id) {
            return Ok(());
        }
        let stored = self.ledger.coupon(id).await?;
        // A draft is in no lane; and of another revision the compare-and-set finds out by itself.
        let is_published = |stored: &sluice_domain::coupon::Coupon| {
            stored.revision == seen && stored.first_open_at.is_some()
        };
        let Some(stored) = stored.filter(is_published) else {
            return Ok(());
        };
        let done = self.until_deadline(&stored).await;
        done.map_err(|(lane, behind)| {
            tracing::warn!(coupon = %id, %lane, reason = %behind,
                "a change is refused: the lane could not be compared with the ledger");
            let detail = format!(
                "Nothing was changed: lane {lane} could not be compared with the ledger yet: {behind}. \
                 Repeat the request when the lane is served."
            );
            let problem = Problem::unavailable(ReasonCode::Recovering, detail);
            problem.member("lane", lane.0)
        })
    }

    /// A lane that has more than was to be installed had it from the ledger: a later change came
    /// first. Where the ledger, read now, does not have it, it was set back.
    pub(super) async fn check_set_back(
        &self,
        published: &Published,
        in_force: Revision,
    ) -> Result<(), Behind> {
        if in_force == published.revision {
            return Ok(());
        }
        let stored = self.ledger.coupon(published.id).await?;
        if stored.is_some_and(|stored| stored.revision >= in_force) {
            return Ok(());
        }
        Err(Behind::SetBack(in_force))
    }
}
