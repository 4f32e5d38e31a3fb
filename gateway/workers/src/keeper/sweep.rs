//! The sweep: what nobody asks for is looked after all the same.

use std::collections::VecDeque;

use sluice_domain::id::{CouponId, Epoch, LeaseNumber};

use super::close::Closing;
use super::trouble::Trouble;
use super::{Keeper, decide, millis};

/// Coupons that are looked after in one step.
const COUPONS_AT_ONCE: usize = 8;

/// Where the sweep is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    queue: VecDeque<CouponId>,
    /// Ended epochs whose keys are still there.
    ended: VecDeque<Epoch>,
    next_at_ms: u64,
    rounds: u32,
}

// === impl Sweep ===

impl Sweep {
    /// A sweep that begins with all coupons, at once.
    pub(super) fn of_everything() -> Self {
        Self::default()
    }

    pub(super) fn forget_epochs(&mut self, epochs: Vec<Epoch>) {
        self.ended.extend(epochs);
    }

    pub(super) fn is_at_work(&self) -> bool {
        !self.queue.is_empty() || !self.ended.is_empty()
    }
}

// === impl Keeper ===

impl Keeper {
    /// Brings the sweep forward by a slice.
    pub(super) async fn sweep_some(&mut self) -> Result<(), Trouble> {
        if let Some(&ended) = self.sweep.ended.front() {
            if self.parts.store.sweep_epoch(self.lane, ended).await? {
                self.sweep.ended.pop_front();
            }
            return Ok(());
        }
        if self.sweep.queue.is_empty() {
            return self.begin_round().await;
        }
        for _coupon in 0..COUPONS_AT_ONCE {
            let Some(&coupon) = self.sweep.queue.front() else {
                break;
            };
            self.look_after(coupon).await?;
            self.sweep.queue.pop_front();
        }
        Ok(())
    }

    /// The next round, when it is due: mostly of coupons with leases, now and then of all.
    async fn begin_round(&mut self) -> Result<(), Trouble> {
        let now = self.now_ms();
        if now < self.sweep.next_at_ms {
            return Ok(());
        }
        let live = self.parts.ledger.live_leases(self.lane).await?;
        self.figures.leases(&live);
        let mut coupons: Vec<CouponId> = live.iter().map(|lease| lease.coupon).collect();
        if self
            .sweep
            .rounds
            .is_multiple_of(self.settings.full_sweep_every)
        {
            let published = self.parts.ledger.published_coupons(self.lane).await?;
            coupons.extend(
                published
                    .into_iter()
                    .filter(|(_, retired)| !retired)
                    .map(|(coupon, _)| coupon),
            );
        } else {
            // A revocation or a restock gives a "final" coupon something back.
            coupons.extend(
                self.coupons
                    .iter()
                    .filter(|(_, held)| held.is_final.is_some())
                    .map(|(coupon, _)| *coupon),
            );
        }
        coupons.sort_unstable();
        coupons.dedup();
        self.sweep.queue = coupons.into();
        self.sweep.rounds = self.sweep.rounds.wrapping_add(1);
        self.sweep.next_at_ms = now.saturating_add(self.settings.sweep_ms);
        Ok(())
    }

    async fn look_after(&mut self, coupon: CouponId) -> Result<(), Trouble> {
        if self.clearing.contains_key(&coupon) {
            return Ok(());
        }
        let Some(stored) = self.parts.ledger.coupon(coupon).await? else {
            return Ok(());
        };
        let leases = self.parts.ledger.leases(coupon).await?;
        self.settle_old(&leases).await?;
        if !self.keeps(&stored) {
            return Ok(());
        }
        let over = decide::ended_at(&stored, self.lane_time);
        if over.is_some_and(|end| {
            self.lane_time.millis_since(end) > millis(self.settings.retention_ms)
        }) {
            // The home lane is the last: with it the coupon counts as retired everywhere.
            if !self.is_home(coupon) || !self.is_held_elsewhere(&stored).await {
                self.begin_retention(coupon);
            }
            return Ok(());
        }
        let figures = self.parts.store.figures(self.lane, coupon).await?;
        if let Some(figures) = figures.filter(|figures| figures.ready) {
            let listed: Vec<LeaseNumber> =
                figures.leases.iter().map(|(lease, ..)| *lease).collect();
            for lease in decide::off_the_list(self.own(&leases), self.fence.epoch.0, &listed) {
                self.closing
                    .entry((coupon, lease))
                    .or_insert(Closing::Retire);
            }
            self.observe(&stored, &figures).await?;
            if !figures.leases.is_empty() {
                self.give_where_others_are_dry(&stored).await?;
            }
            if self.clearing.contains_key(&coupon) {
                // It is given away: nobody here has asked for it.
                return Ok(());
            }
        }
        self.tend(coupon).await
    }
}
