//! The shapes of the contract.

use std::sync::Arc;

use super::*;
use crate::id::{ClaimId, CouponId, Version};
use crate::pricing::{
    Buyer, Candidate, CandidateFacts, Choose, ClaimStanding, OrderLimits, QuoteInput, match_wallet,
    quote,
};
use crate::sample::{spec, user};

fn candidate(number: u32, json: &str) -> Candidate {
    let coupon = CouponId(number);
    Candidate {
        terms: Arc::new(spec(json).terms),
        facts: CandidateFacts {
            claim_id: ClaimId::new(coupon, [0; 12]),
            coupon,
            version: Version(3),
            code: None,
            valid_from: at("2026-11-01T00:00:00Z"),
            expires_at: None,
            standing: ClaimStanding::Free,
            user_uses: None,
            budget_left: None,
            archived: false,
        },
    }
}

/// The cart of the contract, a voucher of 5.00 and one that asks for 80.00.
fn asked() -> QuoteInput {
    let cart = br#"{"cart": {"currency": "USD",
      "lines": [{"id": "l1", "sku": "A-1", "quantity": 2, "unit_price": "30.00"}],
      "shipping": {"price": "5.00"}}}"#;
    let dear = r#"{"name": "a", "currency": "USD", "limits": {"total": 1},
      "benefit": {"type": "fixed", "off": "9.00"}, "conditions": {"min_spend": "80.00"}}"#;
    QuoteInput {
        cart: crate::input::quote(cart).unwrap().cart,
        buyer: Buyer {
            user: user("u1"),
            groups: Vec::new(),
            is_new: None,
            verified: Vec::new(),
        },
        candidates: vec![candidate(1, crate::sample::SMALLEST), candidate(2, dear)],
        choose: Choose::Given,
        limits: OrderLimits::default(),
        now: at("2026-11-27T00:00:00Z"),
    }
}

#[test]
fn a_quote_has_the_shape_of_the_contract() {
    let (first, second) = (CouponId(1), CouponId(2));
    let (claim, other) = (ClaimId::new(first, [0; 12]), ClaimId::new(second, [0; 12]));
    let mut body = value(&QuoteBody::of(&quote(&asked())));
    let trace = body.as_object_mut().unwrap().remove("trace").unwrap();
    let reason = json!({
        "code": "min_spend_not_met", "condition": "min_spend",
        "expected": "80.00", "actual": "60.00", "gap": "20.00",
        "fix": "Add 20.00 USD more.", "terms_version": 3,
    });
    assert_eq!(
        body,
        json!({
            "currency": "USD", "subtotal": "60.00", "shipping": "5.00", "discount": "5.00",
            "total": "60.00", "proven_optimal": true,
            "applied": [{
                "claim_id": claim, "coupon_id": first, "version": 3, "value": "5.00",
                "desired_value": "5.00", "shipping_off": "0.00",
                "lines": [{"id": "l1", "off": "5.00", "per_unit": ["2.50", "2.50"]}],
            }],
            "rejected": [{
                "claim_id": other, "coupon_id": second, "verdict": "not_applicable",
                "reasons": [reason],
            }],
        })
    );
    let steps: Vec<&str> = trace
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(
        steps,
        ["candidates", "base", "fixed", "allocate", "skip", "total"]
    );
    assert_eq!(trace[3]["amount"], json!("5.00"));
    assert_eq!(trace[3]["detail"], json!("l1 5.00 USD"));
    assert_eq!(
        trace[5],
        json!({
            "step": "total", "base": "65.00", "amount": "60.00", "detail": "65.00 USD less 5.00 USD",
        })
    );
}

#[test]
fn a_match_has_the_shape_of_the_contract() {
    let body = value(&MatchBody::of(&match_wallet(&asked())));
    assert_eq!(body["claims"][0]["verdict"], json!("applies"));
    assert_eq!(body["claims"][0]["value"], json!("5.00"));
    assert_eq!(body["claims"][0]["reasons"], json!([]));
    assert_eq!(body["claims"][1]["verdict"], json!("not_applicable"));
    assert_eq!(body["claims"][1]["value"], json!("0.00"));
    assert_eq!(
        body["claims"][1]["reasons"][0]["code"],
        json!("min_spend_not_met")
    );
    assert_eq!(body["best"]["discount"], json!("5.00"));
}
