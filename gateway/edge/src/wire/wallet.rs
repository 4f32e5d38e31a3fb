//! The wallet's body.

use serde::Serialize;
use sluice_checkout::{WalletItem, WalletPage};
use sluice_domain::claim::{ClaimStatus, Durability};
use sluice_domain::id::{ClaimId, CouponId, OrderId, UserId, Version};
use sluice_domain::render::PublicTerms;
use sluice_domain::time::Timestamp;

/// A wallet.
#[derive(Serialize)]
pub(crate) struct WalletBody<'a> {
    items: Vec<ItemBody<'a>>,
    /// Whether there are older claims that are not listed.
    more: bool,
}

#[derive(Serialize)]
struct ItemBody<'a> {
    claim_id: ClaimId,
    coupon_id: CouponId,
    user_id: UserId,
    version: Version,
    status: ClaimStatus,
    durability: Durability,
    granted_at: Timestamp,
    valid_from: Timestamp,
    expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<&'a OrderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_until: Option<Timestamp>,
    uses_left: u32,
    name: &'a str,
    terms: PublicTerms,
}

// === impl WalletBody ===

impl<'a> WalletBody<'a> {
    pub(crate) fn of(page: &'a WalletPage) -> Self {
        Self {
            items: page.items.iter().map(ItemBody::of).collect(),
            more: page.more,
        }
    }
}

// === impl ItemBody ===

impl<'a> ItemBody<'a> {
    fn of(item: &'a WalletItem) -> Self {
        Self {
            claim_id: item.row.claim_id,
            coupon_id: item.row.coupon,
            user_id: item.row.user,
            version: item.row.version,
            status: item.status,
            durability: item.row.durability,
            granted_at: item.row.granted_at,
            valid_from: item.valid_from,
            expires_at: item.expires_at,
            order_id: item.held.as_ref().map(|(order, _)| order),
            held_until: item.held.as_ref().map(|(_, until)| *until),
            uses_left: item.uses_left,
            name: &item.terms.name,
            terms: PublicTerms::of(&item.terms),
        }
    }
}
