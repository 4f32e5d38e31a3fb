//! Redemptions and refunds as the data plane answers them.

use serde::Serialize;

use crate::id::{ClaimId, OrderId, RedemptionId};
use crate::money;
use crate::redemption::{Redemption, RedemptionStatus, Refund, RefundLine, TransitionEvent};
use crate::terms::Currency;
use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// A redemption with its quote, whose fields stand beside its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RedemptionBody<Q> {
    redemption_id: RedemptionId,
    order_id: OrderId,
    status: RedemptionStatus,
    held_until: Timestamp,
    #[serde(flatten)]
    quote: Q,
    /// Absent in the answer of a hold, a confirm or a cancel.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    history: Option<HistoryBody>,
}

/// What happened to a redemption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct HistoryBody {
    created_at: Timestamp,
    updated_at: Timestamp,
    refunds: Vec<RefundEntry>,
    transitions: Vec<TransitionBody>,
}

/// A refund in the list of a redemption's refunds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct RefundEntry {
    at: Timestamp,
    refund_id: String,
    full: bool,
    lines: Vec<RefundLine>,
    refund: String,
    owed: String,
    claims_returned: Vec<ClaimId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct TransitionBody {
    at: Timestamp,
    from: Option<RedemptionStatus>,
    to: RedemptionStatus,
    operation_id: String,
    actor: String,
}

/// The answer of a refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefundBody {
    refund_id: String,
    refund: String,
    owed: String,
    claims_returned: Vec<ClaimId>,
    status: RedemptionStatus,
}

// === impl RedemptionBody ===

impl<Q: Serialize> RedemptionBody<Q> {
    /// The answer of a hold, a confirm or a cancel: the redemption as the operation left it.
    /// `quote` is the API form of its quote, an object.
    #[must_use]
    pub fn of(redemption: &Redemption, quote: Q) -> Self {
        Self {
            redemption_id: redemption.id,
            order_id: redemption.order.clone(),
            status: redemption.status,
            held_until: redemption.held_until,
            quote,
            history: None,
        }
    }

    /// All of it, at `now`: a hold that ran out is expired, whether or not the sweeper has been
    /// there. `events` are all of its events, oldest first.
    #[must_use]
    pub fn with_history(
        redemption: &Redemption,
        quote: Q,
        events: &[TransitionEvent],
        now: Timestamp,
    ) -> Self {
        let currency = redemption.record.quote.currency;
        let refunds = redemption.refunds.iter();
        Self {
            status: redemption.status_at(now),
            history: Some(HistoryBody {
                created_at: redemption.created_at,
                updated_at: redemption.updated_at,
                refunds: refunds
                    .map(|refund| RefundEntry::of(refund, currency))
                    .collect(),
                transitions: events.iter().map(TransitionBody::of).collect(),
            }),
            ..Self::of(redemption, quote)
        }
    }
}

impl TransitionBody {
    fn of(event: &TransitionEvent) -> Self {
        Self {
            at: event.at,
            from: event.from,
            to: event.to,
            operation_id: event.operation_id.clone(),
            actor: event.actor.clone(),
        }
    }
}

impl RefundEntry {
    fn of(refund: &Refund, currency: Currency) -> Self {
        Self {
            at: refund.at,
            refund_id: refund.refund_id.clone(),
            full: refund.full,
            lines: refund.lines.clone(),
            refund: money::format(refund.amount, currency),
            owed: money::format(refund.owed, currency),
            claims_returned: refund.claims_returned.clone(),
        }
    }
}

// === impl RefundBody ===

impl RefundBody {
    /// The answer of a refund after which the redemption stood at `status`.
    #[must_use]
    pub fn of(refund: &Refund, status: RedemptionStatus, currency: Currency) -> Self {
        Self {
            refund_id: refund.refund_id.clone(),
            refund: money::format(refund.amount, currency),
            owed: money::format(refund.owed, currency),
            claims_returned: refund.claims_returned.clone(),
            status,
        }
    }
}
