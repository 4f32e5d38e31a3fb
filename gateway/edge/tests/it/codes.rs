//! Public codes: claimed, held with, and guessed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_claim::outcome::{ClaimOutcome, Refusal, Unavailable};
use sluice_domain::coupon::{Coupon, Lifecycle};
use sluice_domain::reason::ReasonCode;
use sluice_edge::settings::{CodeFailureLimit, EdgeSettings};

use super::checkout::{cart, hold_of, quote_of};
use super::harness::{Answer, Server, settings};
use super::till::CHECKOUT_KEY;

fn body_of(code: &str) -> String {
    json!({"code": code}).to_string()
}

fn with(mut body: Value, code: &str) -> String {
    body["codes"] = json!([code]);
    body.to_string()
}

/// A body without what differs from request to request.
fn plain(answer: &Answer) -> Value {
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("request_id");
    body
}

#[tokio::test]
async fn a_code_is_claimed_in_any_case() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let coupon = server.till.coded("SUMMER20", |_spec| {}).await;
    let first = server
        .call("POST /v1/claims", &pass, &body_of(" summer20 "))
        .await;
    assert_eq!(first.status, 201, "{first:?}");
    let body = first.json();
    assert_eq!(body["coupon_id"], json!(coupon));
    assert_eq!(body["user_id"], "ann");
    assert_eq!(body["status"], "usable");
    let again = server
        .call("POST /v1/claims", &pass, &body_of("Summer20"))
        .await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let service = json!({"code": "SUMMER20", "user_id": "bob"}).to_string();
    let theirs = server.call("POST /v1/claims", CHECKOUT_KEY, &service).await;
    assert_eq!(theirs.json()["user_id"], "bob", "{theirs:?}");
}

#[tokio::test]
async fn a_hold_claims_the_code_once_all_is_sure() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    server.till.coded("SUMMER20", |_spec| {}).await;
    server
        .till
        .coded("BIG", |spec| {
            spec.terms.conditions.min_spend = Some(100_000);
        })
        .await;
    let calls = || server.fake.claims_by_code.load(Ordering::SeqCst);
    // Refused: no unit is used up.
    let big = with(hold_of("o-1", &[]), "BIG");
    let refused = server.call("POST /v1/redemptions", &pass, &big).await;
    refused.assert_problem(409, "min_spend_not_met");
    let mut dear = hold_of("o-1", &[]);
    dear["expected_total"] = json!("59.99");
    let changed = server
        .call("POST /v1/redemptions", &pass, &with(dear, "SUMMER20"))
        .await;
    changed.assert_problem(409, "price_changed");
    assert_eq!(changed.json()["expected"], "59.99");
    assert_eq!(changed.json()["actual"], "60.00");
    assert_eq!(calls(), 0);
    // A quote claims nothing either.
    let quote = server
        .call("POST /v1/quotes", &pass, &with(quote_of(&[]), "summer20"))
        .await;
    assert_eq!(quote.json()["discount"], "5.00", "{quote:?}");
    assert_eq!(quote.json()["applied"][0]["code"], "SUMMER20");
    assert_eq!(calls(), 0);

    let hold = with(hold_of("o-1", &[]), "summer20");
    let held = server.call("POST /v1/redemptions", &pass, &hold).await;
    assert_eq!(held.status, 201, "{held:?}");
    assert_eq!(held.json()["applied"][0]["code"], "SUMMER20");
    assert_eq!(calls(), 1);
    // The coupon is withdrawn since: the hold that stands is answered all the same.
    let coupon = held.json()["applied"][0]["coupon_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let archive = |coupon: &mut Coupon| coupon.lifecycle = Lifecycle::Archived;
    server.till.granting.change(coupon, archive).await;
    let again = server.call("POST /v1/redemptions", &pass, &hold).await;
    assert_eq!((again.status, &again.body), (200, &held.body));
    assert_eq!(calls(), 1);
}

#[tokio::test]
async fn what_the_claim_engine_says_of_a_code() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    server.till.coded("SUMMER20", |_spec| {}).await;
    let coupon = sluice_domain::id::CouponId(1);
    let pending = ClaimOutcome::Pending(sluice_domain::id::ClaimId::new(coupon, [1; 12]));
    let refused = |code| ClaimOutcome::Refused(Refusal::of(code));
    for (outcome, claim, hold) in [
        (
            refused(ReasonCode::SoldOut),
            (409, "sold_out"),
            (409, "sold_out"),
        ),
        (
            refused(ReasonCode::UserLimitReached),
            (409, "user_limit_reached"),
            (409, "user_limit_reached"),
        ),
        // Closed or not for them: like a code that there is not.
        (
            refused(ReasonCode::Ended),
            (404, "code_not_accepted"),
            (404, "code_not_accepted"),
        ),
        (
            refused(ReasonCode::NotEligible),
            (404, "code_not_accepted"),
            (404, "code_not_accepted"),
        ),
        (
            ClaimOutcome::Unavailable(Unavailable::unknown(2_000)),
            (503, "outcome_unknown"),
            (503, "outcome_unknown"),
        ),
        (pending, (202, ""), (503, "warming")),
    ] {
        *server.fake.by_code.lock().unwrap() = Some(outcome);
        let claimed = server
            .call("POST /v1/claims", &pass, &body_of("SUMMER20"))
            .await;
        let body = with(hold_of("o-1", &[]), "SUMMER20");
        let held = server.call("POST /v1/redemptions", &pass, &body).await;
        held.assert_problem(hold.0, hold.1);
        if claim.0 == 202 {
            assert_eq!(
                (claimed.status, &claimed.json()["status"]),
                (202, &json!("pending"))
            );
            assert_eq!(held.json()["outcome"], "not_applied");
            assert!(held.header("retry-after").is_some());
        } else {
            claimed.assert_problem(claim.0, claim.1);
        }
    }
}

#[tokio::test]
async fn unknown_closed_and_foreign_codes_are_the_same_body() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let ended = server.till.coded("ENDED", |_spec| {}).await;
    let end = |coupon: &mut Coupon| coupon.lifecycle = Lifecycle::Ended;
    server.till.granting.change(ended, end).await;
    server
        .till
        .coded("FOREIGN", |spec| {
            let ids = vec![sluice_domain::id::UserId::new("bob").unwrap()];
            spec.terms.conditions.users = sluice_domain::terms::Users::Ids { ids };
        })
        .await;
    let not_eligible = ClaimOutcome::Refused(Refusal::of(ReasonCode::NotEligible));
    *server.fake.by_code.lock().unwrap() = Some(not_eligible);
    let claim: fn(&str) -> String = body_of;
    let quote = |code: &str| with(quote_of(&[]), code);
    let hold = |code: &str| with(hold_of("o-1", &[]), code);
    type Body<'a> = &'a dyn Fn(&str) -> String;
    let routes: [(&str, Body<'_>, bool); 3] = [
        ("POST /v1/claims", &claim, false),
        ("POST /v1/quotes", &quote, true),
        ("POST /v1/redemptions", &hold, true),
    ];
    for (line, body_with, among_several) in routes {
        let mut bodies = Vec::new();
        for code in ["NEVER", "ENDED", "FOREIGN"] {
            let answer = server.call(line, &pass, &body_with(code)).await;
            answer.assert_problem(404, "code_not_accepted");
            // Where there may be several codes it says which one.
            let named = answer.json()["errors"][0]["pointer"] == "/codes/0";
            assert_eq!(named, among_several, "{line}");
            bodies.push(plain(&answer));
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    }
}

/// Three wrong codes of a user, five of an address.
fn few_tries() -> EdgeSettings {
    let mut settings = settings();
    settings.limits.enabled = true;
    settings.limits.code_failures = CodeFailureLimit {
        per_user: 3,
        per_address: 5,
        window: Duration::from_secs(600),
    };
    settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    settings
}

async fn try_code(server: &Server, user: &str, host: u8, code: &str) -> Answer {
    let from = format!("X-Forwarded-For: 192.0.2.{host}\r\n");
    let pass = server.pass(user);
    let body = with(json!({"cart": cart()}), code);
    server
        .call_with("POST /v1/quotes", &pass, &from, &body)
        .await
}

#[tokio::test]
async fn whoever_guesses_has_to_wait() {
    let server = Server::start(few_tries()).await;
    server.till.coded("SUMMER20", |_spec| {}).await;
    // Codes that are right are never counted.
    for _right in 0..10 {
        assert_eq!(try_code(&server, "ann", 1, "SUMMER20").await.status, 200);
    }
    // Three wrong ones by one user, each from another address.
    for host in 1..=3 {
        let answer = try_code(&server, "ann", host, "WRONG").await;
        answer.assert_problem(404, "code_not_accepted");
    }
    let waits = try_code(&server, "ann", 4, "SUMMER20").await;
    waits.assert_problem(429, "rate_limited");
    let wait: u64 = waits.header("retry-after").unwrap().parse().unwrap();
    assert!((590..=900).contains(&wait), "{wait}");
    // On every way on which codes are typed; without a code nobody waits.
    let pass = server.pass("ann");
    let claim = server
        .call("POST /v1/claims", &pass, &body_of("SUMMER20"))
        .await;
    claim.assert_problem(429, "rate_limited");
    let hold = with(hold_of("o-1", &[]), "SUMMER20");
    let hold = server.call("POST /v1/redemptions", &pass, &hold).await;
    hold.assert_problem(429, "rate_limited");
    let without = server
        .call("POST /v1/quotes", &pass, &quote_of(&[]).to_string())
        .await;
    assert_eq!(without.status, 200);
    // Somebody else is listened to.
    assert_eq!(try_code(&server, "bob", 1, "SUMMER20").await.status, 200);
}

#[tokio::test]
async fn an_address_that_guesses_for_many_users_has_to_wait() {
    let server = Server::start(few_tries()).await;
    server.till.coded("SUMMER20", |_spec| {}).await;
    for n in 0..5 {
        let answer = try_code(&server, &format!("u{n}"), 9, "WRONG").await;
        answer.assert_problem(404, "code_not_accepted");
    }
    let waits = try_code(&server, "ann", 9, "SUMMER20").await;
    waits.assert_problem(429, "rate_limited");
    assert_eq!(try_code(&server, "ann", 8, "SUMMER20").await.status, 200);
}
