//! What a transition does to the cells that it has locked: pure, as SQLite's transaction does it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sluice_domain::claim::ClaimRow;
use sluice_domain::id::{ClaimId, CouponId, OrderId, RedemptionId};
use sluice_domain::redemption::{ClaimUse, CouponUsage, TakenUse, Transition, UseTarget};
use sluice_domain::terms::MinorUnits;
use sluice_domain::time::Timestamp;

use crate::LedgerError;
use crate::audit_facts::CountedUses;
use crate::redemptions::TransitionOutcome;
use crate::redemptions::check::{check_left, sum};

/// A live use as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredUse {
    claim_id: ClaimId,
    use_number: u32,
    redemption: RedemptionId,
    order: OrderId,
    held_until: Option<Timestamp>,
    value: MinorUnits,
    period: Option<String>,
}

/// The cell of a claim.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ClaimCell {
    /// Live uses, by use number.
    pub(super) uses: Vec<StoredUse>,
    /// Nothing is taken any more.
    pub(super) taken_back: bool,
}

/// The cell of a coupon: what its live uses come to.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct CouponCell {
    uses: u64,
    spent: u64,
    value: MinorUnits,
}

/// The cell of a user and a coupon: live uses in each period.
pub(super) type UserCell = BTreeMap<String, u32>;

/// Everything that a transition works on.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The redemption's own uses.
    pub(super) own: BTreeMap<ClaimId, ClaimUse>,
    /// The cells of the claims that change, with their rows.
    pub(super) claims: BTreeMap<ClaimId, (ClaimCell, Option<ClaimRow>)>,
    /// The user's cells of coupons whose uses are counted.
    pub(super) users: BTreeMap<CouponId, UserCell>,
    /// The cells of the coupons that it touches.
    pub(super) coupons: BTreeMap<CouponId, CouponCell>,
}

fn missing<T>(what: &str) -> Result<T, LedgerError> {
    Err(LedgerError::corrupt(format!(
        "a transition works on {what} that it did not lock"
    )))
}

// === impl StoredUse ===

impl From<ClaimUse> for StoredUse {
    fn from(used: ClaimUse) -> Self {
        Self {
            claim_id: used.claim_id,
            use_number: used.use_number,
            redemption: used.redemption,
            order: used.order,
            held_until: used.held_until,
            value: used.value,
            period: used.period,
        }
    }
}

impl From<StoredUse> for ClaimUse {
    fn from(used: StoredUse) -> Self {
        Self {
            claim_id: used.claim_id,
            use_number: used.use_number,
            redemption: used.redemption,
            order: used.order,
            held_until: used.held_until,
            value: used.value,
            period: used.period,
        }
    }
}

// === impl CouponCell ===

impl CouponCell {
    /// What it counts.
    pub(super) const fn counted(self) -> CountedUses {
        CountedUses {
            usage: CouponUsage {
                uses: self.uses,
                value: self.value,
            },
            spent: self.spent,
        }
    }

    const fn of(counted: CountedUses) -> Self {
        Self {
            uses: counted.usage.uses,
            spent: counted.spent,
            value: counted.usage.value,
        }
    }

    fn change(
        &mut self,
        change: impl FnOnce(&mut CountedUses) -> Result<(), LedgerError>,
    ) -> Result<(), LedgerError> {
        let mut counted = self.counted();
        change(&mut counted)?;
        *self = Self::of(counted);
        Ok(())
    }
}

// === impl ClaimCell ===

impl ClaimCell {
    /// Its live uses.
    pub(super) fn live(&self) -> Vec<ClaimUse> {
        self.uses.iter().cloned().map(ClaimUse::from).collect()
    }

    fn put(&mut self, used: &ClaimUse) {
        self.uses.retain(|held| held.use_number != used.use_number);
        self.uses.push(used.clone().into());
        self.uses.sort_by_key(|held| held.use_number);
    }

    fn free_number(&self) -> u32 {
        let taken = |number: &u32| self.uses.iter().any(|held| held.use_number == *number);
        (1..).find(|number| !taken(number)).unwrap_or(u32::MAX)
    }
}

// === impl Work ===

impl Work {
    /// Frees, then takes. The first use that is refused ends it, and what was changed until then is
    /// of no use.
    pub(super) fn change_uses(
        &mut self,
        transition: &Transition,
    ) -> Result<Option<TransitionOutcome>, LedgerError> {
        for change in &transition.uses {
            if change.to == UseTarget::Free {
                self.free(transition, change.claim_id)?;
            }
        }
        for change in &transition.uses {
            let UseTarget::Taken(wanted) = &change.to else {
                continue;
            };
            if let Some(refusal) = self.take(transition, change.claim_id, wanted)? {
                return Ok(Some(refusal));
            }
        }
        check_left(transition, self.own.values().map(|held| held.held_until))?;
        Ok(None)
    }

    fn claim(&mut self, id: ClaimId) -> Result<&mut (ClaimCell, Option<ClaimRow>), LedgerError> {
        self.claims
            .get_mut(&id)
            .map_or_else(|| missing("a claim"), Ok)
    }

    fn coupon(&mut self, id: CouponId) -> Result<&mut CouponCell, LedgerError> {
        self.coupons
            .get_mut(&id)
            .map_or_else(|| missing("a coupon"), Ok)
    }

    /// Counts a use in its period, or no more.
    fn count(&mut self, used: &ClaimUse, more: bool) -> Result<(), LedgerError> {
        let Some(period) = &used.period else {
            return Ok(());
        };
        let Some(cell) = self.users.get_mut(&used.claim_id.coupon()) else {
            return missing("a user's uses");
        };
        let count = cell.entry(period.clone()).or_default();
        *count = if more {
            *count + 1
        } else {
            count.saturating_sub(1)
        };
        cell.retain(|_period, count| *count > 0);
        Ok(())
    }

    fn free(&mut self, transition: &Transition, claim_id: ClaimId) -> Result<(), LedgerError> {
        let Some(held) = self.own.remove(&claim_id) else {
            let id = transition.redemption.id;
            let text = format!("redemption {id} has no use of claim {claim_id} to free");
            return Err(LedgerError::corrupt(text));
        };
        let (cell, _row) = self.claim(claim_id)?;
        cell.uses.retain(|live| live.use_number != held.use_number);
        self.count(&held, false)?;
        let coupon = self.coupon(claim_id.coupon())?;
        coupon.change(|counted| counted.leave(&held))
    }

    fn take(
        &mut self,
        transition: &Transition,
        claim_id: ClaimId,
        wanted: &TakenUse,
    ) -> Result<Option<TransitionOutcome>, LedgerError> {
        let redemption = &transition.redemption;
        let before = self.own.get(&claim_id).cloned();
        let (cell, row) = self.claim(claim_id)?;
        if before.is_none() {
            let row = row.as_ref();
            let gone = row.is_none_or(|row| row.revoked || row.user != redemption.user);
            if gone || cell.taken_back {
                return Ok(Some(TransitionOutcome::ClaimGone { claim_id }));
            }
            if cell.uses.len() >= wanted.uses_per_claim as usize {
                let uses = cell.live();
                return Ok(Some(TransitionOutcome::ClaimNotFree { claim_id, uses }));
            }
        }
        let taken = ClaimUse {
            claim_id,
            use_number: before
                .as_ref()
                .map_or_else(|| cell.free_number(), |held| held.use_number),
            redemption: redemption.id,
            order: redemption.order.clone(),
            held_until: wanted.held_until,
            value: wanted.value,
            period: wanted.user_limit.as_ref().map(|limit| limit.period.clone()),
        };
        if let Some(refusal) = self.refused_by_limits(&taken, wanted, before.as_ref())? {
            return Ok(Some(refusal));
        }
        self.claim(claim_id)?.0.put(&taken);
        if let Some(before) = &before {
            self.count(before, false)?;
            let coupon = self.coupon(claim_id.coupon())?;
            coupon.change(|counted| counted.leave(before))?;
        }
        self.count(&taken, true)?;
        let coupon = self.coupon(claim_id.coupon())?;
        coupon.change(|counted| counted.enter(&taken))?;
        self.own.insert(claim_id, taken);
        Ok(None)
    }

    /// The limits that span claims, as far as this use counts more than it did before.
    fn refused_by_limits(
        &mut self,
        taken: &ClaimUse,
        wanted: &TakenUse,
        before: Option<&ClaimUse>,
    ) -> Result<Option<TransitionOutcome>, LedgerError> {
        let (claim_id, coupon) = (taken.claim_id, taken.claim_id.coupon());
        let moves = before.is_none_or(|held| held.period != taken.period);
        if let Some(limit) = wanted.user_limit.as_ref().filter(|_limit| moves) {
            let Some(cell) = self.users.get(&coupon) else {
                return missing("a user's uses");
            };
            let uses = cell.get(&limit.period).copied().unwrap_or(0);
            if uses >= limit.count {
                return Ok(Some(TransitionOutcome::UserLimitReached { claim_id, uses }));
            }
        }
        let own = before.map_or(0, |held| held.value);
        let others = self.coupon(coupon)?.value - own;
        let rises = wanted.value > own;
        if let Some(budget) = wanted.budget.filter(|_budget| rises)
            && sum(others, wanted.value)? > budget
        {
            return Ok(Some(TransitionOutcome::BudgetReached {
                claim_id,
                coupon,
                left: (budget - others).max(0),
            }));
        }
        Ok(None)
    }
}
