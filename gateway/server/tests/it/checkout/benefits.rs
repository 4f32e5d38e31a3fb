//! Every kind of benefit, made by the admin API and used at checkout.

use serde_json::{Value, json};

use super::{Caller, audit_is_exact, has, one_line, shoes};
use crate::process::{Place, Running};

/// Quotes one claim of a fresh coupon on a cart.
fn quote(server: &Running, alice: &Caller, coupon: &Value, cart: &Value) -> Value {
    let claim = alice.claims(server, &server.sale(coupon));
    let said = alice.post("/v1/quotes", &json!({"cart": cart, "claims": [claim]}));
    assert_eq!(said.status, 200, "{said:?}");
    let mut body = said.json();
    assert_eq!(body["rejected"], json!([]), "{body:#}");
    body["applied"][0]["claim_id"] = Value::Null;
    body
}

#[test]
fn each_benefit_takes_off_what_it_says() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let alice = Caller::shopper(&place, &server, "alice");
    let quoted = |coupon: Value, cart: &Value| quote(&server, &alice, &coupon, cart);

    let fixed = quoted(
        json!({"benefit": {"type": "fixed", "off": "5.00"}}),
        &shoes(),
    );
    has(&fixed, &json!({"discount": "5.00", "total": "60.00"}));

    let percent = json!({"type": "percent", "basis_points": 1500, "max_off": "7.00"});
    let capped = quoted(json!({"benefit": percent}), &shoes());
    has(&capped, &json!({"discount": "7.00", "total": "58.00"}));
    assert_eq!(
        capped["applied"][0]["lines"][0]["per_unit"],
        json!(["3.50", "3.50"])
    );

    // 33 yen of 333 at 10 %: 33.3, rounded once; three pieces that sum exactly.
    let yen = json!({"currency": "JPY", "benefit": {"type": "percent", "basis_points": 1000}});
    let whole = quoted(yen, &one_line("JPY", "T-1", 3, "111"));
    has(
        &whole,
        &json!({"currency": "JPY", "subtotal": "333", "discount": "33", "total": "300"}),
    );
    assert_eq!(
        whole["applied"][0]["lines"][0]["per_unit"],
        json!(["11", "11", "11"])
    );

    let dinar = json!({"currency": "KWD", "benefit": {"type": "fixed", "off": "0.125"}});
    let small = quoted(dinar, &one_line("KWD", "T-2", 1, "1.500"));
    has(&small, &json!({"discount": "0.125", "total": "1.375"}));

    let plan = json!({"type": "product", "sku": "PLAN-1M", "quantity": 1, "max_value": "9.90"});
    let dear = quoted(
        json!({"benefit": plan}),
        &one_line("USD", "PLAN-1M", 1, "12.00"),
    );
    has(&dear, &json!({"discount": "9.90", "total": "2.10"}));
    let gift = json!({"type": "product", "sku": "PLAN-1M", "quantity": 1});
    let added = quoted(json!({"benefit": gift}), &shoes());
    has(&added, &json!({"discount": "0.00", "total": "65.00"}));
    assert_eq!(
        added["applied"][0]["added"],
        json!({"sku": "PLAN-1M", "quantity": 1})
    );

    let shipping = quoted(json!({"stacking": {"stage": "shipping"}}), &shoes());
    has(
        &shipping["applied"][0],
        &json!({"value": "5.00", "shipping_off": "5.00", "lines": []}),
    );

    let nearly = json!({"limits": {"total": 10, "budget": "4.00", "budget_partial": "grant_rest"}});
    let rest = quoted(nearly, &shoes());
    has(
        &rest["applied"][0],
        &json!({"value": "4.00", "desired_value": "5.00"}),
    );
}

#[test]
fn the_best_of_a_wallet_is_found_and_a_budget_ends() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let [alice, bob] = ["alice", "bob"].map(|user| Caller::shopper(&place, &server, user));
    let alone = server.sale(&json!({"name": "Alone", "stacking": {"group": "exclusive"},
        "benefit": {"type": "fixed", "off": "8.00"}}));
    let tight = server.sale(&json!({"name": "Tight", "limits": {"total": 10, "budget": "5.00"}}));
    let shoes_only = server.sale(&json!({"name": "Shoes",
        "conditions": {"products": {"include": {"categories": ["shoes"]}}},
        "benefit": {"type": "fixed", "off": "4.00"}}));
    let alone = alice.claims(&server, &alone);
    let mine = alice.claims(&server, &tight);
    let shoes_only = alice.claims(&server, &shoes_only);
    let theirs = bob.claims(&server, &tight);

    let best = alice
        .post("/v1/quotes", &json!({"cart": shoes(), "choose": "best"}))
        .json();
    has(
        &best,
        &json!({"discount": "9.00", "total": "56.00", "proven_optimal": true}),
    );
    let left_out = &best["rejected"][0];
    has(left_out, &json!({"claim_id": alone, "verdict": "excluded"}));
    assert_eq!(left_out["reasons"][0]["code"], "not_combinable");
    let hats = alice.post(
        "/v1/quotes",
        &json!({"cart": one_line("USD", "H-1", 1, "30.00"),
        "claims": [shoes_only]}),
    );
    assert_eq!(
        hats.json()["rejected"][0]["reasons"][0]["code"],
        "no_eligible_items"
    );

    let held = alice.holds("o-1", &shoes(), &[&mine]);
    let spent = bob.post(
        "/v1/redemptions",
        &json!({"cart": shoes(), "claims": [theirs],
        "order_id": "o-2"}),
    );
    assert_eq!(spent.refusal(), (409, "budget_exhausted".to_owned()));
    let given_up = alice.cancel(held["redemption_id"].as_str().unwrap());
    has(
        &given_up.json(),
        &json!({"status": "cancelled", "order_id": "o-1"}),
    );
    assert_eq!(alice.claim_status(&mine), "usable");
    let free_again = bob.holds("o-2", &shoes(), &[&theirs]);
    has(&free_again, &json!({"status": "held", "discount": "5.00"}));
    audit_is_exact(&place);
}

#[test]
fn a_refund_that_re_evaluates_claws_the_discount_back() {
    let place = Place::new();
    let quick = crate::process::QUICK;
    let server = place.dev_with(&format!(
        "{quick}[checkout]\nrefund_policy = \"reevaluate\"\n"
    ));
    server.wait_ready();
    let alice = Caller::shopper(&place, &server, "alice");
    let claim = alice.claims(&server, &server.sale(&super::threshold()));
    let held = alice.holds("o-1", &shoes(), &[&claim]);
    let redemption = held["redemption_id"].as_str().unwrap();
    assert_eq!(alice.confirm(redemption).status, 200);
    // One pair is below the first tier: it costs 30 without the discount, and shipping 5 is kept.
    let one = json!({"refund_id": "r-1", "lines": [{"id": "l1", "quantity": 1}]});
    has(
        &alice.refund(redemption, &one).json(),
        &json!({"refund": "25.00", "owed": "0.00"}),
    );
    let rest = alice.refund(redemption, &json!({"refund_id": "r-2", "full": true}));
    has(
        &rest.json(),
        &json!({"refund": "35.00", "status": "refunded", "claims_returned": [claim]}),
    );
}

#[test]
fn bodies_are_read_strictly() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let alice = Caller::shopper(&place, &server, "alice");
    let mut unknown_field = shoes();
    unknown_field["lines"][0]["colour"] = json!("red");
    let mut too_precise = shoes();
    too_precise["shipping"]["price"] = json!("5.001");
    for (path, body, pointer) in [
        (
            "/v1/quotes",
            json!({"cart": unknown_field}),
            "/cart/lines/0/colour",
        ),
        (
            "/v1/wallet/match",
            json!({"cart": too_precise}),
            "/cart/shipping/price",
        ),
        (
            "/v1/quotes",
            json!({"cart": shoes(), "choose": "some"}),
            "/choose",
        ),
        ("/v1/quotes", json!({}), "/cart"),
        (
            "/v1/redemptions",
            json!({"cart": shoes(), "choose": "best"}),
            "/order_id",
        ),
        (
            "/v1/quotes",
            json!({"cart": shoes(), "user_id": "bob"}),
            "/user_id",
        ),
        ("/v1/claims", json!({"code": 5}), "/code"),
    ] {
        let said = alice.post(path, &body);
        assert_eq!(
            said.refusal(),
            (400, "invalid_request".to_owned()),
            "{path} {body}"
        );
        assert_eq!(said.json()["errors"][0]["pointer"], pointer, "{said:?}");
    }
    let nobody = Caller::new(&server, "rubbish");
    let turned_away = nobody.get("/v1/wallet");
    assert_eq!(turned_away.refusal(), (401, "login_required".to_owned()));
}
