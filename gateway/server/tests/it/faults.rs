//! Redis that dies, stands still, forgets, evicts or is full.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{Reply, wait_for};
use crate::matrix::{Done, report};
use crate::process::{Place, Running, run, signal, text};
use crate::redis::{RedisServer, command};

#[test]
fn f02_redis_down_is_503_in_time_and_heals_by_itself() {
    let place = Place::new();
    let mut redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve(&redis.url());
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let token = place.token("alice");
    let first = server.claim_patiently(&coupon, &token);
    redis.kill();
    for user in ["bob", "carol", "dave"] {
        let token = place.token(user);
        let begun = Instant::now();
        let said = server.claim(&coupon, &token);
        let took = begun.elapsed();
        refused_for_now(&said);
        // Promised are 250 ms; the bound leaves room for a busy machine.
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    server.wait_not_ready("redis does not answer");
    let begun = Instant::now();
    redis.restart();
    server.wait_ready();
    let recovery = begun.elapsed();
    let again = server.claim_patiently(&coupon, &token);
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(
        server.claim_patiently(&coupon, &place.token("erin")).status,
        201
    );
    report(
        2,
        &Done {
            rounds: 1,
            kills: 1,
            recovery: Some(recovery),
        },
    );
}

#[test]
fn f10_an_evicting_redis_is_not_ready() {
    let place = Place::new();
    let redis = RedisServer::with(
        &place.folder.path().join("redis"),
        &["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"],
    );
    let server = place.serve(&redis.url());
    let reasons = server.wait_not_ready("maxmemory-policy is allkeys-lru; set it to noeviction");
    assert!(
        reasons.iter().any(|reason| reason.starts_with("redis: ")),
        "{reasons:?}"
    );
    let asked = run(&["healthcheck", "--url", server.url("ops")]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(text(&asked.stdout).contains("allkeys-lru"));
    let set = |policy: &str| {
        command(&redis.url(), &["CONFIG", "SET", "maxmemory-policy", policy]).unwrap()
    };
    assert!(set("noeviction").starts_with("+OK"));
    server.wait_ready();
    assert!(set("volatile-lru").starts_with("+OK"));
    server.wait_not_ready("volatile-lru");
    assert!(server.log().contains("redis cannot be used for claims"));
}

#[test]
fn f10_a_redis_without_a_file_is_warned_of() {
    let place = Place::new();
    let redis = RedisServer::with(
        &place.folder.path().join("redis"),
        &["--appendonly", "no", "--maxmemory-policy", "noeviction"],
    );
    let server = place.serve(&redis.url());
    server.wait_ready();
    wait_for("the warning", 10, || {
        let log = server.log();
        (log.contains("WARN") && log.contains("appendonly is off")).then_some(())
    });
}

#[test]
fn f11_redis_that_stands_still_is_503_in_time_and_nothing_is_lost_or_made_twice() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve(&redis.url());
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let first = server.claim_patiently(&coupon, &place.token("alice"));
    assert_eq!(first.status, 201, "{first:?}");
    signal(redis.pid(), "STOP");
    let users = ["bob", "carol", "dave"];
    for user in users {
        let token = place.token(user);
        let begun = Instant::now();
        let said = server.claim(&coupon, &token);
        let took = begun.elapsed();
        refused_for_now(&said);
        // Promised are 250 ms; the bound leaves room for a busy machine.
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    server.wait_not_ready("redis does not answer");
    signal(redis.pid(), "CONT");
    let begun = Instant::now();
    server.wait_ready();
    let recovery = begun.elapsed();
    let again = server.claim_patiently(&coupon, &place.token("alice"));
    assert_eq!((again.status, &again.body), (200, &first.body));
    // A call that Redis had received before it stopped is carried out when it goes on: then the
    // repeat is answered 200, else 201. Once each, either way.
    for user in users {
        let said = server.claim_patiently(&coupon, &place.token(user));
        assert!(matches!(said.status, 200 | 201), "{said:?}");
    }
    holds_exactly(&place, &server, &coupon, 4);
    report(
        11,
        &Done {
            rounds: 1,
            kills: 0,
            recovery: Some(recovery),
        },
    );
}

#[test]
fn f09_redis_without_memory_refuses_before_it_writes_and_heals() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve(&redis.url());
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let first = server.claim_patiently(&coupon, &place.token("alice"));
    assert_eq!(first.status, 201, "{first:?}");
    let limit = |bytes: &str| {
        let set = command(&redis.url(), &["CONFIG", "SET", "maxmemory", bytes]).unwrap();
        assert!(set.starts_with("+OK"), "{set}");
    };
    limit("1");
    for user in ["bob", "carol", "dave"] {
        let said = server.claim(&coupon, &place.token(user));
        assert_eq!(refused_for_now(&said), "not_applied", "{said:?}");
    }
    server.wait_not_ready("redis: it is out of memory");
    limit("0");
    let begun = Instant::now();
    server.wait_ready();
    let recovery = begun.elapsed();
    let again = server.claim_patiently(&coupon, &place.token("alice"));
    assert_eq!((again.status, &again.body), (200, &first.body));
    for user in ["bob", "carol", "dave"] {
        let said = server.claim_patiently(&coupon, &place.token(user));
        assert_eq!(
            said.status, 201,
            "nothing was kept of the refused: {said:?}"
        );
    }
    holds_exactly(&place, &server, &coupon, 4);
    report(
        9,
        &Done {
            rounds: 1,
            kills: 0,
            recovery: Some(recovery),
        },
    );
}

/// Asserts a 503 that says when to come again; what it says of the outcome.
#[track_caller]
fn refused_for_now(said: &Reply) -> String {
    assert_eq!(said.status, 503, "{said:?}");
    let after: u32 = said.header("retry-after").unwrap().parse().unwrap();
    assert!(after > 0, "{said:?}");
    let outcome = said.json()["outcome"].as_str().unwrap_or("").to_owned();
    assert!(matches!(&*outcome, "not_applied" | "unknown"), "{said:?}");
    outcome
}

/// Asserts that so many claims are in the ledger, and that an audit finds every unit.
#[track_caller]
pub(crate) fn holds_exactly(place: &Place, server: &Running, coupon: &str, claims: u64) {
    let path = format!("/admin/v1/coupons/{coupon}");
    wait_for("the claims to be in the ledger", 20, || {
        let counts = server.admin("GET", &path, &serde_json::Value::Null).json();
        (counts["counts"]["granted"] == claims).then_some(())
    });
    let config = place.folder.path().join("sluice.toml");
    let audit = run(&["audit", "--json", "--config", config.to_str().unwrap()]);
    let verdict: serde_json::Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(verdict["verdict"], "exact", "{verdict}");
    assert_eq!(verdict["coupons"][0]["granted"], claims, "{verdict}");
}
