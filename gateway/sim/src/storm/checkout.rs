//! The checkout's part of the verdict: the buyers' history beside the ledger's redemptions.

use std::collections::HashMap;

use sluice_domain::id::{ClaimId, CouponId};
use sluice_domain::invariant::Check;
use sluice_domain::invariant::checkout::{
    Asked, CheckoutAnswer, CheckoutAttempt, acknowledged_is_kept,
    claims_are_used_within_their_uses, no_hold_is_lost, refused_left_nothing,
};
use sluice_domain::invariant::redemptions::{
    CouponMoney, RedemptionAudit, RedemptionRows, UseLimits, used_claims_exist,
};
use sluice_domain::invariant::rows::CouponRows;
use sluice_domain::redemption::{RedemptionStatus, TermsKey};
use sluice_ledger::{Ledger, LedgerError};

use super::Sale;

/// Redemptions read at a time.
const PAGE: usize = 500;

/// What buyers did, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bought {
    /// Redemptions in the ledger.
    pub orders: usize,
    /// Of them paid.
    pub confirmed: usize,
    /// Refunds carried out.
    pub refunds: usize,
    /// Holds that ended by running out, whatever came after.
    pub expired: usize,
    /// Requests refused because another order had the claim.
    pub taken: usize,
    /// Requests refused by the budget.
    pub over_budget: usize,
    /// Requests refused by the uses of a user in a period.
    pub over_uses: usize,
    /// Confirms that came after the end of their hold and were refused.
    pub too_late: usize,
}

// === impl Bought ===

impl Bought {
    /// Adds what was done in another round.
    pub fn add(&mut self, other: Self) {
        let sums = [
            (&mut self.orders, other.orders),
            (&mut self.confirmed, other.confirmed),
            (&mut self.refunds, other.refunds),
            (&mut self.expired, other.expired),
            (&mut self.taken, other.taken),
            (&mut self.over_budget, other.over_budget),
            (&mut self.over_uses, other.over_uses),
            (&mut self.too_late, other.too_late),
        ];
        for (sum, more) in sums {
            *sum += more;
        }
    }

    /// Whether each of these things happened.
    #[must_use]
    pub fn saw_everything(&self) -> bool {
        [
            self.orders,
            self.confirmed,
            self.refunds,
            self.expired,
            self.taken,
            self.over_budget,
            self.over_uses,
            self.too_late,
        ]
        .iter()
        .all(|&seen| seen > 0)
    }
}

/// The checks, and what was done.
pub(crate) async fn judge(
    ledger: &dyn Ledger,
    sales: &[Sale],
    coupons: &[CouponRows],
    attempts: &[CheckoutAttempt],
) -> Result<(Vec<Check>, Bought), LedgerError> {
    let rows = read(ledger).await?;
    let uses: HashMap<CouponId, u32> = sales
        .iter()
        .map(|sale| (sale.coupon, sale.uses_per_claim))
        .collect();
    let uses_of = |claim_id: ClaimId| uses.get(&claim_id.coupon()).copied().unwrap_or(0);
    let mut checks = vec![
        acknowledged_is_kept(attempts, &rows),
        claims_are_used_within_their_uses(attempts, uses_of),
        no_hold_is_lost(attempts, uses_of),
        refused_left_nothing(attempts, &rows),
        used_claims_exist(&rows, coupons),
    ];
    // By what was sold, not by what the ledger says was sold.
    let mut limits: HashMap<TermsKey, UseLimits> = HashMap::new();
    let mut money = Vec::new();
    for sale in sales {
        let of_sale = UseLimits {
            uses_per_claim: sale.uses_per_claim,
            uses_per_user: sale.uses_per_user,
        };
        for version in ledger.versions(sale.coupon).await? {
            limits.insert((sale.coupon, version.version), of_sale);
        }
        money.push(CouponMoney {
            coupon: sale.coupon,
            kept: ledger.usage_facts(sale.coupon).await?.kept.usage,
            budget: sale.budget,
        });
    }
    let mut audit = RedemptionAudit::new(limits);
    rows.iter().for_each(|rows| audit.look_at(rows));
    checks.extend(audit.finish(&money));
    Ok((checks, bought(&rows, attempts)))
}

async fn read(ledger: &dyn Ledger) -> Result<Vec<RedemptionRows>, LedgerError> {
    let mut rows: Vec<RedemptionRows> = Vec::new();
    loop {
        let after = rows.last().map(|rows| rows.redemption.id);
        let page = ledger.redemption_facts(None, after, PAGE).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page.into_iter().map(|facts| RedemptionRows {
            redemption: facts.redemption,
            events: facts.events,
            uses: facts.uses,
        }));
    }
}

fn bought(rows: &[RedemptionRows], attempts: &[CheckoutAttempt]) -> Bought {
    let events = |to: RedemptionStatus| {
        let all = rows.iter().flat_map(|rows| &rows.events);
        all.filter(|event| event.to == to).count()
    };
    let refused = |code: &str| {
        let answers = attempts.iter().map(|attempt| &attempt.answer);
        answers
            .filter(|answer| matches!(answer, CheckoutAnswer::Refused(with) if with == code))
            .count()
    };
    let late = attempts.iter().filter(|attempt| {
        let refused = matches!(attempt.answer, CheckoutAnswer::Refused(_));
        attempt.asked == Asked::Confirm && refused
    });
    Bought {
        orders: rows.len(),
        confirmed: events(RedemptionStatus::Confirmed),
        refunds: rows.iter().map(|rows| rows.redemption.refunds.len()).sum(),
        expired: events(RedemptionStatus::Expired),
        taken: refused("held_by_order") + refused("already_used"),
        over_budget: refused("budget_exhausted"),
        over_uses: refused("usage_limit_reached"),
        too_late: late.count(),
    }
}
