//! Claims that were granted because of an order, and what its end does to them.
//!
//! The cause is written before the grant: an intent. So whatever dies in between, the order finds
//! its claims again, and a repeat of either call goes on where the first one stopped.

use serde::{Deserialize, Serialize};

use crate::id::{ClaimId, OrderId, UserId};
use crate::redemption::ClaimUse;
use crate::time::Timestamp;

/// Most claims that one order may be the cause of.
pub const CAUSES_PER_ORDER_MAX: usize = 200;

/// Why a claim was granted: an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The order.
    pub order: OrderId,
    /// The claim, which may not be there (yet).
    pub claim_id: ClaimId,
    /// Whose.
    pub user: UserId,
    /// When it was last intended.
    pub at: Timestamp,
    /// How far it came.
    pub state: CauseState,
}

/// How far a grant because of an order came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseState {
    /// Written before the grant; whether that was carried out is not known.
    Intended,
    /// The grant was answered yes.
    Granted,
    /// The grant was answered no: a claim with this id, if there ever is one, has another cause.
    Refused,
    /// The order was cancelled, and the claim taken back.
    Revoked,
    /// The order was cancelled, and the claim was in use.
    Flagged,
}

/// What comes next for a grant that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// The order was cancelled: nothing is granted because of it any more.
    Refuse,
    /// Nothing is intended: see whether the claim is there for another reason, then intend.
    Look,
    /// It is intended: grant. Doing so again is harmless.
    Grant,
}

/// What an order's end does to one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnCancel {
    /// There is no such claim: nothing to do.
    NotGranted,
    /// Nobody has used it: it is taken back.
    Revoke,
    /// It was taken back before.
    Revoked,
    /// It is in use, by these: it stays, and is flagged. Never empty.
    Flag(Vec<ClaimUse>),
}

/// What comes next for a grant because of an order.
#[must_use]
pub fn next_step(cause: Option<&Cause>, is_cancelled: bool) -> NextStep {
    match cause.map(|cause| cause.state) {
        _ if is_cancelled => NextStep::Refuse,
        None | Some(CauseState::Refused) => NextStep::Look,
        Some(CauseState::Intended | CauseState::Granted) => NextStep::Grant,
        // Only a cancelled order leaves these; a ledger that has them without it is not believed.
        Some(CauseState::Revoked | CauseState::Flagged) => NextStep::Refuse,
    }
}

/// What a cancelled order does to a claim that it was the cause of. `revoked` is `None` where the
/// claim is no row. A hold that ran out holds nothing.
#[must_use]
pub fn on_cancel(
    cause: &Cause,
    revoked: Option<bool>,
    uses: &[ClaimUse],
    now: Timestamp,
) -> OnCancel {
    match (cause.state, revoked) {
        // A claim that came after a refusal came for another reason.
        (CauseState::Refused, _) | (_, None) => return OnCancel::NotGranted,
        (_, Some(true)) => return OnCancel::Revoked,
        (_, Some(false)) => {}
    }
    let live = |one: &&ClaimUse| one.held_until.is_none_or(|until| until > now);
    let live: Vec<ClaimUse> = uses.iter().filter(live).cloned().collect();
    if live.is_empty() {
        OnCancel::Revoke
    } else {
        OnCancel::Flag(live)
    }
}

#[cfg(test)]
mod tests;
