//! Why somebody has no claim: what pure eligibility says, and what the ledger counts.

use super::{Rules, Shopper};
use crate::coupon::ClaimLimits;
use crate::id::Version;
use crate::published::Published;
use crate::reason::{Reason, ReasonCode};
use crate::time::Timestamp;

/// What is counted of a coupon and one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimFacts {
    /// Claims of the user, those that were taken back included: limits count what was granted.
    pub claims: u64,
    /// Units that may still be claimed; `None` where the coupon is unlimited or that is not known.
    pub available: Option<u64>,
}

/// Every reason why this shopper could not claim now, in order of precedence; empty where they
/// could. The last word is the claim script's: what it counts may move meanwhile.
#[must_use]
pub fn why_not(rules: &Rules, shopper: &Shopper, facts: ClaimFacts, now: Timestamp) -> Vec<Reason> {
    let published: &Published = rules.published();
    let mut reasons = rules.claim_reasons(shopper, now);
    if facts.claims >= u64::from(published.limits.per_user) {
        let mut reason = refusal_reason(
            ReasonCode::UserLimitReached,
            &published.limits,
            published.version,
        );
        reason.actual = format!("{} claimed", facts.claims);
        reasons.push(reason);
    }
    if facts.available == Some(0) {
        reasons.push(refusal_reason(
            ReasonCode::SoldOut,
            &published.limits,
            published.version,
        ));
    }
    reasons
}

/// A refusal that says nothing but its code, as a reason.
#[must_use]
pub fn refusal_reason(code: ReasonCode, limits: &ClaimLimits, version: Version) -> Reason {
    let most = |limit: u16| format!("fewer than {limit} claimed");
    let (condition, expected, actual, fix) = match code {
        ReasonCode::SoldOut => (
            "limits.total",
            "a unit that is left".to_owned(),
            "none is left",
            Some("Raise the total, or wait for units that come back."),
        ),
        ReasonCode::UserLimitReached => (
            "limits.per_user",
            most(limits.per_user),
            "as many as one user may have",
            Some(match limits.per_user {
                // How claims are named is fixed when a coupon is published.
                1 => "Duplicate the coupon with a higher limit per user.",
                _ => "Raise the limit per user.",
            }),
        ),
        ReasonCode::DeviceLimitReached => (
            "limits.per_device",
            most(limits.per_device.unwrap_or_default()),
            "as many as one device may have",
            None,
        ),
        ReasonCode::IpLimitReached => (
            "limits.per_ip",
            most(limits.per_address.unwrap_or_default()),
            "as many as one network may have",
            None,
        ),
        ReasonCode::Paused => (
            "status",
            "active".to_owned(),
            "paused",
            Some("Resume the coupon."),
        ),
        ReasonCode::Ended => ("status", "active".to_owned(), "ended", None),
        ReasonCode::NotStarted => (
            "status",
            "active".to_owned(),
            "not open yet",
            Some("Come back when the claim window opens."),
        ),
        ReasonCode::NotFound => (
            "status",
            "a published coupon".to_owned(),
            "not published",
            Some("Publish the coupon."),
        ),
        other => ("claim", "a claim".to_owned(), other.title(), None),
    };
    let mut reason = Reason::new(code, condition, expected, actual, version);
    reason.fix = fix.map(str::to_owned);
    reason
}

/// The smallest change that would do: the fixes of all reasons, since each of them has to go. `None`
/// where one of them has none.
#[must_use]
pub fn fix_of_all(reasons: &[Reason]) -> Option<String> {
    let fixes: Option<Vec<&str>> = reasons.iter().map(|reason| reason.fix.as_deref()).collect();
    let mut fixes = fixes.filter(|fixes| !fixes.is_empty())?;
    // Two reasons may ask for the same change.
    fixes.dedup();
    Some(fixes.join(" "))
}
