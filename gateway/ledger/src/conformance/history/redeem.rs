//! Redemptions in random histories.

use proptest::prelude::{BoxedStrategy, Strategy, any, prop};
use sluice_domain::id::{ClaimId, CouponId, RedemptionId};
use sluice_domain::redemption::{
    ClaimUse, Redemption, RedemptionStatus, RowVersion, TakenUse, Transition, UseChange, UseTarget,
    UserLimit,
};
use sluice_domain::terms::MinorUnits;
use sluice_domain::time::Timestamp;

use super::{COUPONS, USERS, sample};
use crate::conformance::redeem;
use crate::{Ledger, LedgerError};

const ORDERS: u32 = 4;

/// A transition of an order's redemption.
#[derive(Debug, Clone)]
pub struct Redeem {
    /// The order.
    pub order: u32,
    /// By this user, where no claim says by whom.
    pub user: u32,
    /// To where, of those that may follow; of all of them where `wild`.
    pub to: usize,
    /// Made from the row before.
    pub stale: bool,
    /// Uses as they come, of anybody's claims, and not as the status asks for them.
    pub wild: bool,
    /// The operation's number, and what it asked for.
    pub operation: (u8, u8),
    /// What is wanted of which claims.
    pub wanted: Vec<Wanted>,
    /// What is there already is lowered or raised by so much.
    pub shift: MinorUnits,
    /// A full refund keeps the claims.
    pub keeps: bool,
    /// Milliseconds from now until which it holds.
    pub until: i64,
}

/// A use that is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The coupon and the claim.
    pub claim: (u32, u32),
    /// Freed before it is taken, where it is there.
    pub anew: bool,
    /// What it takes off.
    pub value: MinorUnits,
    /// Uses of the claim.
    pub uses_per_claim: u32,
    /// Count, and which of two periods.
    pub user_limit: Option<(u32, bool)>,
    /// The budget.
    pub budget: Option<MinorUnits>,
}

/// Random ones.
pub(super) fn redeems() -> BoxedStrategy<Redeem> {
    let wanted = (
        (0..COUPONS - 1, 0..6_u32),
        prop::bool::weighted(0.2),
        0..7_i64,
        uses_per_claim(),
        prop::option::of((1..3_u32, any::<bool>())),
        prop::option::of(3..16_i64),
    )
        .prop_map(
            |(claim, anew, value, uses_per_claim, user_limit, budget)| Wanted {
                claim,
                anew,
                value,
                uses_per_claim,
                user_limit,
                budget,
            },
        )
        .boxed();
    (
        (0..ORDERS, 0..USERS, 0..6_usize),
        (prop::bool::weighted(0.1), prop::bool::weighted(0.1)),
        (0..30_u8, 0..2_u8),
        prop::collection::vec(wanted, 0..4),
        (-3..3_i64, any::<bool>(), 0..5_i64),
    )
        .prop_map(
            |((order, user, to), (stale, wild), operation, wanted, (shift, keeps, until))| Redeem {
                order,
                user,
                to,
                stale,
                wild,
                operation,
                wanted,
                shift,
                keeps,
                until,
            },
        )
        .boxed()
}

fn uses_per_claim() -> impl Strategy<Value = u32> {
    proptest::prop_oneof![3 => 1..2_u32, 1 => 2..4_u32]
}

/// The transition that a step asks for, from what the ledger holds now.
pub(super) async fn transition(
    ledger: &dyn Ledger,
    step: &Redeem,
) -> Result<Transition, LedgerError> {
    let id = redeem::redemption_id(step.order);
    let held = ledger.redemption(id).await?;
    let own = own_uses(ledger, id).await?;
    let from = held.as_ref().map(|held| held.status);
    let possible: Vec<RedemptionStatus> = RedemptionStatus::ALL
        .into_iter()
        .filter(|to| step.wild || to.may_follow(from))
        .collect();
    // Nothing follows on an end: what is tried there is refused.
    let to = possible
        .get(step.to % possible.len().max(1))
        .copied()
        .unwrap_or(RedemptionStatus::Confirmed);
    let operation = format!("op{}", step.operation.0);
    let mut transition = match &held {
        None => redeem::hold(step.order, step.user, &operation, Vec::new()),
        Some(held) => redeem::follow(held, to, &operation, Vec::new()),
    };
    let new = &mut transition.redemption;
    if new.status == RedemptionStatus::Held {
        new.held_until = sample::NOW.plus_millis(step.until);
    }
    let wanted = owned(ledger, step, held.as_ref(), new).await?;
    transition.uses = uses(step, &transition.redemption, &own, &wanted);
    transition.event.fingerprint = [step.operation.1; 32];
    if step.stale {
        let behind = &mut transition.redemption.row_version;
        behind.0 = behind.0.saturating_sub(1).max(1);
        transition.event.row_version = *behind;
        transition.seen = (behind.0 > 1).then(|| RowVersion(behind.0 - 1));
    }
    Ok(transition)
}

async fn own_uses(ledger: &dyn Ledger, id: RedemptionId) -> Result<Vec<ClaimUse>, LedgerError> {
    let all = ledger.redemption_facts(None, None, 100).await?;
    let mut found = all.into_iter().filter(|facts| facts.redemption.id == id);
    Ok(found.next().map_or(Vec::new(), |facts| facts.uses))
}

/// The wanted uses of the redemption's own user; a new one is the first claim's owner's.
async fn owned(
    ledger: &dyn Ledger,
    step: &Redeem,
    held: Option<&Redemption>,
    new: &mut Redemption,
) -> Result<Vec<Wanted>, LedgerError> {
    if step.wild {
        return Ok(step.wanted.clone());
    }
    let mut owner = held.map(|held| held.user);
    let mut wanted = Vec::new();
    for one in &step.wanted {
        let Some(claim) = ledger.claim(claim_id(one)).await? else {
            continue;
        };
        if *owner.get_or_insert(claim.user) == claim.user {
            wanted.push(one.clone());
        }
    }
    new.user = owner.unwrap_or(new.user);
    wanted.sort_by_key(|one| one.claim);
    wanted.dedup_by_key(|one| one.claim);
    Ok(wanted)
}

fn claim_id(wanted: &Wanted) -> ClaimId {
    sample::claim_id(CouponId(wanted.claim.0), wanted.claim.1)
}

/// Uses that fit the status; where the step is wild, those that were wanted.
fn uses(step: &Redeem, new: &Redemption, own: &[ClaimUse], wanted: &[Wanted]) -> Vec<UseChange> {
    let until = Some(new.held_until);
    let frees = own.iter().map(|held| redeem::free(held.claim_id));
    let keeps = |shift: MinorUnits| {
        let kept = own
            .iter()
            .map(move |held| redeem::spent(held.claim_id, (held.value + shift).max(0)));
        kept.collect()
    };
    if step.wild {
        return wanted.iter().map(|one| one.take(until)).collect();
    }
    match new.status {
        RedemptionStatus::Held => held_anew(own, wanted, until),
        RedemptionStatus::Confirmed if own.is_empty() => {
            wanted.iter().map(|one| one.take(None)).collect()
        }
        RedemptionStatus::Confirmed | RedemptionStatus::PartiallyRefunded => keeps(step.shift),
        RedemptionStatus::Refunded if step.keeps => keeps(0),
        RedemptionStatus::Refunded | RedemptionStatus::Cancelled | RedemptionStatus::Expired => {
            frees.collect()
        }
    }
}

fn held_anew(own: &[ClaimUse], wanted: &[Wanted], until: Option<Timestamp>) -> Vec<UseChange> {
    let mut uses: Vec<UseChange> = wanted.iter().map(|one| one.take(until)).collect();
    for held in own {
        let again = wanted.iter().find(|one| claim_id(one) == held.claim_id);
        if again.is_none_or(|one| one.anew) {
            uses.push(redeem::free(held.claim_id));
        }
    }
    uses
}

// === impl Wanted ===

impl Wanted {
    fn take(&self, held_until: Option<Timestamp>) -> UseChange {
        let period = |second: bool| if second { "b" } else { "a" };
        let to = UseTarget::Taken(TakenUse {
            held_until,
            value: self.value,
            uses_per_claim: self.uses_per_claim,
            user_limit: self.user_limit.map(|(count, second)| UserLimit {
                count,
                period: period(second).to_owned(),
            }),
            budget: self.budget,
        });
        UseChange {
            claim_id: claim_id(self),
            to,
        }
    }
}
