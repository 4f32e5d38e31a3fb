//! Invariants 9, 10 and the part of 13 that is about redemptions, over what the ledger holds.
//!
//! A [`RedemptionAudit`] looks at one redemption after the other, so that its caller may read them
//! in pages, and keeps what spans redemptions: use numbers, periods, sums per coupon. It may look at
//! all redemptions, or at all of some coupons; limits and budgets are judged for the coupons that
//! it is given to [`finish`](RedemptionAudit::finish) with.
//!
//! What spans redemptions can only be judged where all of them were read as of one instant: a use
//! that moves from one to another while they are read is seen twice, or not at all. Where they
//! moved, [`finish_moving`](RedemptionAudit::finish_moving) leaves that unchecked.

mod money;
mod paths;
#[cfg(test)]
mod tests;
mod uses;

use std::collections::HashMap;

use super::Check;
use super::rows::CouponRows;
use crate::id::{ClaimId, CouponId, OrderId, RedemptionId, UserId};
use crate::redemption::{ClaimUse, CouponUsage, Redemption, TermsKey, TransitionEvent};
use crate::terms::MinorUnits;

/// The names of checks that are left out where redemptions moved.
const SHARED: &str = "no use is had twice, and users stay within their uses";
const COUNTERS: &str = "counters of uses equal a recount";

/// A redemption with everything that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedemptionRows {
    /// The redemption.
    pub redemption: Redemption,
    /// Its events, oldest first.
    pub events: Vec<TransitionEvent>,
    /// Its live uses, in any order.
    pub uses: Vec<ClaimUse>,
}

/// The limits of uses in one frozen version of terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UseLimits {
    /// Uses of one claim, from 1.
    pub uses_per_claim: u32,
    /// Uses by one user in a period.
    pub uses_per_user: Option<u32>,
}

/// What the ledger says the uses of one coupon come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CouponMoney {
    /// The coupon.
    pub coupon: CouponId,
    /// Its counters, which budgets are checked with.
    pub kept: CouponUsage,
    /// The highest budget that was ever in force; `None`: there was a time without one. A budget
    /// lowered later takes nothing back.
    pub budget: Option<MinorUnits>,
}

/// Looks at redemptions.
#[derive(Debug)]
pub struct RedemptionAudit {
    limits: HashMap<TermsKey, UseLimits>,
    paths: Check,
    own_uses: Check,
    limited: Check,
    shared: Check,
    sums: Check,
    orders: Check,
    use_numbers: HashMap<(ClaimId, u32), RedemptionId>,
    periods: HashMap<(CouponId, UserId, String), Vec<u32>>,
    counted: HashMap<CouponId, CouponUsage>,
    seen: HashMap<OrderId, RedemptionId>,
}

// === impl RedemptionAudit ===

impl RedemptionAudit {
    /// An audit that has looked at nothing yet. `limits` has every version that the redemptions'
    /// claims were made under.
    #[must_use]
    pub fn new(limits: HashMap<TermsKey, UseLimits>) -> Self {
        Self {
            limits,
            paths: Check::new(9, "redemptions take legal paths, one event per transition"),
            own_uses: Check::new(9, "uses are those of their redemptions"),
            limited: Check::new(9, "uses are counted as their terms say"),
            shared: Check::new(9, SHARED),
            sums: Check::new(10, "discounts add up and refunds stay within what was paid"),
            orders: Check::new(13, "an order has one redemption"),
            use_numbers: HashMap::new(),
            periods: HashMap::new(),
            counted: HashMap::new(),
            seen: HashMap::new(),
        }
    }

    /// Adds a version that the redemptions' claims were made under.
    pub fn learn(&mut self, key: TermsKey, limits: UseLimits) {
        self.limits.insert(key, limits);
    }

    /// Whether it has the limits of this version.
    #[must_use]
    pub fn knows(&self, key: &TermsKey) -> bool {
        self.limits.contains_key(key)
    }

    /// Looks at one redemption; at each once.
    pub fn look_at(&mut self, rows: &RedemptionRows) {
        paths::look_at(&mut self.paths, rows);
        uses::look_at(&mut self.own_uses, rows);
        money::look_at(&mut self.sums, &rows.redemption);
        self.count(rows);
        let redemption = &rows.redemption;
        let other = self.seen.insert(redemption.order.clone(), redemption.id);
        self.orders.expect(other.is_none(), || {
            format!(
                "order {} has the redemptions {} and {other:?}",
                redemption.order, redemption.id
            )
        });
    }

    fn count(&mut self, rows: &RedemptionRows) {
        let redemption = &rows.redemption;
        for held in &rows.uses {
            let coupon = held.claim_id.coupon();
            let usage = self.counted.entry(coupon).or_default();
            usage.uses += 1;
            usage.value += held.value;
            let applied = redemption.record.quote.applied.iter();
            let mut of_claim = applied.filter(|applied| applied.claim_id == held.claim_id);
            let limits = of_claim
                .next()
                .and_then(|applied| self.limits.get(&(applied.coupon, applied.version)));
            let most = limits.map_or(0, |limits| limits.uses_per_claim);
            self.limited
                .expect((1..=most).contains(&held.use_number), || {
                    format!(
                        "redemption {} has use {} of claim {}, which has {most} by its terms",
                        redemption.id, held.use_number, held.claim_id
                    )
                });
            let number = (held.claim_id, held.use_number);
            let other = self.use_numbers.insert(number, redemption.id);
            self.shared.expect(other.is_none(), || {
                format!(
                    "use {} of claim {} is had by redemptions {} and {other:?}",
                    held.use_number, held.claim_id, redemption.id
                )
            });
            let per_user = limits.and_then(|limits| limits.uses_per_user);
            self.limited
                .expect(per_user.is_some() == held.period.is_some(), || {
                    format!(
                        "redemption {}: the use of claim {} counts in period {:?}, and its terms \
                     limit uses per user to {per_user:?}",
                        redemption.id, held.claim_id, held.period
                    )
                });
            if let (Some(limit), Some(period)) = (per_user, &held.period) {
                let key = (coupon, redemption.user, period.clone());
                self.periods.entry(key).or_default().push(limit);
            }
        }
    }

    /// The checks, budgets and counters included, for these coupons. All redemptions were looked at
    /// as of one instant, and the counters are of the same.
    #[must_use]
    pub fn finish(mut self, coupons: &[CouponMoney]) -> Vec<Check> {
        for ((coupon, user, period), limits) in &self.periods {
            // A use is taken below the limit of its own terms; versions may differ in it.
            let most = limits.iter().copied().max().unwrap_or(0);
            self.shared.expect(limits.len() <= most as usize, || {
                format!(
                    "coupon {coupon}: user {user} has {} uses in period {period}, of {most}",
                    limits.len()
                )
            });
        }
        let mut counters = Check::new(13, COUNTERS);
        for money in coupons {
            let counted = self.counted.get(&money.coupon).copied().unwrap_or_default();
            counters.expect(money.kept == counted, || {
                format!(
                    "coupon {}: the counters say {:?}, the rows {counted:?}",
                    money.coupon, money.kept
                )
            });
        }
        let rows = |coupon| self.counted.get(&coupon).map_or(0, |usage| usage.value);
        let budgets = budgets(coupons, rows);
        self.all(budgets, counters)
    }

    /// The checks where redemptions moved while they were looked at: what spans them is unchecked,
    /// and `why` says so. Each redemption was read as of one instant, and each coupon's counters.
    #[must_use]
    pub fn finish_moving(mut self, coupons: &[CouponMoney], why: &str) -> Vec<Check> {
        self.shared = Check::unchecked(9, SHARED, why.to_owned());
        let counters = Check::unchecked(13, COUNTERS, why.to_owned());
        let budgets = budgets(coupons, |_coupon| 0);
        self.all(budgets, counters)
    }

    fn all(self, budgets: Check, counters: Check) -> Vec<Check> {
        vec![
            self.paths,
            self.own_uses,
            self.limited,
            self.shared,
            self.sums,
            budgets,
            self.orders,
            counters,
        ]
    }
}

/// Invariant 10: neither the counters nor the rows come to more than the budget.
fn budgets(coupons: &[CouponMoney], rows: impl Fn(CouponId) -> MinorUnits) -> Check {
    let mut check = Check::new(10, "discounts stay within budgets");
    for money in coupons {
        let value = money.kept.value.max(rows(money.coupon));
        check.expect(money.budget.is_none_or(|budget| value <= budget), || {
            format!(
                "coupon {}: uses take off {value}, above the budget {:?}",
                money.coupon, money.budget
            )
        });
    }
    check
}

/// Invariant 13: every use is of a claim that is a row of the redemption's user. Uses of other
/// coupons than the given ones are not looked at.
#[must_use]
pub fn used_claims_exist(redemptions: &[RedemptionRows], coupons: &[CouponRows]) -> Check {
    let mut check = Check::new(13, "every use has its claim");
    let owners: HashMap<ClaimId, UserId> = coupons
        .iter()
        .flat_map(|facts| &facts.rows)
        .map(|row| (row.claim_id, row.user))
        .collect();
    for rows in redemptions {
        let redemption = &rows.redemption;
        for held in &rows.uses {
            let coupon = held.claim_id.coupon();
            if coupons.iter().all(|facts| facts.coupon != coupon) {
                continue;
            }
            let owner = owners.get(&held.claim_id);
            check.expect(owner == Some(&redemption.user), || {
                format!(
                    "redemption {} of user {} has a use of claim {}, which is {owner:?}'s",
                    redemption.id, redemption.user, held.claim_id
                )
            });
        }
    }
    check
}
