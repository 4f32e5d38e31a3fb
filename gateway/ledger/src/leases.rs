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
    /// The total is the target now; the coupon's revision was raised by the caller's own write.
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
    /// The stock of a coupon; zeros for one that has none yet.
    async fn stock(&self, coupon: CouponId) -> Result<Stock, LedgerError>;

    /// All leases of a coupon, by number, each with its count of rows.
    async fn leases(&self, coupon: CouponId) -> Result<Vec<Lease>, LedgerError>;

    /// All leases of a lane that are not closed.
    async fn live_leases(&self, lane: LaneId) -> Result<Vec<Lease>, LedgerError>;

    /// Makes a lease of at most `want` tickets (fewer where fewer are left), open, in the fence's
    /// epoch. `hot_possible` follows the coupon's class and may be true for others.
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

    /// Puts a lease of an ended epoch into quarantine until `grace_until`.
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
    /// revision.
    async fn settle_target(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        now: Timestamp,
    ) -> Result<TargetSettled, LedgerError>;
}
