//! HTTP/2: the same answers, many at once, and clients that reset.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::harness::{GRANTS, SOLD_OUT, Server, WAITS, settings};
use sluice_domain::id::CouponId;

async fn connect(server: &Server) -> SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn claim(coupon: CouponId, pass: &str) -> Request<Empty<Bytes>> {
    Request::post(format!("http://t/v1/coupons/{coupon}/claims"))
        .header("authorization", format!("Bearer {pass}"))
        .body(Empty::new())
        .unwrap()
}

async fn body(response: Response<Incoming>) -> serde_json::Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn answers_are_the_same() {
    let server = Server::start(settings()).await;
    let mut sender = connect(&server).await;
    let pass = server.pass("ann");
    let granted = sender.send_request(claim(GRANTS, &pass)).await.unwrap();
    assert_eq!(granted.status(), 201);
    assert_eq!(body(granted).await["user_id"], "ann");
    let refused = sender.send_request(claim(SOLD_OUT, &pass)).await.unwrap();
    assert_eq!(refused.status(), 409);
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(body(refused).await["code"], "sold_out");
}

#[tokio::test]
async fn streams_run_side_by_side() {
    let server = Server::start(settings()).await;
    let mut sender = connect(&server).await;
    let waiting = sender.send_request(claim(WAITS, &server.pass("ann")));
    let waiting = tokio::spawn(waiting);
    server.fake.begun.notified().await;
    let pass = server.pass("bob");
    for _request in 0..100 {
        let refused = sender.send_request(claim(SOLD_OUT, &pass)).await.unwrap();
        assert_eq!(refused.status(), 409);
    }
    server.fake.release.notify_one();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 201);
}

#[tokio::test]
async fn f30_resets_give_their_slots_back_and_harm_nobody() {
    let mut settings = settings();
    settings.in_flight_max = 8;
    let server = Server::start(settings).await;
    let pass = server.pass("ann");
    for _attack in 0..20 {
        let mut sender = connect(&server).await;
        for _stream in 0..8 {
            // Dropping the future resets the stream.
            let pending = sender.send_request(claim(WAITS, &pass));
            let _given_up =
                tokio::time::timeout(std::time::Duration::from_millis(1), pending).await;
        }
    }
    let free = async { while server.claim(SOLD_OUT, "bob").await.status != 409 {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), free)
        .await
        .expect("slots come back");
}

#[tokio::test]
async fn f29_a_drain_says_goodbye() {
    let mut server = Server::start(settings()).await;
    let mut sender = connect(&server).await;
    let waiting = tokio::spawn(sender.send_request(claim(WAITS, &server.pass("ann"))));
    server.fake.begun.notified().await;
    server.shut_down();
    server.fake.release.notify_one();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 201);
    assert_eq!(server.drained().await.cut, 0);
}
