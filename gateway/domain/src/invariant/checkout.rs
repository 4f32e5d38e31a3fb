//! Invariants 7 and 9 over what shoppers at the checkout saw, beside what the ledger holds.
//!
//! Instants are as in [`super::history`]: of the machine that ran everything.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Check;
use super::redemptions::RedemptionRows;
use crate::id::{ClaimId, OrderId, RedemptionId};
use crate::redemption::decide::OperationResult;
use crate::redemption::{RedemptionStatus, TransitionEvent};
use crate::terms::MinorUnits;
use crate::time::Timestamp;

#[cfg(test)]
mod tests;

/// Two readings of one clock, each cut to the millisecond.
const CLOCK_SLACK_MS: i64 = 2;

/// What a shopper's checkout asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asked {
    /// To hold claims for the order.
    Hold,
    /// To confirm it.
    Confirm,
    /// To cancel it.
    Cancel,
    /// To give something back, under this id.
    Refund(String),
}

/// What it ended in, as the checkout saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckoutAnswer {
    /// 201 or 200 for a redemption with status `held`.
    Held {
        /// The redemption.
        redemption: RedemptionId,
        /// Until when.
        held_until: Timestamp,
        /// The claims applied.
        claims: Vec<ClaimId>,
    },
    /// 200, `confirmed`.
    Confirmed {
        /// The redemption.
        redemption: RedemptionId,
        /// The claims applied.
        claims: Vec<ClaimId>,
    },
    /// 200, `cancelled`.
    Cancelled {
        /// The redemption.
        redemption: RedemptionId,
    },
    /// 200 for a refund.
    Refunded {
        /// The redemption.
        redemption: RedemptionId,
        /// The money.
        amount: MinorUnits,
        /// Claims that are free again.
        claims_returned: Vec<ClaimId>,
    },
    /// 4xx: a refusal, with its code.
    Refused(String),
    /// 503 with `outcome: not_applied`.
    NotApplied,
    /// Anything else: it may have been carried out.
    Unknown,
}

/// One request at the checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckoutAttempt {
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When its answer, or the lack of one, was seen.
    pub answered_at: Timestamp,
    /// For which order.
    pub order: OrderId,
    /// What was asked.
    pub asked: Asked,
    /// What it ended in.
    pub answer: CheckoutAnswer,
}

/// Invariant 9: what was acknowledged is in the ledger and was never undone.
///
/// A hold is there with the end that was promised, a confirmed order is confirmed or refunded, a cancelled one is
/// cancelled, a refund is there with its money.
#[must_use]
pub fn acknowledged_is_kept(attempts: &[CheckoutAttempt], ledger: &[RedemptionRows]) -> Check {
    let mut check = Check::new(9, "acknowledged at the checkout is in the ledger");
    let rows: HashMap<RedemptionId, &RedemptionRows> = ledger
        .iter()
        .map(|rows| (rows.redemption.id, rows))
        .collect();
    for attempt in attempts {
        let (id, holds): (RedemptionId, fn(&RedemptionRows, &CheckoutAttempt) -> bool) =
            match &attempt.answer {
                CheckoutAnswer::Held { redemption, .. } => (*redemption, hold_is_kept),
                CheckoutAnswer::Confirmed { redemption, .. } => (*redemption, confirm_is_kept),
                CheckoutAnswer::Cancelled { redemption } => (*redemption, cancel_is_kept),
                CheckoutAnswer::Refunded { redemption, .. } => (*redemption, refund_is_kept),
                CheckoutAnswer::Refused(_)
                | CheckoutAnswer::NotApplied
                | CheckoutAnswer::Unknown => continue,
            };
        let kept = rows
            .get(&id)
            .is_some_and(|rows| rows.redemption.order == attempt.order && holds(rows, attempt));
        check.expect(kept, || {
            format!(
                "redemption {id} of order {}: acknowledged at {} and not kept: {:?}",
                attempt.order, attempt.answered_at, attempt.answer
            )
        });
    }
    check
}

/// Invariant 9: no claim is acknowledged as used by more orders than it has uses. Orders that may
/// have given it back by a refund do not count. `uses_of` gives a claim's uses by its terms.
#[must_use]
pub fn claims_are_used_within_their_uses(
    attempts: &[CheckoutAttempt],
    uses_of: impl Fn(ClaimId) -> u32,
) -> Check {
    let mut check = Check::new(9, "no claim is acknowledged as used too often");
    let given_back: HashSet<(&OrderId, Option<ClaimId>)> =
        attempts.iter().flat_map(may_have_returned).collect();
    let mut orders: BTreeMap<ClaimId, HashSet<&OrderId>> = BTreeMap::new();
    for attempt in attempts {
        let CheckoutAnswer::Confirmed { claims, .. } = &attempt.answer else {
            continue;
        };
        for claim_id in claims {
            let users = orders.entry(*claim_id).or_default();
            let order = &attempt.order;
            let back = given_back.contains(&(order, Some(*claim_id)))
                || given_back.contains(&(order, None));
            if !back {
                users.insert(order);
            }
        }
    }
    for (claim_id, orders) in orders {
        let most = uses_of(claim_id);
        check.expect(orders.len() <= most as usize, || {
            format!("claim {claim_id} has {most} uses and is used by orders {orders:?}")
        });
    }
    check
}

/// Invariant 9: while a hold on a claim with one use was certainly in force, no other order was
/// acknowledged to have it.
#[must_use]
pub fn no_hold_is_lost(attempts: &[CheckoutAttempt], uses_of: impl Fn(ClaimId) -> u32) -> Check {
    let mut check = Check::new(9, "an acknowledged hold keeps others off its claims");
    let mut by_claim: BTreeMap<ClaimId, Vec<&CheckoutAttempt>> = BTreeMap::new();
    let mut by_order: HashMap<&OrderId, Vec<&CheckoutAttempt>> = HashMap::new();
    for attempt in attempts {
        by_order.entry(&attempt.order).or_default().push(attempt);
        if let CheckoutAnswer::Held { claims, .. } | CheckoutAnswer::Confirmed { claims, .. } =
            &attempt.answer
        {
            for claim_id in claims {
                by_claim.entry(*claim_id).or_default().push(attempt);
            }
        }
    }
    for (claim_id, takers) in by_claim
        .into_iter()
        .filter(|(claim_id, _)| uses_of(*claim_id) == 1)
    {
        for hold in &takers {
            let CheckoutAnswer::Held { held_until, .. } = hold.answer else {
                continue;
            };
            for other in takers.iter().filter(|other| other.order != hold.order) {
                let inside = other.sent_at > hold.answered_at
                    && other.answered_at.plus_millis(CLOCK_SLACK_MS) < held_until;
                // Anything that may have ended the hold, or held something else, excuses; what
                // never was answered may have been carried out at any later time.
                let excused = || {
                    by_order[&hold.order].iter().any(|own| {
                        !std::ptr::eq(*own, *hold)
                            && own.asked != Asked::Confirm
                            && (own.answered_at >= hold.sent_at
                                || own.answer == CheckoutAnswer::Unknown)
                            && own.sent_at <= other.answered_at
                    })
                };
                check.expect(!inside || excused(), || {
                    format!(
                        "claim {claim_id}: order {} has it until {held_until}, order {} got it at \
                         {}",
                        hold.order, other.order, other.answered_at
                    )
                });
            }
        }
    }
    check
}

/// Invariant 7: a redemption is where it is because somebody asked for it and was not refused.
#[must_use]
pub fn refused_left_nothing(attempts: &[CheckoutAttempt], ledger: &[RedemptionRows]) -> Check {
    let mut check = Check::new(7, "a refused request at the checkout left nothing");
    let may_be_done: HashSet<(&OrderId, &Asked)> = attempts
        .iter()
        .filter(|attempt| {
            !matches!(
                attempt.answer,
                CheckoutAnswer::Refused(_) | CheckoutAnswer::NotApplied
            )
        })
        .map(|attempt| (&attempt.order, &attempt.asked))
        .collect();
    for rows in ledger {
        for event in &rows.events {
            let asked = match event.to {
                RedemptionStatus::Held => Asked::Hold,
                RedemptionStatus::Confirmed => Asked::Confirm,
                RedemptionStatus::Cancelled => Asked::Cancel,
                RedemptionStatus::PartiallyRefunded | RedemptionStatus::Refunded => {
                    Asked::Refund(refund_id(event))
                }
                // The sweeper asks nobody.
                RedemptionStatus::Expired => continue,
            };
            let order = &rows.redemption.order;
            check.expect(may_be_done.contains(&(order, &asked)), || {
                format!(
                    "order {order} became {:?} by {}, which nobody asked for without being refused",
                    event.to, event.operation_id
                )
            });
        }
    }
    check
}

fn hold_is_kept(rows: &RedemptionRows, attempt: &CheckoutAttempt) -> bool {
    let CheckoutAnswer::Held { held_until, .. } = attempt.answer else {
        return false;
    };
    rows.events.iter().any(|event| {
        event.to == RedemptionStatus::Held
            && OperationResult::of(event).is_ok_and(|result| result.held_until == held_until)
    })
}

fn confirm_is_kept(rows: &RedemptionRows, attempt: &CheckoutAttempt) -> bool {
    let CheckoutAnswer::Confirmed { claims, .. } = &attempt.answer else {
        return false;
    };
    let paid = matches!(
        rows.redemption.status,
        RedemptionStatus::Confirmed
            | RedemptionStatus::PartiallyRefunded
            | RedemptionStatus::Refunded
    );
    let applied = rows.redemption.record.quote.applied.iter();
    paid && applied
        .map(|applied| applied.claim_id)
        .eq(claims.iter().copied())
}

fn cancel_is_kept(rows: &RedemptionRows, _attempt: &CheckoutAttempt) -> bool {
    rows.redemption.status == RedemptionStatus::Cancelled
}

fn refund_is_kept(rows: &RedemptionRows, attempt: &CheckoutAttempt) -> bool {
    let (CheckoutAnswer::Refunded { amount, .. }, Asked::Refund(id)) =
        (&attempt.answer, &attempt.asked)
    else {
        return false;
    };
    let mut refunds = rows.redemption.refunds.iter();
    refunds.any(|refund| refund.refund_id == *id && refund.amount == *amount)
}

/// Which claims of an order a request may have returned; `None`: any of them.
fn may_have_returned(
    attempt: &CheckoutAttempt,
) -> impl Iterator<Item = (&OrderId, Option<ClaimId>)> {
    let claims: Vec<Option<ClaimId>> = match (&attempt.asked, &attempt.answer) {
        (
            _,
            CheckoutAnswer::Refunded {
                claims_returned, ..
            },
        ) => claims_returned.iter().copied().map(Some).collect(),
        (Asked::Refund(_), CheckoutAnswer::Unknown) => vec![None],
        _ => Vec::new(),
    };
    claims.into_iter().map(|claim| (&attempt.order, claim))
}

fn refund_id(event: &TransitionEvent) -> String {
    let refund = OperationResult::of(event)
        .ok()
        .and_then(|result| result.refund);
    refund.map(|refund| refund.refund_id).unwrap_or_default()
}
