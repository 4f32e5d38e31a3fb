//! Grants because of orders, and what the order's end does to them.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use sluice_claim::outcome::{ClaimOutcome, Refusal, Unavailable};
use sluice_domain::id::{CouponId, UserId};
use sluice_domain::reason::ReasonCode;
use sluice_ledger::causes::Causes as _;
use sluice_ledger::claims::Claims as _;

use super::checkout::{held, hold_of};
use super::harness::{Answer, Server, settings};
use super::till::{CHECKOUT_KEY, EVENTS_KEY, SILENT_KEY};

/// A coupon that one user may have several of.
async fn coupon(server: &Server) -> CouponId {
    let several = |spec: &mut sluice_domain::coupon::CouponSpec| spec.limits.per_user = 3;
    server.till.granting.coupon(several).await
}

async fn grant(server: &Server, coupon: CouponId, user: &str, order: &str) -> Answer {
    let body = json!({"coupon_id": coupon, "user_id": user, "order_id": order});
    server
        .call("POST /v1/grants", EVENTS_KEY, &body.to_string())
        .await
}

async fn cancel(server: &Server, order: &str) -> Answer {
    let line = format!("POST /v1/orders/{order}/cancelled");
    server.call(&line, EVENTS_KEY, "").await
}

fn claim_in(answer: &Answer) -> String {
    answer.json()["claim_id"].as_str().unwrap().to_owned()
}

fn outcomes(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let claims = body["claims"].as_array().unwrap().iter();
    claims
        .map(|one| one["outcome"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_grant_is_one_claim_for_each_order_and_ends_with_it() {
    let server = Server::start(settings()).await;
    let coupon = coupon(&server).await;
    let first = grant(&server, coupon, "ann", "o-1").await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(first.json()["order_id"], "o-1");
    let again = grant(&server, coupon, "ann", "o-1").await;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (200, Some("true"))
    );
    assert_eq!(again.json(), first.json());
    let second = grant(&server, coupon, "ann", "o-2").await;
    assert_ne!(
        claim_in(&first),
        claim_in(&second),
        "another order, another claim"
    );

    let done = cancel(&server, "o-1").await;
    assert_eq!(done.status, 200, "{done:?}");
    let body = done.json();
    assert_eq!(
        (&body["order_id"], body["claims"].as_array().unwrap().len()),
        (&json!("o-1"), 1)
    );
    let claim = &body["claims"][0];
    assert_eq!(claim["claim_id"], claim_in(&first));
    assert_eq!(
        (&claim["outcome"], &claim["user_id"]),
        (&json!("revoked"), &json!("ann"))
    );
    assert_eq!(
        cancel(&server, "o-1").await.json(),
        body,
        "a repeat says the same"
    );
    let revoked = claim_in(&first).parse().unwrap();
    assert!(
        server
            .till
            .ledger
            .claim(revoked)
            .await
            .unwrap()
            .unwrap()
            .revoked
    );
    let kept = claim_in(&second).parse().unwrap();
    assert!(
        !server
            .till
            .ledger
            .claim(kept)
            .await
            .unwrap()
            .unwrap()
            .revoked
    );

    let late = grant(&server, coupon, "bob", "o-1").await;
    late.assert_problem(409, "conflict");
    grant(&server, coupon, "ann", "o-1")
        .await
        .assert_problem(409, "conflict");
    let unheard = cancel(&server, "o-never-heard-of").await;
    assert_eq!((unheard.status, outcomes(&unheard)), (200, vec![]));
    grant(&server, coupon, "bob", "o-never-heard-of")
        .await
        .assert_problem(409, "conflict");
}

#[tokio::test]
async fn what_is_in_use_is_flagged_and_taken_back_when_it_is_free() {
    let server = Server::start(settings()).await;
    let coupon = coupon(&server).await;
    let claim = claim_in(&grant(&server, coupon, "ann", "o-1").await)
        .parse()
        .unwrap();
    let redemption = held(&server, &server.pass("ann"), "buy-1", &[claim]).await;
    for _again in 0..2 {
        let flagged = cancel(&server, "o-1").await;
        assert_eq!(outcomes(&flagged), ["flagged"]);
        let by = flagged.json()["claims"][0]["uses"][0].clone();
        assert_eq!(
            (&by["order_id"], &by["status"]),
            (&json!("buy-1"), &json!("held"))
        );
    }
    let line = format!("POST /v1/redemptions/{redemption}/confirm");
    server.call(&line, &server.pass("ann"), "").await;
    let used = cancel(&server, "o-1").await.json();
    assert_eq!(used["claims"][0]["uses"][0]["status"], "used", "{used}");
    let line = format!("POST /v1/redemptions/{redemption}/refunds");
    let full = json!({"refund_id": "r", "full": true}).to_string();
    server.call(&line, &server.pass("ann"), &full).await;
    assert_eq!(outcomes(&cancel(&server, "o-1").await), ["revoked"]);

    // A hold that ran out holds nothing, swept or not.
    let claim = claim_in(&grant(&server, coupon, "ann", "o-2").await)
        .parse()
        .unwrap();
    held(&server, &server.pass("ann"), "buy-2", &[claim]).await;
    server.advance(901);
    assert_eq!(outcomes(&cancel(&server, "o-2").await), ["revoked"]);
    let hold = hold_of("buy-3", &[claim]).to_string();
    let refused = server
        .call("POST /v1/redemptions", &server.pass("ann"), &hold)
        .await;
    refused.assert_problem(410, "archived");
}

#[tokio::test]
async fn a_claim_of_another_cause_is_not_the_orders() {
    let server = Server::start(settings()).await;
    let coupon = server.till.granting.coupon(|_spec| {}).await;
    let ann = UserId::new("ann").unwrap();
    let now = sluice_ledger::conformance::sample::NOW;
    let own = server.till.granting.grant(coupon, &ann, "k", now).await;
    let answer = grant(&server, coupon, "ann", "o-1").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        (claim_in(&answer), &answer.json()["order_id"]),
        (own.to_string(), &Value::Null)
    );
    assert_eq!(outcomes(&cancel(&server, "o-1").await), [""; 0]);
    assert!(
        !server
            .till
            .ledger
            .claim(own)
            .await
            .unwrap()
            .unwrap()
            .revoked
    );

    // One claim per user: what an order's end took back is not given again.
    grant(&server, coupon, "bob", "o-2").await;
    assert_eq!(outcomes(&cancel(&server, "o-2").await), ["revoked"]);
    let refused = grant(&server, coupon, "bob", "o-3").await;
    refused.assert_problem(410, "archived");
    assert!(
        refused.json()["reasons"][0]["fix"].is_string(),
        "{refused:?}"
    );
}

#[tokio::test]
async fn whatever_stops_in_between_a_repeat_goes_on() {
    let server = Server::start(settings()).await;
    let coupon = coupon(&server).await;
    let o_1 = "o-1".parse().unwrap();

    // The grant gave no answer: the intent stands, and the repeat grants.
    let away = ClaimOutcome::Unavailable(Unavailable::unknown(1_000));
    *server.fake.by_grant.lock().unwrap() = Some(away.clone());
    grant(&server, coupon, "ann", "o-1")
        .await
        .assert_problem(503, "outcome_unknown");
    let known = server.till.ledger.order_causes(&o_1).await.unwrap();
    assert_eq!(known.causes.len(), 1, "written before the grant");
    *server.fake.by_grant.lock().unwrap() = None;
    assert_eq!(grant(&server, coupon, "ann", "o-1").await.status, 201);

    // It was carried out without an answer, and the order cancelled: that finds the claim.
    server.fake.lose_grants.store(true, Ordering::SeqCst);
    grant(&server, coupon, "bob", "o-1")
        .await
        .assert_problem(503, "outcome_unknown");
    server.fake.lose_grants.store(false, Ordering::SeqCst);
    assert_eq!(
        outcomes(&cancel(&server, "o-1").await),
        ["revoked", "revoked"]
    );

    // It was refused: what the user gets later is their own.
    *server.fake.by_grant.lock().unwrap() =
        Some(ClaimOutcome::Refused(Refusal::of(ReasonCode::SoldOut)));
    grant(&server, coupon, "ann", "o-2")
        .await
        .assert_problem(409, "sold_out");
    *server.fake.by_grant.lock().unwrap() = None;
    assert_eq!(outcomes(&cancel(&server, "o-2").await), ["not_granted"]);

    // Hot state does not answer: nothing is intended, and what has no row is not called settled.
    server.fake.away.store(true, Ordering::SeqCst);
    grant(&server, coupon, "ann", "o-3")
        .await
        .assert_problem(503, "recovering");
    let o_3 = "o-3".parse().unwrap();
    assert!(
        server
            .till
            .ledger
            .order_causes(&o_3)
            .await
            .unwrap()
            .causes
            .is_empty()
    );
    server.fake.away.store(false, Ordering::SeqCst);
    *server.fake.by_grant.lock().unwrap() = Some(away);
    grant(&server, coupon, "ann", "o-3")
        .await
        .assert_problem(503, "outcome_unknown");
    server.fake.away.store(true, Ordering::SeqCst);
    cancel(&server, "o-3")
        .await
        .assert_problem(503, "outcome_unknown");
    server.fake.away.store(false, Ordering::SeqCst);
    assert_eq!(outcomes(&cancel(&server, "o-3").await), ["not_granted"]);
}

#[tokio::test]
async fn an_order_that_ends_while_a_grant_is_under_way_takes_it_back() {
    let server = Server::start(settings()).await;
    let coupon = coupon(&server).await;
    *server.fake.cancels_meanwhile.lock().unwrap() = Some("o-1".parse().unwrap());
    grant(&server, coupon, "ann", "o-1")
        .await
        .assert_problem(409, "conflict");
    let done = cancel(&server, "o-1").await;
    assert_eq!(outcomes(&done), ["revoked"]);
    let claim = done.json()["claims"][0]["claim_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        server
            .till
            .ledger
            .claim(claim)
            .await
            .unwrap()
            .unwrap()
            .revoked
    );
}

#[tokio::test]
async fn only_a_key_for_events_grants_and_cancels() {
    let server = Server::start(settings()).await;
    let coupon = coupon(&server).await;
    let body = json!({"coupon_id": coupon, "user_id": "ann", "order_id": "o-1"}).to_string();
    for (line, body) in [
        ("POST /v1/grants", &*body),
        ("POST /v1/orders/o-1/cancelled", ""),
    ] {
        server
            .call(line, CHECKOUT_KEY, body)
            .await
            .assert_problem(403, "forbidden");
        server
            .call(line, &server.pass("ann"), body)
            .await
            .assert_problem(401, "unauthorized");
        server
            .call(line, "slk_made_up", body)
            .await
            .assert_problem(401, "unauthorized");
        server
            .call(line, SILENT_KEY, body)
            .await
            .assert_problem(503, "overloaded");
        let line = line.replace("POST", "GET");
        server
            .call(&line, EVENTS_KEY, "")
            .await
            .assert_problem(405, "method_not_allowed");
    }
    let wrong = json!({"coupon_id": "x", "user_id": "ann", "order": "o-1"}).to_string();
    let refused = server.call("POST /v1/grants", EVENTS_KEY, &wrong).await;
    refused.assert_problem(400, "invalid_request");
    let errors = refused.json()["errors"].clone();
    let places: Vec<&str> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(places, ["/order", "/coupon_id", "/order_id"]);
    let said = server
        .call("POST /v1/orders/o-1/cancelled", EVENTS_KEY, "{\"x\":1}")
        .await;
    said.assert_problem(400, "invalid_request");
    server
        .call("POST /v1/orders/o%201/cancelled", EVENTS_KEY, "")
        .await
        .assert_problem(404, "not_found");
    grant(&server, CouponId(999), "ann", "o-1")
        .await
        .assert_problem(404, "not_found");
}
