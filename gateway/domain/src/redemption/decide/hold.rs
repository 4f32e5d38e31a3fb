//! Hold: reserve claims for an order, or reserve others for it.

use std::collections::BTreeSet;

use super::super::{Redemption, RedemptionStatus, UseChange};
use super::transition::{freed, taken, transition};
use super::{Answer, Command, Context, Decision, Hold, Refusal};
use crate::id::{ClaimId, UserId};
use crate::pricing::Quote;
use crate::terms::MinorUnits;
use crate::time::Timestamp;

/// A redemption that has changed this often is not held again: an order's history stays bounded.
pub const ROW_VERSION_TO_HOLD_MAX: u32 = 1_000;

const TAKEN: &str = "The order has a redemption with other content that can no longer change. Use \
                     another order id.";
const TOO_OFTEN: &str = "The order was held too often. Use another order id.";

/// What can be said of a hold before it is priced: that it is held already, or that it cannot be.
/// `None`: price it and decide.
///
/// While it is held the same content is answered with what is held, not prolonged; once it is
/// confirmed, cancelled or refunded, with what it is now. The expected total is compared in any
/// case.
#[must_use]
pub fn standing_hold(
    redemption: Option<&Redemption>,
    user: &UserId,
    fingerprint: &[u8; 32],
    expected_total: Option<MinorUnits>,
    now: Timestamp,
) -> Option<Decision> {
    let redemption = redemption?;
    if redemption.user != *user {
        return Some(Decision::Refuse(Refusal::NotFound));
    }
    let same = redemption.fingerprint == *fingerprint;
    let may_hold = match redemption.status_at(now) {
        RedemptionStatus::Expired => true,
        RedemptionStatus::Held => !same,
        RedemptionStatus::Confirmed
        | RedemptionStatus::Cancelled
        | RedemptionStatus::PartiallyRefunded
        | RedemptionStatus::Refunded => false,
    };
    if may_hold && redemption.row_version.0 < ROW_VERSION_TO_HOLD_MAX {
        return None;
    }
    if may_hold {
        let refusal = Refusal::conflict(redemption, now, TOO_OFTEN);
        return Some(Decision::Refuse(refusal));
    }
    if !same {
        let refusal = Refusal::conflict(redemption, now, TAKEN);
        return Some(Decision::Refuse(refusal));
    }
    Some(match unexpected(&redemption.record.quote, expected_total) {
        Some(refusal) => Decision::Refuse(refusal),
        None => Decision::Replay(Answer::Redemption(Box::new(redemption.clone()))),
    })
}

pub(super) fn decide(
    seen: Option<&Redemption>,
    hold: &Hold,
    command: &Command,
    context: &Context<'_>,
) -> Decision {
    let user = hold.record.buyer.user;
    let standing = standing_hold(
        seen,
        &user,
        &hold.fingerprint,
        hold.expected_total,
        context.now,
    );
    if let Some(decision) = standing {
        return decision;
    }
    if let Some(refusal) = unexpected(&hold.record.quote, hold.expected_total) {
        return Decision::Refuse(refusal);
    }
    let held_until = context.now.plus_millis(i64::from(context.hold_ttl_ms));
    let redemption = Redemption {
        id: hold.id,
        order: hold.order.clone(),
        user,
        status: RedemptionStatus::Held,
        row_version: seen.map(|seen| seen.row_version).unwrap_or_default(),
        held_until,
        fingerprint: hold.fingerprint,
        record: hold.record.clone(),
        refund_policy: context.refund_policy,
        refunds: Vec::new(),
        created_at: seen.map_or(context.now, |seen| seen.created_at),
        updated_at: context.now,
    };
    let uses = uses(seen, hold, held_until, context);
    let transition = transition(seen, redemption, uses, command, context);
    Decision::Write(Box::new(transition))
}

/// Claims of the hold before that are not wanted any more become free; all that are wanted are
/// reserved until the new end, those that are reserved already without being let go.
fn uses(
    seen: Option<&Redemption>,
    hold: &Hold,
    held_until: Timestamp,
    context: &Context<'_>,
) -> Vec<UseChange> {
    let applied = &hold.record.quote.applied;
    let wanted: BTreeSet<ClaimId> = applied.iter().map(|applied| applied.claim_id).collect();
    let before = seen.map(Redemption::live_values).unwrap_or_default();
    let given_up = before
        .iter()
        .map(|value| value.claim_id)
        .filter(|claim_id| !wanted.contains(claim_id))
        .map(freed);
    let counted_at = hold.record.now;
    let reserved = applied.iter().map(|applied| {
        taken(
            applied,
            applied.value,
            Some(held_until),
            counted_at,
            context,
        )
    });
    given_up.chain(reserved).collect()
}

fn unexpected(quote: &Quote, expected_total: Option<MinorUnits>) -> Option<Refusal> {
    let expected = expected_total.filter(|expected| *expected != quote.total)?;
    Some(Refusal::PriceChanged {
        expected,
        actual: quote.total,
        currency: quote.currency,
    })
}
