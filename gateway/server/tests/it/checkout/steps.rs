//! The walk: claim, look, quote, hold, pay, give back.

use serde_json::{Value, json};

use super::{Caller, alike, audit_is_exact, has, id_in, shoes, threshold};
use crate::http::Reply;
use crate::process::{Place, Running};

struct Scene {
    place: Place,
    server: Running,
    coupon: String,
    alice: Caller,
    mallory: Caller,
    claim: String,
}

impl Scene {
    fn new() -> Self {
        let place = Place::new();
        let server = place.dev();
        server.wait_ready();
        let coupon = server.sale(&threshold());
        let alice = Caller::shopper(&place, &server, "alice");
        let mallory = Caller::shopper(&place, &server, "mallory");
        let claim = alice.claims(&server, &coupon);
        Self {
            place,
            server,
            coupon,
            alice,
            mallory,
            claim,
        }
    }

    /// What the coupon takes off the shoes.
    fn applied(&self) -> Value {
        json!([{"claim_id": self.claim, "coupon_id": self.coupon, "version": 1,
            "value": "5.00", "desired_value": "5.00", "shipping_off": "0.00",
            "lines": [{"id": "l1", "off": "5.00", "per_unit": ["2.50", "2.50"]}]}])
    }

    fn sums(&self) -> Value {
        json!({"currency": "USD", "subtotal": "60.00", "shipping": "5.00", "discount": "5.00",
            "total": "60.00", "proven_optimal": true, "applied": self.applied()})
    }

    fn redeemed(&self) -> Value {
        let path = format!("/admin/v1/coupons/{}", self.coupon);
        self.server.admin("GET", &path, &Value::Null).json()["counts"]["redeemed"].clone()
    }

    fn hold_body(&self) -> Value {
        json!({"cart": shoes(), "claims": [self.claim], "codes": [], "choose": "given",
            "order_id": "o-1", "expected_total": "60.00"})
    }

    fn hold(&self, body: &Value) -> Reply {
        self.alice.post("/v1/redemptions", body)
    }
}

#[test]
fn from_the_claim_to_the_last_refund() {
    let scene = Scene::new();
    look(&scene);
    let redemption = hold(&scene);
    confirm(&scene, &redemption);
    refund(&scene, &redemption);
    history(&scene, &redemption);
    audit_is_exact(&scene.place);
}

/// Wallet, match and quote change nothing.
fn look(scene: &Scene) {
    let large = scene.server.sale(&json!({"name": "Large orders",
        "conditions": {"min_spend": "80.00"}}));
    let other = scene.alice.claims(&scene.server, &large);
    let wallet = scene.alice.get("/v1/wallet").json();
    let items = wallet["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{wallet}");
    let item = items
        .iter()
        .find(|item| item["claim_id"] == *scene.claim)
        .unwrap();
    has(
        item,
        &json!({"coupon_id": scene.coupon, "status": "usable", "version": 1}),
    );
    assert_eq!(
        item["terms"]["benefit"]["tiers"][0],
        json!({"spend": "50.00", "off": "5.00"})
    );
    let words = item["terms"]["words"].as_array().unwrap();
    assert!(
        words[0].as_str().unwrap().contains("5.00 USD off"),
        "{words:?}"
    );
    assert_eq!(
        scene.alice.get("/v1/wallet?status=held").json()["items"],
        json!([])
    );

    let reason = json!({"code": "min_spend_not_met", "expected": "80.00", "actual": "60.00",
        "gap": "20.00", "terms_version": 1});
    let said = scene
        .alice
        .post("/v1/wallet/match", &json!({"cart": shoes()}))
        .json();
    has(&said["best"], &scene.sums());
    let verdict = |claim: &str| {
        let claims = said["claims"].as_array().unwrap();
        let found = claims.iter().find(|one| one["claim_id"] == *claim).unwrap();
        (
            found["verdict"].clone(),
            found["value"].clone(),
            found["reasons"].clone(),
        )
    };
    assert_eq!(
        verdict(&scene.claim),
        (json!("applies"), json!("5.00"), json!([]))
    );
    let (no, nothing, reasons) = verdict(&other);
    assert_eq!((no, nothing), (json!("not_applicable"), json!("0.00")));
    has(&reasons[0], &reason);

    quote_without(scene, &other, &reason);
}

/// Neither a quote nor a hold uses a claim that does not apply, and both say why.
fn quote_without(scene: &Scene, other: &str, reason: &Value) {
    for choose in ["given", "best"] {
        let body = json!({"cart": shoes(), "claims": [scene.claim, other], "choose": choose});
        let quote = scene.alice.post("/v1/quotes", &body).json();
        has(&quote, &scene.sums());
        let rejected = &quote["rejected"][0];
        has(
            rejected,
            &json!({"claim_id": other, "verdict": "not_applicable"}),
        );
        has(&rejected["reasons"][0], reason);
        let fix = rejected["reasons"][0]["fix"].as_str().unwrap();
        assert!(fix.contains("20.00 USD"), "the smallest change: {fix}");
        let steps = quote["trace"].as_array().unwrap();
        assert_eq!(steps.last().unwrap()["amount"], "60.00", "{quote}");
    }
    let given = json!({"cart": shoes(), "claims": [other], "order_id": "o-9"});
    let refused = scene.hold(&given);
    assert_eq!(refused.refusal(), (409, "min_spend_not_met".to_owned()));
    has(&refused.json()["reasons"][0], reason);
    assert_eq!(
        scene.alice.claim_status(other),
        "usable",
        "a refused hold changes nothing"
    );
}

fn hold(scene: &Scene) -> String {
    let mut wrong = scene.hold_body();
    wrong["expected_total"] = json!("59.99");
    let refused = scene.hold(&wrong);
    assert_eq!(refused.refusal(), (409, "price_changed".to_owned()));
    has(
        &refused.json(),
        &json!({"expected": "59.99", "actual": "60.00"}),
    );
    let foreign = json!({"cart": shoes(), "claims": [scene.claim], "order_id": "o-7"});
    let unknown = json!({"cart": shoes(), "claims": ["0".repeat(26)], "order_id": "o-7"});
    let not_mine = scene.mallory.post("/v1/redemptions", &foreign);
    assert_eq!(not_mine.refusal(), (404, "not_found".to_owned()));
    alike(&not_mine, &scene.mallory.post("/v1/redemptions", &unknown));

    let held = scene.hold(&scene.hold_body());
    assert_eq!(
        (held.status, held.header("idempotency-replayed")),
        (201, None),
        "{held:?}"
    );
    let body = held.json();
    has(&body, &scene.sums());
    has(
        &body,
        &json!({"order_id": "o-1", "status": "held", "rejected": []}),
    );
    assert!(body["held_until"].is_string(), "{body}");
    let redemption = id_in(&body, "redemption_id");

    let again = scene.hold(&scene.hold_body());
    assert_eq!(
        (again.status, &again.body),
        (200, &held.body),
        "the hold is not prolonged"
    );
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other_order = json!({"cart": shoes(), "claims": [scene.claim], "order_id": "o-2"});
    let refused = scene.hold(&other_order);
    assert_eq!(refused.refusal(), (409, "held_by_order".to_owned()));
    let claim = scene
        .alice
        .get(&format!("/v1/claims/{}", scene.claim))
        .json();
    let held_by = json!({"status": "held", "order_id": "o-1", "held_until": body["held_until"]});
    has(&claim, &held_by);
    let wallet = scene.alice.get("/v1/wallet?status=held").json();
    has(&wallet["items"][0], &held_by);

    // The order changed its mind: one pair, below the first tier.
    let mut less = scene.hold_body();
    less["cart"]["lines"][0]["quantity"] = json!(1);
    less["claims"] = json!([]);
    less["expected_total"] = json!("35.00");
    let anew = scene.hold(&less);
    assert_eq!(
        (anew.status, id_in(&anew.json(), "redemption_id")),
        (201, redemption.clone())
    );
    has(
        &anew.json(),
        &json!({"status": "held", "discount": "0.00", "applied": []}),
    );
    assert_eq!(scene.alice.claim_status(&scene.claim), "usable");
    let back = scene.hold(&scene.hold_body());
    assert_eq!(back.status, 201, "{back:?}");
    has(&back.json(), &scene.sums());
    redemption
}

fn confirm(scene: &Scene, redemption: &str) {
    assert_eq!(scene.redeemed(), 0);
    let unknown = "0".repeat(26);
    for (mine, nobodys) in [
        (
            scene.mallory.redemption(redemption),
            scene.mallory.redemption(&unknown),
        ),
        (
            scene.mallory.confirm(redemption),
            scene.mallory.confirm(&unknown),
        ),
        (
            scene.mallory.cancel(redemption),
            scene.mallory.cancel(&unknown),
        ),
        (
            scene
                .mallory
                .refund(redemption, &json!({"refund_id": "r", "full": true})),
            scene
                .mallory
                .refund(&unknown, &json!({"refund_id": "r", "full": true})),
        ),
    ] {
        assert_eq!(mine.refusal(), (404, "not_found".to_owned()));
        alike(&mine, &nobodys);
    }
    let early = scene
        .alice
        .refund(redemption, &json!({"refund_id": "r-0", "full": true}));
    assert_eq!(early.refusal(), (409, "conflict".to_owned()));
    assert_eq!(early.json()["state"], "held", "{early:?}");

    let paid = scene.alice.confirm(redemption);
    assert_eq!(paid.status, 200, "{paid:?}");
    has(&paid.json(), &scene.sums());
    has(
        &paid.json(),
        &json!({"redemption_id": redemption, "status": "confirmed"}),
    );
    let again = scene.alice.confirm(redemption);
    assert_eq!((again.status, &again.body), (200, &paid.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let late = scene.alice.cancel(redemption);
    assert_eq!(late.refusal(), (409, "conflict".to_owned()));
    assert_eq!(late.json()["state"], "confirmed", "{late:?}");
    assert_eq!(scene.alice.claim_status(&scene.claim), "used");
    assert_eq!(scene.redeemed(), 1);
}

fn refund(scene: &Scene, redemption: &str) {
    let one = json!({"refund_id": "r-1", "lines": [{"id": "l1", "quantity": 1}]});
    let first = scene.alice.refund(redemption, &one);
    assert_eq!(first.status, 200, "{first:?}");
    has(
        &first.json(),
        &json!({"refund_id": "r-1", "refund": "27.50", "claims_returned": [],
        "status": "partially_refunded"}),
    );
    let again = scene.alice.refund(redemption, &one);
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let reused = scene
        .alice
        .refund(redemption, &json!({"refund_id": "r-1", "full": true}));
    assert_eq!(reused.refusal(), (422, "key_reused".to_owned()));
    let too_many = json!({"refund_id": "r-2", "lines": [{"id": "l1", "quantity": 2}]});
    let refused = scene.alice.refund(redemption, &too_many);
    assert_eq!(refused.refusal(), (400, "invalid_request".to_owned()));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/lines/0/quantity");
    assert_eq!(scene.alice.claim_status(&scene.claim), "used");

    let rest = scene
        .alice
        .refund(redemption, &json!({"refund_id": "r-3", "full": true}));
    has(
        &rest.json(),
        &json!({"refund_id": "r-3", "refund": "32.50",
        "claims_returned": [scene.claim], "status": "refunded"}),
    );
    let more = scene
        .alice
        .refund(redemption, &json!({"refund_id": "r-4", "full": true}));
    assert_eq!(more.refusal(), (409, "conflict".to_owned()));
    assert_eq!(scene.alice.claim_status(&scene.claim), "usable");
    assert_eq!(scene.redeemed(), 0);
}

fn history(scene: &Scene, redemption: &str) {
    let body = scene.alice.redemption(redemption).json();
    has(&body, &scene.sums());
    has(&body, &json!({"order_id": "o-1", "status": "refunded"}));
    let refunds = body["refunds"].as_array().unwrap();
    let refunded: Vec<&Value> = refunds.iter().map(|one| &one["refund"]).collect();
    assert_eq!(refunded, ["27.50", "32.50"], "{body}");
    let transitions = body["transitions"].as_array().unwrap();
    let path: Vec<(&Value, &Value)> = transitions
        .iter()
        .map(|one| (&one["from"], &one["to"]))
        .collect();
    let [none, held, paid, part, all] = [
        &Value::Null,
        &json!("held"),
        &json!("confirmed"),
        &json!("partially_refunded"),
        &json!("refunded"),
    ];
    let wanted = [
        (none, held),
        (held, held),
        (held, held),
        (held, paid),
        (paid, part),
        (part, all),
    ];
    assert_eq!(path, wanted, "{body:#}");
    for one in transitions {
        assert_eq!(one["actor"], "user:alice");
        assert!(
            one["at"].is_string() && one["operation_id"].is_string(),
            "{one}"
        );
    }
}
