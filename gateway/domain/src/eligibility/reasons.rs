//! One function per condition; each adds what does not hold.

use super::Shopper;
use crate::coupon::{Distribution, Lifecycle};
use crate::id::UserId;
use crate::published::Published;
use crate::reason::{Reason, ReasonCode};
use crate::terms::{Users, Verified};
use crate::time::Timestamp;
use crate::weekly::Weekly;
use crate::words;

/// How a shopper comes to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By the coupon's id.
    Open,
    /// With the coupon's public code.
    Code,
    /// Somebody who may grant gives it to them.
    Grant,
}

pub(super) fn collect(
    published: &Published,
    windows: &Weekly,
    shopper: &Shopper,
    way: Way,
    now: Timestamp,
) -> Vec<Reason> {
    let mut found = Found {
        published,
        now,
        reasons: Vec::new(),
    };
    found.state();
    found.start();
    found.windows(windows);
    found.distribution(way);
    if way == Way::Grant {
        found.listed(shopper);
        return found.reasons;
    }
    found.users(shopper);
    found.verified(shopper);
    found.device(shopper);
    found.reasons
}

struct Found<'p> {
    published: &'p Published,
    now: Timestamp,
    reasons: Vec<Reason>,
}

impl Found<'_> {
    fn add(
        &mut self,
        code: ReasonCode,
        condition: &'static str,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> &mut Reason {
        let version = self.published.version;
        let reason = Reason::new(code, condition, expected, actual, version);
        reason.push_to(&mut self.reasons)
    }

    fn state(&mut self) {
        let lifecycle = self.published.lifecycle;
        let ended_at = self.published.window.ends_at.filter(|&end| self.now >= end);
        if lifecycle == Lifecycle::Archived {
            self.add(ReasonCode::Archived, "status", "active", "archived");
        }
        if let Some(end) = ended_at {
            let gap = self.now.millis_since(end) / 1_000;
            self.add(
                ReasonCode::Ended,
                "claim_window",
                format!("before {end}"),
                self.now.to_string(),
            )
            .gap = Some(gap.to_string());
        } else if lifecycle == Lifecycle::Ended {
            self.add(ReasonCode::Ended, "status", "active", "ended");
        }
        if matches!(lifecycle, Lifecycle::Paused | Lifecycle::Draft) {
            // A draft is never published; one that is here all the same is not open.
            self.add(ReasonCode::Paused, "status", "active", "paused")
                .fix = Some("Try again when the coupon is resumed.".to_owned());
        }
    }

    fn start(&mut self) {
        let Some(start) = self.published.window.starts_at else {
            return;
        };
        if self.now < start {
            // Rounded up, so that the wait is over when it is over.
            let gap = (start.millis_since(self.now) + 999) / 1_000;
            let reason = self.add(
                ReasonCode::NotStarted,
                "claim_window",
                format!("from {start} on"),
                self.now.to_string(),
            );
            reason.gap = Some(gap.to_string());
            reason.fix = Some(format!("Claim from {start} on."));
        }
    }

    fn windows(&mut self, windows: &Weekly) {
        if windows.is_open(self.now) {
            return;
        }
        let opening = windows.next_opening(self.now);
        let expected = words::windows(&self.published.terms.conditions.windows);
        let now = self.now;
        let reason = self.add(
            ReasonCode::OutsideTimeWindow,
            "windows",
            expected,
            now.to_string(),
        );
        reason.gap = opening.map(|at| ((at.millis_since(now) + 999) / 1_000).to_string());
        reason.fix = opening.map(|at| format!("Claim from {at} on."));
    }

    /// A coupon that is handed out by its code only is claimed with the code.
    fn distribution(&mut self, way: Way) {
        let open =
            |one: &Distribution| matches!(one, Distribution::Public | Distribution::Targeted);
        if way == Way::Code || self.published.distribution.iter().any(open) {
            return;
        }
        let (expected, actual, fix) = match way {
            Way::Open | Way::Code => (
                "the coupon's code",
                "a claim without it",
                "Claim with the code.",
            ),
            Way::Grant => (
                "public or targeted",
                "neither of them",
                "Add \"targeted\" to the coupon's distribution.",
            ),
        };
        self.add(ReasonCode::NotEligible, "distribution", expected, actual)
            .fix = Some(fix.to_owned());
    }

    /// The one rule on users that needs no token: a claim of somebody who is not on the list could
    /// never be used.
    fn listed(&mut self, shopper: &Shopper) {
        if let Users::Ids { ids } = &self.published.terms.conditions.users {
            self.ids(shopper, ids);
        }
    }

    fn users(&mut self, shopper: &Shopper) {
        match &self.published.terms.conditions.users {
            Users::All => {}
            Users::New => self.newness(shopper, true),
            Users::Existing => self.newness(shopper, false),
            Users::Groups { groups } => self.groups(shopper, groups),
            Users::Ids { ids } => self.ids(shopper, ids),
        }
    }

    /// A token that does not say is neither: guessing would give the coupon to the wrong ones.
    fn newness(&mut self, shopper: &Shopper, wanted: bool) {
        if shopper.is_new == Some(wanted) {
            return;
        }
        let name = |new| {
            if new {
                "a new customer"
            } else {
                "an existing customer"
            }
        };
        let actual = shopper
            .is_new
            .map_or("the token does not say: it has no claim \"new\"", name);
        let reason = self.add(ReasonCode::NotEligible, "users", name(wanted), actual);
        if shopper.is_new.is_none() {
            reason.fix = Some(format!(
                "Sign in with a token that has the claim \"new\": {wanted}."
            ));
        }
    }

    fn groups(&mut self, shopper: &Shopper, groups: &[String]) {
        let member = shopper.groups.iter().any(|held| {
            groups
                .binary_search_by(|group| group.as_str().cmp(held))
                .is_ok()
        });
        if member {
            return;
        }
        let actual = if shopper.groups.is_empty() {
            "in no group".to_owned()
        } else {
            // The shopper's own groups; bounded, since a token may name many.
            format!(
                "in {}",
                words::some(shopper.groups.iter().map(AsRef::as_ref))
            )
        };
        let reason = self.add(
            ReasonCode::NotEligible,
            "users",
            "a member of a group that the coupon is for",
            actual,
        );
        if shopper.groups.is_empty() {
            reason.fix = Some("Sign in with a token that names your groups.".to_owned());
        }
    }

    fn ids(&mut self, shopper: &Shopper, ids: &[UserId]) {
        if ids.binary_search(&shopper.user).is_err() {
            self.add(
                ReasonCode::NotEligible,
                "users",
                "a user on the coupon's list",
                "not on the list",
            );
        }
    }

    fn verified(&mut self, shopper: &Shopper) {
        for &wanted in &self.published.terms.conditions.verified {
            if shopper.verified.contains(&wanted) {
                continue;
            }
            let name = match wanted {
                Verified::Phone => "phone number",
                Verified::Email => "e-mail address",
                Verified::Identity => "identity",
            };
            self.add(
                ReasonCode::VerificationRequired,
                "verified",
                format!("a verified {name}"),
                "not verified",
            )
            .fix = Some(format!("Verify your {name} and sign in again."));
        }
    }

    fn device(&mut self, shopper: &Shopper) {
        if self.published.limits.per_device.is_some() && shopper.device.is_none() {
            self.add(
                ReasonCode::VerificationRequired,
                "limits.per_device",
                "a token bound to a device",
                "the token has no claim \"device\"",
            )
            .fix = Some("Sign in on your device again.".to_owned());
        }
    }
}
