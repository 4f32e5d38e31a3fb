//! `sluice lane status` and `sluice lane release`.

use serde_json::{Value, json};

use crate::http::wait_for;
use crate::process::{Place, QUICK, Running, text};
use crate::redis::RedisServer;

fn lanes(server: &Running) -> Vec<Value> {
    let said = server.lane(&["status"]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    said["items"].as_array().unwrap().clone()
}

fn counts(server: &Running, coupon: &str) -> Value {
    let path = format!("/admin/v1/coupons/{coupon}");
    server.admin("GET", &path, &Value::Null).json()["counts"].take()
}

#[test]
fn status_shows_every_lane_as_ledger_redis_and_keeper_see_it() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let said = server.claim_patiently(&coupon, &place.token("alice"));
    assert_eq!(said.status, 201, "{said:?}");
    let lanes = lanes(&server);
    assert_eq!(lanes.len(), 2);
    for (number, lane) in lanes.iter().enumerate() {
        assert_eq!(lane["lane"], number, "{lane}");
        assert_eq!(lane["phase"], "open", "{lane}");
        assert_eq!(lane["opened"], lane["epoch"], "{lane}");
        assert_eq!(lane["hot_state"]["state"], "open", "{lane}");
        assert_eq!(lane["hot_state"]["epoch"], lane["epoch"], "{lane}");
        assert_eq!(lane["hot_state"]["same_server"], true, "{lane}");
        assert!(lane["halted"].is_null(), "{lane}");
        let holder = lane["holder"].as_str().unwrap();
        assert!(holder.contains(&server.pid().to_string()), "{holder}");
    }
    let marks = |lane: &Value| lane["hot_state"]["mark"].as_u64().unwrap_or(0);
    assert!(lanes.iter().any(|lane| marks(lane) > 0), "the claim's lane");
}

/// Redis forgets everything; what it had leased is kept back for the grace. Who knows that the old
/// Redis is gone for good gives it free before.
#[test]
fn f05_release_gives_quarantined_units_free_before_their_grace() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let patient = QUICK.replace("grace_ms = 4000", "grace_ms = 3600000");
    let config = place.serve_config(&redis.url());
    let text_of = std::fs::read_to_string(config).unwrap();
    let server = place.serve_with(&text_of.replace(QUICK, &patient));
    server.wait_ready();
    // Of class hot: for claims of class ledger the old lease is worth nothing without the ledger.
    let coupon = server.sale(&json!({"limits": {"total": 10}, "durability": "hot"}));
    let alice = place.token("alice");
    let first = server.claim_patiently(&coupon, &alice);
    assert_eq!(first.status, 201, "{first:?}");
    wait_for("the claim to be in the ledger", 20, || {
        (counts(&server, &coupon)["granted"] == 1).then_some(())
    });
    let flushed = crate::redis::command(&redis.url(), &["FLUSHALL"]).unwrap();
    assert!(flushed.starts_with("+OK"), "{flushed}");
    let held = wait_for("the lease to be kept back", 30, || {
        let counts = counts(&server, &coupon);
        (counts["quarantined"].as_u64() > Some(0)).then_some(counts)
    });
    assert_eq!(
        (&held["granted"], &held["quarantined"]),
        (&json!(1), &json!(9)),
        "all but what is granted: {held}"
    );
    server.wait_ready();
    let refused = server.claim_patiently(&coupon, &place.token("bob"));
    assert_ne!(refused.status, 201, "kept back: {refused:?}");

    let unknown = server.lane(&["release", "99"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("404"), "{unknown:?}");
    for lane in lanes(&server) {
        let released = server.lane(&["release", &lane["lane"].to_string()]);
        assert!(released.status.success(), "{}", text(&released.stderr));
        let said: Value = serde_json::from_slice(&released.stdout).unwrap();
        assert_eq!(said["lane"], lane["lane"], "{said}");
    }
    assert_eq!(counts(&server, &coupon)["quarantined"], 0);
    let again = server.claim_patiently(&coupon, &alice);
    assert_eq!((again.status, &again.body), (200, &first.body));
    wait_for("the units to be claimed", 30, || {
        let said = server.claim_patiently(&coupon, &place.token("bob"));
        (said.status == 201).then_some(())
    });
    let log = server
        .admin("GET", "/admin/v1/audit-log", &Value::Null)
        .json();
    let actions: Vec<_> = log["items"].as_array().unwrap().iter().collect();
    let released = |entry: &&&Value| entry["action"] == "lane.release";
    assert_eq!(actions.iter().filter(released).count(), 2, "{log}");
    assert!(server.log().contains("an operator ended a quarantine"));
}
