//! The same request many times, at once, and with another content.

use std::collections::BTreeSet;
use std::sync::Barrier;

use serde_json::json;

use super::crowd::exact;
use super::{Done, report, rounds, steady};
use crate::http::{Reply, call, wait_for};
use crate::process::{Place, Running};
use crate::redis::RedisServer;

/// Requests with one key at the same time.
const AT_ONCE: usize = 64;

#[test]
fn f17_sixty_four_requests_with_one_key_at_once_are_one_claim() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve_with(&steady(&place, &redis.url()));
    server.wait_ready();
    // Two for each user: only the key says that two requests are the same.
    let coupon = server.sale(&json!({"limits": {"total": 1_000_000, "per_user": 2}}));
    let keys = rounds(20);
    let passes = place.tokens("k", keys, &["--pass"]);
    let mut claims = BTreeSet::new();
    for pass in &passes {
        let bodies = all_at_once(&server, &coupon, pass);
        assert_eq!(bodies.len(), 1, "one body: {bodies:?}");
        claims.extend(bodies);
    }
    assert_eq!(claims.len(), keys, "one claim for each key");
    exact(&place, &coupon, keys);
    report(
        17,
        &Done {
            rounds: keys * AT_ONCE,
            kills: 0,
            recovery: None,
        },
    );
}

/// The bodies that all of them got in the end; only one of them may have been the first.
fn all_at_once(server: &Running, coupon: &str, pass: &str) -> BTreeSet<String> {
    let together = Barrier::new(AT_ONCE);
    let ask = || {
        together.wait();
        wait_for("a claim to be decided", 30, || {
            let key = [("idempotency-key", "one-key")];
            let said = server.try_claim(coupon, pass, &key).unwrap();
            (!matches!(said.status, 202 | 503)).then_some(said)
        })
    };
    let said: Vec<Reply> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..AT_ONCE).map(|_one| scope.spawn(ask)).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let new = said.iter().filter(|said| said.status == 201).count();
    assert!(new <= 1, "{new} were told that they are the first");
    for said in &said {
        assert!(matches!(said.status, 200 | 201), "{said:?}");
    }
    said.into_iter().map(|said| said.body).collect()
}

#[test]
fn f18_a_key_with_another_content_is_refused_and_changes_nothing() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve_with(&steady(&place, &redis.url()));
    server.wait_ready();
    let bearer = format!("Bearer {}", server.admin_key());
    let create = |name: &str| {
        let body = json!({"name": name, "currency": "USD", "limits": {"total": 1},
            "benefit": {"type": "fixed", "off": "5.00"}});
        let headers = [
            ("authorization", &*bearer),
            ("content-type", "application/json"),
            ("idempotency-key", "one-key"),
        ];
        let (url, path) = (server.url("control"), "/admin/v1/coupons");
        call(url, "POST", path, &headers, &body.to_string()).unwrap()
    };
    let first = create("first");
    assert_eq!(first.status, 201, "{first:?}");
    let other = create("other");
    assert_eq!(other.refusal(), (422, "key_reused".to_owned()));
    let again = create("first");
    assert_eq!((again.status, &again.body), (201, &first.body));
    let list = server
        .admin("GET", "/admin/v1/coupons", &json!(null))
        .json();
    let names: Vec<_> = list["items"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 1, "{list}");
    assert_eq!(names[0]["name"], "first", "{list}");
    report(
        18,
        &Done {
            rounds: 1,
            kills: 0,
            recovery: None,
        },
    );
}
