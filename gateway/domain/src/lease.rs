//! Leases: numbered ranges of tickets that the ledger lends to hot state.
//!
//! Redis can only hand out tickets of a lease it holds, so whatever Redis forgets, nothing is sold
//! twice: that is the whole idea of the protocol.

use serde::{Deserialize, Serialize};

use crate::id::{CouponId, Epoch, LaneId, LeaseNumber, Ticket};
use crate::time::Timestamp;

/// Most tickets in a lease: it is one partition of the ledger.
pub const LEASE_TICKETS_MAX: u32 = 8_192;

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    /// Its tickets may be handed out in its epoch, and its claims appended.
    Open,
    /// Its epoch ended while acknowledged `hot` claims may be missing: nothing of it is given
    /// again before `grace_until`.
    Quarantined,
    /// No append any more; what was not used is returned.
    Closed,
}

/// A lease as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The coupon.
    pub coupon: CouponId,
    /// Its number within the coupon, rising from 1.
    pub number: LeaseNumber,
    /// The lane that holds it.
    pub lane: LaneId,
    /// The epoch it was made in.
    pub epoch: Epoch,
    /// The first ticket of its range.
    pub first: Ticket,
    /// How many tickets, 1 to [`LEASE_TICKETS_MAX`].
    pub size: u32,
    /// Where it stands.
    pub state: LeaseState,
    /// True when a claim of class `hot` may have been granted from it. Never cleared.
    pub hot_possible: bool,
    /// Tickets given back. Set, and only ever raised.
    pub returned: u32,
    /// When a quarantined lease may be closed.
    pub grace_until: Option<Timestamp>,
    /// Claim rows under it, revoked ones included.
    pub rows: u32,
}

/// The stock of a coupon in the ledger. Always `leased - returned <= total` where there is a total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stock {
    /// Units in all; `None` is unlimited.
    pub total: Option<u64>,
    /// While the total is being lowered: the total aimed at. Nothing is leased above it.
    pub target: Option<u64>,
    /// Tickets ever leased.
    pub leased: u64,
    /// Tickets that came back.
    pub returned: u64,
}

impl Lease {
    /// The ticket after the last of the range.
    #[must_use]
    pub const fn end(&self) -> Ticket {
        Ticket(self.first.0 + self.size as u64)
    }

    /// Whether the ticket is in the range.
    #[must_use]
    pub const fn contains(&self, ticket: Ticket) -> bool {
        ticket.0 >= self.first.0 && ticket.0 < self.end().0
    }
}

impl Stock {
    /// Units not leased, under the target where one is set; `None` is unlimited. A target binds an
    /// unlimited coupon too.
    #[must_use]
    pub fn unleased(&self) -> Option<u64> {
        let ceiling = match (self.total, self.target) {
            (Some(total), Some(target)) => total.min(target),
            (total, target) => total.or(target)?,
        };
        Some(ceiling.saturating_sub(self.leased - self.returned))
    }
}

#[cfg(test)]
mod tests;
