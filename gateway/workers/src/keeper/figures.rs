//! What the keeper shows of its lane: gauges, and the arithmetic behind "nothing is missing".

use std::collections::HashSet;

use metrics::Gauge;
use sluice_domain::coupon::{Coupon, Lifecycle};
use sluice_domain::id::{CouponId, Epoch, LaneId};
use sluice_domain::lease::{Lease, LeaseState, Stock};
use sluice_hotstate::lane_store::CouponFigures;

use super::operate::PhaseName;
use super::trouble::Trouble;
use super::{Keeper, decide};
use crate::metrics as names;

/// The gauges of one lane.
pub(super) struct LaneFigures {
    states: Vec<(PhaseName, Gauge)>,
    epoch: Gauge,
    entries: Gauge,
    oldest: Gauge,
    stuck: Gauge,
    open: Gauge,
    quarantined: Gauge,
    tickets_quarantined: Gauge,
    /// Coupons that have gauges of their own.
    coupons: HashSet<CouponId>,
}

/// Where the units of a coupon are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conservation {
    /// Units that can still be granted; `None` is unlimited.
    pub available: Option<u64>,
    /// Units that are blocked until grace is over.
    pub quarantined: u64,
    /// Units that are nowhere (above 0) or in two places (below 0).
    pub drift: i128,
}

// === impl LaneFigures ===

impl LaneFigures {
    pub(super) fn new(lane: LaneId) -> Self {
        let lane = lane.to_string();
        let gauge = |name: &'static str| metrics::gauge!(name, "lane" => lane.clone());
        let leases = |state: &'static str| metrics::gauge!(names::LEASES, "lane" => lane.clone(), "state" => state);
        let states = PhaseName::ALL.map(|phase| {
            let state = phase.label();
            let gauge =
                metrics::gauge!(names::LANE_STATE, "lane" => lane.clone(), "state" => state);
            (phase, gauge)
        });
        Self {
            states: states.into(),
            epoch: gauge(names::LANE_EPOCH),
            entries: gauge(names::OUTBOX_ENTRIES),
            oldest: gauge(names::OUTBOX_OLDEST_SECONDS),
            stuck: gauge(names::OUTBOX_STUCK),
            open: leases("open"),
            quarantined: leases("quarantined"),
            tickets_quarantined: gauge(names::TICKETS_QUARANTINED),
            coupons: HashSet::new(),
        }
    }

    pub(super) fn phase(&self, now: PhaseName) {
        for (phase, gauge) in &self.states {
            gauge.set(if *phase == now { 1.0 } else { 0.0 });
        }
    }

    pub(super) fn epoch(&self, epoch: Epoch) {
        self.epoch.set(shown(epoch.0));
    }

    pub(super) fn stuck(&self, stuck: bool) {
        self.stuck.set(if stuck { 1.0 } else { 0.0 });
    }

    pub(super) fn outbox(&self, entries: u64, oldest_ms: u64) {
        self.entries.set(shown(entries));
        self.oldest.set(shown(oldest_ms) / 1_000.0);
    }

    /// Of a lane that is not this keeper's.
    pub(super) fn nothing(&self) {
        self.outbox(0, 0);
        self.leases(&[]);
        self.stuck(false);
    }

    pub(super) fn leases(&self, live: &[Lease]) {
        let count = |state| live.iter().filter(|lease| lease.state == state).count() as u64;
        let blocked = live
            .iter()
            .filter(|lease| lease.state == LeaseState::Quarantined)
            .map(decide::unused)
            .sum();
        self.open.set(shown(count(LeaseState::Open)));
        self.quarantined.set(shown(count(LeaseState::Quarantined)));
        self.tickets_quarantined.set(shown(blocked));
    }
}

// === impl Keeper ===

impl Keeper {
    /// Shows how much of the outbox waits, and for how long.
    pub(super) fn show_outbox(&self) {
        let waiting = self.outbox.tail.0.saturating_sub(self.outbox.handled.0);
        let oldest = self
            .outbox
            .waiting_since_ms
            .map_or(0, |since| self.now_ms().saturating_sub(since));
        self.figures.outbox(waiting, oldest);
    }

    /// Shows stock and drift of a coupon, from figures that were read apart from each other; not
    /// while some of it is under way between them.
    pub(super) async fn observe(
        &mut self,
        stored: &Coupon,
        seen: &CouponFigures,
    ) -> Result<(), Trouble> {
        let coupon = stored.id;
        if !self.is_home(coupon) {
            return Ok(());
        }
        let known = self.figures.coupons.contains(&coupon);
        if !known && self.figures.coupons.len() >= self.settings.coupon_gauges_max {
            return Ok(());
        }
        if !matches!(stored.lifecycle, Lifecycle::Live | Lifecycle::Paused) {
            return self.stop_showing(coupon);
        }
        let Some(others) = self.resting_elsewhere(stored).await else {
            return Ok(());
        };
        let tail = self.current_facts().await?.tail;
        let stock = self.parts.ledger.stock(coupon).await?;
        let leases = self.parts.ledger.leases(coupon).await?;
        let granted = self.parts.ledger.granted(coupon).await?;
        let again = self.parts.store.figures(self.lane, coupon).await?;
        let under_way = self.outbox.handled < tail
            || self.current_facts().await?.tail != tail
            || self.closing.keys().any(|(held, _)| *held == coupon)
            || again.as_ref() != Some(seen)
            || self.resting_elsewhere(stored).await.as_ref() != Some(&others);
        if under_way {
            return Ok(());
        }
        let seen = [std::slice::from_ref(seen), &others].concat();
        let found = conservation(&stock, &leases, granted, &seen);
        self.figures.coupons.insert(coupon);
        let label = coupon.to_string();
        if let Some(available) = found.available {
            metrics::gauge!(names::STOCK_REMAINING, "coupon" => label.clone())
                .set(shown(available));
        }
        let magnitude = shown(u64::try_from(found.drift.unsigned_abs()).unwrap_or(u64::MAX));
        let drift = if found.drift < 0 {
            -magnitude
        } else {
            magnitude
        };
        metrics::gauge!(names::CONSERVATION_DRIFT, "coupon" => label).set(drift);
        if found.drift != 0 {
            tracing::error!(lane = %self.lane, %coupon, drift = %found.drift,
                "units of a coupon are unaccounted for");
        }
        Ok(())
    }

    /// The figures of a coupon's other shards; `None` while one of them does not answer, is not
    /// ready, or has something in its outbox. Then nothing is shown this time.
    async fn resting_elsewhere(&self, stored: &Coupon) -> Option<Vec<CouponFigures>> {
        let mut found = Vec::new();
        for lane in self.other_lanes(stored) {
            let facts = self.parts.store.facts(lane).await.ok()??;
            let figures = self.parts.store.figures(lane, stored.id).await.ok()??;
            if !figures.ready || facts.mark != Some(facts.tail) {
                return None;
            }
            found.push(figures);
        }
        Some(found)
    }

    /// A coupon that is over leaves its place to another. Its gauges stay at 0.
    fn stop_showing(&mut self, coupon: CouponId) -> Result<(), Trouble> {
        if self.figures.coupons.remove(&coupon) {
            let label = coupon.to_string();
            metrics::gauge!(names::STOCK_REMAINING, "coupon" => label.clone()).set(0.0);
            metrics::gauge!(names::CONSERVATION_DRIFT, "coupon" => label).set(0.0);
        }
        Ok(())
    }
}

/// Where the units of a coupon are.
///
/// Holds once nothing of it waits in the outbox and every open lease is on the list: drift is what is
/// leased, less what was returned, rows that are not revoked, what is left on the list, what is
/// quarantined, and revoked rows that no closing has given back yet. `seen` are the figures of all
/// its shards.
#[must_use]
pub fn conservation(
    stock: &Stock,
    leases: &[Lease],
    granted: u64,
    seen: &[CouponFigures],
) -> Conservation {
    let taken = stock.leased.saturating_sub(stock.returned);
    let left: u64 = seen
        .iter()
        .flat_map(|figures| &figures.leases)
        .map(|(_, next, end)| end.0.saturating_sub(next.0))
        .sum();
    let quarantined: u64 = leases
        .iter()
        .filter(|lease| lease.state == LeaseState::Quarantined)
        .map(decide::unused)
        .sum();
    let rows: u64 = leases.iter().map(|lease| u64::from(lease.rows)).sum();
    let revoked_and_given_back: u64 = leases
        .iter()
        .filter(|lease| lease.state == LeaseState::Closed)
        .map(|lease| u64::from(lease.returned).saturating_sub(decide::unused(lease)))
        .sum();
    let revoked_elsewhere = rows
        .saturating_sub(granted)
        .saturating_sub(revoked_and_given_back);
    let accounted = u128::from(granted)
        + u128::from(left)
        + u128::from(quarantined)
        + u128::from(revoked_elsewhere);
    let accounted = i128::try_from(accounted).unwrap_or(i128::MAX);
    Conservation {
        available: stock
            .total
            .map(|total| total.saturating_sub(taken).saturating_add(left)),
        quarantined,
        drift: i128::from(taken) - accounted,
    }
}

/// A count as gauges have it. Exact up to 2^53, which no count here comes near.
#[expect(
    clippy::cast_precision_loss,
    reason = "gauges are floating point; counts stay far below 2^53"
)]
const fn shown(count: u64) -> f64 {
    count as f64
}
