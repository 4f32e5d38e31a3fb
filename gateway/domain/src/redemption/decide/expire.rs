//! Expire: the sweeper frees a hold that ran out.

use super::super::{Redemption, RedemptionStatus};
use super::transition::{all_freed, moved, transition};
use super::{Command, Context, Decision, Refusal};

const NOTHING_TO_EXPIRE: &str = "There is no hold that ran out.";

/// A refusal tells the sweeper that somebody else was faster: there is nothing left to do.
pub(super) fn decide(
    redemption: &Redemption,
    command: &Command,
    context: &Context<'_>,
) -> Decision {
    let due = redemption.status == RedemptionStatus::Held && redemption.held_until <= context.now;
    if !due {
        let refusal = Refusal::conflict(redemption, context.now, NOTHING_TO_EXPIRE);
        return Decision::Refuse(refusal);
    }
    let expired = moved(redemption, RedemptionStatus::Expired);
    let uses = all_freed(redemption);
    Decision::Write(Box::new(transition(
        Some(redemption),
        expired,
        uses,
        command,
        context,
    )))
}
