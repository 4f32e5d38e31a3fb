//! Claims, polls and coupons: what each outcome looks like on the wire.

use std::sync::atomic::Ordering;

use super::harness::{
    GRANTS, NOT_ELIGIBLE, NOT_STARTED, PANICS, PENDING, SOLD_OUT, Server, UNKNOWN_OUTCOME,
    claim_request, settings, view,
};
use sluice_domain::id::{CouponId, UserId};

#[tokio::test]
async fn a_claim_and_its_repeats_have_the_same_bytes() {
    let server = Server::start(settings()).await;
    let first = server.claim(GRANTS, "ann").await;
    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("cache-control"), Some("no-store"));
    assert!(first.header("date").is_some());
    let claim_id = view(GRANTS, UserId::new("ann").unwrap()).claim_id;
    assert_eq!(
        first.body,
        format!(
            "{{\"claim_id\":\"{claim_id}\",\"coupon_id\":\"{GRANTS}\",\"user_id\":\"ann\",\
             \"version\":3,\"status\":\"usable\",\"durability\":\"ledger\",\
             \"granted_at\":\"2027-01-15T08:00:00.12Z\",\"valid_from\":\"2027-01-15T08:00:00.12Z\",\
             \"expires_at\":\"2027-01-22T08:00:00Z\"}}"
        )
    );
    for _repeat in 0..3 {
        let again = server.claim(GRANTS, "ann").await;
        assert_eq!(again.status, 200);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        assert_eq!(again.body, first.body);
    }
}

#[tokio::test]
async fn each_refusal_has_its_status_and_says_when_to_come_back() {
    let server = Server::start(settings()).await;
    let sold_out = server.claim(SOLD_OUT, "ann").await;
    sold_out.assert_problem(409, "sold_out");
    assert_eq!(sold_out.header("retry-after"), None);

    let early = server.claim(NOT_STARTED, "ann").await;
    early.assert_problem(425, "not_started");
    assert_eq!(early.json()["starts_at"], "2027-01-15T08:01:00Z");
    let wait: u64 = early.header("retry-after").unwrap().parse().unwrap();
    assert!((60..=90).contains(&wait), "{wait}");

    let ineligible = server.claim(NOT_ELIGIBLE, "ann").await;
    ineligible.assert_problem(403, "not_eligible");
    assert_eq!(ineligible.json()["reasons"][0]["condition"], "users");
    assert_eq!(
        ineligible.json()["reasons"][0]["expected"],
        "a member of \"vip\""
    );

    let unknown = server.claim(UNKNOWN_OUTCOME, "ann").await;
    unknown.assert_problem(503, "outcome_unknown");
    assert_eq!(unknown.json()["outcome"], "unknown");
    let wait: u64 = unknown.header("retry-after").unwrap().parse().unwrap();
    assert!((2..=3).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_pending_claim_says_where_to_look() {
    let server = Server::start(settings()).await;
    let answer = server.claim(PENDING, "ann").await;
    assert_eq!(answer.status, 202);
    let json = answer.json();
    let claim_id = json["claim_id"].as_str().unwrap();
    assert_eq!(json["status"], "pending");
    assert_eq!(json["poll"], format!("/v1/claims/{claim_id}"));
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn only_the_owner_finds_a_claim() {
    let server = Server::start(settings()).await;
    let granted = server.claim(GRANTS, "ann").await;
    let claim_id = granted.json()["claim_id"].as_str().unwrap().to_owned();
    let look = |user: &str, id: &str, method: &str| {
        format!(
            "{method} /v1/claims/{id} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\n\r\n",
            server.pass(user)
        )
    };
    let own = server.send(&look("ann", &claim_id, "GET")).await;
    assert_eq!((own.status, &own.body), (200, &granted.body));

    let mut client = server.connect().await;
    client
        .write(look("ann", &claim_id, "HEAD").as_bytes())
        .await;
    let head = client.read_head().await;
    assert_eq!(head.status, 200);
    assert_eq!(
        head.header("content-length"),
        Some(own.body.len().to_string().as_str())
    );
    // Nothing of a body follows: the connection is still in step.
    client.write(look("ann", &claim_id, "GET").as_bytes()).await;
    assert_eq!(client.read().await.body, own.body);

    let strip = |answer: &super::harness::Answer| {
        answer
            .body
            .replace(answer.header("x-request-id").unwrap(), "")
    };
    let foreign = server.send(&look("bob", &claim_id, "GET")).await;
    foreign.assert_problem(404, "not_found");
    assert_eq!(foreign.json()["outcome"], "not_applied");
    // Foreign, unknown and malformed: the same answer but for the request id.
    for id in ["zzzz", "%00", "0000000000000000000000000z", "..", "{}"] {
        let other = server.send(&look("ann", id, "GET")).await;
        assert_eq!(strip(&other), strip(&foreign), "{id}");
    }
}

#[tokio::test]
async fn unknown_and_malformed_coupons_are_alike() {
    let server = Server::start(settings()).await;
    let unknown = server.claim(CouponId(999), "ann").await;
    unknown.assert_problem(404, "not_found");
    let calls = server.fake.calls.load(Ordering::SeqCst);
    for id in ["nope", "%7d", "{x}", "0000000000", "%00", "a%0ab", "é", ""] {
        let request = format!(
            "POST /v1/coupons/{id}/claims HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\n\
             Content-Length: 0\r\nX-Request-Id: same\r\n\r\n",
            server.pass("ann")
        );
        let answer = server.send(&request).await;
        if answer.status == 400 && answer.body.is_empty() {
            continue; // hyper refuses the request line itself.
        }
        answer.assert_problem(404, "not_found");
        let id_of =
            |answer: &super::harness::Answer| answer.header("x-request-id").unwrap().to_owned();
        assert_eq!(
            answer.body.replace(&id_of(&answer), ""),
            unknown.body.replace(&id_of(&unknown), "")
        );
    }
    assert_eq!(server.fake.calls.load(Ordering::SeqCst), calls);
    let coupon = server
        .send("GET /v1/coupons/0000001 HTTP/1.1\r\nHost: t\r\n\r\n")
        .await;
    coupon.assert_problem(404, "not_found");
}

#[tokio::test]
async fn a_panic_is_one_answer_and_no_more() {
    let server = Server::start(settings()).await;
    let mut client = server.connect().await;
    let pass = server.pass("ann");
    client
        .write(claim_request(PANICS, &pass, "").as_bytes())
        .await;
    client.read().await.assert_problem(500, "internal");
    // The connection and the server go on.
    client
        .write(claim_request(GRANTS, &pass, "").as_bytes())
        .await;
    assert_eq!(client.read().await.status, 201);
}

#[tokio::test]
async fn ids_and_traces_come_back() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let answer = server
        .send(&claim_request(
            SOLD_OUT,
            &pass,
            "X-Request-Id: mine-1\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
        ))
        .await;
    answer.assert_problem(409, "sold_out");
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
    let trace = answer.header("traceparent").unwrap();
    assert!(trace.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    let made = server
        .send(&claim_request(
            SOLD_OUT,
            &pass,
            "X-Request-Id: a\"b\r\nTraceparent: rubbish\r\n",
        ))
        .await;
    made.assert_problem(409, "sold_out");
    assert_eq!(made.header("x-request-id").map(str::len), Some(32));
    assert_eq!(made.header("traceparent"), None);
}

#[tokio::test]
async fn the_key_and_the_address_reach_the_engine() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let answer = server
        .send(&claim_request(GRANTS, &pass, "Idempotency-Key: k-1~\r\n"))
        .await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        server.fake.last_key.lock().unwrap().as_deref(),
        Some("k-1~")
    );
    assert_eq!(
        server
            .fake
            .last_address
            .lock()
            .unwrap()
            .unwrap()
            .to_string(),
        "127.0.0.1"
    );
}
