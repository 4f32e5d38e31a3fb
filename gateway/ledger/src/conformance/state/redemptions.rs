//! What can be read of checkout.

use sluice_domain::id::{ClaimId, CouponId, RedemptionId, UserId};

use super::line;
use crate::audit_facts::{RedemptionFacts, RedemptionOrphans};
use crate::claims::ClaimsPage;
use crate::conformance::sample::NOW;
use crate::redemptions::RedemptionsPage;
use crate::redemptions::standing::StandingQuery;
use crate::{Ledger, LedgerError};

/// Reads all redemptions, and the uses of these coupons and users.
pub(super) async fn read(
    ledger: &dyn Ledger,
    coupons: &[CouponId],
    users: &[UserId],
    text: &mut String,
) -> Result<(), LedgerError> {
    let mut after = None;
    loop {
        let page = ledger.redemption_facts(None, after, 2).await?;
        line(text, "redemptions", &page);
        let Some(last) = page.last() else { break };
        after = Some(last.redemption.id);
        for facts in &page {
            check(ledger, facts).await?;
        }
    }
    for coupon in coupons {
        read_coupon(ledger, *coupon, text).await?;
        for user in users {
            let periods = ["a", "b"].map(|period| (*coupon, period.to_owned()));
            let counted = ledger.uses_of_user(&periods, user).await?;
            line(text, "in periods", &counted);
        }
    }
    for user in users {
        standing(ledger, coupons, *user, text).await?;
    }
    let usage = ledger.coupon_usage(coupons).await?;
    line(text, "usage", &usage);
    for millis in [-1, 0, 3, 900_000] {
        let due = ledger.due(NOW.plus_millis(millis), None, 10).await?;
        line(text, "due", &due);
        if let Some(first) = due.first() {
            let rest = ledger.due(NOW.plus_millis(millis), Some(*first), 1);
            line(text, "due next", &rest.await?);
        }
    }
    for word in ["word0", "word1"] {
        line(text, "by word", &ledger.coupon_by_code(word).await?);
    }
    let orphans = ledger.redemption_orphans().await?;
    line(text, "orphans", &orphans);
    if orphans_of(&orphans) == 0 {
        return Ok(());
    }
    Err(LedgerError::corrupt(format!(
        "there are orphans: {orphans:?}"
    )))
}

/// What a quote of all claims of a user would read, also of a coupon that does not exist.
async fn standing(
    ledger: &dyn Ledger,
    coupons: &[CouponId],
    user: UserId,
    text: &mut String,
) -> Result<(), LedgerError> {
    let rows = ledger.claims_of_user(&user, 100).await?;
    let mut claims: Vec<ClaimId> = rows.iter().map(|row| row.claim_id).collect();
    claims.push(ClaimId::new(CouponId(u32::MAX), [0; 12]));
    line(text, "claims", &ledger.claims(&claims).await?);
    let mut coupons = coupons.to_vec();
    coupons.push(CouponId(u32::MAX));
    let periods = coupons.iter().map(|coupon| (*coupon, "a".to_owned()));
    let query = StandingQuery {
        user,
        claims,
        periods: periods.collect(),
        coupons,
    };
    line(text, "standing", &ledger.standing(&query).await?);
    Ok(())
}

fn orphans_of(orphans: &RedemptionOrphans) -> u64 {
    orphans.events.count
        + orphans.redemptions.count
        + orphans.uses_without_redemption.count
        + orphans.uses_without_claim.count
        + orphans.uses_unlisted.count
        + orphans.listed.count
}

/// What single calls answer about a redemption is what its facts say, and its path is a legal one.
async fn check(ledger: &dyn Ledger, facts: &RedemptionFacts) -> Result<(), LedgerError> {
    let id = facts.redemption.id;
    let alone = (ledger.redemption(id).await?, ledger.events(id).await?);
    if alone != (Some(facts.redemption.clone()), facts.events.clone()) || !facts.found_by_its_own {
        return Err(LedgerError::corrupt(format!(
            "redemption {id} differs from itself"
        )));
    }
    let (mut from, mut version) = (None, 0);
    for event in &facts.events {
        version += 1;
        if event.row_version.0 != version || event.from != from || !event.to.may_follow(from) {
            return Err(LedgerError::corrupt(format!(
                "redemption {id} took no path: {event:?}"
            )));
        }
        from = Some(event.to);
        let found = ledger.redemption_operation(id, &event.operation_id).await?;
        if found.as_ref() != Some(event) {
            return Err(LedgerError::corrupt(format!(
                "an operation of {id} is lost"
            )));
        }
    }
    Ok(())
}

/// The ids of the redemptions that the audit is given for a coupon.
async fn facts_of_coupon(
    ledger: &dyn Ledger,
    coupon: CouponId,
) -> Result<Vec<RedemptionId>, LedgerError> {
    let mut ids: Vec<RedemptionId> = Vec::new();
    loop {
        let after = ids.last().copied();
        let page = ledger.redemption_facts(Some(coupon), after, 2).await?;
        if page.is_empty() {
            return Ok(ids);
        }
        ids.extend(page.iter().map(|facts| facts.redemption.id));
    }
}

async fn read_coupon(
    ledger: &dyn Ledger,
    coupon: CouponId,
    text: &mut String,
) -> Result<(), LedgerError> {
    let usage = ledger.usage_facts(coupon).await?;
    line(text, "usage facts", &usage);
    if usage.kept != usage.counted {
        return Err(LedgerError::corrupt(format!(
            "counters of {coupon}: {usage:?}"
        )));
    }
    line(text, "redeemed", &ledger.redeemed(coupon).await?);
    let (mut after, mut ids) = (None, Vec::new());
    loop {
        let page = RedemptionsPage { after, limit: 2 };
        let listed = ledger.redemptions_of_coupon(coupon, page).await?;
        line(text, "listed", &listed);
        let Some(last) = listed.last() else { break };
        after = Some((last.created_at, last.id));
        ids.extend(listed.iter().map(|redemption| redemption.id));
    }
    ids.sort_unstable();
    if facts_of_coupon(ledger, coupon).await? != ids {
        return Err(LedgerError::corrupt(format!(
            "the redemptions of {coupon} are not those that it lists"
        )));
    }
    let page = ClaimsPage {
        after: None,
        limit: 100,
    };
    let claims = ledger.claims_of_coupon(coupon, page).await?;
    let ids: Vec<ClaimId> = claims.iter().map(|claim| claim.claim_id).collect();
    line(text, "uses", &ledger.claim_uses(&ids).await?);
    Ok(())
}
