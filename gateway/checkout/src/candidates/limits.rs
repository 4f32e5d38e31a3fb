//! What limits that span claims have left, as one hold sees it.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_domain::id::CouponId;
use sluice_domain::pricing;
use sluice_domain::redemption::TermsKey;
use sluice_domain::terms::{MinorUnits, Terms};
use sluice_domain::time::Timestamp;
use sluice_ledger::redemptions::standing::{StandingFacts, StandingQuery};

use super::uses::Uses;

/// Limits by coupon.
pub(super) struct Limits {
    coupons: HashMap<CouponId, CouponLimits>,
    user_uses: Vec<((CouponId, String), u32)>,
}

struct CouponLimits {
    archived: bool,
    budget_left: Option<MinorUnits>,
}

/// The periods of now in which these terms limit the uses of a user, distinct.
pub(super) fn periods(
    terms: &HashMap<TermsKey, Arc<Terms>>,
    now: Timestamp,
) -> Vec<(CouponId, String)> {
    let mut periods: Vec<(CouponId, String)> = terms
        .iter()
        .filter_map(|((coupon, _), terms)| Some((*coupon, pricing::period_key(terms, now)?)))
        .collect();
    periods.sort_unstable();
    periods.dedup();
    periods
}

// === impl Limits ===

impl Limits {
    /// What is left beside the uses of others.
    pub(super) fn of(query: StandingQuery, facts: StandingFacts, uses: &Uses) -> Self {
        let coupons = query.coupons.into_iter().zip(facts.coupons);
        let coupons = coupons.filter_map(|(coupon, standing)| {
            let standing = standing?;
            let limits = CouponLimits {
                archived: standing.archived,
                budget_left: standing.budget.map(|budget| {
                    let others = standing.usage.value - uses.value_to_be_freed(coupon);
                    (budget - others).max(0)
                }),
            };
            Some((coupon, limits))
        });
        let periods = query.periods.into_iter().zip(facts.user_uses);
        let user_uses = periods.map(|((coupon, period), count)| {
            let freed = uses.count_to_be_freed(coupon, &period);
            ((coupon, period), count.saturating_sub(freed))
        });
        Self {
            coupons: coupons.collect(),
            user_uses: user_uses.collect(),
        }
    }

    /// Whether nothing of the coupon may be used: it is archived, or was removed.
    pub(super) fn archived(&self, coupon: CouponId) -> bool {
        let limits = self.coupons.get(&coupon);
        limits.is_none_or(|limits| limits.archived)
    }

    /// What the budget has left; `None` where there is no budget.
    pub(super) fn budget_left(&self, coupon: CouponId) -> Option<MinorUnits> {
        self.coupons.get(&coupon)?.budget_left
    }

    /// How often the user used the coupon in a period.
    pub(super) fn user_uses(&self, coupon: CouponId, period: &str) -> u32 {
        let mut counted = self.user_uses.iter();
        counted
            .find(|((of, within), _count)| *of == coupon && within == period)
            .map_or(0, |(_period, count)| *count)
    }
}
