//! HTTP/2 clients that go away before they are answered.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;

use super::crowd::exact;
use super::{Done, report, rounds, steady};
use crate::process::{Place, Running};
use crate::redis::RedisServer;

/// Users, one claim each; every second one goes away.
const USERS: usize = 300;

async fn connect(server: &Running) -> SendRequest<Empty<Bytes>> {
    let host = server.url("data").strip_prefix("http://").unwrap();
    let stream = tokio::net::TcpStream::connect(host).await.unwrap();
    let io = TokioIo::new(stream);
    let (sender, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// What each user was answered who waited for it.
async fn claim_and_leave(server: &Running, coupon: &str, passes: &[String]) -> Vec<Option<String>> {
    let mut sender = connect(server).await;
    let mut bodies = Vec::new();
    for (number, pass) in passes.iter().enumerate() {
        let request = Request::post(format!("http://t/v1/coupons/{coupon}/claims"))
            .header("authorization", format!("Bearer {pass}"))
            .body(Empty::new())
            .unwrap();
        let answer = sender.send_request(request);
        if number % 2 == 0 {
            // Dropped before, while or after it is decided: the stream is reset.
            let patience = Duration::from_micros(number as u64 * 17 % 3_000);
            let _given_up = tokio::time::timeout(patience, answer).await;
            bodies.push(None);
            continue;
        }
        let said = answer.await.unwrap();
        let granted = matches!(said.status().as_u16(), 200 | 201);
        let body = said.into_body().collect().await.unwrap().to_bytes();
        bodies.push(granted.then(|| String::from_utf8_lossy(&body).into_owned()));
    }
    bodies
}

#[test]
fn f30_streams_that_are_cancelled_apply_once_or_not_at_all() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve_with(&steady(&place, &redis.url()));
    server.wait_ready();
    let coupon = server.sale(&json!({"limits": {"total": 1_000_000}}));
    server.claim_patiently(&coupon, &place.token("warmer"));
    let users = USERS.max(rounds(USERS));
    let passes = place.tokens("s", users, &["--pass"]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bodies = runtime.block_on(claim_and_leave(&server, &coupon, &passes));
    let mut new = 0;
    for (pass, body) in passes.iter().zip(&bodies) {
        let said = server.claim_patiently(&coupon, pass);
        match body {
            Some(body) => assert_eq!((said.status, &said.body), (200, body)),
            None => assert!(matches!(said.status, 200 | 201), "{said:?}"),
        }
        new += usize::from(said.status == 201);
    }
    assert!(new < users, "none of those who left was decided before");
    exact(&place, &coupon, users + 1);
    report(
        30,
        &Done {
            rounds: users / 2,
            kills: 0,
            recovery: None,
        },
    );
}
