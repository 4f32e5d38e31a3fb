//! Stock and leases in the ledger.

use sluice_domain::id::{CouponId, LaneId, LeaseNumber};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::{Lease, Stock};
use sluice_domain::time::Timestamp;

use crate::LedgerError;

/// Answer of [`Leases::open_lease`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseOpened {
    /// Made; with the lane's `seq` of this step.
    Opened(Lease, u64),
    /// Nothing is left under the total (or its target).
    NothingLeft(Stock),
    /// The lane moved on.
    Deposed,
}

/// Answer of a fenced lease step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseStep {
    /// Done (or was done before); the lease as it is now, and the lane's `seq`.
    Done(Lease, u64),
    /// The lane moved on.
    Deposed,
}

/// Answer of [`Leases::settle_target`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetSettled {
    /// The total is the target now (or was not above it before). Where the total changed, the
    /// coupon's document has it, its revision was raised, and the audit log says so.
    Lowered(Stock),
    /// More is leased than the target allows: the total stays, the target is gone.
    TooMuchGranted(Stock),
    /// No target is set.
    NoTarget(Stock),
    /// The lane moved on.
    Deposed,
}

/// The leases.
#[async_trait::async_trait]
pub trait Leases: Send + Sync + 'static {
    /// The stock of a coupon; a total of 0 for one that does not exist.
    async fn stock(&self, coupon: CouponId) -> Result<Stock, LedgerError>;

    /// All leases of a coupon, by number, each with its count of rows.
    async fn leases(&self, coupon: CouponId) -> Result<Vec<Lease>, LedgerError>;

    /// All leases of a lane that are not closed.
    async fn live_leases(&self, lane: LaneId) -> Result<Vec<Lease>, LedgerError>;

    /// Makes a lease of at most `want` tickets (1 to [`LEASE_TICKETS_MAX`]; fewer where fewer are
    /// left), open, in the fence's epoch. `hot_possible` is set where the caller says so or the
    /// coupon's stored class is `hot`. Tickets and lease numbers of a coupon start at 1.
    ///
    /// [`LEASE_TICKETS_MAX`]: sluice_domain::lease::LEASE_TICKETS_MAX
    async fn open_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        want: u32,
        hot_possible: bool,
    ) -> Result<LeaseOpened, LedgerError>;

    /// Closes a lease: no append any more; `returned` = size - rows + revoked rows. Repeating it
    /// changes nothing.
    async fn close_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        lease: LeaseNumber,
    ) -> Result<LeaseStep, LedgerError>;

    /// Puts a lease of an ended epoch into quarantine until `grace_until`. One that is quarantined
    /// or closed stays as it is; one of the fence's own epoch is refused as corrupt.
    async fn quarantine_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        lease: LeaseNumber,
        grace_until: Timestamp,
    ) -> Result<LeaseStep, LedgerError>;

    /// Marks all open leases of a coupon `hot_possible`: before a change to class `hot` reaches a
    /// lane.
    async fn set_hot_possible(&self, coupon: CouponId) -> Result<(), LedgerError>;

    /// Writes the target of a lowering: nothing is leased above it. `None` takes it away.
    async fn set_target(&self, coupon: CouponId, target: Option<u64>)
    -> Result<Stock, LedgerError>;

    /// After all leases were retired and closed: sets the total to the target if
    /// `leased - returned <= target` (quarantined leases count as taken); clears the target
    /// either way. The total in the coupon's document changes in the same transaction, with its
    /// revision, and an audit entry by `system`.
    async fn settle_target(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        now: Timestamp,
    ) -> Result<TargetSettled, LedgerError>;
}

/// The stock of a coupon that does not exist: nothing, rather than no limit.
pub(crate) const fn no_stock() -> Stock {
    Stock {
        total: Some(0),
        target: None,
        leased: 0,
        returned: 0,
    }
}
