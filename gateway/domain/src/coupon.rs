//! The coupon: what a merchant defines, and the life it goes through.

use serde::{Deserialize, Serialize};

use crate::claim::{ClaimForm, Durability};
use crate::id::{CouponId, CouponNumber, Revision, Version};
use crate::terms::Terms;
use crate::time::Timestamp;

/// What the operator last decided about a coupon. [`Status`] is derived from it and the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// Never published.
    Draft,
    /// Published and running.
    Live,
    /// Grants are stopped until resumed.
    Paused,
    /// Ended by hand, for good.
    Ended,
    /// Soft-deleted: everything is stopped, everything is kept.
    Archived,
}

/// What a person sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Never published.
    Draft,
    /// Published, not yet open.
    Scheduled,
    /// Claims are granted now (a weekly window may still be closed).
    Active,
    /// Stopped until resumed.
    Paused,
    /// Over, by clock or by hand.
    Ended,
    /// Soft-deleted.
    Archived,
}

/// When claims are granted: from `starts_at` on, before `ends_at`. An absent end is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ClaimWindow {
    /// First instant at which a claim is granted.
    pub starts_at: Option<Timestamp>,
    /// First instant at which no claim is granted any more.
    pub ends_at: Option<Timestamp>,
}

/// How a coupon reaches shoppers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Anybody eligible may claim.
    Public,
    /// Only listed users may claim.
    Targeted,
    /// By redemption codes.
    Code,
    /// By rules.
    Auto,
}

/// Limits on claiming. `None` is "no limit", except for `per_user`, which always has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimLimits {
    /// Units in all, 0 to 1,000,000,000.
    pub total: Option<u64>,
    /// Claims per user, 1 to 100.
    pub per_user: u16,
    /// Claims per device, 1 to 1,000.
    pub per_device: Option<u16>,
    /// Claims per address (IPv4) or /64 (IPv6), 1 to 10,000.
    pub per_address: Option<u16>,
}

/// Everything about a coupon that an operator writes, validated. Terms are what claims freeze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponSpec {
    /// The frozen part.
    pub terms: Terms,
    /// One public word for many users, folded to upper case.
    pub code: Option<String>,
    /// Limits on claiming.
    pub limits: ClaimLimits,
    /// How it reaches shoppers; sorted, never empty.
    pub distribution: Vec<Distribution>,
    /// When it may be claimed.
    pub window: ClaimWindow,
    /// What an acknowledged claim is worth.
    pub durability: Durability,
    /// Shards of its stock, 1 to [`SHARDS_MAX`](crate::lane::SHARDS_MAX); fixed once published.
    pub shards: u16,
    /// The template it was made from.
    pub template: Option<String>,
    /// For the operators' eyes only, at most 4,000 characters.
    pub notes: String,
}

/// A coupon as the ledger keeps it. The stored document says its format, `"format": "1"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename = "1")]
pub struct Coupon {
    /// The public id.
    pub id: CouponId,
    /// The number behind it.
    pub number: CouponNumber,
    /// Rises with every change.
    pub revision: Revision,
    /// The revision of the last change that touched more than stock.
    pub terms_revision: Revision,
    /// Rises when the terms change after the first publishing.
    pub version: Version,
    /// What the operator decided.
    pub lifecycle: Lifecycle,
    /// What the operator wrote.
    pub spec: CouponSpec,
    /// Lowest start ever published; `None` before the first publishing. Before it no gateway needs
    /// to ask Redis: the coupon was never open.
    pub first_open_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

// === impl ClaimLimits ===

impl ClaimLimits {
    /// The form of claim ids that these limits ask for.
    #[must_use]
    pub const fn form(&self) -> ClaimForm {
        if self.per_user == 1 {
            ClaimForm::Single
        } else {
            ClaimForm::Keyed
        }
    }
}

// === impl Coupon ===

impl Coupon {
    /// The status at `now`: the one place where decision and clock meet.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        status(self.lifecycle, self.spec.window, now)
    }
}

/// Status from what was decided, the claim window and the clock.
#[must_use]
pub fn status(lifecycle: Lifecycle, window: ClaimWindow, now: Timestamp) -> Status {
    match lifecycle {
        Lifecycle::Draft => Status::Draft,
        Lifecycle::Archived => Status::Archived,
        Lifecycle::Ended => Status::Ended,
        Lifecycle::Live | Lifecycle::Paused => {
            if window.ends_at.is_some_and(|end| now >= end) {
                Status::Ended
            } else if lifecycle == Lifecycle::Paused {
                Status::Paused
            } else if window.starts_at.is_some_and(|start| now < start) {
                Status::Scheduled
            } else {
                Status::Active
            }
        }
    }
}

#[cfg(test)]
mod tests;
