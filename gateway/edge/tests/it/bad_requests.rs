//! Requests that nobody should send, and what they get.

use super::harness::{GRANTS, SOLD_OUT, Server, claim_request, settings};
use std::sync::atomic::Ordering;
use tokio::io::AsyncWriteExt as _;

fn post(pass: &str, headers: &str, body: &str) -> String {
    format!(
        "POST /v1/coupons/{GRANTS}/claims HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {pass}\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn bodies_are_empty_or_an_empty_object() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let json = "Content-Type: application/json\r\n";
    let accepted = ["", "{}", " {\n} ", "\r\n"];
    for body in accepted {
        for headers in [
            json,
            "",
            "Content-Type: Application/JSON; charset=utf-8\r\n",
        ] {
            let answer = server.send(&post(&pass, headers, body)).await;
            assert!(matches!(answer.status, 200 | 201), "{body:?}: {answer:?}");
        }
    }
    let refused = [
        ("{\"user_id\":\"bob\"}", "/user_id"),
        ("{\"a/b\":1}", "/a~1b"),
        ("{\"a\":1,\"a\":2}", "/a"),
        ("{", ""),
        ("[]", ""),
        ("null", ""),
        ("{}{}", ""),
        ("\0", ""),
    ];
    let calls = server.fake.calls.load(Ordering::SeqCst);
    for (body, pointer) in refused {
        let answer = server.send(&post(&pass, json, body)).await;
        answer.assert_problem(400, "invalid_request");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body:?}");
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "\u{e9}",
    ] {
        let headers = format!("Content-Type: {kind}\r\n");
        let answer = server.send(&post(&pass, &headers, "{}")).await;
        answer.assert_problem(415, "unsupported_media_type");
    }
    assert_eq!(
        server.fake.calls.load(Ordering::SeqCst),
        calls,
        "nothing refused was claimed"
    );
}

#[tokio::test]
async fn large_bodies_are_refused_before_and_while_reading() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    // Promised by the length: answered before anything of it is sent.
    let promised =
        claim_request(GRANTS, &pass, "").replace("Content-Length: 0", "Content-Length: 1000000000");
    server
        .send(&promised)
        .await
        .assert_problem(413, "too_large");
    // Not promised: answered when the limit is passed.
    let mut chunked =
        claim_request(GRANTS, &pass, "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    for _chunk in 0..5 {
        chunked.push_str(&format!("400\r\n{}\r\n", " ".repeat(0x400)));
    }
    server.send(&chunked).await.assert_problem(413, "too_large");
    // At the limit it is fine.
    let whole = format!("{}{{}}", " ".repeat(4_094));
    let answer = server.send(&post(&pass, "", &whole)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn heads_are_bounded() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let many: String = (0..80).map(|n| format!("X-{n}: v\r\n")).collect();
    server
        .send(&claim_request(SOLD_OUT, &pass, &many))
        .await
        .assert_problem(431, "headers_too_large");
    let large = format!("X-Large: {}\r\n", "v".repeat(17 * 1024));
    server
        .send(&claim_request(SOLD_OUT, &pass, &large))
        .await
        .assert_problem(431, "headers_too_large");
    let long = format!(
        "GET /v1/coupons/{SOLD_OUT}?{} HTTP/1.1\r\nHost: t\r\n\r\n",
        "q".repeat(3_000)
    );
    server.send(&long).await.assert_problem(414, "too_large");
    // Beyond our own limits hyper's stand behind: refused or cut off, and the server goes on.
    let bomb = format!("X-Bomb: {}\r\n", "v".repeat(200 * 1024));
    let mut client = server.connect().await;
    let request = claim_request(SOLD_OUT, &pass, &bomb);
    let _cut_off = client.stream.write_all(request.as_bytes()).await;
    if let Some(answer) = client.try_read().await {
        assert!(matches!(answer.status, 400 | 431), "{answer:?}");
    }
    server
        .claim(SOLD_OUT, "ann")
        .await
        .assert_problem(409, "sold_out");
}

#[tokio::test]
async fn keys_are_checked() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let bad = [
        "Idempotency-Key: \r\n".to_owned(),
        "Idempotency-Key: a b\r\n".to_owned(),
        "Idempotency-Key: \u{e9}\r\n".to_owned(),
        format!("Idempotency-Key: {}\r\n", "k".repeat(129)),
        "Idempotency-Key: a\r\nIdempotency-Key: b\r\n".to_owned(),
    ];
    for headers in &bad {
        let answer = server.send(&claim_request(GRANTS, &pass, headers)).await;
        answer.assert_problem(400, "invalid_request");
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            "header:Idempotency-Key"
        );
    }
    let longest = format!("Idempotency-Key: {}\r\n", "k".repeat(128));
    let answer = server.send(&claim_request(GRANTS, &pass, &longest)).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn methods_and_routes() {
    let server = Server::start(settings()).await;
    for (line, allow) in [
        ("GET /v1/passes", "POST, OPTIONS"),
        ("DELETE /v1/coupons/0000001/claims", "POST, OPTIONS"),
        ("PUT /v1/coupons/0000001", "GET, HEAD, OPTIONS"),
        ("POST /v1/claims/x", "GET, HEAD, OPTIONS"),
        ("BREW /v1/claims/x", "GET, HEAD, OPTIONS"),
        ("GET /v1/claims", "POST, OPTIONS"),
        ("POST /v1/wallet", "GET, HEAD, OPTIONS"),
        ("GET /v1/wallet/match", "POST, OPTIONS"),
        ("GET /v1/quotes", "POST, OPTIONS"),
        ("GET /v1/redemptions", "POST, OPTIONS"),
        ("DELETE /v1/redemptions/x", "GET, HEAD, OPTIONS"),
        ("GET /v1/redemptions/x/confirm", "POST, OPTIONS"),
        ("PUT /v1/redemptions/x/cancel", "POST, OPTIONS"),
        ("GET /v1/redemptions/x/refunds", "POST, OPTIONS"),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
        let answer = server.send(&request).await;
        answer.assert_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{line}");
    }
    for path in [
        "/",
        "/v1/wallets",
        "/v1/quotes/x",
        "/v1/redemptions/x/refund",
        "/metrics",
        "/admin/v1/coupons",
        "/debug",
        "/v1//claims/x",
        "/v1/coupons/a/claims/b",
        "//v1/passes",
        "/v1/passes/..",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n");
        server.send(&request).await.assert_problem(404, "not_found");
    }
}

#[tokio::test]
async fn browsers_of_configured_origins_may_call() {
    let mut settings = settings();
    settings.cors_origins = vec!["https://shop.example".to_owned()];
    let server = Server::start(settings).await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /v1/coupons/{GRANTS}/claims HTTP/1.1\r\nHost: t\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\n\r\n"
        )
    };
    let answer = server.send(&preflight("https://shop.example")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://shop.example")
    );
    assert_eq!(
        answer.header("access-control-allow-methods"),
        Some("POST, OPTIONS")
    );
    assert!(
        answer
            .header("access-control-allow-headers")
            .unwrap()
            .contains("Authorization")
    );
    let foreign = server.send(&preflight("https://evil.example")).await;
    assert_eq!(foreign.status, 204);
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    // Refusals are readable for pages too.
    let pass = server.pass("ann");
    let request = claim_request(SOLD_OUT, &pass, "Origin: https://shop.example\r\n");
    let answer = server.send(&request).await;
    answer.assert_problem(409, "sold_out");
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://shop.example")
    );
    assert_eq!(answer.header("vary"), Some("Origin"));
}

#[tokio::test]
async fn rubbish_gets_no_further_than_the_parser() {
    let server = Server::start(settings()).await;
    for rubbish in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/\0 HTTP/1.1\r\n\r\n",
        b"POST /v1/passes HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v1/passes HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
    ] {
        let mut client = server.connect().await;
        client.write(rubbish).await;
        // hyper refuses or hangs up; nothing of it reaches us.
        if let Some(answer) = client.try_read().await {
            assert!(answer.status >= 400, "{answer:?}");
        }
    }
    server
        .claim(SOLD_OUT, "ann")
        .await
        .assert_problem(409, "sold_out");
}
