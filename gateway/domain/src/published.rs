//! The published form of a coupon: what gateways read from hot state, and nothing more.
//!
//! It is stored in Redis beside the coupon's state and read into every gateway's cache, never from
//! the ledger. `format` is raised when its shape changes; old documents still load.

use serde::{Deserialize, Serialize};

use crate::claim::{ClaimForm, Durability};
use crate::coupon::{ClaimLimits, ClaimWindow, Coupon, Distribution, Lifecycle};
use crate::id::{CouponId, CouponNumber, Revision, Version};
use crate::terms::{Terms, Validity};
use crate::time::Timestamp;

/// The newest format. A program that knows only an older one refuses the document instead of
/// deciding claims in the wrong lane.
pub const PUBLISHED_FORMAT: u16 = 2;

/// The format of a coupon without shards, which older programs still read.
const UNSHARDED_FORMAT: u16 = 1;

/// What a repeat of an old claim needs of its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedVersion {
    /// The version.
    pub version: Version,
    /// When claims of it may be used.
    pub validity: Validity,
    /// What its acknowledgements were worth.
    pub durability: Durability,
}

/// A published coupon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// 1, or 2 where there is more than one shard.
    pub format: u16,
    /// The public id.
    pub id: CouponId,
    /// The number behind it.
    pub number: CouponNumber,
    /// The revision it was made from.
    pub revision: Revision,
    /// The last revision that changed more than stock.
    pub terms_revision: Revision,
    /// The version new claims get.
    pub version: Version,
    /// Never `Draft`.
    pub lifecycle: Lifecycle,
    /// Lowest start ever published.
    pub first_open_at: Timestamp,
    /// When it may be claimed.
    pub window: ClaimWindow,
    /// Limits on claiming.
    pub limits: ClaimLimits,
    /// How it reaches shoppers.
    pub distribution: Vec<Distribution>,
    /// Shards of its stock, 1 to [`SHARDS_MAX`](crate::lane::SHARDS_MAX): each user's claims are
    /// decided in the lane of the user's shard.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub shards: u16,
    /// How claim ids are made.
    pub form: ClaimForm,
    /// What an acknowledged claim is worth.
    pub durability: Durability,
    /// The terms of the current version.
    pub terms: Terms,
    /// Every published version, the current one last.
    pub versions: Vec<PublishedVersion>,
}

impl Published {
    /// The published form of a coupon, with the earlier versions that claims may still hold.
    /// `None` for a draft.
    #[must_use]
    pub fn of(coupon: &Coupon, earlier: &[PublishedVersion]) -> Option<Self> {
        let first_open_at = coupon.first_open_at?;
        let mut versions: Vec<PublishedVersion> = earlier
            .iter()
            .filter(|held| held.version < coupon.version)
            .cloned()
            .collect();
        versions.push(PublishedVersion {
            version: coupon.version,
            validity: coupon.spec.terms.validity.clone(),
            durability: coupon.spec.durability,
        });
        Some(Self {
            format: if coupon.spec.shards > 1 {
                PUBLISHED_FORMAT
            } else {
                UNSHARDED_FORMAT
            },
            id: coupon.id,
            number: coupon.number,
            revision: coupon.revision,
            terms_revision: coupon.terms_revision,
            version: coupon.version,
            lifecycle: coupon.lifecycle,
            first_open_at,
            window: coupon.spec.window,
            limits: coupon.spec.limits,
            distribution: coupon.spec.distribution.clone(),
            shards: coupon.spec.shards,
            form: coupon.spec.limits.form(),
            durability: coupon.spec.durability,
            terms: coupon.spec.terms.clone(),
            versions,
        })
    }

    /// The published version with this number.
    #[must_use]
    pub fn version(&self, version: Version) -> Option<&PublishedVersion> {
        self.versions.iter().find(|held| held.version == version)
    }
}

const fn one() -> u16 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it by reference"
)]
const fn is_one(shards: &u16) -> bool {
    *shards == 1
}

#[cfg(test)]
mod tests;
