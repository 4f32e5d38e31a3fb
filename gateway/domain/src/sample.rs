//! Coupons and shoppers that tests start from.

use std::sync::Arc;

use crate::change;
use crate::coupon::{Coupon, CouponSpec};
use crate::eligibility::Shopper;
use crate::id::{CouponId, CouponNumber, UserId};
use crate::input;
use crate::published::Published;
use crate::time::Timestamp;

/// The coupon of the API contract, with every field.
pub(crate) const CONTRACT: &str = r#"{
  "name": "Black Friday 5 off", "description": "", "code": null, "currency": "USD",
  "benefit": {"type": "threshold", "tiers": [{"spend": "50.00", "off": "5.00"}, {"spend": "100.00", "off": "15.00"}]},
  "conditions": { "min_spend": "20.00", "min_spend_base": "initial",
    "products": {"include": {"skus": [], "categories": ["shoes"], "brands": [], "tags": []}, "exclude": {"skus": ["S-9"]}},
    "users": {"kind": "all", "groups": [], "ids": []}, "verified": [],
    "windows": [{"days": ["fri", "sat"], "from": "18:00", "to": "02:00", "zone": "Asia/Shanghai"}], "channels": [] },
  "stacking": {"stage": "order", "priority": 100, "group": "combinable", "combines_with": [], "base": "running", "tags": []},
  "limits": {"total": 1000, "per_user": 1, "per_device": null, "per_ip": null, "uses_per_claim": 1,
    "uses_per_user": {"count": 1, "period": "day"}, "budget": "5000.00", "budget_partial": "refuse"},
  "distribution": ["public"], "claim_window": {"starts_at": "2026-11-27T00:00:00Z", "ends_at": "2026-11-28T00:00:00Z"},
  "validity": {"type": "relative", "days": 7, "until": "minute", "zone": "UTC"}, "durability": "ledger", "shards": 1, "template": null, "notes": "" }"#;

/// The smallest coupon that is accepted.
pub(crate) const SMALLEST: &str = r#"{"name": "Five off", "currency": "USD",
  "benefit": {"type": "fixed", "off": "5.00"}, "limits": {"total": 10}}"#;

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn user(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

pub(crate) fn spec(json: &str) -> CouponSpec {
    input::coupon(json.as_bytes()).unwrap()
}

/// A draft, made on 2026-11-01.
pub(crate) fn draft(json: &str) -> Coupon {
    change::create(
        CouponId(77),
        CouponNumber(1),
        spec(json),
        at("2026-11-01T00:00:00Z"),
    )
}

/// The same coupon, published on 2026-11-02.
pub(crate) fn live(json: &str) -> Coupon {
    change::publish(&draft(json), at("2026-11-02T00:00:00Z")).unwrap()
}

pub(crate) fn published(coupon: &Coupon) -> Published {
    Published::of(coupon, &[]).unwrap()
}

/// Somebody of whom the token says nothing but the name.
pub(crate) fn shopper(name: &str) -> Shopper {
    Shopper {
        user: user(name),
        groups: Arc::new([]),
        is_new: None,
        verified: Arc::new([]),
        device: None,
    }
}
