//! Carrying out a transition on the model: on a copy of the uses, which is kept only where nothing
//! was refused.

use sluice_domain::id::{ClaimId, RedemptionId};
use sluice_domain::redemption::{
    ClaimUse, RedemptionStatus, TakenUse, Transition, TransitionEvent, UseChange, UseTarget,
};

use super::super::State;
use super::super::flaw::Flaw;
use crate::LedgerError;
use crate::redemptions::TransitionOutcome;
use crate::redemptions::check::{check_alone, check_follows, check_left, sum};

impl State {
    /// The event of an operation.
    pub(super) fn operation_event(
        &self,
        id: RedemptionId,
        operation_id: &str,
    ) -> Option<&TransitionEvent> {
        let mut events = self.events.get(&id)?.iter();
        events.find(|event| event.operation_id == operation_id)
    }

    /// Carries a transition out.
    pub(super) fn apply(
        &mut self,
        transition: &Transition,
    ) -> Result<TransitionOutcome, LedgerError> {
        check_alone(transition)?;
        let new = &transition.redemption;
        if let Some(known) = self.operation_event(new.id, &transition.event.operation_id) {
            return Ok(TransitionOutcome::known(known.clone(), transition));
        }
        let held = self.redemptions.get(&new.id);
        let expiry = transition.event.to == RedemptionStatus::Expired;
        let blind = self.has(Flaw::VersionUnchecked) || expiry && self.has(Flaw::ExpiryUnchecked);
        let stale = held.filter(|held| Some(held.row_version) != transition.seen);
        if let Some(held) = stale.filter(|_held| !blind) {
            return Ok(TransitionOutcome::Stale(Box::new(held.clone())));
        }
        if held.is_none() {
            if transition.seen.is_some() {
                let text = format!("redemption {} is not there", new.id);
                return Err(LedgerError::corrupt(text));
            }
            if self
                .redemptions
                .values()
                .any(|other| other.order == new.order)
            {
                return Ok(TransitionOutcome::OrderTaken);
            }
        }
        if !blind {
            check_follows(held, transition)?;
        }
        let before = (self.uses.clone(), self.listed.clone());
        let changed = self.change_uses(transition);
        if !matches!(changed, Ok(None)) {
            (self.uses, self.listed) = before;
            return changed.map(|refusal| refusal.unwrap_or(TransitionOutcome::Done));
        }
        self.redemptions.insert(new.id, new.clone());
        let event = transition.event.clone();
        self.events.entry(new.id).or_default().push(event);
        Ok(TransitionOutcome::Done)
    }

    fn change_uses(
        &mut self,
        transition: &Transition,
    ) -> Result<Option<TransitionOutcome>, LedgerError> {
        let id = transition.redemption.id;
        let frees = |change: &&UseChange| change.to == UseTarget::Free;
        for change in transition.uses.iter().filter(frees) {
            let Some(held) = self.use_by(id, change.claim_id) else {
                if self.has(Flaw::VersionUnchecked) || self.has(Flaw::ExpiryUnchecked) {
                    continue;
                }
                let text = format!(
                    "redemption {id} has no use of claim {} to free",
                    change.claim_id
                );
                return Err(LedgerError::corrupt(text));
            };
            self.uses.remove(&(held.claim_id, held.use_number));
        }
        for change in &transition.uses {
            let UseTarget::Taken(wanted) = &change.to else {
                continue;
            };
            if let Some(refusal) = self.take(transition, change.claim_id, wanted)? {
                return Ok(Some(refusal));
            }
        }
        let own = self
            .uses
            .values()
            .filter(|(_user, held)| held.redemption == id);
        check_left(transition, own.map(|(_user, held)| held.held_until))?;
        Ok(None)
    }

    fn use_by(&self, id: RedemptionId, claim_id: ClaimId) -> Option<ClaimUse> {
        let mut uses = self.uses_of(claim_id).into_iter();
        uses.find(|held| held.redemption == id)
    }

    fn take(
        &mut self,
        transition: &Transition,
        claim_id: ClaimId,
        wanted: &TakenUse,
    ) -> Result<Option<TransitionOutcome>, LedgerError> {
        let redemption = &transition.redemption;
        let coupon = claim_id.coupon();
        let before = self.use_by(redemption.id, claim_id);
        let live = self.uses_of(claim_id);
        if before.is_none() {
            let claim = self.find(claim_id);
            if claim.is_none_or(|claim| claim.revoked || claim.user != redemption.user) {
                return Ok(Some(TransitionOutcome::ClaimGone { claim_id }));
            }
            let counted = !self.has(Flaw::UsesUnchecked);
            if counted && live.len() >= wanted.uses_per_claim as usize {
                let uses = live;
                return Ok(Some(TransitionOutcome::ClaimNotFree { claim_id, uses }));
            }
        }
        let period = wanted.user_limit.as_ref().map(|limit| limit.period.clone());
        let moves = before.as_ref().is_none_or(|held| held.period != period);
        if let Some(limit) = wanted.user_limit.as_ref().filter(|_limit| moves) {
            let uses = self.in_period(coupon, &redemption.user, &limit.period);
            if uses >= limit.count && !self.has(Flaw::PeriodUnchecked) {
                return Ok(Some(TransitionOutcome::UserLimitReached { claim_id, uses }));
            }
        }
        let own = before.as_ref().map_or(0, |held| held.value);
        let others = self.counted(coupon)?.usage.value - own;
        let rises = wanted.value > own && !self.has(Flaw::BudgetUnchecked);
        if let Some(budget) = wanted.budget.filter(|_budget| rises)
            && sum(others, wanted.value)? > budget
        {
            return Ok(Some(TransitionOutcome::BudgetReached {
                claim_id,
                coupon,
                left: (budget - others).max(0),
            }));
        }
        let lowest = (1..).find(|number| live.iter().all(|held| held.use_number != *number));
        let taken = ClaimUse {
            claim_id,
            use_number: before.map_or(lowest.unwrap_or(u32::MAX), |held| held.use_number),
            redemption: redemption.id,
            order: redemption.order.clone(),
            held_until: wanted.held_until,
            value: wanted.value,
            period,
        };
        let at = (claim_id, taken.use_number);
        self.uses.insert(at, (redemption.user, taken));
        self.listed
            .insert((coupon, redemption.created_at, redemption.id));
        Ok(None)
    }
}
