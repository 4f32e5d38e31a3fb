//! The API form of a coupon, as in the contract: amounts as text, instants in RFC 3339.
//!
//! Types of its own rather than the stored ones: renaming a stored field must not change the API,
//! and the other way round. [`crate::input`] reads what [`Definition`] writes.

mod definition;
mod public;
mod quote;
mod redemption;

use serde::Serialize;

use crate::coupon::{Coupon, Status};
use crate::id::{CouponId, Revision, Version};
use crate::time::Timestamp;

pub use definition::Definition;
pub use public::PublicTerms;
pub use quote::{MatchBody, QuoteBody};
pub use redemption::{RedemptionBody, RefundBody};

/// A coupon as the admin API answers it.
#[derive(Debug, Clone, Serialize)]
pub struct CouponBody {
    /// The public id.
    pub id: CouponId,
    /// The `ETag` as a number.
    pub revision: Revision,
    /// The version that new claims get.
    pub version: Version,
    /// What a person sees.
    pub status: Status,
    /// Everything an operator wrote.
    #[serde(flatten)]
    pub definition: Definition,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Figures; absent where they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
}

/// The figures of a coupon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Units in all; null is unlimited.
    pub total: Option<u64>,
    /// Claims that were not taken back.
    pub granted: u64,
    /// Units that may be claimed now; null is unlimited.
    pub available: Option<u64>,
    /// Units held back until the grace after a loss is over.
    pub quarantined: u64,
    /// Claims that were used.
    pub redeemed: u64,
}

impl CouponBody {
    /// The body of a coupon at `now`, without figures.
    #[must_use]
    pub fn of(coupon: &Coupon, now: Timestamp) -> Self {
        Self {
            id: coupon.id,
            revision: coupon.revision,
            version: coupon.version,
            status: coupon.status(now),
            definition: Definition::of(&coupon.spec),
            created_at: coupon.created_at,
            updated_at: coupon.updated_at,
            counts: None,
        }
    }

    /// The same body with figures.
    #[must_use]
    pub fn with_counts(self, counts: Counts) -> Self {
        Self {
            counts: Some(counts),
            ..self
        }
    }
}

#[cfg(test)]
mod tests;
