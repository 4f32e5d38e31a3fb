//! Stored documents of every format still load, and are written as they were.
//!
//! The files are never edited. A new format adds files; the old ones stay.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;

use sluice_domain::change;
use sluice_domain::claim::Durability;
use sluice_domain::coupon::Coupon;
use sluice_domain::id::{CouponId, CouponNumber, Version};
use sluice_domain::input;
use sluice_domain::pricing;
use sluice_domain::published::Published;
use sluice_domain::redemption::{Redemption, TermsKey};
use sluice_domain::terms::Terms;
use sluice_domain::time::Timestamp;

const COUPON_1: &str = include_str!("golden/coupon-1.json");
const PUBLISHED_1: &str = include_str!("golden/published-1.json");
/// An order paid with three claims, one of them by a code, a fourth left out, and a piece refunded;
/// as a ledger had it, with the frozen terms of all four.
const REDEMPTION_1: &str = include_str!("golden/redemption-1.json");
const REDEMPTION_1_TERMS: &str = include_str!("golden/redemption-1-terms.json");
const PUBLISHED_2: &str = include_str!("golden/published-2.json");

/// One field of every kind: all conditions, tiers, limits and validities that have a shape.
const DEFINITION: &str = r#"{
  "name": "Grüße \"5\" off", "description": "Two\nlines", "code": "SUMMER20", "currency": "KWD",
  "benefit": {"type": "threshold", "tiers": [{"spend": "50.000", "off": "5.250"}]},
  "conditions": {"min_spend": "1.5", "min_spend_base": "after_this",
    "products": {"include": {"categories": ["shoes"], "tags": ["new"]}, "exclude": {"skus": ["S-9"], "brands": ["x"]}},
    "users": {"kind": "groups", "groups": ["vip", "gold"]}, "verified": ["email", "phone"],
    "windows": [{"days": ["sat", "fri"], "from": "18:00", "to": "24:00", "zone": "Asia/Shanghai"}],
    "channels": ["web"]},
  "stacking": {"stage": "shipping", "priority": 7, "group": "exclusive", "combines_with": ["t1"], "base": "initial", "tags": ["t2"]},
  "limits": {"total": 1000, "per_user": 2, "per_device": 3, "per_ip": 4, "uses_per_claim": 5,
    "uses_per_user": {"count": 6, "period": "month"}, "budget": "5000", "budget_partial": "grant_rest"},
  "distribution": ["public", "targeted"],
  "claim_window": {"starts_at": "2026-11-27T00:00:00Z", "ends_at": "2026-11-28T00:00:00.5Z"},
  "validity": {"type": "relative", "days": 7, "until": "end_of_day", "zone": "Europe/Berlin"},
  "template": "flash", "notes": "note"}"#;

/// A giant sale.
const SHARDED: &str = r#"{"name": "Giant", "currency": "USD",
  "benefit": {"type": "fixed", "off": "5.00"}, "limits": {"total": 1000000}, "shards": 16}"#;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Published once, then edited to other terms and back to class `ledger`.
fn coupon() -> (Coupon, Published) {
    let spec = input::coupon(DEFINITION.as_bytes()).unwrap();
    let draft = change::create(
        CouponId(0x0102_0304),
        CouponNumber(7),
        spec,
        at("2026-11-01T00:00:00.001Z"),
    );
    let first = change::publish(&draft, at("2026-11-02T00:00:00Z")).unwrap();
    let patch = br#"{"validity": {"type": "fixed", "starts_at": "2026-12-01T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"}, "code": null, "durability": "hot"}"#;
    let spec = input::patch(&first, patch).unwrap();
    let second = change::edit(&first, spec, at("2026-11-03T00:00:00Z")).unwrap();
    let versions = Published::of(&first, &[]).unwrap().versions;
    let published = Published::of(&second, &versions).unwrap();
    (second, published)
}

#[test]
fn coupons_of_format_1() {
    let (coupon, _published) = coupon();
    let stored: Coupon = serde_json::from_str(COUPON_1).unwrap();
    assert_eq!(stored, coupon);
    assert_eq!(
        serde_json::to_string_pretty(&coupon).unwrap(),
        COUPON_1.trim_end()
    );
}

#[test]
fn published_coupons_of_format_1() {
    let (_coupon, published) = coupon();
    let stored: Published = serde_json::from_str(PUBLISHED_1).unwrap();
    assert_eq!(stored, published);
    assert_eq!(
        serde_json::to_string_pretty(&published).unwrap(),
        PUBLISHED_1.trim_end()
    );
    let first = stored.version(Version(1)).unwrap();
    assert_eq!(first.durability, Durability::Ledger);
}

/// What a coupon with shards is written as: an older program refuses it.
#[test]
fn published_coupons_of_format_2() {
    let spec = input::coupon(SHARDED.as_bytes()).unwrap();
    let (id, now) = (CouponId(0x0102_0304), at("2026-11-01T00:00:00Z"));
    let draft = change::create(id, CouponNumber(7), spec, now);
    let live = change::publish(&draft, now).unwrap();
    let published = Published::of(&live, &[]).unwrap();
    assert_eq!(
        serde_json::to_string_pretty(&published).unwrap(),
        PUBLISHED_2.trim_end()
    );
    let stored: Published = serde_json::from_str(PUBLISHED_2).unwrap();
    assert_eq!(stored, published);
    assert_eq!((stored.format, stored.shards), (2, 16));
}

#[test]
fn redemptions_of_format_1() {
    let redemption: Redemption = serde_json::from_str(REDEMPTION_1).unwrap();
    assert_eq!(
        serde_json::to_string_pretty(&redemption).unwrap(),
        REDEMPTION_1.trim_end()
    );
    // Years later: the same to the last cent, from what was frozen.
    #[derive(serde::Deserialize)]
    struct Frozen {
        coupon: u32,
        version: Version,
        terms: Terms,
    }
    let frozen: Vec<Frozen> = serde_json::from_str(REDEMPTION_1_TERMS).unwrap();
    let terms: HashMap<TermsKey, Arc<Terms>> = frozen
        .into_iter()
        .map(|one| ((CouponId(one.coupon), one.version), Arc::new(one.terms)))
        .collect();
    let replayed = pricing::replay(&redemption.record, &terms).unwrap();
    assert!(replayed.same_money(&redemption.record.quote));
    assert_eq!(replayed.discount, 750 + 500 + 333);
    assert_eq!(redemption.refunds.len(), 1);
}
