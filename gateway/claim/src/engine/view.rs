//! From what is remembered of a claim to what its owner is shown.

use sluice_domain::claim::{ClaimRow, ClaimStatus, Durability, GrantRecord};
use sluice_domain::id::{CouponId, UserId};
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;
use sluice_domain::validity::{self, Standing};

use crate::outcome::ClaimView;

/// The claim as first answered. `None` when this definition does not have its version.
pub(super) fn of_record(
    published: &Published,
    record: &GrantRecord,
    user: &UserId,
) -> Option<ClaimView> {
    let version = published.version(record.version)?;
    Some(ClaimView {
        claim_id: record.claim_id,
        coupon: published.id,
        user: *user,
        version: record.version,
        durability: version.durability,
        granted_at: record.granted_at,
        valid_from: version.validity.valid_from(record.granted_at),
        expires_at: version.validity.expires_at(record.granted_at),
        status: ClaimStatus::Usable,
    })
}

/// The claim as first answered, from its row. `None` when this definition does not have its
/// version.
pub(super) fn of_row(published: &Published, row: &ClaimRow) -> Option<ClaimView> {
    let version = published.version(row.version)?;
    Some(ClaimView {
        claim_id: row.claim_id,
        coupon: row.coupon,
        user: row.user,
        version: row.version,
        durability: row.durability,
        granted_at: row.granted_at,
        valid_from: version.validity.valid_from(row.granted_at),
        expires_at: version.validity.expires_at(row.granted_at),
        status: ClaimStatus::Usable,
    })
}

/// Whether a row is this coupon's claim of this user.
pub(super) fn is_owned(row: &ClaimRow, coupon: CouponId, user: &UserId) -> bool {
    row.coupon == coupon && row.user == *user
}

/// The claim with its status of now.
pub(super) fn as_of(view: ClaimView, standing: Standing, now: Timestamp) -> ClaimView {
    ClaimView {
        status: validity::status(standing, view.expires_at, now),
        ..view
    }
}

/// How a claim in hot state stands. Class `hot` is acknowledged without being a row.
pub(super) const fn standing(durability: Durability, durable: bool) -> Standing {
    match durability {
        Durability::Hot => Standing::Durable,
        Durability::Ledger if durable => Standing::Durable,
        Durability::Ledger => Standing::Pending,
    }
}
