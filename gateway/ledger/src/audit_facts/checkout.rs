//! Facts about redemptions and the uses of claims.

use sluice_domain::id::{CouponId, RedemptionId};
use sluice_domain::redemption::{ClaimUse, CouponUsage, Redemption, RowVersion, TransitionEvent};

use super::Offenders;
use crate::LedgerError;
use crate::redemptions::check::sum;

/// What uses come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CountedUses {
    /// Held and spent.
    pub usage: CouponUsage,
    /// How many of them are spent.
    pub spent: u64,
}

/// The uses of a coupon's claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageFacts {
    /// By the counters that budgets are checked with.
    pub kept: CountedUses,
    /// By the rows.
    pub counted: CountedUses,
}

/// A redemption with everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedemptionFacts {
    /// The redemption.
    pub redemption: Redemption,
    /// Its events, oldest first.
    pub events: Vec<TransitionEvent>,
    /// Its live uses, by claim.
    pub uses: Vec<ClaimUse>,
    /// Whether what the store finds it by (order, user, status, version, end of the hold) is what
    /// the redemption says.
    pub found_by_its_own: bool,
}

/// Rows without what they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedemptionOrphans {
    /// Events whose redemption is not there.
    pub events: Offenders<(RedemptionId, RowVersion)>,
    /// Redemptions without the event that made them what they are.
    pub redemptions: Offenders<RedemptionId>,
    /// Uses whose redemption is not there or is of another order.
    pub uses_without_redemption: Offenders<ClaimUse>,
    /// Uses whose claim is not there, was taken back, or is another user's.
    pub uses_without_claim: Offenders<ClaimUse>,
    /// Uses whose redemption is not listed under the coupon.
    pub uses_unlisted: Offenders<ClaimUse>,
    /// Redemptions that are listed under a coupon and are not there.
    pub listed: Offenders<(CouponId, RedemptionId)>,
}

// === impl CountedUses ===

impl CountedUses {
    /// Counts a use.
    pub(crate) fn enter(&mut self, taken: &ClaimUse) -> Result<(), LedgerError> {
        self.usage.uses += 1;
        self.usage.value = sum(self.usage.value, taken.value)?;
        self.spent += u64::from(taken.held_until.is_none());
        Ok(())
    }

    /// Does not count a use any more.
    pub(crate) fn leave(&mut self, freed: &ClaimUse) -> Result<(), LedgerError> {
        let spent = u64::from(freed.held_until.is_none());
        let left = self
            .usage
            .uses
            .checked_sub(1)
            .zip(self.spent.checked_sub(spent))
            .filter(|_counts| self.usage.value >= freed.value);
        let Some((uses, spent)) = left else {
            let text = format!("claim {} has uses that were not counted", freed.claim_id);
            return Err(LedgerError::corrupt(text));
        };
        self.usage.uses = uses;
        self.spent = spent;
        self.usage.value -= freed.value;
        Ok(())
    }
}
