//! Checkout while Redis is dead or does not answer, and across a restart of the server.

use serde_json::json;

use super::{Caller, audit_is_exact, has, id_in, shoes, threshold};
use crate::http::wait_for;
use crate::process::{Place, Running, signal};
use crate::redis::RedisServer;

/// What somebody who got their claims in time does while hot state is away.
fn check_out_without_redis(server: &Running, alice: &Caller, claim: &str, code_claim: &str) {
    let wallet = alice.get("/v1/wallet");
    assert_eq!(wallet.status, 200, "{wallet:?}");
    assert_eq!(
        wallet.json()["items"].as_array().unwrap().len(),
        2,
        "{wallet:?}"
    );
    let status = alice.get(&format!("/v1/claims/{claim}"));
    assert_eq!(
        (status.status, &status.json()["status"]),
        (200, &json!("usable"))
    );
    let matched = alice.post("/v1/wallet/match", &json!({"cart": shoes()}));
    has(&matched.json()["best"], &json!({"discount": "10.00"}));
    let quote = alice.post("/v1/quotes", &json!({"cart": shoes(), "claims": [claim]}));
    has(&quote.json(), &json!({"total": "60.00"}));

    // A code that the shopper has claimed is a claim like others; one that they have not is the
    // one thing that needs Redis.
    let body =
        json!({"cart": shoes(), "claims": [claim], "codes": ["CLAIMED1"], "order_id": "o-1"});
    let held = alice.post("/v1/redemptions", &body);
    assert_eq!(held.status, 201, "{held:?}");
    has(
        &held.json(),
        &json!({"discount": "10.00", "total": "55.00"}),
    );
    assert_eq!(alice.claim_status(code_claim), "held");
    let open = json!({"cart": shoes(), "codes": ["OPEN0001"], "order_id": "o-2"});
    let (refused, _code) = alice.post("/v1/redemptions", &open).refusal();
    assert_eq!(refused, 503);
    let (refused, _code) = alice
        .post("/v1/claims", &json!({"code": "OPEN0001"}))
        .refusal();
    assert_eq!(refused, 503);

    let redemption = id_in(&held.json(), "redemption_id");
    has(
        &alice.confirm(&redemption).json(),
        &json!({"status": "confirmed"}),
    );
    let one = json!({"refund_id": "r-1", "lines": [{"id": "l1", "quantity": 1}]});
    has(
        &alice.refund(&redemption, &one).json(),
        &json!({"refund": "25.00"}),
    );
    let given_up = alice.holds("o-3", &shoes(), &[]);
    has(
        &alice.cancel(&id_in(&given_up, "redemption_id")).json(),
        &json!({"status": "cancelled"}),
    );
    assert_eq!(
        server.readyz().status,
        503,
        "claims cannot be served meanwhile"
    );
}

/// A shop whose shopper has a claim, and one by a code, and has not claimed another code.
fn claims(server: &Running, alice: &Caller) -> (String, String) {
    let claim = alice.claims(server, &server.sale(&threshold()));
    for code in ["CLAIMED1", "OPEN0001"] {
        server.sale(&json!({"code": code, "distribution": ["code"]}));
    }
    let by_code = alice.claims_by_code("CLAIMED1");
    (claim, id_in(&by_code.json(), "claim_id"))
}

#[test]
fn f02_checkout_goes_on_while_redis_is_dead() {
    let place = Place::new();
    let mut redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve_patiently(&redis.url());
    server.wait_ready();
    let alice = Caller::shopper(&place, &server, "alice");
    let (claim, by_code) = claims(&server, &alice);
    redis.kill();
    server.wait_not_ready("");
    check_out_without_redis(&server, &alice, &claim, &by_code);
    // Redis comes back with what it had written, and the code can be claimed.
    redis.restart();
    server.wait_ready();
    let open = json!({"cart": shoes(), "codes": ["OPEN0001"], "order_id": "o-2"});
    wait_for("the code to be claimed with the hold", 30, || {
        (alice.post("/v1/redemptions", &open).status == 201).then_some(())
    });
    wait_for("the audit to be exact", 30, || {
        let config = place.folder.path().join("sluice.toml");
        let audit = crate::process::run(&["audit", "--config", config.to_str().unwrap()]);
        (audit.status.code() == Some(0)).then_some(())
    });
}

#[test]
fn f11_checkout_goes_on_while_redis_hangs() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve_patiently(&redis.url());
    server.wait_ready();
    let alice = Caller::shopper(&place, &server, "alice");
    let (claim, by_code) = claims(&server, &alice);
    signal(redis.pid(), "STOP");
    server.wait_not_ready("");
    check_out_without_redis(&server, &alice, &claim, &by_code);
    signal(redis.pid(), "CONT");
    server.wait_ready();
}

#[test]
fn f01_a_hold_outlives_the_server() {
    let place = Place::new();
    let mut server = place.dev();
    server.wait_ready();
    let alice = Caller::shopper(&place, &server, "alice");
    let claim = alice.claims(&server, &server.sale(&threshold()));
    let held = alice.holds("o-1", &shoes(), &[&claim]);
    let redemption = id_in(&held, "redemption_id");
    server.kill();

    let server = place.dev();
    let alice = Caller::shopper(&place, &server, "alice");
    let body = json!({"cart": shoes(), "claims": [claim], "order_id": "o-1"});
    let again = alice.post("/v1/redemptions", &body);
    assert_eq!((again.status, again.json()), (200, held), "the same hold");
    let other = json!({"cart": shoes(), "claims": [claim], "order_id": "o-2"});
    let refused = alice.post("/v1/redemptions", &other);
    assert_eq!(refused.refusal(), (409, "held_by_order".to_owned()));
    has(
        &alice.confirm(&redemption).json(),
        &json!({"status": "confirmed"}),
    );
    server.wait_ready();
    assert_eq!(alice.claim_status(&claim), "used");
    audit_is_exact(&place);
}
