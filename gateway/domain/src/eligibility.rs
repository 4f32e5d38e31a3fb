//! Eligibility at claim: pure, and with *all* reasons.
//!
//! Reasons come in this order of precedence; the first one decides the answer's code, the others
//! are listed beside it:
//!
//! 1. `archived`, 2. `ended`, 3. `paused`, 4. `not_started`, 5. `outside_time_window`,
//! 6. `not_eligible` (the way it is handed out; the rule on users), 7. `verification_required` (each missing
//!    attribute, then the device).
//!
//! Stock and limits are not decided here: only the claim script knows them. For people who ask why
//! somebody has no claim, [`why_not`] adds what the ledger counts: 8. `user_limit_reached`,
//! 9. `sold_out`. Nor does a reason end
//! anything by itself: a shopper who holds a claim gets it again whatever the coupon has become, so
//! a claim that would be refused here goes to the script as a question for the old claim, unless
//! [`never_open_yet`] proves that there is none.

mod reasons;
mod standing;

use std::sync::Arc;

use crate::id::UserId;
use crate::published::Published;
use crate::reason::Reason;
use crate::terms::Verified;
use crate::time::Timestamp;
use crate::weekly::Weekly;
use reasons::Way;

pub use standing::{ClaimFacts, fix_of_all, refusal_reason, why_not};

/// The shopper, as their token or pass describes them. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shopper {
    /// Who.
    pub user: UserId,
    /// Groups they are in; sorted.
    pub groups: Arc<[Box<str>]>,
    /// Without a paid order (`true`), with one (`false`), or the token does not say.
    pub is_new: Option<bool>,
    /// What they had verified; sorted.
    pub verified: Arc<[Verified]>,
    /// The device the token is bound to.
    pub device: Option<Arc<str>>,
}

impl Shopper {
    /// A shopper of whom nothing but the name is known.
    #[must_use]
    pub fn known_by_name(user: UserId) -> Self {
        Self {
            user,
            groups: Arc::default(),
            is_new: None,
            verified: Arc::default(),
            device: None,
        }
    }
}

/// A published coupon with its time zones looked up: what a gateway keeps per coupon, so that a
/// decision allocates nothing and takes no lock.
#[derive(Debug, Clone)]
pub struct Rules {
    published: Arc<Published>,
    windows: Weekly,
}

impl Rules {
    /// Prepares a published coupon.
    #[must_use]
    pub fn new(published: Arc<Published>) -> Self {
        let windows = Weekly::new(&published.terms.conditions.windows);
        Self { published, windows }
    }

    /// The coupon.
    #[must_use]
    pub fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// Why this shopper may not claim at `now`, all of it in order of precedence. Empty, and
    /// without an allocation, where they may.
    #[must_use]
    pub fn claim_reasons(&self, shopper: &Shopper, now: Timestamp) -> Vec<Reason> {
        reasons::collect(&self.published, &self.windows, shopper, Way::Open, now)
    }

    /// As [`Rules::claim_reasons`], for a shopper who has the coupon's public code.
    #[must_use]
    pub fn claim_reasons_by_code(&self, shopper: &Shopper, now: Timestamp) -> Vec<Reason> {
        reasons::collect(&self.published, &self.windows, shopper, Way::Code, now)
    }

    /// Why nobody may grant this shopper a claim at `now`, on whose behalf ever: as
    /// [`Rules::claim_reasons`], but for what only a shopper's own token could say (groups, whether
    /// they are new, what they had verified, their device). Whoever grants answers for those; use
    /// at checkout asks for them all the same.
    #[must_use]
    pub fn grant_reasons(&self, shopper: &Shopper, now: Timestamp) -> Vec<Reason> {
        reasons::collect(&self.published, &self.windows, shopper, Way::Grant, now)
    }
}

/// As [`Rules::claim_reasons`], for one question: looks the zones of weekly windows up each time.
#[must_use]
pub fn claim_reasons(published: &Published, shopper: &Shopper, now: Timestamp) -> Vec<Reason> {
    let windows = Weekly::new(&published.terms.conditions.windows);
    reasons::collect(published, &windows, shopper, Way::Open, now)
}

/// As [`Rules::claim_reasons_by_code`], for one question.
#[must_use]
pub fn claim_reasons_by_code(
    published: &Published,
    shopper: &Shopper,
    now: Timestamp,
) -> Vec<Reason> {
    let windows = Weekly::new(&published.terms.conditions.windows);
    reasons::collect(published, &windows, shopper, Way::Code, now)
}

/// Whether the coupon was never open under any revision: then nobody has a claim of it.
///
/// Such a coupon may be refused without asking hot state. `margin_ms` is how far the caller's idea of the lane's time
/// may be behind it; inside the margin the answer is no.
#[must_use]
pub fn never_open_yet(published: &Published, now: Timestamp, margin_ms: i64) -> bool {
    now.as_millis().saturating_add(margin_ms.max(0)) < published.first_open_at.as_millis()
}

#[cfg(test)]
mod tests;
