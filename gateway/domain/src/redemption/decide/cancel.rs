//! Cancel: the order was given up before it was paid.

use super::super::{Redemption, RedemptionStatus};
use super::transition::{all_freed, moved, transition};
use super::{Answer, Command, Context, Decision, Refusal};

const PAID: &str = "The redemption is confirmed. Refund it instead.";
const REFUNDED: &str = "The redemption was confirmed, and refunded since.";
const EXPIRED: &str = "The hold ran out, so nothing is held any more.";

pub(super) fn decide(
    redemption: &Redemption,
    command: &Command,
    context: &Context<'_>,
) -> Decision {
    let conflict = |detail| Decision::Refuse(Refusal::conflict(redemption, context.now, detail));
    match redemption.status {
        // Also after its end, as long as the sweeper has not been there: what is held is freed.
        RedemptionStatus::Held => {
            let cancelled = moved(redemption, RedemptionStatus::Cancelled);
            let uses = all_freed(redemption);
            let transition = transition(Some(redemption), cancelled, uses, command, context);
            Decision::Write(Box::new(transition))
        }
        RedemptionStatus::Cancelled => {
            Decision::Replay(Answer::Redemption(Box::new(redemption.clone())))
        }
        RedemptionStatus::Confirmed => conflict(PAID),
        RedemptionStatus::PartiallyRefunded | RedemptionStatus::Refunded => conflict(REFUNDED),
        RedemptionStatus::Expired => conflict(EXPIRED),
    }
}
