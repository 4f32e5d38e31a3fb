//! A ledger that was set back to an older copy: the lanes halt, say why, and wait for a person.

use std::path::Path;

use serde_json::json;

use crate::process::{Place, text};
use crate::redis::RedisServer;

#[test]
fn a_ledger_set_back_halts_the_lane_until_an_operator_accepts_it() {
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
    let reasons = server.wait_not_ready("halted: ");
    let lane: String = reasons
        .iter()
        .find_map(|reason| {
            let before = reason.split(" (halted").next()?;
            reason
                .contains("(halted")
                .then(|| before.rsplit([' ', ',']).next().map(str::to_owned))?
        })
        .unwrap();
    let refused = server.claim(&coupon, &place.token("erin"));
    assert_eq!(refused.status, 503, "{refused:?}");
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
    assert!(
        halted
            .iter()
            .all(|lane| lane["detail"].as_str().is_some_and(|why| !why.is_empty())),
        "{lanes}"
    );

    let plain = server.lane(&["recover", &lane]);
    assert_eq!(plain.status.code(), Some(1));
    assert!(
        text(&plain.stderr).contains("accept_ledger"),
        "{}",
        text(&plain.stderr)
    );
    for lane in &halted {
        let number = lane["lane"].to_string();
        let accepted = server.lane(&["recover", &number, "--accept-ledger"]);
        assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    }
    server.wait_ready();
    let erin = server.claim_patiently(&coupon, &place.token("erin"));
    assert!(matches!(erin.status, 200 | 201), "{erin:?}");
    let alice = server.claim_patiently(&coupon, &place.token("alice"));
    assert_eq!(alice.status, 200, "{alice:?}");
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
