//! Bad input: a clear problem, never a panic, nothing changed.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use crate::http::{raw, send};
use crate::world::{World, minimal};

/// A body with one field replaced or added.
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let mut body = minimal();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[field] = value;
    body.to_string().into_bytes()
}

#[tokio::test]
async fn bad_definitions_are_refused_field_by_field() {
    let world = World::open().await;
    let table: Vec<(Vec<u8>, &str)> = vec![
        (b"{".to_vec(), ""),
        (b"[]".to_vec(), ""),
        (b"null".to_vec(), ""),
        (b"\xff\xfe".to_vec(), ""),
        (b"{}".to_vec(), "/name"),
        (with("/name", json!("")), "/name"),
        (with("/name", json!(5)), "/name"),
        (with("/name", json!("x".repeat(201))), "/name"),
        (with("/currency", json!("usd dollars")), "/currency"),
        (with("/currency", json!("XQQ")), "/currency"),
        (with("/limits/total", json!(-1)), "/limits/total"),
        (with("/limits/total", json!(1.5)), "/limits/total"),
        (with("/limits/total", json!("100")), "/limits/total"),
        (with("/limits/total", json!(1e300)), "/limits/total"),
        (with("/limits/total", json!(u64::MAX)), "/limits/total"),
        (with("/limits/per_user", json!(0)), "/limits/per_user"),
        (with("/limits/budget", json!("-1.00")), "/limits/budget"),
        (with("/benefit/off", json!("-5.00")), "/benefit/off"),
        (with("/benefit/off", json!("5.001")), "/benefit/off"),
        (with("/benefit/off", json!(5)), "/benefit/off"),
        (with("/benefit/off", json!("9".repeat(40))), "/benefit/off"),
        (with("/benefit/off", json!("1e3")), "/benefit/off"),
        (with("/benefit/off", json!("0.00")), "/benefit/off"),
        (with("/benefit/type", json!("gift")), "/benefit/type"),
        (with("/durability", json!("maybe")), "/durability"),
        (with("/shards", json!(17)), "/shards"),
        (with("/shards", json!(65)), "/shards"),
        (with("/colour", json!("red")), "/colour"),
        (with("/limits/per_moon", json!(1)), "/limits/per_moon"),
        (with("/distribution", json!([])), "/distribution"),
        (
            with("/claim_window", json!({"starts_at": "tomorrow"})),
            "/claim_window/starts_at",
        ),
        (
            with("/validity", json!({"type": "relative", "days": 0})),
            "/validity/days",
        ),
    ];
    for (body, pointer) in table {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let reply = world.call("POST", "/admin/v1/coupons", &[], &body).await;
        let problem = reply.expect_problem(400, "invalid_request");
        let pointers: Vec<&str> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect();
        assert!(pointers.contains(&pointer), "{shown}: {problem}");
    }
    let twice = br#"{"name":"a","name":"b","currency":"USD"}"#;
    let reply = world.call("POST", "/admin/v1/coupons", &[], twice).await;
    let problem = reply.expect_problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/name");
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let reply = world
        .call("POST", "/admin/v1/coupons", &[], deep.as_bytes())
        .await;
    reply.expect_problem(400, "invalid_request");
    let list = world.get("/admin/v1/coupons").await.expect(200);
    assert_eq!(list["items"], json!([]), "nothing was made");
}

#[tokio::test]
async fn several_errors_come_at_once() {
    let world = World::open().await;
    let body = json!({"name": "", "currency": "USD", "benefit": {"type": "fixed", "off": "x"}, "limits": {}});
    let reply = world.post("/admin/v1/coupons", body).await;
    let problem = reply.expect_problem(400, "invalid_request");
    assert!(
        problem["errors"].as_array().unwrap().len() >= 3,
        "{problem}"
    );
}

#[tokio::test]
async fn ids_that_are_none_are_not_found() {
    let world = World::open().await;
    for id in [
        "zzzzzzz",
        "0000000",
        "%7Bl07%7D",
        "a%00b",
        "a%0Ab",
        "..%2f..%2f",
        "%F0%9F%92%A3",
        "0",
        "0123456789012345678901234567890",
    ] {
        for (method, verb) in [
            ("GET", ""),
            ("POST", "/publish"),
            ("GET", "/claims"),
            ("GET", "/audit"),
        ] {
            let path = format!("/admin/v1/coupons/{id}{verb}");
            let reply = world.call(method, &path, &[], b"").await;
            reply.expect_problem(404, "not_found");
        }
    }
    let reply = world.get("/admin/v1/coupons/%ff").await;
    assert!([400, 404].contains(&reply.status), "{}", reply.body);
    let lanes = ["4", "-1", "x", "65536", "%00"];
    for lane in lanes {
        let path = format!("/admin/v1/system/lanes/{lane}/recover");
        world
            .post(&path, json!({}))
            .await
            .expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn unknown_routes_methods_types_and_sizes_are_problems() {
    let world = World::open().await;
    world
        .get("/admin/v1/nothing")
        .await
        .expect_problem(404, "not_found");
    let reply = world.call("PUT", "/admin/v1/coupons", &[], b"{}").await;
    reply.expect_problem(405, "method_not_allowed");
    let allow = reply.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");

    let authorization = format!("Bearer {}", world.admin);
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", content_type),
        ];
        let body = minimal().to_string();
        let reply = send(
            world.address,
            "POST",
            "/admin/v1/coupons",
            &headers,
            body.as_bytes(),
        );
        reply.await.expect_problem(415, "unsupported_media_type");
    }
    let large = vec![b' '; (1 << 20) + 1];
    let reply = world.call("POST", "/admin/v1/coupons", &[], &large).await;
    reply.expect_problem(413, "too_large");
    // Also where the size was not announced.
    let mut chunked = format!(
        "POST /admin/v1/coupons HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
         authorization: {authorization}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n{:x}\r\n",
        large.len()
    )
    .into_bytes();
    chunked.extend_from_slice(&large);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    raw(world.address, &chunked)
        .await
        .expect_problem(413, "too_large");
    // Calls that say everything in their path take no body.
    let path = world.draft(minimal()).await;
    let reply = world
        .post(&format!("{path}/publish"), json!({"force": true}))
        .await;
    let problem = reply.expect_problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/force");
    assert_eq!(world.get(&path).await.expect(200)["status"], "draft");
}

#[tokio::test]
async fn a_panic_is_answered_and_harms_nobody_else() {
    let world = World::open().await;
    let path = world.draft(minimal()).await;
    world.gateways.panics.store(1, Ordering::SeqCst);
    let reply = world.post(&format!("{path}/publish"), Value::Null).await;
    let problem = reply.expect_problem(500, "internal");
    assert!(!problem.to_string().contains("defect\""), "{problem}");
    assert!(!problem["detail"].as_str().unwrap().contains("cache"));
    world
        .post(&format!("{path}/publish"), Value::Null)
        .await
        .expect(200);
}

#[tokio::test]
async fn every_answer_has_its_id_and_its_headers() {
    let world = World::open().await;
    let headers = [("x-request-id", "abc-123")];
    for path in [
        "/",
        "/openapi.json",
        "/admin/v1/whoami",
        "/admin/v1/none",
        "/admin/v1/coupons/x",
    ] {
        let reply = world.call("GET", path, &headers, b"").await;
        assert_eq!(reply.header("x-request-id"), Some("abc-123"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'"));
        assert!(reply.header("access-control-allow-origin").is_none());
    }
    let odd = "x".repeat(200);
    for sent in ["", "with space", odd.as_str()] {
        let reply = world.call("GET", "/", &[("x-request-id", sent)], b"").await;
        assert_eq!(reply.header("x-request-id").unwrap().len(), 32, "{sent}");
    }
    let index = world.get("/").await.expect(200);
    assert_eq!(index["openapi"], "/openapi.json");
}
