//! From the cart to the last refund over HTTP: the shapes that storefronts rely on.

use serde_json::{Value, json};
use sluice_domain::id::ClaimId;

use super::harness::{Answer, Server, settings};

/// 2027-01-15T08:15:00Z: a hold made when the clock stands still.
const HELD_UNTIL: &str = "2027-01-15T08:15:00Z";

/// Two pieces at 30.00 and 5.00 of shipping.
pub(crate) fn cart() -> Value {
    json!({
        "currency": "USD",
        "lines": [{"id": "l1", "sku": "A-1", "quantity": 2, "unit_price": "30.00"}],
        "shipping": {"price": "5.00"},
    })
}

pub(crate) fn quote_of(claims: &[ClaimId]) -> Value {
    json!({"cart": cart(), "claims": claims})
}

pub(crate) fn hold_of(order: &str, claims: &[ClaimId]) -> Value {
    json!({"cart": cart(), "claims": claims, "order_id": order})
}

/// A hold of two pieces with these claims; its id.
pub(crate) async fn held(server: &Server, pass: &str, order: &str, claims: &[ClaimId]) -> String {
    let body = hold_of(order, claims).to_string();
    let answer = server.call("POST /v1/redemptions", pass, &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["redemption_id"].as_str().unwrap().to_owned()
}

/// The body without the trace, whose words are not fixed.
#[track_caller]
fn traced(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let mut body = answer.json();
    let trace = body.as_object_mut().unwrap().remove("trace").unwrap();
    assert!(!trace.as_array().unwrap().is_empty());
    body
}

/// The quote of 5.00 off two pieces at 30.00, without its trace.
fn five_off(claim: ClaimId) -> Value {
    json!({
        "currency": "USD", "subtotal": "60.00", "shipping": "5.00", "discount": "5.00",
        "total": "60.00", "proven_optimal": true,
        "applied": [{
            "claim_id": claim, "coupon_id": claim.coupon(), "version": 1,
            "value": "5.00", "desired_value": "5.00",
            "lines": [{"id": "l1", "off": "5.00", "per_unit": ["2.50", "2.50"]}],
            "shipping_off": "0.00",
        }],
        "rejected": [],
    })
}

/// One object with the fields of both.
fn beside(mut own: Value, more: Value) -> Value {
    let Value::Object(more) = more else {
        panic!("an object")
    };
    own.as_object_mut().unwrap().extend(more);
    own
}

#[tokio::test]
async fn a_quote_says_what_is_taken_off_where() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let claim = server.till.fixed(500, "ann").await;
    let answer = server
        .call("POST /v1/quotes", &pass, &quote_of(&[claim]).to_string())
        .await;
    assert_eq!(traced(&answer, 200), five_off(claim));
    // The whole form of a request.
    let whole = json!({
        "cart": {
            "currency": "USD",
            "lines": [{"id": "l1", "sku": "A-1", "quantity": 2, "unit_price": "30.00",
                "categories": ["shoes"], "brand": "x", "tags": [], "floor_price": "0.00"}],
            "shipping": {"price": "5.00"}, "channel": "web",
        },
        "claims": [claim], "codes": [], "choose": "given",
    });
    let answer = server
        .call("POST /v1/quotes", &pass, &whole.to_string())
        .await;
    assert_eq!(traced(&answer, 200), five_off(claim));
}

#[tokio::test]
async fn a_claim_that_does_not_apply_is_rejected_with_all_reasons() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let claim = server
        .till
        .claim("ann", |spec| {
            spec.terms.conditions.min_spend = Some(8_000);
            spec.terms.conditions.channels = vec!["app".to_owned()];
        })
        .await;
    let answer = server
        .call("POST /v1/quotes", &pass, &quote_of(&[claim]).to_string())
        .await;
    let body = traced(&answer, 200);
    assert_eq!(body["total"], "65.00");
    let rejected = &body["rejected"][0];
    assert_eq!(rejected["claim_id"], json!(claim));
    assert_eq!(rejected["verdict"], "not_applicable");
    assert_eq!(rejected["reasons"][0]["code"], "channel_mismatch");
    let reason = &rejected["reasons"][1];
    assert_eq!(reason["code"], "min_spend_not_met");
    assert_eq!(reason["condition"], "min_spend");
    assert_eq!(reason["expected"], "80.00");
    assert_eq!(reason["actual"], "60.00");
    assert_eq!(reason["gap"], "20.00");
    assert!(reason["fix"].is_string());
    assert_eq!(reason["terms_version"], 1);
    // A hold with it is refused by its first reason, and says all.
    let hold = hold_of("o-1", &[claim]).to_string();
    let answer = server.call("POST /v1/redemptions", &pass, &hold).await;
    answer.assert_problem(409, "channel_mismatch");
    assert_eq!(answer.json()["reasons"], rejected["reasons"]);
}

#[tokio::test]
async fn a_match_has_every_claim_and_the_best_quote() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let claim = server.till.fixed(500, "ann").await;
    let body = json!({"cart": cart()}).to_string();
    let answer = server.call("POST /v1/wallet/match", &pass, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut body = answer.json();
    body["best"]
        .as_object_mut()
        .unwrap()
        .remove("trace")
        .unwrap();
    let claims = json!([{
        "claim_id": claim, "coupon_id": claim.coupon(), "verdict": "applies", "value": "5.00",
        "reasons": [],
    }]);
    assert_eq!(body, json!({"claims": claims, "best": five_off(claim)}));
    let best = beside(quote_of(&[]), json!({"choose": "best"})).to_string();
    let answer = server.call("POST /v1/quotes", &pass, &best).await;
    assert_eq!(traced(&answer, 200), five_off(claim));
}

#[tokio::test]
async fn from_the_hold_to_the_last_refund() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let claim = server.till.fixed(500, "ann").await;
    let hold = beside(hold_of("o-1", &[claim]), json!({"expected_total": "60.00"})).to_string();
    let first = server.call("POST /v1/redemptions", &pass, &hold).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let body = traced(&first, 201);
    let id = body["redemption_id"].as_str().unwrap().to_owned();
    let of = |status: &str| {
        let own = json!({
            "redemption_id": id, "order_id": "o-1", "status": status, "held_until": HELD_UNTIL,
        });
        beside(own, five_off(claim))
    };
    assert_eq!(body, of("held"));
    let again = server.call("POST /v1/redemptions", &pass, &hold).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(
        (again.status, &again.body),
        (200, &first.body),
        "to the byte"
    );

    let path = |end: &str| format!("POST /v1/redemptions/{id}{end}");
    let confirmed = server.call(&path("/confirm"), &pass, "").await;
    assert_eq!(traced(&confirmed, 200), of("confirmed"));
    let again = server.call(&path("/confirm"), &pass, "{}").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.body, confirmed.body);
    let cancel = server.call(&path("/cancel"), &pass, "{}").await;
    cancel.assert_problem(409, "conflict");
    assert_eq!(cancel.json()["state"], "confirmed");

    let part = json!({"refund_id": "r-2", "lines": [{"id": "l1", "quantity": 1}]}).to_string();
    let refunded = server.call(&path("/refunds"), &pass, &part).await;
    assert_eq!(refunded.status, 200, "{refunded:?}");
    let expected = json!({
        "refund_id": "r-2", "refund": "27.50", "owed": "0.00", "claims_returned": [],
        "status": "partially_refunded",
    });
    assert_eq!(refunded.json(), expected);
    let again = server.call(&path("/refunds"), &pass, &part).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.body, refunded.body);
    let rest = json!({"refund_id": "r-3", "full": true}).to_string();
    let refunded = server.call(&path("/refunds"), &pass, &rest).await;
    let expected = json!({
        "refund_id": "r-3", "refund": "32.50", "owed": "0.00", "claims_returned": [claim],
        "status": "refunded",
    });
    assert_eq!(refunded.json(), expected);
    check_history(&server, &pass, &id).await;
}

/// The redemption tells all that happened to it.
async fn check_history(server: &Server, pass: &str, id: &str) {
    let read = server
        .call(&format!("GET /v1/redemptions/{id}"), pass, "")
        .await;
    let body = traced(&read, 200);
    assert_eq!(body["status"], "refunded");
    assert_eq!(body["refunds"].as_array().unwrap().len(), 2);
    let steps: Vec<(&Value, &Value, &Value)> = body["transitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (&step["from"], &step["to"], &step["actor"]))
        .collect();
    let actor = json!("user:ann");
    let words = ["held", "confirmed", "partially_refunded", "refunded"].map(|word| json!(word));
    let expected = [
        (&Value::Null, &words[0], &actor),
        (&words[0], &words[1], &actor),
        (&words[1], &words[2], &actor),
        (&words[2], &words[3], &actor),
    ];
    assert_eq!(steps, expected);
    let step = body["transitions"][1].as_object().unwrap();
    assert_eq!(step["operation_id"], "confirm");
    assert!(step["at"].is_string());
}

#[tokio::test]
async fn a_cancelled_order_frees_its_claims() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let claim = server.till.fixed(500, "ann").await;
    let id = held(&server, &pass, "o-1", &[claim]).await;
    let other = hold_of("o-2", &[claim]).to_string();
    let refused = server.call("POST /v1/redemptions", &pass, &other).await;
    refused.assert_problem(409, "held_by_order");
    let cancelled = server
        .call(&format!("POST /v1/redemptions/{id}/cancel"), &pass, "")
        .await;
    assert_eq!(traced(&cancelled, 200)["status"], "cancelled");
    let confirm = server
        .call(&format!("POST /v1/redemptions/{id}/confirm"), &pass, "")
        .await;
    confirm.assert_problem(409, "conflict");
    assert_eq!(confirm.json()["state"], "cancelled");
    held(&server, &pass, "o-2", &[claim]).await;
}

#[tokio::test]
async fn a_hold_that_ran_out_is_expired_and_may_be_held_again() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let claim = server.till.fixed(500, "ann").await;
    let id = held(&server, &pass, "o-1", &[claim]).await;
    server.advance(15 * 60);
    let read = server
        .call(&format!("GET /v1/redemptions/{id}"), &pass, "")
        .await;
    assert_eq!(read.json()["status"], "expired");
    let next = held(&server, &pass, "o-2", &[claim]).await;
    let late = server
        .call(&format!("POST /v1/redemptions/{id}/confirm"), &pass, "")
        .await;
    late.assert_problem(409, "hold_expired");
    assert_eq!(late.json()["held_until"], HELD_UNTIL);
    assert_ne!(next, id);
}

#[tokio::test]
async fn money_has_the_digits_of_its_currency() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let yen = sluice_domain::terms::Currency(*b"JPY");
    let claim = server
        .till
        .claim("ann", |spec| spec.terms.currency = yen)
        .await;
    let body = json!({
        "cart": {"currency": "JPY",
            "lines": [{"id": "l1", "sku": "A", "quantity": 1, "unit_price": "1200"}]},
        "claims": [claim],
    });
    let answer = server
        .call("POST /v1/quotes", &pass, &body.to_string())
        .await;
    let body = traced(&answer, 200);
    assert_eq!(
        (&body["total"], &body["discount"]),
        (&json!("700"), &json!("500"))
    );
}
