//! `sluice dev`: what it prints and leaves, and what becomes of it when something dies.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::http::wait_for;
use crate::process::{Place, redis_children, run, runs, signal, text};

#[test]
fn the_ready_line_is_the_contract_and_secrets_are_the_owners() {
    let place = Place::new();
    let server = place.dev();
    let ready = &server.ready;
    assert_eq!(ready["event"], "ready");
    for plane in ["data", "control", "ops"] {
        let url = ready[plane].as_str().unwrap();
        let port: u16 = url
            .strip_prefix("http://127.0.0.1:")
            .unwrap()
            .parse()
            .unwrap();
        assert_ne!(port, 0, "the real port");
    }
    let data = place.data().canonicalize().unwrap();
    assert_eq!(ready["data_dir"], data.to_str().unwrap());
    assert!(ready["redis_url"].as_str().unwrap().starts_with("unix:///"));
    let redis = u32::try_from(ready["redis_pid"].as_u64().unwrap()).unwrap();
    assert_eq!(redis_children(server.pid()), [redis], "the only child");
    let left: Value =
        serde_json::from_str(&std::fs::read_to_string(data.join("ready.json")).unwrap()).unwrap();
    assert_eq!(&left, ready);

    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for folder in ["", "keys", "run"] {
        assert_eq!(mode(&data.join(folder)), 0o700, "{folder}");
    }
    assert_eq!(mode(&data.join("ready.json")), 0o600);
    let keys: Vec<_> = std::fs::read_dir(data.join("keys"))
        .unwrap()
        .flatten()
        .collect();
    assert!(keys.len() >= 4, "{keys:?}");
    for key in keys {
        // The public half is for everybody who may enter the folder.
        if key.file_name() != "jwks.json" {
            assert_eq!(mode(&key.path()), 0o600, "{key:?}");
        }
    }

    server.wait_ready();
    let data = data.to_str().unwrap();
    let health = run(&["healthcheck", "--data-dir", data]);
    assert_eq!(health.status.code(), Some(0), "{}", text(&health.stdout));
    let second = run(&["dev", "--data-dir", data]);
    assert_eq!(second.status.code(), Some(1));
    let error = text(&second.stderr);
    assert!(
        error.contains(&format!("process {}", server.pid())),
        "{error}"
    );
}

#[test]
fn the_demo_prints_addresses_that_answer() {
    let place = Place::new();
    let config = place.config(crate::process::QUICK);
    let data = place.data();
    let data = data.to_str().unwrap();
    let config = config.to_str().unwrap();
    let server = place.start(&["dev", "--demo", "--data-dir", data, "--config", config]);
    let text = wait_for("the demo's lines", 30, || {
        let log = server.log();
        log.contains("And to be sure").then_some(log)
    });
    let printed = text.split_once("Sluice is up.").unwrap().1;
    let mut answered = 0;
    for word in printed.split([' ', ')', ';', '\n']) {
        let Some((host, path)) = word
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        // Those are posted to.
        if path.ends_with("/claims") || path.ends_with("/quotes") {
            continue;
        }
        let key = format!("Bearer {}", server.admin_key());
        let headers = [("authorization", &*key)];
        let (url, path) = (format!("http://{host}"), format!("/{path}"));
        // Whoever pastes them has waited for a moment; here the lanes may still be opening.
        wait_for(word, 30, || {
            let said = crate::http::call(&url, "GET", &path, &headers, "").unwrap();
            assert_ne!(said.status, 404, "{word}: {said:?}");
            (said.status == 200).then_some(())
        });
        answered += 1;
    }
    assert_eq!(answered, 5, "{printed}");
}

#[test]
fn a_killed_parent_takes_its_redis_with_it() {
    let place = Place::new();
    let limited = crate::process::QUICK.replace("enabled = false", "enabled = true");
    let mut server = place.dev_with(&limited);
    let children = redis_children(server.pid());
    assert_eq!(children.len(), 2, "claims and limits");
    server.kill();
    wait_for("the redis children to end", 10, || {
        (!children.iter().any(|&child| runs(child))).then_some(())
    });
}

#[test]
fn a_start_waits_for_the_redis_of_the_process_before_it() {
    let place = Place::new();
    let mut first = place.dev();
    first.wait_ready();
    let [old] = redis_children(first.pid())[..] else {
        panic!("more than one child");
    };
    // It has to end with its parent, and takes its time.
    signal(old, "STOP");
    first.kill();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| place.dev());
        wait_for("the second start to meet the old Redis", 20, || {
            let log = first.log();
            log.contains("still works in").then_some(())
        });
        assert!(runs(old), "it was waited for");
        signal(old, "CONT");
        let second = second.join().unwrap();
        second.wait_ready();
        assert!(!runs(old), "two on one file");
        let redis = u32::try_from(second.ready["redis_pid"].as_u64().unwrap()).unwrap();
        assert_eq!(redis_children(second.pid()), [redis]);
    });
}

#[test]
fn f02_a_killed_redis_is_started_again_and_claims_work_again() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let token = place.token("alice");
    let first = server.claim_patiently(&coupon, &token);
    assert!(matches!(first.status, 200 | 201), "{first:?}");
    let redis = redis_children(server.pid());
    // Each death makes the pause before the next life longer, until the outage can be seen.
    wait_for("readyz to tell", 20, || {
        for child in redis_children(server.pid()) {
            signal(child, "KILL");
        }
        let said = server.readyz();
        let reasons = said.json()["reasons"].to_string();
        (said.status == 503 && reasons.contains("redis does not answer")).then_some(())
    });
    server.wait_ready();
    let now = redis_children(server.pid());
    assert_ne!(now, redis, "another child");
    let again = server.claim_patiently(&coupon, &token);
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.body, first.body);
    let fresh = server.claim_patiently(&coupon, &place.token("bob"));
    assert!(matches!(fresh.status, 200 | 201), "{fresh:?}");
    assert!(server.log().contains("starting it again"));
}

#[test]
fn f29_a_graceful_stop_keeps_everything() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    let token = place.token("alice");
    let first = server.claim_patiently(&coupon, &token);
    let key = server.admin_key().to_owned();
    let (pid, redis) = (server.pid(), redis_children(server.pid()));
    assert_eq!(server.stop().code(), Some(0));
    assert!(!runs(pid) && !redis.iter().any(|&child| runs(child)));

    let server = place.dev();
    server.wait_ready();
    assert_eq!(server.admin_key(), key);
    let kept = server
        .admin("GET", &format!("/admin/v1/coupons/{coupon}"), &Value::Null)
        .json();
    assert_eq!(kept["status"], "active", "{kept}");
    assert_eq!(kept["counts"]["granted"], 1, "{kept}");
    assert_eq!(kept["counts"]["quarantined"], 0, "{kept}");
    let again = server.claim_patiently(&coupon, &token);
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let log = server.log();
    assert!(!log.contains("not every lease was closed"), "{log}");
}

#[test]
fn a_long_data_folder_gets_a_short_socket() {
    let place = Place::new();
    let deep = place
        .folder
        .path()
        .join("d".repeat(120))
        .join("e".repeat(80));
    let config = place.config(crate::process::QUICK);
    let server = place.start(&[
        "dev",
        "--data-dir",
        deep.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
    ]);
    server.wait_ready();
    let socket = server
        .url("redis_url")
        .strip_prefix("unix://")
        .unwrap()
        .to_owned();
    assert!(socket.len() < 108, "{socket}");
    assert_eq!(server.stop().code(), Some(0));
    std::fs::remove_dir_all(std::path::Path::new(&socket).parent().unwrap()).unwrap();
}
