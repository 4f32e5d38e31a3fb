//! Refusals, which are answers, and faults, which are not.

use sluice_domain::input::FieldError;
use sluice_domain::reason::{Reason, ReasonCode};
use sluice_domain::redemption::RedemptionStatus;
use sluice_domain::terms::{Currency, MinorUnits};
use sluice_domain::time::Timestamp;
use sluice_ledger::LedgerError;

/// An answer: what was asked for, or why not.
pub type Answer<T> = Result<Result<T, Box<Refused>>, CheckoutError>;

/// A business refusal: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The code.
    pub code: ReasonCode,
    /// Other words than the code's own.
    pub detail: Option<String>,
    /// All reasons, in order of precedence.
    pub reasons: Vec<Reason>,
    /// The state that stands in the way.
    pub status: Option<RedemptionStatus>,
    /// With `price_changed`: what the caller expected and what it is.
    pub price: Option<PriceChange>,
    /// With `held_by_order`: until when.
    pub until: Option<Timestamp>,
    /// With `invalid_request`, and with a code that is not accepted: which fields.
    pub errors: Vec<FieldError>,
}

/// Two totals that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceChange {
    /// The currency of both.
    pub currency: Currency,
    /// What the caller expected.
    pub expected: MinorUnits,
    /// What it is.
    pub actual: MinorUnits,
}

/// The ledger's fault, or a defect.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckoutError {
    /// Nothing was changed; try again.
    #[error("checkout is not available: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// It may or may not have been carried out: the same request again tells.
    #[error("the outcome is unknown: {reason}")]
    OutcomeUnknown {
        /// What happened.
        reason: String,
    },
    /// Something in the ledger cannot be what it is.
    #[error("the ledger holds what cannot be: {reason}")]
    Corrupt {
        /// What.
        reason: String,
    },
}

// === impl Refused ===

impl Refused {
    /// A refusal that its code says all about.
    #[must_use]
    pub fn of(code: ReasonCode) -> Box<Self> {
        Box::new(Self {
            code,
            detail: None,
            reasons: Vec::new(),
            status: None,
            price: None,
            until: None,
            errors: Vec::new(),
        })
    }

    /// A refusal by reasons: the first one's code is its own.
    #[must_use]
    pub fn by(reasons: Vec<Reason>) -> Box<Self> {
        let code = reasons
            .first()
            .map_or(ReasonCode::Conflict, |reason| reason.code);
        Box::new(Self {
            reasons,
            ..*Self::of(code)
        })
    }
}

// === impl CheckoutError ===

/// So many others changed the same redemption that this caller's turn never came.
pub(crate) fn contended() -> CheckoutError {
    CheckoutError::Unavailable {
        reason: "too many changes of one redemption at once".to_owned(),
    }
}

impl From<LedgerError> for CheckoutError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable { reason } | LedgerError::Full { reason } => {
                Self::Unavailable { reason }
            }
            LedgerError::Unknown { reason } => Self::OutcomeUnknown { reason },
            LedgerError::Corrupt { reason } => Self::Corrupt { reason },
        }
    }
}
