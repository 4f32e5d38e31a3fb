//! From facts to figures: each counted apart, none derived from another.

use serde::Serialize;
use sluice_domain::id::{CouponId, Epoch, LeaseNumber, Revision, Ticket};
use sluice_domain::lease::{LeaseState, Stock};
use sluice_ledger::audit_facts::{CouponLedgerFacts, LeaseFacts};

use super::reading::{HotReading, LaneReading, Reading};
use crate::counts::tickets_left;

/// The figures of a coupon in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figures {
    pub id: CouponId,
    pub revision: Revision,
    pub epoch: Epoch,
    pub stock: Stock,
    /// Rows that are not revoked, counted.
    pub granted: u64,
    /// Revoked rows whose unit did not come back yet.
    pub revoked_out: u64,
    /// Units of quarantined leases that are no rows.
    pub quarantined: u64,
    /// Tickets on the lists of hot state; `None` where that is not known.
    pub left: Option<u64>,
    /// Claims in the outbox that are no rows; `None` where that is not known.
    pub in_outbox: Option<u64>,
    /// Each lease with its rows and what came back.
    pub leases: Vec<(LeaseNumber, LeaseState, u64, u32)>,
    /// The list of hot state.
    pub list: Option<Vec<(LeaseNumber, Ticket, Ticket)>>,
}

/// The figures of a coupon, as reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CouponReport {
    /// The coupon.
    pub id: CouponId,
    /// Units in all; null is unlimited.
    pub total: Option<u64>,
    /// Tickets ever leased.
    pub leased: u64,
    /// Claims that are not revoked.
    pub granted: u64,
    /// Units that nobody may have before the grace of a lost lease is over.
    pub quarantined: u64,
    /// Claims on their way to the ledger; null where that could not be read.
    pub in_outbox: Option<u64>,
    /// Units that may still be claimed; null where unlimited or that could not be read.
    pub available: Option<u64>,
    /// Units that nobody accounts for: 0, or null where that could not be read.
    pub drift: Option<i64>,
    /// Figures that moved between the last two rounds.
    pub moved: Vec<&'static str>,
}

// === impl Figures ===

impl Figures {
    /// Counts a reading.
    pub(crate) fn of(reading: &Reading) -> Self {
        let ledger = &reading.ledger;
        let hot = reading.hot.as_ref().ok();
        Self {
            id: ledger.coupon.id,
            revision: ledger.coupon.revision,
            epoch: ledger.lane.epoch,
            stock: ledger.stock,
            granted: ledger.rows.saturating_sub(ledger.revoked),
            revoked_out: ledger.leases.iter().map(revoked_out).sum(),
            quarantined: ledger.leases.iter().map(quarantined).sum(),
            left: left(ledger, hot),
            in_outbox: match hot {
                Some(hot) => Some(hot.outbox.len() as u64),
                None if ledger.leases.is_empty() => Some(0),
                None => None,
            },
            leases: ledger
                .leases
                .iter()
                .map(|facts| {
                    let lease = &facts.lease;
                    (lease.number, lease.state, facts.rows, lease.returned)
                })
                .collect(),
            list: hot.map(|hot| hot.listed().copied().collect()),
        }
    }

    /// Which figures differ from a later round's.
    pub(crate) fn moved(&self, later: &Self) -> Vec<&'static str> {
        let pairs = [
            ("revision", self.revision != later.revision),
            ("epoch", self.epoch != later.epoch),
            ("stock", self.stock != later.stock),
            ("granted", self.granted != later.granted),
            ("revoked", self.revoked_out != later.revoked_out),
            ("quarantined", self.quarantined != later.quarantined),
            ("left", self.left != later.left || self.list != later.list),
            ("in_outbox", self.in_outbox != later.in_outbox),
            ("leases", self.leases != later.leases),
        ];
        pairs
            .into_iter()
            .filter_map(|(name, moved)| moved.then_some(name))
            .collect()
    }

    /// Units that may still be claimed: what is not leased and what is left of leases.
    pub(crate) fn available(&self) -> Option<u64> {
        let total = self.stock.total?;
        let out = self.stock.leased.saturating_sub(self.stock.returned);
        Some(total.saturating_sub(out) + self.left?)
    }

    /// total - granted - in outbox - available - quarantined. The total and what is not leased of
    /// it stand on both sides, so the same holds for unlimited coupons: what was leased and did not
    /// come back is a row, on its way, left or in quarantine.
    pub(crate) fn drift(&self) -> Option<i64> {
        let out = signed(self.stock.leased) - signed(self.stock.returned);
        let found = self.granted + self.revoked_out + self.quarantined;
        Some(out - signed(found) - signed(self.in_outbox?) - signed(self.left?))
    }
}

impl CouponReport {
    pub(crate) fn new(figures: &Figures, moved: Vec<&'static str>) -> Self {
        Self {
            id: figures.id,
            total: figures.stock.total,
            leased: figures.stock.leased,
            granted: figures.granted,
            quarantined: figures.quarantined,
            in_outbox: figures.in_outbox,
            available: figures.available(),
            drift: figures.drift(),
            moved,
        }
    }
}

/// Tickets on the lists of all shards; `None` where one of them does not tell and may hold some.
fn left(ledger: &CouponLedgerFacts, hot: Option<&HotReading>) -> Option<u64> {
    let is_open = |facts: &LeaseFacts| facts.lease.state == LeaseState::Open;
    let Some(hot) = hot else {
        // Without an open lease there is no list that could hold anything.
        return (!ledger.leases.iter().any(is_open)).then_some(0);
    };
    let of_lane = |one: &LaneReading| match &one.figures {
        Some(figures) if figures.ready => Some(tickets_left(figures)),
        _ => {
            let mut own = ledger
                .leases
                .iter()
                .filter(|facts| facts.lease.lane == one.lane);
            (!own.any(is_open)).then_some(0)
        }
    };
    hot.lanes.iter().map(of_lane).sum()
}

/// Counts stay far below the range of `i64`.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Revoked rows of a lease that still hold their unit: those of a closed one came back with it.
fn revoked_out(facts: &LeaseFacts) -> u64 {
    match facts.lease.state {
        LeaseState::Open | LeaseState::Quarantined => facts
            .revoked
            .saturating_sub(u64::from(facts.lease.returned)),
        LeaseState::Closed => 0,
    }
}

fn quarantined(facts: &LeaseFacts) -> u64 {
    match facts.lease.state {
        LeaseState::Quarantined => u64::from(facts.lease.size).saturating_sub(facts.rows),
        LeaseState::Open | LeaseState::Closed => 0,
    }
}
