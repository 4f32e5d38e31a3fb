//! What a price depends on besides frozen terms: uses, and what limits have left.

use sluice_domain::coupon::Lifecycle;
use sluice_domain::id::{ClaimId, CouponId, UserId};
use sluice_domain::redemption::{ClaimUse, CouponUsage};
use sluice_domain::terms::MinorUnits;

use super::Redemptions;
use crate::LedgerError;
use crate::coupons::Coupons;

/// What is asked about the claims of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingQuery {
    /// The user whose uses are counted.
    pub user: UserId,
    /// Claims, in any order.
    pub claims: Vec<ClaimId>,
    /// Coupons, distinct.
    pub coupons: Vec<CouponId>,
    /// Periods in which the user's uses of a coupon are limited.
    pub periods: Vec<(CouponId, String)>,
}

/// Answer to a [`StandingQuery`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingFacts {
    /// The live uses of the claims, by claim and use number.
    pub uses: Vec<ClaimUse>,
    /// One for each coupon, in the order asked; `None` where there is no such coupon.
    pub coupons: Vec<Option<CouponStanding>>,
    /// The user's live uses in each period, in the order asked.
    pub user_uses: Vec<u32>,
}

/// What a coupon as a whole allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CouponStanding {
    /// Whether it is archived: then nothing of it may be used.
    pub archived: bool,
    /// The budget in force, if there is one.
    pub budget: Option<MinorUnits>,
    /// What its live uses come to.
    pub usage: CouponUsage,
}

/// The answer from single reads, which need not be of one instant: a price is decided again when
/// it is held.
pub(super) async fn piecemeal<L>(
    ledger: &L,
    query: &StandingQuery,
) -> Result<StandingFacts, LedgerError>
where
    L: Redemptions + Coupons + ?Sized,
{
    let usage = ledger.coupon_usage(&query.coupons).await?;
    let mut coupons = Vec::with_capacity(query.coupons.len());
    for (coupon, usage) in query.coupons.iter().zip(usage) {
        let found = ledger.coupon(*coupon).await?;
        coupons.push(found.map(|coupon| CouponStanding {
            archived: coupon.lifecycle == Lifecycle::Archived,
            budget: coupon.spec.terms.budget,
            usage,
        }));
    }
    Ok(StandingFacts {
        uses: ledger.claim_uses(&query.claims).await?,
        coupons,
        user_uses: ledger.uses_of_user(&query.periods, &query.user).await?,
    })
}
