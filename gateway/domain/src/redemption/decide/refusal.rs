//! Why a command cannot be carried out.

use super::super::{Redemption, RedemptionStatus};
use crate::id::ClaimId;
use crate::input::FieldError;
use crate::money;
use crate::reason::ReasonCode;
use crate::terms::{Currency, MinorUnits};
use crate::time::Timestamp;

/// A refusal, with what its caller needs to go on. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such redemption, or the order is another user's: answered alike.
    NotFound,
    /// The operation id was used for something else.
    KeyReused {
        /// The id.
        operation_id: String,
    },
    /// Another transition came first.
    Conflict {
        /// The status that won, by the clock.
        state: RedemptionStatus,
        /// Where it is held: until when.
        held_until: Option<Timestamp>,
        /// What can be done, in words.
        detail: &'static str,
    },
    /// The hold is over, and not everything that it reserved can be had again.
    HoldExpired {
        /// When it was over.
        held_until: Timestamp,
        /// Claims that are no longer valid, or not free any more.
        claims: Vec<ClaimId>,
    },
    /// The total is not the expected one.
    PriceChanged {
        /// What the caller expected.
        expected: MinorUnits,
        /// What it is.
        actual: MinorUnits,
        /// The currency of both.
        currency: Currency,
    },
    /// Lines of a refund that do not exist or have fewer pieces left; never empty.
    InvalidRefund(Vec<FieldError>),
}

// === impl Refusal ===

impl Refusal {
    /// The code.
    #[must_use]
    pub const fn code(&self) -> ReasonCode {
        match self {
            Self::NotFound => ReasonCode::NotFound,
            Self::KeyReused { .. } => ReasonCode::KeyReused,
            Self::Conflict { .. } => ReasonCode::Conflict,
            Self::HoldExpired { .. } => ReasonCode::HoldExpired,
            Self::PriceChanged { .. } => ReasonCode::PriceChanged,
            Self::InvalidRefund(_) => ReasonCode::InvalidRequest,
        }
    }

    /// In words.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::NotFound => "There is no such redemption.".to_owned(),
            Self::KeyReused { operation_id } => {
                format!("{operation_id} was used before with other content; use another key or id.")
            }
            Self::Conflict { detail, .. } => (*detail).to_owned(),
            Self::HoldExpired { held_until, .. } => format!(
                "The hold was over at {held_until}, and its coupons cannot all be had again. Ask \
                 for a new quote."
            ),
            Self::PriceChanged {
                expected,
                actual,
                currency,
            } => format!(
                "The total is {} {currency:?}; {} was expected.",
                money::format(*actual, *currency),
                money::format(*expected, *currency)
            ),
            Self::InvalidRefund(_) => "Some lines cannot come back as asked.".to_owned(),
        }
    }

    /// A conflict with the status of the redemption at `now`.
    pub(super) fn conflict(redemption: &Redemption, now: Timestamp, detail: &'static str) -> Self {
        let state = redemption.status_at(now);
        Self::Conflict {
            state,
            held_until: (state == RedemptionStatus::Held).then_some(redemption.held_until),
            detail,
        }
    }
}
