//! Why a claim got no decision, and what the client is told: the one table of this crate.

use sluice_domain::reason::ReasonCode;

use crate::outcome::{ClaimOutcome, Unavailable};
use crate::port::{KeeperRequests, StoreError};

/// When to come back after a fault that passes quickly.
const SOON_MS: u32 = 1_000;
/// When to come back after a fault that takes a recovery.
const LATER_MS: u32 = 2_000;

/// Why a claim got no decision. In every case but `Unknown` it was not, and will not be, carried
/// out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Too much at once.
    Overloaded,
    /// The coupon or its next lease is not in hot state yet.
    Warming,
    /// The lane or hot state as a whole does not serve.
    Recovering,
    /// The keeper refused the claim's entry: claim again.
    SetAside,
    /// The call was sent and gave no answer.
    Unknown,
}

impl Failure {
    /// What an error of hot state means for the claims of the call.
    pub(crate) const fn of(error: &StoreError) -> Self {
        match error {
            StoreError::LaneNotReady { .. } | StoreError::Unavailable { .. } => Self::Recovering,
            StoreError::CouponNotReady { .. } => Self::Warming,
            StoreError::Backpressure { .. } => Self::Overloaded,
            StoreError::Unknown { .. } | StoreError::Protocol { .. } => Self::Unknown,
        }
    }

    /// What the client is told.
    pub(crate) const fn answer(self) -> Unavailable {
        match self {
            Self::Overloaded => Unavailable::not_applied(ReasonCode::Overloaded, SOON_MS),
            Self::Warming => Unavailable::not_applied(ReasonCode::Warming, SOON_MS),
            Self::Recovering => Unavailable::not_applied(ReasonCode::Recovering, LATER_MS),
            Self::SetAside => Unavailable::not_applied(ReasonCode::Recovering, SOON_MS),
            Self::Unknown => Unavailable::unknown(SOON_MS),
        }
    }
}

impl From<Failure> for ClaimOutcome {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.answer())
    }
}

/// Tells the keeper what an error asks of it, and logs what an operator should know.
pub(crate) fn report(
    keeper: &dyn KeeperRequests,
    lane: sluice_domain::id::LaneId,
    error: &StoreError,
) {
    match error {
        StoreError::LaneNotReady {
            lane,
            epoch,
            reason,
        } if reason.is_loss() => keeper.report_loss(*lane, *epoch, *reason),
        StoreError::CouponNotReady { coupon } => keeper.hydrate(lane, *coupon),
        StoreError::Protocol { reason } => {
            tracing::error!(%lane, %reason, "hot state gave an answer that makes no sense");
        }
        StoreError::LaneNotReady { .. }
        | StoreError::Backpressure { .. }
        | StoreError::Unavailable { .. }
        | StoreError::Unknown { .. } => tracing::debug!(%lane, %error, "a call failed"),
    }
}
