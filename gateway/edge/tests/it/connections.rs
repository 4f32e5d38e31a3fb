//! Connections: slow, many, pipelined, broken off, drained.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::harness::{GRANTS, SOLD_OUT, Server, WAITS, claim_request, settings};

#[tokio::test]
async fn silent_and_slow_clients_are_closed() {
    let mut settings = settings();
    settings.first_byte_timeout = Duration::from_millis(100);
    settings.header_read_timeout = Duration::from_millis(200);
    let server = Server::start(settings).await;
    // Nothing at all.
    let mut silent = server.connect().await;
    assert_eq!(silent.read_to_end().await, b"");
    // Half an HTTP/2 preface.
    let mut half = server.connect().await;
    half.write(b"PRI * HTTP/2.0\r\n").await;
    assert_eq!(half.read_to_close().await, b"");
    // A head that never ends.
    let mut slow = server.connect().await;
    slow.write(b"GET /v1/coupons/x HTTP/1.1\r\nHost: t\r\nX-")
        .await;
    let rest = String::from_utf8(slow.read_to_end().await).unwrap();
    assert!(
        rest.is_empty() || rest.starts_with("HTTP/1.1 408"),
        "{rest}"
    );
    // Idle between requests.
    let mut idle = server.connect().await;
    let request = claim_request(SOLD_OUT, &server.pass("ann"), "");
    idle.write(request.as_bytes()).await;
    idle.read().await.assert_problem(409, "sold_out");
    idle.read_to_end().await;
}

#[tokio::test]
async fn a_slow_body_is_answered() {
    let mut settings = settings();
    settings.body_timeout = Duration::from_millis(100);
    let server = Server::start(settings).await;
    let mut client = server.connect().await;
    let request = claim_request(GRANTS, &server.pass("ann"), "")
        .replace("Content-Length: 0", "Content-Length: 10");
    client.write(request.as_bytes()).await;
    client.write(b"{").await;
    client.read().await.assert_problem(408, "request_timeout");
    assert_eq!(server.fake.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let requests: String = [GRANTS, SOLD_OUT, GRANTS]
        .map(|coupon| claim_request(coupon, &pass, ""))
        .concat();
    let mut client = server.connect().await;
    client.write(requests.as_bytes()).await;
    let mut statuses = Vec::new();
    for _answer in 0..3 {
        statuses.push(client.read().await.status);
    }
    assert_eq!(statuses, [201, 409, 200]);
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let mut settings = settings();
    settings.limits.enabled = true;
    settings.connections_per_address_max = 2;
    let server = Server::start(settings).await;
    let request = claim_request(SOLD_OUT, &server.pass("ann"), "");
    let mut first = server.connect().await;
    first.write(request.as_bytes()).await;
    assert_eq!(first.read().await.status, 409);
    let mut second = server.connect().await;
    second.write(request.as_bytes()).await;
    assert_eq!(second.read().await.status, 409);
    let mut third = server.connect().await;
    assert_eq!(third.read_to_end().await, b"", "closed without an answer");
    drop(first);
    // The place is free again as soon as the server has seen the close.
    let served = async {
        loop {
            let mut client = server.connect().await;
            client.write(request.as_bytes()).await;
            if let Some(answer) = client.try_read().await {
                return answer.status;
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(20), served).await;
    assert_eq!(status, Ok(409));
}

#[tokio::test]
async fn newcomers_wait_in_the_backlog_while_all_slots_are_taken() {
    let mut settings = settings();
    settings.connections_max = 1;
    let server = Server::start(settings).await;
    let request = claim_request(SOLD_OUT, &server.pass("ann"), "");
    let mut first = server.connect().await;
    first.write(request.as_bytes()).await;
    first.read().await.assert_problem(409, "sold_out");
    let mut second = server.connect().await;
    second.write(request.as_bytes()).await;
    drop(first);
    second.read().await.assert_problem(409, "sold_out");
}

#[tokio::test]
async fn a_connection_serves_so_many_requests() {
    let mut settings = settings();
    settings.requests_per_connection_max = 3;
    let server = Server::start(settings).await;
    let request = claim_request(SOLD_OUT, &server.pass("ann"), "");
    let mut client = server.connect().await;
    for number in 1..=3 {
        client.write(request.as_bytes()).await;
        let answer = client.read().await;
        answer.assert_problem(409, "sold_out");
        assert!(number < 3 || answer.header("connection") == Some("close"));
    }
    assert_eq!(client.read_to_end().await, b"");
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_slot_back() {
    let mut settings = settings();
    settings.in_flight_max = 1;
    let server = Server::start(settings).await;
    let pass = server.pass("ann");
    let mut client = server.connect().await;
    client
        .write(claim_request(WAITS, &pass, "").as_bytes())
        .await;
    server.fake.begun.notified().await;
    drop(client);
    let free = async { while server.claim(SOLD_OUT, "bob").await.status == 503 {} };
    tokio::time::timeout(Duration::from_secs(20), free)
        .await
        .expect("the slot comes back");
}

#[tokio::test]
async fn f29_a_drain_finishes_what_was_begun() {
    let mut server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let mut busy = server.connect().await;
    busy.write(claim_request(WAITS, &pass, "").as_bytes()).await;
    server.fake.begun.notified().await;
    let mut idle = server.connect().await;
    idle.write(claim_request(SOLD_OUT, &pass, "").as_bytes())
        .await;
    idle.read().await.assert_problem(409, "sold_out");
    server.shut_down();
    // The idle one is closed in good order; the busy one gets its answer, then a close.
    assert_eq!(idle.read_to_end().await, b"");
    server.fake.release.notify_one();
    let answer = busy.read().await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(busy.read_to_end().await, b"");
    assert!(
        tokio::net::TcpStream::connect(server.address)
            .await
            .is_err()
    );
    assert_eq!(server.drained().await.cut, 0);
}

#[tokio::test]
async fn f29_who_is_connected_when_a_drain_begins_is_answered_once_more() {
    let mut server = Server::start(settings()).await;
    let request = claim_request(SOLD_OUT, &server.pass("ann"), "");
    let mut kept = server.connect().await;
    kept.write(request.as_bytes()).await;
    kept.read().await.assert_problem(409, "sold_out");
    let mut silent = server.connect().await;
    server.shut_down();
    for client in [&mut kept, &mut silent] {
        client.write(request.as_bytes()).await;
        let answer = client.read().await;
        answer.assert_problem(409, "sold_out");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(client.read_to_end().await, b"");
    }
    assert_eq!(server.drained().await.cut, 0);
}

#[tokio::test]
async fn f29_a_drain_has_an_end() {
    let mut settings = settings();
    settings.drain_deadline = Duration::from_millis(100);
    let mut server = Server::start(settings).await;
    let mut busy = server.connect().await;
    busy.write(claim_request(WAITS, &server.pass("ann"), "").as_bytes())
        .await;
    server.fake.begun.notified().await;
    server.shut_down();
    assert_eq!(server.drained().await.cut, 1);
}
