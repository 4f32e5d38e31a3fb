//! Which order a claim was granted because of, and orders that were cancelled.
//!
//! All of one order is one small partition: its end, and its causes. The end is written once; from
//! then on no cause is intended and none becomes granted, so that a grant which is under way
//! meanwhile sees it, whichever of the two was first.

use sluice_domain::cause::{Cause, CauseState};
use sluice_domain::id::{ClaimId, OrderId};
use sluice_domain::time::Timestamp;

use crate::LedgerError;
use crate::audit_log::AuditEntry;

/// All that is known of an order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderCauses {
    /// When it was cancelled.
    pub cancelled_at: Option<Timestamp>,
    /// The claims that it is the cause of, by claim id; at most
    /// [`CAUSES_PER_ORDER_MAX`](sluice_domain::cause::CAUSES_PER_ORDER_MAX).
    pub causes: Vec<Cause>,
}

/// Answer of [`Causes::intend`]. Anything but [`Done`](Self::Done) wrote nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intended {
    /// The intent stands; it may have stood before.
    Done,
    /// The order was cancelled.
    OrderCancelled,
    /// The order is the cause of as many claims as one may be.
    TooMany,
}

/// Answer of [`Causes::settle_cause`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseSettled {
    /// It has this state now.
    Done,
    /// It had it before: nothing was written.
    Unchanged,
    /// The order was cancelled, and the state is one of an order that was not: nothing was written.
    OrderCancelled,
}

/// Causes of claims.
#[async_trait::async_trait]
pub trait Causes: Send + Sync + 'static {
    /// All that is known of an order.
    async fn order_causes(&self, order: &OrderId) -> Result<OrderCauses, LedgerError>;

    /// Writes down that a claim is about to be granted because of an order. `cause.state` is
    /// `Intended`. One that was refused is intended anew; one that came further stays as it is.
    async fn intend(&self, cause: &Cause) -> Result<Intended, LedgerError>;

    /// Writes down how far a grant came, with its audit entry where there is one, in one step.
    /// Granted and refused are states of an order that is not cancelled; revoked and flagged of one
    /// that is.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] where there is no such cause, and where one is to become intended
    /// (see [`intend`](Self::intend)), or revoked or flagged before its order is cancelled.
    async fn settle_cause(
        &self,
        order: &OrderId,
        claim_id: ClaimId,
        to: CauseState,
        entry: Option<AuditEntry>,
    ) -> Result<CauseSettled, LedgerError>;

    /// Writes down that an order was cancelled; the instant at which it first was.
    async fn cancel_order(&self, order: &OrderId, at: Timestamp) -> Result<Timestamp, LedgerError>;
}

/// What a settlement comes to, before anything is written.
pub(crate) fn check_settlement(
    held: Option<CauseState>,
    to: CauseState,
    is_cancelled: bool,
    order: &OrderId,
) -> Result<CauseSettled, LedgerError> {
    let defect = |what: &str| {
        Err(LedgerError::corrupt(format!(
            "a cause of order {order} {what}"
        )))
    };
    let Some(held) = held else {
        return defect("is not there");
    };
    match to {
        CauseState::Intended => defect("becomes intended by settling"),
        CauseState::Granted | CauseState::Refused if is_cancelled => {
            Ok(CauseSettled::OrderCancelled)
        }
        CauseState::Revoked | CauseState::Flagged if !is_cancelled => {
            defect("is settled by a cancellation that was not")
        }
        to if held == to => Ok(CauseSettled::Unchanged),
        _ => Ok(CauseSettled::Done),
    }
}
