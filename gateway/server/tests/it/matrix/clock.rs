//! A gateway whose clock is wrong by an hour.

use serde_json::{Value, json};
use sluice_domain::time::Timestamp;

use super::{Done, report, steady};
use crate::process::{Place, Running, sluice};
use crate::redis::RedisServer;

/// Where Debian's package `faketime` puts its library, by architecture.
const LIBRARY: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// `sluice serve` that believes it is so much later (or earlier) than it is.
fn serve_at(place: &Place, redis: &RedisServer, offset: &str) -> Running {
    let library = LIBRARY
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .expect("the library of the package faketime: run deploy/bootstrap.sh build");
    let path = place.config(&steady(place, &redis.url()));
    let path = path.to_str().unwrap();
    let made = crate::process::run(&["key", "create", "--config", path, "--role", "admin"]);
    assert!(made.status.success(), "{made:?}");
    let mut command = sluice(&["serve", "--config", path]);
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME", offset)
        // What the kernel measures stays right, as it does where a clock is set wrong.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut running = place.spawn(command);
    running.ready["admin_key"] = json!(crate::process::text(&made.stdout).trim());
    running.wait_ready();
    running
}

/// An instant so many seconds from now, as the rest of the world knows it: by Redis.
fn instant(redis: &RedisServer, seconds: i64) -> String {
    let said = crate::redis::command(&redis.url(), &["TIME"]).unwrap();
    let now: i64 = said.lines().nth(2).unwrap().parse().unwrap();
    Timestamp::from_millis((now + seconds) * 1_000).to_string()
}

/// Windows are those of Redis' clock: a coupon that began half an hour ago is open, one that begins
/// in half an hour is not, whatever the gateway's clock says.
#[test]
fn f19_a_clock_that_is_an_hour_wrong_opens_and_closes_nothing() {
    for offset in ["+3600s", "-3600s"] {
        let place = Place::new();
        let redis = RedisServer::start(&place.folder.path().join("redis"));
        let server = serve_at(&place, &redis, offset);
        let window = |from: i64, to: i64| {
            json!({"claim_window": {
                "starts_at": instant(&redis, from), "ends_at": instant(&redis, to)}})
        };
        // The token's own times are checked by the gateway's clock; a pass made by it is valid.
        let now_open = server.sale(&window(-1_800, 7_200));
        let later = server.sale(&window(1_800, 7_200));
        let pass = pass(&place, &server, "alice", offset);
        let said = server.claim_patiently(&now_open, &pass);
        assert_eq!(said.status, 201, "{offset}: {said:?}");
        let granted = said.json()["granted_at"].as_str().unwrap().to_owned();
        assert!(
            granted < instant(&redis, 60) && granted > instant(&redis, -60),
            "{granted}"
        );
        let early = server.claim_patiently(&later, &pass);
        assert_eq!(early.refusal(), (425, "not_started".to_owned()), "{offset}");
        if offset.starts_with('-') {
            // For this gateway it is still open.
            let over = server.sale(&window(-5_400, -1_800));
            let late = server.claim_patiently(&over, &pass);
            assert_eq!(late.refusal(), (410, "ended".to_owned()), "{offset}");
        }
        let shown = server.admin(
            "GET",
            &format!("/admin/v1/coupons/{now_open}"),
            &Value::Null,
        );
        assert_eq!(shown.json()["counts"]["granted"], 1, "{shown:?}");
        super::crowd::exact(&place, &now_open, 1);
    }
    report(
        19,
        &Done {
            rounds: 2,
            kills: 0,
            recovery: None,
        },
    );
}

/// A pass from an issuer whose clock agrees with the gateway's.
fn pass(place: &Place, server: &Running, user: &str, offset: &str) -> String {
    let library = LIBRARY
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .unwrap();
    let data = place.data();
    let made = sluice(&[
        "token",
        "--data-dir",
        data.to_str().unwrap(),
        "--user",
        user,
    ])
    .env("LD_PRELOAD", library)
    .env("FAKETIME", offset)
    .output()
    .unwrap();
    assert!(made.status.success(), "{made:?}");
    let token = crate::process::text(&made.stdout).trim().to_owned();
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer)];
    let said = crate::http::call(server.url("data"), "POST", "/v1/passes", &headers, "").unwrap();
    assert_eq!(said.status, 200, "{said:?}");
    said.json()["pass"].as_str().unwrap().to_owned()
}
