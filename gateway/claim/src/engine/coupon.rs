//! Looking a coupon up: what is shown before the sale, and while it runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_domain::id::{ClaimId, CouponId, LaneId, UserId};
use sluice_domain::published::Published;
use tokio::time::Instant;

use super::Engine;
use crate::batcher::BatchKey;
use crate::definitions::{Definition, LiveCoupon};
use crate::failure::Failure;
use crate::outcome::{CouponLookup, StockLevel};
use crate::port::ClaimStore;

/// Whom the question "what time is it?" is asked for: nobody, with a claim that cannot exist.
const NOBODY: &str = "-";

impl<S: ClaimStore> Engine<S> {
    /// Looks a published coupon up.
    ///
    /// The stock level is a hint. `sold_out` comes from the memory of a refusal; `low` and `last`
    /// from the ticket numbers this process has seen granted, which rise with what is sold. A
    /// process that has seen none says `plenty`.
    pub async fn coupon(&self, coupon: CouponId) -> CouponLookup {
        let deadline = Instant::now() + self.shared.settings.decide_within;
        let lane = self.lanes.lane_of(coupon);
        let live = match self.definitions.get(coupon, None, deadline).await {
            Definition::Live(live) => live,
            Definition::Retired(published) => {
                return self.shown(published, StockLevel::SoldOut, lane);
            }
            Definition::Unknown => return CouponLookup::NotFound,
            Definition::Failed(failure) => return unavailable(failure),
        };
        if self.lane_now(lane).is_none()
            && let Err(failure) = self.ask_time(&live, lane, deadline).await
        {
            return unavailable(failure);
        }
        let stock = self.stock_level(&live, Instant::now());
        self.shown(Arc::clone(live.rules.published()), stock, lane)
    }

    fn shown(&self, published: Arc<Published>, stock: StockLevel, lane: LaneId) -> CouponLookup {
        match self.lane_now(lane) {
            Some(now) => CouponLookup::Found {
                published,
                stock,
                now,
            },
            None => unavailable(Failure::Recovering),
        }
    }

    /// Asks for a claim that cannot exist, which grants nothing: the answer brings the lane's time.
    async fn ask_time(
        &self,
        live: &LiveCoupon,
        lane: LaneId,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let published = live.rules.published();
        let key = BatchKey {
            coupon: published.id,
            form: published.form,
            revision: published.revision,
        };
        let user = UserId::new(NOBODY).map_err(|_form| Failure::Recovering)?;
        let claim_id = ClaimId::new(published.id, [0; 12]);
        let request = self.poll_request(claim_id, &user, published);
        let sold_out = Arc::clone(self.sold_out(live, lane));
        let asked = self
            .batcher
            .decide(lane, key, request, sold_out, deadline)
            .await;
        asked.map(|_answer| ())
    }

    fn stock_level(&self, live: &LiveCoupon, now: Instant) -> StockLevel {
        let published = live.rules.published();
        // "Final" is said of a shard when nothing is left in any.
        let mut levels = live.notes.all_sold_out().iter();
        let (revision, room) = (published.revision, &self.shared.filters);
        if let Some(level) = levels.find_map(|sold_out| sold_out.level(revision, now, room)) {
            return level;
        }
        let Some(total) = published.limits.total else {
            return StockLevel::Plenty;
        };
        let seen = live.notes.tickets_seen.load(Ordering::Relaxed);
        match total.saturating_sub(seen) {
            left if left.saturating_mul(100) <= total => StockLevel::Last,
            left if left.saturating_mul(10) <= total => StockLevel::Low,
            _plenty => StockLevel::Plenty,
        }
    }
}

/// Nothing was attempted, so nothing was applied.
fn unavailable(failure: Failure) -> CouponLookup {
    CouponLookup::Unavailable(match failure {
        Failure::Unknown => Failure::Recovering.answer(),
        known => known.answer(),
    })
}
