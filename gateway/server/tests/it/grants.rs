//! Grants through the whole binary: by an operator to named users, by a service because of an order;
//! and what is said to those who ask why.

use serde_json::{Value, json};

use crate::checkout::{Caller, audit_is_exact, has, id_in, key, shoes};
use crate::http::{Reply, call, wait_for};
use crate::process::{Place, Running, signal};

fn grant(server: &Running, coupon: &str, key: &str, users: &[String]) -> Reply {
    let bearer = format!("Bearer {}", server.admin_key());
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    let path = format!("/admin/v1/coupons/{coupon}/grants");
    let body = json!({"users": users, "reason": "an apology"}).to_string();
    call(server.url("control"), "POST", &path, &headers, &body).unwrap()
}

fn users(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("u{n:03}")).collect()
}

/// Every claim of a coupon, as (user, claim).
fn claims(server: &Running, coupon: &str) -> Vec<(String, String)> {
    let path = format!("/admin/v1/coupons/{coupon}/claims?limit=1000");
    let page = server.admin("GET", &path, &Value::Null).json();
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|one| (id_in(one, "user_id"), id_in(one, "claim_id")))
        .collect()
}

#[test]
fn an_operator_grants_and_a_repeat_after_a_fault_grants_nobody_twice() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    // Limits by device and network do not count what was granted to somebody, and what only a
    // token could say is the operator's to know.
    let coupon = server.sale(&json!({"distribution": ["targeted"],
        "conditions": {"users": {"kind": "groups", "groups": ["vip"]}},
        "limits": {"total": 100, "per_user": 2, "per_device": 1, "per_ip": 1}}));
    let all = users(40);
    let first = grant(&server, &coupon, "k-1", &all);
    has(
        &first.json(),
        &json!({"granted": 40, "replayed": 0, "refused": 0, "failed": 0}),
    );
    let repeat = grant(&server, &coupon, "k-1", &all);
    assert_eq!(
        repeat.header("idempotency-replayed"),
        Some("true"),
        "{repeat:?}"
    );
    assert_eq!(repeat.json(), first.json());
    assert_eq!(claims(&server, &coupon).len(), 40);

    // Redis stands still: nobody gets an answer, and what was sent is carried out later.
    let redis = server.ready["redis_pid"].as_u64().unwrap();
    let redis = u32::try_from(redis).unwrap();
    signal(redis, "STOP");
    let failed = grant(&server, &coupon, "k-2", &all);
    signal(redis, "CONT");
    has(&failed.json(), &json!({"failed": 40}));
    let fix = failed.json()["items"][0]["reasons"][0]["fix"].clone();
    assert!(
        fix.as_str().unwrap().contains("same Idempotency-Key"),
        "{failed:?}"
    );
    server.wait_ready();
    let report = wait_for("the same call to come to its end", 60, || {
        let said = grant(&server, &coupon, "k-2", &all).json();
        (said["failed"] == 0).then_some(said)
    });
    assert_eq!(report["refused"], 0, "{report:#}");
    let granted = claims(&server, &coupon);
    assert_eq!(granted.len(), 80, "two for each, under two keys");
    let named: Vec<&str> = report["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["claim_id"].as_str().unwrap())
        .collect();
    assert!(
        named
            .iter()
            .all(|claim| granted.iter().any(|(_user, one)| one == claim))
    );

    let third = grant(&server, &coupon, "k-3", &all[..1]).json();
    has(&third, &json!({"granted": 0, "refused": 1}));
    let reason = &third["items"][0]["reasons"][0];
    has(
        reason,
        &json!({"code": "user_limit_reached", "condition": "limits.per_user"}),
    );
    audit_is_exact(&place);
}

#[test]
fn who_has_none_is_told_why_and_so_is_who_cannot_use_it() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let coupon = server.sale(&json!({"distribution": ["code"], "code": "ONLY",
        "limits": {"total": 1}, "conditions": {"min_spend": "80.00"}}));
    let refused = grant(&server, &coupon, "k-1", &["alice".to_owned()]).json();
    has(
        &refused["items"][0]["reasons"][0],
        &json!({"code": "not_eligible", "condition": "distribution"}),
    );
    let alice = Caller::shopper(&place, &server, "alice");
    let claim = id_in(&alice.claims_by_code("ONLY").json(), "claim_id");

    let ask = |user: &str| {
        let path = format!("/admin/v1/coupons/{coupon}/why-not?user={user}");
        let said = server.admin("GET", &path, &Value::Null);
        assert_eq!(said.status, 200, "{said:?}");
        said.json()
    };
    let codes = |reasons: &Value| -> Vec<String> {
        reasons
            .as_array()
            .unwrap()
            .iter()
            .map(|one| id_in(one, "code"))
            .collect()
    };
    let why = ask("bob");
    assert_eq!(
        codes(&why["reasons"]),
        ["not_eligible", "sold_out"],
        "{why:#}"
    );
    assert_eq!(
        codes(&ask("alice")["reasons"]),
        ["not_eligible", "user_limit_reached", "sold_out"]
    );

    let question = json!({"user_id": "alice", "claim_id": claim, "cart": shoes()});
    let said = server
        .admin("POST", "/admin/v1/cannot-use", &question)
        .json();
    has(
        &said["claims"][0],
        &json!({"claim_id": claim, "verdict": "not_applicable", "terms_version": 1}),
    );
    let reason = &said["claims"][0]["reasons"][0];
    has(
        reason,
        &json!({"code": "min_spend_not_met", "expected": "80.00", "actual": "60.00", "gap": "20.00"}),
    );
    assert_eq!(said["claims"][0]["fix"], reason["fix"]);
}

#[test]
fn a_cancelled_order_takes_its_unused_grants_back_whatever_dies_meanwhile() {
    let place = Place::new();
    let mut server = place.dev();
    server.wait_ready();
    let events = key(&place, "events");
    let coupon = server.sale(&json!({"limits": {"total": 5, "per_user": 3}}));
    let granted = |server: &Running, user: &str| order_grant(server, &events, &coupon, user);
    let unused = granted(&server, "alice");
    assert_eq!(unused.status, 201, "{unused:?}");
    let used = id_in(&granted(&server, "bob").json(), "claim_id");
    server.kill();

    let mut server = place.dev();
    server.wait_ready();
    let again = granted(&server, "alice");
    assert_eq!(
        (again.status, again.json()),
        (200, unused.json()),
        "the same claim after a crash"
    );
    let bob = Caller::shopper(&place, &server, "bob");
    let buy = id_in(&bob.holds("buy-1", &shoes(), &[&used]), "redemption_id");
    assert_eq!(bob.confirm(&buy).status, 200);

    let cancel = |server: &Running| {
        let shop = Caller::new(server, &events);
        let said = shop.post("/v1/orders/o-1/cancelled", &Value::Null);
        assert_eq!(said.status, 200, "{said:?}");
        said.json()
    };
    let first = cancel(&server);
    server.kill();
    let server = place.dev();
    server.wait_ready();
    assert_eq!(
        cancel(&server),
        first,
        "a repeat after a crash says the same"
    );
    let outcome = |claim: &str| {
        let claims = first["claims"].as_array().unwrap();
        let found = claims.iter().find(|one| one["claim_id"] == *claim);
        found
            .unwrap_or_else(|| panic!("{claim} in {first:#}"))
            .clone()
    };
    let unused = id_in(&unused.json(), "claim_id");
    assert_eq!(outcome(&unused)["outcome"], "revoked");
    has(
        &outcome(&used),
        &json!({"outcome": "flagged", "user_id": "bob"}),
    );
    has(
        &outcome(&used)["uses"][0],
        &json!({"order_id": "buy-1", "status": "used"}),
    );
    let alice = Caller::shopper(&place, &server, "alice");
    assert_eq!(alice.claim_status(&unused), "revoked");
    assert_eq!(
        granted(&server, "carol").refusal(),
        (409, "conflict".to_owned())
    );

    is_in_the_audit_log(&server, &unused, "claim.revoke");
    is_in_the_audit_log(&server, &used, "claim.flag");
    let others: Vec<String> = users(4);
    let report = wait_for("the unit that came back to be granted", 30, || {
        let said = grant(&server, &coupon, "k", &others).json();
        (said["refused"] == 0 && said["failed"] == 0).then_some(said)
    });
    let granted = report["items"].as_array().unwrap().len();
    assert_eq!(granted, 4, "five in all, one taken back");
    audit_is_exact(&place);
}

/// Who did what to a claim is written down, once.
#[track_caller]
fn is_in_the_audit_log(server: &Running, claim: &str, action: &str) {
    let path = format!("/admin/v1/audit-log?object={claim}");
    let log = server.admin("GET", &path, &Value::Null).json();
    assert_eq!(log["items"].as_array().unwrap().len(), 1, "once: {log:#}");
    has(&log["items"][0], &json!({"action": action}));
}

/// Grants because of the order o-1, until the answer is final.
fn order_grant(server: &Running, key: &str, coupon: &str, user: &str) -> Reply {
    let shop = Caller::new(server, key);
    let body = json!({"coupon_id": coupon, "user_id": user, "order_id": "o-1"});
    wait_for("a grant to be decided", 30, || {
        let said = shop.post("/v1/grants", &body);
        (said.status != 503 && said.status != 202).then_some(said)
    })
}
