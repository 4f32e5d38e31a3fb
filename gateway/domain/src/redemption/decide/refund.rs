//! Refund: pieces of a paid order come back.

use super::super::{ClaimValue, Redemption, RedemptionStatus, Refund, UseChange};
use super::transition::{freed, moved, taken, transition};
use super::{Command, Context, Decision, Refusal};
use crate::id::ClaimId;
use crate::pricing::Applied;
use crate::refund::{self, RefundRefusal, Settlement, Wanted};

const NOT_PAID: &str = "Only a confirmed redemption can be refunded.";
const NOTHING_LEFT: &str = "Everything was given back before.";
const TOO_MANY: &str = "There were too many refunds; give back all that is left.";

pub(super) fn decide(
    redemption: &Redemption,
    refund_id: &str,
    wanted: &Wanted,
    command: &Command,
    context: &Context<'_>,
) -> Decision {
    let conflict = |detail| Decision::Refuse(Refusal::conflict(redemption, context.now, detail));
    match redemption.status {
        RedemptionStatus::Confirmed | RedemptionStatus::PartiallyRefunded => {}
        RedemptionStatus::Refunded => return conflict(NOTHING_LEFT),
        RedemptionStatus::Held | RedemptionStatus::Cancelled | RedemptionStatus::Expired => {
            return conflict(NOT_PAID);
        }
    }
    let settled = refund::settle(
        &redemption.record,
        redemption.refund_policy,
        &redemption.refunds,
        wanted,
        context.reprice,
    );
    let settlement = match settled {
        Ok(settlement) => settlement,
        Err(RefundRefusal::NothingLeft) => return conflict(NOTHING_LEFT),
        Err(RefundRefusal::TooMany) => return conflict(TOO_MANY),
        Err(RefundRefusal::Lines(errors)) => {
            return Decision::Refuse(Refusal::InvalidRefund(errors));
        }
    };
    let returned = if settlement.complete {
        returned(redemption, context)
    } else {
        Vec::new()
    };
    let uses = uses(redemption, &settlement, &returned, context);
    let status = if settlement.complete {
        RedemptionStatus::Refunded
    } else {
        RedemptionStatus::PartiallyRefunded
    };
    let mut refunded = moved(redemption, status);
    refunded.refunds.push(Refund {
        refund_id: refund_id.to_owned(),
        lines: match wanted {
            Wanted::Everything => Vec::new(),
            Wanted::Pieces(lines) => lines.clone(),
        },
        full: *wanted == Wanted::Everything,
        amount: settlement.amount,
        owed: settlement.owed,
        claims_returned: returned,
        values: settlement.values,
        at: context.now,
    });
    let transition = transition(Some(redemption), refunded, uses, command, context);
    Decision::Write(Box::new(transition))
}

/// Claims that the shopper gets back with a full refund: those that can still be used.
fn returned(redemption: &Redemption, context: &Context<'_>) -> Vec<ClaimId> {
    if !context.return_claims {
        return Vec::new();
    }
    let record = &redemption.record;
    let usable = |applied: &&Applied| {
        let facts = record.candidates.iter();
        facts
            .filter(|facts| facts.claim_id == applied.claim_id)
            .all(|facts| facts.expires_at.is_none_or(|end| context.now < end))
            && !(context.claim_now)(applied, record.now).withdrawn
    };
    let applied = record.quote.applied.iter().filter(usable);
    applied.map(|applied| applied.claim_id).collect()
}

/// Uses that return are freed; of the others, those whose value falls are written. A claim that
/// does not return stays used, and costs its budget nothing after a full refund.
fn uses(
    redemption: &Redemption,
    settlement: &Settlement,
    returned: &[ClaimId],
    context: &Context<'_>,
) -> Vec<UseChange> {
    let before = redemption.values();
    let change = |((applied, before), after): ((&Applied, &ClaimValue), &ClaimValue)| {
        if returned.contains(&applied.claim_id) {
            return Some(freed(applied.claim_id));
        }
        let counted_at = redemption.record.now;
        (after.value != before.value)
            .then(|| taken(applied, after.value, None, counted_at, context))
    };
    let applied = redemption.record.quote.applied.iter();
    applied
        .zip(&before)
        .zip(&settlement.values)
        .filter_map(change)
        .collect()
}
