//! Confirm: the order was paid, at the frozen price.

use super::super::{Redemption, RedemptionStatus};
use super::transition::{moved, taken, transition};
use super::{Answer, Command, Context, Decision, Refusal};
use crate::id::ClaimId;
use crate::pricing::Applied;

const CANCELLED: &str =
    "The redemption was cancelled, so it cannot be confirmed. Hold another order.";
const REFUNDED: &str = "The redemption was confirmed before, and refunded since.";

pub(super) fn decide(
    redemption: &Redemption,
    command: &Command,
    context: &Context<'_>,
) -> Decision {
    let now = context.now;
    match redemption.status_at(now) {
        // Within its time a hold is a promise: nothing is asked again.
        RedemptionStatus::Held => {}
        RedemptionStatus::Expired => {
            let claims = gone(redemption, context);
            if !claims.is_empty() {
                return Decision::Refuse(Refusal::hold_expired(redemption, claims));
            }
        }
        RedemptionStatus::Confirmed => {
            return Decision::Replay(Answer::Redemption(Box::new(redemption.clone())));
        }
        RedemptionStatus::Cancelled => {
            return Decision::Refuse(Refusal::conflict(redemption, now, CANCELLED));
        }
        RedemptionStatus::PartiallyRefunded | RedemptionStatus::Refunded => {
            return Decision::Refuse(Refusal::conflict(redemption, now, REFUNDED));
        }
    }
    let counted_at = redemption.record.now;
    let applied = redemption.record.quote.applied.iter();
    let uses = applied
        .map(|applied| taken(applied, applied.value, None, counted_at, context))
        .collect();
    let confirmed = moved(redemption, RedemptionStatus::Confirmed);
    let transition = transition(Some(redemption), confirmed, uses, command, context);
    Decision::Write(Box::new(transition))
}

/// Claims that are not valid any more.
fn gone(redemption: &Redemption, context: &Context<'_>) -> Vec<ClaimId> {
    let record = &redemption.record;
    let is_gone = |applied: &&Applied| {
        let over = record
            .candidates
            .iter()
            .filter(|facts| facts.claim_id == applied.claim_id)
            .any(|facts| facts.expires_at.is_some_and(|end| context.now >= end));
        over || (context.claim_now)(applied, record.now).withdrawn
    };
    let applied = record.quote.applied.iter().filter(is_gone);
    applied.map(|applied| applied.claim_id).collect()
}

// === impl Refusal ===

impl Refusal {
    /// The answer to a confirm after the hold was over, where these claims cannot be had again: by
    /// the decision, or because the ledger refused to take their uses.
    #[must_use]
    pub fn hold_expired(redemption: &Redemption, claims: Vec<ClaimId>) -> Self {
        Self::HoldExpired {
            held_until: redemption.held_until,
            claims,
        }
    }
}
