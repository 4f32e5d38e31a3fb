//! The answer of a command, the same whether it was carried out now or before.

use serde::{Deserialize, Serialize};

use super::super::{Redemption, RedemptionStatus, Refund, TransitionEvent};
use crate::terms::Currency;
use crate::time::Timestamp;

/// What a command that is done is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The redemption as the operation left it: status and `held_until` are of that time. Later
    /// refunds may be in it.
    Redemption(Box<Redemption>),
    /// A refund, and where the redemption stood after it.
    Refund {
        /// The refund.
        refund: Refund,
        /// `partially_refunded` or `refunded`.
        status: RedemptionStatus,
        /// The currency of its amounts.
        currency: Currency,
    },
}

/// What an event stores of its operation's outcome. The quote is in the redemption, and frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationResult {
    /// The status after it.
    pub status: RedemptionStatus,
    /// When the hold ends or ended.
    pub held_until: Timestamp,
    /// The refund, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<Refund>,
}

/// A stored result that cannot be read: the ledger is damaged.
#[derive(Debug, thiserror::Error)]
#[error("the stored result of operation {operation_id} cannot be read")]
pub struct ResultError {
    operation_id: String,
    #[source]
    source: serde_json::Error,
}

// === impl OperationResult ===

impl OperationResult {
    /// Reads the result of an event.
    ///
    /// # Errors
    /// Where it is not one.
    pub fn of(event: &TransitionEvent) -> Result<Self, ResultError> {
        serde_json::from_str(&event.result).map_err(|source| ResultError {
            operation_id: event.operation_id.clone(),
            source,
        })
    }
}

// === impl Answer ===

impl Answer {
    /// The answer of the operation that this event records.
    ///
    /// # Errors
    /// Where the stored result cannot be read.
    pub fn of(redemption: &Redemption, event: &TransitionEvent) -> Result<Self, ResultError> {
        let result = OperationResult::of(event)?;
        Ok(match result.refund {
            Some(refund) => Self::Refund {
                refund,
                status: result.status,
                currency: redemption.record.quote.currency,
            },
            None => Self::Redemption(Box::new(Redemption {
                status: result.status,
                held_until: result.held_until,
                ..redemption.clone()
            })),
        })
    }
}
