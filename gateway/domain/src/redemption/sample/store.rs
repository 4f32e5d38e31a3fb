//! A ledger in memory with one compare-and-set, enough to run the state machine on; and the same
//! with a defect, for checks that have to see it.

use std::collections::BTreeMap;

use crate::id::{ClaimId, RedemptionId};
use crate::invariant::redemptions::RedemptionRows;
use crate::redemption::{
    ClaimUse, CouponUsage, Redemption, TakenUse, Transition, TransitionEvent, UseTarget,
};
use crate::terms::MinorUnits;

/// What became of a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// The row changed, or the operation is known: read and decide again.
    Again,
    /// A use cannot be taken.
    NotFree(ClaimId),
    /// No room in the budget.
    Budget(ClaimId),
}

/// What a broken ledger does not do right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Writes whatever row version it finds.
    Compare,
    /// Takes a use that somebody else has.
    UseLimit,
    /// Takes a use without asking the budget.
    Budget,
    /// Keeps uses that are given up.
    Free,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    pub(crate) defect: Option<Defect>,
    pub(crate) redemptions: BTreeMap<RedemptionId, Redemption>,
    pub(crate) events: Vec<TransitionEvent>,
    pub(crate) uses: Vec<ClaimUse>,
}

impl Store {
    pub(crate) fn event(&self, id: RedemptionId, operation_id: &str) -> Option<TransitionEvent> {
        let of_operation =
            |event: &&TransitionEvent| event.redemption == id && event.operation_id == operation_id;
        self.events.iter().find(of_operation).cloned()
    }

    pub(crate) fn apply(&mut self, transition: &Transition) -> Outcome {
        let new = &transition.redemption;
        let seen = self.redemptions.get(&new.id).map(|row| row.row_version);
        let known = self.event(new.id, &transition.event.operation_id).is_some();
        let broken = self.defect == Some(Defect::Compare);
        if (known || seen != transition.seen) && !broken {
            return Outcome::Again;
        }
        let before = self.uses.clone();
        for change in &transition.uses {
            let outcome = match &change.to {
                UseTarget::Free => {
                    self.free(new.id, change.claim_id);
                    Outcome::Done
                }
                UseTarget::Taken(wanted) => self.take(new, change.claim_id, wanted),
            };
            if outcome != Outcome::Done {
                self.uses = before;
                return outcome;
            }
        }
        self.redemptions.insert(new.id, new.clone());
        self.events.push(transition.event.clone());
        Outcome::Done
    }

    fn free(&mut self, id: RedemptionId, claim_id: ClaimId) {
        let own = |held: &ClaimUse| held.redemption == id && held.claim_id == claim_id;
        let broken = self
            .defect
            .is_some_and(|defect| matches!(defect, Defect::Compare | Defect::Free));
        assert!(
            broken || self.uses.iter().any(own),
            "{id} frees {claim_id}, which it has not"
        );
        if self.defect != Some(Defect::Free) {
            self.uses.retain(|held| !own(held));
        }
    }

    fn take(&mut self, new: &Redemption, claim_id: ClaimId, wanted: &TakenUse) -> Outcome {
        let (own, others): (Vec<&ClaimUse>, Vec<&ClaimUse>) = self
            .uses
            .iter()
            .filter(|held| held.claim_id == claim_id)
            .partition(|held| held.redemption == new.id);
        let own = own.first().map(|held| (*held).clone());
        let most = wanted.uses_per_claim;
        let free = (1..=most).find(|number| others.iter().all(|held| held.use_number != *number));
        let number = own.as_ref().map(|held| held.use_number).or(free);
        let number = match self.defect {
            Some(Defect::UseLimit) => number.or(Some(1)),
            _ => number,
        };
        let Some(use_number) = number else {
            return Outcome::NotFree(claim_id);
        };
        let value_before = own.as_ref().map_or(0, |held| held.value);
        let all: MinorUnits = self.usage(claim_id).value;
        let over = wanted.value > value_before
            && wanted
                .budget
                .is_some_and(|budget| all - value_before + wanted.value > budget);
        if over && self.defect != Some(Defect::Budget) {
            return Outcome::Budget(claim_id);
        }
        self.uses
            .retain(|held| held.claim_id != claim_id || held.redemption != new.id);
        self.uses.push(ClaimUse {
            claim_id,
            use_number,
            redemption: new.id,
            order: new.order.clone(),
            held_until: wanted.held_until,
            value: wanted.value,
            period: wanted.user_limit.as_ref().map(|limit| limit.period.clone()),
        });
        Outcome::Done
    }

    /// A recount of the uses of the claim's coupon.
    pub(crate) fn usage(&self, claim_id: ClaimId) -> CouponUsage {
        let mut usage = CouponUsage::default();
        let same = |held: &&ClaimUse| held.claim_id.coupon() == claim_id.coupon();
        for held in self.uses.iter().filter(same) {
            usage.uses += 1;
            usage.value += held.value;
        }
        usage
    }

    /// What an audit reads.
    pub(crate) fn rows(&self) -> Vec<RedemptionRows> {
        let rows = self.redemptions.values().map(|redemption| RedemptionRows {
            redemption: redemption.clone(),
            events: self
                .events
                .iter()
                .filter(|event| event.redemption == redemption.id)
                .cloned()
                .collect(),
            uses: self
                .uses
                .iter()
                .filter(|held| held.redemption == redemption.id)
                .cloned()
                .collect(),
        });
        rows.collect()
    }
}
