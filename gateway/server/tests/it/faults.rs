//! Redis that dies, forgets or evicts, and a disk that cannot be written.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::wait_for;
use crate::process::{Place, run, text};
use crate::redis::{RedisServer, command};

#[test]
fn redis_down_is_503_in_time_and_heals_by_itself() {
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
        assert_eq!(said.status, 503, "{said:?}");
        let outcome = said.json()["outcome"].as_str().unwrap_or("").to_owned();
        assert!(matches!(&*outcome, "not_applied" | "unknown"), "{said:?}");
        let after: u32 = said.header("retry-after").unwrap().parse().unwrap();
        assert!(after > 0, "{said:?}");
        // Promised are 250 ms; the bound leaves room for a busy machine.
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    server.wait_not_ready("redis does not answer");
    redis.restart();
    server.wait_ready();
    let again = server.claim_patiently(&coupon, &token);
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(
        server.claim_patiently(&coupon, &place.token("erin")).status,
        201
    );
}

#[test]
fn an_evicting_redis_is_not_ready() {
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
fn a_redis_without_a_file_is_warned_of() {
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

/// A full disk, played by the shim of the ledger's own tests.
#[test]
fn a_full_disk_acknowledges_nothing_and_heals_when_there_is_room() {
    let place = Place::new();
    let faults = tempfile::tempdir().unwrap();
    let shim = build_shim(faults.path());
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let config = place.serve_config(&redis.url());
    // The shim fails files of this name only.
    let ledger = place.folder.path().join("ledger.db");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace(
        "[ledger]",
        &format!("[ledger]\npath = \"{}\"", ledger.display()),
    );
    let server = place.serve_shimmed(&text, &shim, faults.path());
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let first = server.claim_patiently(&coupon, &place.token("alice"));
    assert_eq!(first.status, 201, "{first:?}");
    std::fs::write(faults.path().join("full"), "").unwrap();
    for user in ["bob", "carol"] {
        let said = server.claim(&coupon, &place.token(user));
        assert!(
            matches!(said.status, 202 | 503),
            "not acknowledged: {said:?}"
        );
    }
    server.wait_not_ready("the ledger cannot be written");
    let log = server.log();
    assert!(log.contains("full"), "{log}");
    std::fs::remove_file(faults.path().join("full")).unwrap();
    server.wait_ready();
    let bob = server.claim_patiently(&coupon, &place.token("bob"));
    assert!(matches!(bob.status, 200 | 201), "{bob:?}");
}

fn build_shim(folder: &std::path::Path) -> std::path::PathBuf {
    let source = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../ledger/tests/it/disk_fault.c"
    );
    let shim = folder.join("disk_fault.so");
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&shim)
        .arg(source)
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    shim
}
