//! What the control plane needs from the rest of the process, in its own words. The server
//! implements these over the gateways' caches and the keepers' handle.

use sluice_claim::outcome::ClaimOutcome;
use sluice_claim::port::NotReady;
use sluice_domain::id::{CouponId, Epoch, LaneId, UserId};
use sluice_domain::lease::Stock;
use sluice_domain::time::Timestamp;

/// The clock of this process. Used for audit entries, expiry of keys and derived statuses, never
/// to decide a claim.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The gateways' caches of definitions.
pub trait Gateways: Send + Sync + 'static {
    /// Drops what gateways remember of a coupon. Returns at once and may be repeated. Safety does
    /// not depend on it (the script decides); it makes refusals follow sooner.
    fn invalidate(&self, coupon: CouponId);
}

/// The claim engine, as operators grant by it.
#[async_trait::async_trait]
pub trait Granter: Send + Sync + 'static {
    /// Grants a published coupon to a user. Where the coupon allows several claims per user, `key`
    /// names the claim: the same key again is the same claim.
    async fn grant(&self, coupon: CouponId, user: UserId, key: &str) -> ClaimOutcome;
}

/// The lanes' keepers.
#[async_trait::async_trait]
pub trait LaneOperator: Send + Sync + 'static {
    /// Says that a coupon has a new revision or more stock. Returns at once and may be repeated.
    fn changed(&self, lane: LaneId, coupon: CouponId);

    /// Says that a script saw a loss of hot state in this epoch. Returns at once and may be repeated.
    /// The keeper recovers the lane: without a word nobody may notice what no claim touches.
    fn lost(&self, lane: LaneId, epoch: Epoch, reason: NotReady);

    /// Lowers the total of a published coupon: the target is written, its leases are retired and
    /// closed, the total is set. Waits no longer than a few seconds.
    ///
    /// # Errors
    /// When no keeper of this process holds the coupon's lane, or a store does not answer.
    async fn lower_total(
        &self,
        lane: LaneId,
        coupon: CouponId,
        target: u64,
    ) -> Result<Lowering, OperatorError>;

    /// Starts a recovery of a lane. With `accept_ledger` also out of a halt: the ledger's numbers
    /// are raised above those that Redis has, and what only Redis knew is set aside.
    ///
    /// # Errors
    /// When no keeper of this process holds the lane, it is halted and `accept_ledger` is false, or
    /// a store does not answer.
    async fn recover(&self, lane: LaneId, accept_ledger: bool) -> Result<(), OperatorError>;

    /// Ends the quarantine of all of a lane's units before their grace is over, by an operator's
    /// word that no cut-off server has granted from them.
    ///
    /// # Errors
    /// When no keeper of this process serves the lane, or a store does not answer.
    async fn release(&self, lane: LaneId) -> Result<(), OperatorError>;

    /// What the keeper of a lane says of itself; `None` where this process has none for it.
    fn status(&self, lane: LaneId) -> Option<KeeperStatus>;
}

/// What a lowering of a total ended in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lowering {
    /// The total is the target now, in the stock and in the coupon's document.
    Lowered(Stock),
    /// More is granted, or may have been, than the target allows: the total stays as it was.
    TooMuchGranted {
        /// The stock as it is.
        stock: Stock,
        /// Claims that are not revoked.
        granted: u64,
        /// Units in quarantine: they count as granted until their grace is over.
        quarantined: u64,
        /// When the last of those graces is over.
        grace_until: Option<Timestamp>,
    },
    /// Not settled within the bound. The target is kept and the keeper goes on.
    StillClosing,
}

/// Why a keeper could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// Nothing was done.
    #[error("lane {lane} has no keeper that could do this: {reason}")]
    Unavailable {
        /// The lane.
        lane: LaneId,
        /// Why.
        reason: String,
    },
    /// The lane's state does not allow it. Nothing was done.
    #[error("lane {lane} does not allow this now: {reason}")]
    Refused {
        /// The lane.
        lane: LaneId,
        /// Why, and what would be allowed.
        reason: String,
    },
    /// Begun, and the end was not seen.
    #[error("the outcome in lane {lane} is unknown: {reason}")]
    Unknown {
        /// The lane.
        lane: LaneId,
        /// What happened.
        reason: String,
    },
}

/// A keeper's word about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperStatus {
    /// What it is doing, in one word: `serving`, `recovering`, `halted`, `waiting` …
    pub phase: String,
    /// More of it, for a person; empty where there is no more to say.
    pub detail: String,
}
