//! A ledger that was set back to an older copy: the lanes halt, say why, and wait for a person.

use std::path::Path;

use serde_json::json;

use crate::process::{Place, Running, text};
use crate::redis::RedisServer;

#[test]
fn f34_a_ledger_set_back_halts_the_lane_until_an_operator_accepts_it() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve(&redis.url());
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    assert_eq!(
        server
            .claim_patiently(&coupon, &place.token("alice"))
            .status,
        201
    );
    assert_eq!(server.stop().code(), Some(0));
    let old = place.folder.path().join("old");
    copy_ledger(&place.data(), &old);

    let server = place.serve(&redis.url());
    server.wait_ready();
    for user in ["bob", "carol", "dave"] {
        assert_eq!(
            server.claim_patiently(&coupon, &place.token(user)).status,
            201
        );
    }
    assert_eq!(server.stop().code(), Some(0));
    copy_ledger(&old, &place.data());

    let server = place.serve(&redis.url());
    server.wait_not_ready("halted: ");
    let refused = server.claim(&coupon, &place.token("erin"));
    assert_eq!(refused.status, 503, "{refused:?}");
    let halted = halted_lanes(&server);
    let lane = halted[0].to_string();
    let plain = server.lane(&["recover", &lane]);
    assert_eq!(plain.status.code(), Some(1));
    assert!(
        text(&plain.stderr).contains("accept_ledger"),
        "{}",
        text(&plain.stderr)
    );
    accept_ledger(&server, &halted);
    let erin = server.claim_patiently(&coupon, &place.token("erin"));
    assert!(matches!(erin.status, 200 | 201), "{erin:?}");
    let alice = server.claim_patiently(&coupon, &place.token("alice"));
    assert_eq!(alice.status, 200, "{alice:?}");
}

/// The lanes belong to a ledger that is gone. The operator's word lasts: no restart asks again.
#[test]
fn f34_a_lane_accepted_for_another_ledger_is_not_halted_again() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve(&redis.url());
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let alice = server.claim_patiently(&coupon, &place.token("alice"));
    assert_eq!(alice.status, 201);
    assert_eq!(server.stop().code(), Some(0));
    // An empty folder: what the ledger held goes, its keys of the admin API too.
    copy_ledger(&place.folder.path().join("none"), &place.data());
    std::fs::remove_file(place.folder.path().join("admin.key")).unwrap();

    let server = place.serve(&redis.url());
    let reasons = server.wait_not_ready("halted: ");
    assert!(!reasons.is_empty());
    accept_ledger(&server, &halted_lanes(&server));
    let gone = server.claim(&coupon, &place.token("alice"));
    assert_eq!(gone.refusal(), (404, "not_found".to_owned()));
    let coupon = server.sale(&json!({}));
    let first = server.claim_patiently(&coupon, &place.token("bob"));
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(server.stop().code(), Some(0));

    let server = place.serve(&redis.url());
    server.wait_ready();
    let again = server.claim_patiently(&coupon, &place.token("bob"));
    assert_eq!((again.status, again.body), (200, first.body));
    let carol = server.claim_patiently(&coupon, &place.token("carol"));
    assert_eq!(carol.status, 201, "{carol:?}");
}

/// The numbers of the lanes that wait for an operator; each says why.
pub(crate) fn halted_lanes(server: &Running) -> Vec<u64> {
    let status = server.lane(&["status"]);
    assert!(status.status.success(), "{}", text(&status.stderr));
    let lanes: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let halted: Vec<_> = lanes["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|lane| lane["phase"] == "halted")
        .collect();
    assert!(!halted.is_empty(), "{lanes}");
    let says_why =
        |lane: &&serde_json::Value| lane["detail"].as_str().is_some_and(|why| !why.is_empty());
    assert!(halted.iter().all(says_why), "{lanes}");
    halted
        .iter()
        .map(|lane| lane["lane"].as_u64().unwrap())
        .collect()
}

/// Says that the ledger is right, until every lane is served.
pub(crate) fn accept_ledger(server: &Running, halted: &[u64]) {
    for lane in halted {
        let accepted = server.lane(&["recover", &lane.to_string(), "--accept-ledger"]);
        assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    }
    server.wait_ready();
}

/// Copies the ledger's files, and takes away those that the copy does not have.
fn copy_ledger(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"] {
        let (from, to) = (from.join(name), to.join(name));
        if from.exists() {
            std::fs::copy(from, to).unwrap();
        } else if to.exists() {
            std::fs::remove_file(to).unwrap();
        }
    }
}
