//! `sluice backup` beside a running server, and the way back from one.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::halted::{accept_ledger, halted_lanes};
use crate::http::wait_for;
use crate::matrix::crowd::{Crowd, exact, rows};
use crate::matrix::{Done, report, steady};
use crate::process::{Place, Running, run, text};
use crate::redis::RedisServer;

/// Makes a backup and returns what it says of itself.
fn back_up(place: &Place, to: &Path) -> Value {
    let config = place.folder.path().join("sluice.toml");
    let (config, to) = (config.to_str().unwrap(), to.to_str().unwrap());
    let made = run(&["backup", "--config", config, "--to", to]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    serde_json::from_slice(&made.stdout).unwrap()
}

/// Puts a backup where the ledger was, as docs/backup.md says.
fn restore(place: &Place, backup: &Path) {
    let ledger = place.data().join("ledger.sqlite");
    for beside in ["-wal", "-shm"] {
        let name = format!("{}{beside}", ledger.display());
        if Path::new(&name).exists() {
            std::fs::remove_file(name).unwrap();
        }
    }
    std::fs::copy(backup, ledger).unwrap();
}

fn bodies(server: &Running, coupon: &str, passes: &[String]) -> BTreeMap<String, String> {
    let claimed = passes.iter().map(|pass| {
        let said = server.claim_patiently(coupon, pass);
        assert!(matches!(said.status, 200 | 201), "{said:?}");
        (pass.clone(), said.body)
    });
    claimed.collect()
}

#[test]
fn a_backup_is_made_beside_a_sale_and_has_what_was_acknowledged_before_it() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve_with(&steady(&place, &redis.url()));
    server.wait_ready();
    let coupon = server.sale(&json!({"limits": {"total": 1_000_000}}));
    let crowd = Crowd::gather(&place, &server, &coupon, 1_000);
    let to = place.folder.path().join("backup.sqlite");
    let (before, said) = crowd.during(|| {
        crowd.let_claim(200);
        let before = rows(&server, &coupon);
        let said = back_up(&place, &to);
        crowd.let_claim(50);
        (before, said)
    });
    crowd.has_kept_everything(&place, &server);
    let metadata = std::fs::metadata(&to).unwrap();
    assert_eq!(said["bytes"], metadata.len(), "{said}");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "it has keys");
    assert!(
        said["claims"].as_u64().unwrap() >= before.len() as u64,
        "{said}"
    );
    assert_eq!(said["lanes"].as_array().unwrap().len(), 2, "{said}");
    assert!(said["taken_at"].is_string(), "{said}");
    let left: Vec<_> = std::fs::read_dir(place.folder.path()).unwrap().collect();
    let partial = |entry: &std::io::Result<std::fs::DirEntry>| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("partial")
    };
    assert!(!left.iter().any(partial), "{left:?}");
}

#[test]
fn a_backup_overwrites_nothing_and_makes_none_of_what_is_no_ledger() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve_with(&steady(&place, &redis.url()));
    server.wait_ready();
    let to = place.folder.path().join("backup.sqlite");
    std::fs::write(&to, "something dear").unwrap();
    let config = place.folder.path().join("sluice.toml");
    let config = config.to_str().unwrap().to_owned();
    let refused = run(&["backup", "--config", &config, "--to", to.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let why = text(&refused.stderr);
    assert!(why.contains("overwrites nothing"), "{why}");
    assert_eq!(std::fs::read_to_string(&to).unwrap(), "something dear");

    assert_eq!(server.stop().code(), Some(0));
    std::fs::write(place.data().join("ledger.sqlite"), vec![b'x'; 8_192]).unwrap();
    let other = place.folder.path().join("other.sqlite");
    let refused = run(&[
        "backup",
        "--config",
        &config,
        "--to",
        other.to_str().unwrap(),
    ]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!other.exists(), "{}", text(&refused.stderr));
}

/// The whole way: a backup, a sale that goes on, a ledger that is lost, the backup in its place. The
/// lanes halt, because Redis knows more; an operator accepts what is lost; what the backup has is
/// answered as before, and every unit is somebody's once.
#[test]
fn f34_a_restored_backup_halts_until_an_operator_accepts_it() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let text_of = steady(&place, &redis.url());
    let server = place.serve_with(&text_of);
    server.wait_ready();
    let coupon = server.sale(&json!({"limits": {"total": 60}}));
    let early = bodies(&server, &coupon, &place.tokens("e", 20, &["--pass"]));
    let backup = place.folder.path().join("backup.sqlite");
    back_up(&place, &backup);
    let late = place.tokens("l", 20, &["--pass"]);
    bodies(&server, &coupon, &late);
    assert_eq!(server.stop().code(), Some(0));
    restore(&place, &backup);

    let server = place.serve_with(&text_of);
    server.wait_not_ready("halted: ");
    let refused = server.claim(&coupon, &late[0]);
    assert_eq!(refused.status, 503, "{refused:?}");
    let begun = std::time::Instant::now();
    accept_ledger(&server, &halted_lanes(&server));
    let recovery = begun.elapsed();
    for (pass, body) in &early {
        let said = server.claim_patiently(&coupon, pass);
        assert_eq!((said.status, &said.body), (200, body));
    }
    // What came after the backup is lost with the ledger; whoever asks again is served like anybody.
    bodies(&server, &coupon, &late);
    bodies(&server, &coupon, &place.tokens("n", 20, &["--pass"]));
    let more = place.tokens("m", 1, &["--pass"]);
    let said = wait_for("the end of the stock", 30, || {
        let said = server.claim_patiently(&coupon, &more[0]);
        (said.status == 409).then_some(said)
    });
    assert_eq!(said.refusal().1, "sold_out");
    exact(&place, &coupon, 60);
    report(
        34,
        &Done {
            rounds: 1,
            kills: 0,
            recovery: Some(recovery),
        },
    );
}
