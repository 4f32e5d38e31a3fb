//! A coupon that is edited and paused while a crowd claims it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::crowd::Crowd;
use super::{Done, report, rounds, steady};
use crate::http::{Reply, call, wait_for};
use crate::process::{Place, Running};
use crate::redis::RedisServer;

/// New claims are of the version that was in force when they were asked for, or of a later one.
fn of_no_older_version(in_force: usize, said: &Reply) {
    if said.status == 201 {
        let version = said.json()["version"].as_u64().unwrap();
        assert!(version >= in_force as u64, "version {version} < {in_force}");
    }
}

/// One user for each new claim: a crowd that only repeats would prove nothing.
const USERS: usize = 3_000;

#[test]
fn f26_no_claim_is_of_terms_older_than_the_last_answered_edit() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve_with(&steady(&place, &redis.url()));
    server.wait_ready();
    let coupon = server.sale(&json!({"limits": {"total": 1_000_000}}));
    let crowd = Crowd::gather(&place, &server, &coupon, USERS).judged_by(of_no_older_version);
    let edits = rounds(20);
    crowd.during(|| {
        crowd.let_claim(20);
        for edit in 0..edits {
            let version = reprice(&server, &coupon, edit);
            crowd.in_force.store(version, Ordering::SeqCst);
            // Units are taken from under the crowd and given back: nobody loses a claim by it.
            let total = if edit % 2 == 0 { 500_000 } else { 1_000_000 };
            restock(&server, &coupon, total);
            crowd.let_claim(10);
        }
    });
    restock(&server, &coupon, 1_000_000);
    server.wait_ready();
    crowd.has_kept_everything(&place, &server);
    assert!(crowd.winners() > edits, "too few claims to tell");
    report(
        26,
        &Done {
            rounds: edits,
            kills: 0,
            recovery: None,
        },
    );
}

/// Changes what the coupon takes off, and returns the version that is in force then.
fn reprice(server: &Running, coupon: &str, edit: usize) -> usize {
    let path = format!("/admin/v1/coupons/{coupon}");
    let bearer = format!("Bearer {}", server.admin_key());
    let off = format!("{}.{:02}", 1 + edit % 7, edit % 100);
    let body = json!({"benefit": {"type": "fixed", "off": off}}).to_string();
    wait_for("an edit to be in force", 60, || {
        let held = server.admin("GET", &path, &Value::Null);
        let etag = held.header("etag").unwrap().to_owned();
        let headers = [
            ("authorization", &*bearer),
            ("content-type", "application/merge-patch+json"),
            ("if-match", &*etag),
        ];
        let said = call(server.url("control"), "PATCH", &path, &headers, &body).unwrap();
        assert!(matches!(said.status, 200 | 412 | 503), "{said:?}");
        let version = said.json()["version"].as_u64();
        (said.status == 200).then(|| usize::try_from(version.unwrap()).unwrap())
    })
}

fn restock(server: &Running, coupon: &str, total: u64) {
    let path = format!("/admin/v1/coupons/{coupon}/stock");
    wait_for("the stock to be set", 60, || {
        let said = server.admin("POST", &path, &json!({"total": total}));
        assert!(matches!(said.status, 200 | 503), "{said:?}");
        (said.status == 200).then_some(())
    });
}

/// 1 while a pause is in force: answered, and not yet to be ended.
fn nothing_new_while_paused(paused: usize, said: &Reply) {
    assert!(paused == 0 || said.status != 201, "granted while paused");
}

#[test]
fn f27_after_a_pause_has_answered_nobody_is_granted() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve_with(&steady(&place, &redis.url()));
    server.wait_ready();
    let coupon = server.sale(&json!({"limits": {"total": 1_000_000}}));
    let crowd = Crowd::gather(&place, &server, &coupon, USERS).judged_by(nothing_new_while_paused);
    let pauses = rounds(4);
    let mut slowest = Duration::ZERO;
    crowd.during(|| {
        for _pause in 0..pauses {
            crowd.let_claim(30);
            server.act(&coupon, "pause");
            crowd.in_force.store(1, Ordering::SeqCst);
            let before = crowd.refused("409 paused");
            crowd.let_claim(60);
            assert!(crowd.refused("409 paused") > before, "nobody was refused");
            crowd.in_force.store(0, Ordering::SeqCst);
            server.act(&coupon, "resume");
            let (begun, won) = (Instant::now(), crowd.winners());
            wait_for("somebody to be granted again", 30, || {
                (crowd.winners() > won).then_some(())
            });
            slowest = slowest.max(begun.elapsed());
        }
    });
    crowd.has_kept_everything(&place, &server);
    report(
        27,
        &Done {
            rounds: pauses,
            kills: 0,
            recovery: Some(slowest),
        },
    );
}
