//! Request limits, the address they count, and what is shed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_edge::limits::slice::{QuotaError, QuotaSource, SliceAsk, SliceGrant};
use sluice_edge::settings::{EdgeSettings, Rate};

use super::harness::{
    Answer, GRANTS, NOW_S, SOLD_OUT, Server, WAITS, claim_request, settings, shopper,
};

/// So slow that nothing refills within a test.
const fn burst(burst: u32) -> Rate {
    Rate {
        per_second: 1,
        burst,
    }
}

fn limited() -> EdgeSettings {
    let mut settings = settings();
    settings.limits.enabled = true;
    settings.limits.address = burst(1_000);
    settings.limits.user = burst(1_000);
    settings.limits.device = burst(1_000);
    settings
}

#[track_caller]
fn assert_limited(answer: &Answer, limiter: &str) {
    answer.assert_problem(429, "rate_limited");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    assert_eq!(
        answer.header("ratelimit-policy"),
        Some(format!("\"{limiter}\";q=1;w=1").as_str())
    );
    let state = answer.header("ratelimit").unwrap();
    assert!(
        state.starts_with(&format!("\"{limiter}\";r=0;t=")),
        "{state}"
    );
}

#[tokio::test]
async fn a_user_is_limited_from_any_address() {
    let mut settings = limited();
    settings.limits.user = burst(3);
    settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Server::start(settings).await;
    let pass = server.pass("ann");
    let mut refused = 0;
    for host in 1..=10 {
        let headers = format!("X-Forwarded-For: 192.0.2.{host}\r\n");
        let answer = server.send(&claim_request(SOLD_OUT, &pass, &headers)).await;
        if answer.status == 429 {
            assert_limited(&answer, "user");
            refused += 1;
        }
    }
    assert!((6..=7).contains(&refused), "{refused}");
    server
        .claim(SOLD_OUT, "bob")
        .await
        .assert_problem(409, "sold_out");
}

#[tokio::test]
async fn an_address_is_limited_whoever_it_claims_to_be() {
    let mut settings = limited();
    settings.limits.address = burst(3);
    settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = Server::start(settings).await;
    let mut refused = 0;
    for user in 0..10 {
        let pass = server.pass(&format!("u{user}"));
        // The left entry is the client's own invention, another each time.
        let headers = format!("X-Forwarded-For: 10.9.8.{user}, 198.51.100.7\r\n");
        let answer = server.send(&claim_request(SOLD_OUT, &pass, &headers)).await;
        if answer.status == 429 {
            assert_limited(&answer, "address");
            refused += 1;
        }
    }
    assert!((6..=7).contains(&refused), "{refused}");
}

#[tokio::test]
async fn an_untrusted_peer_is_its_own_address() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let request = claim_request(GRANTS, &pass, "X-Forwarded-For: 1.2.3.4\r\n");
    assert_eq!(server.send(&request).await.status, 201);
    let seen = server.fake.last_address.lock().unwrap().unwrap();
    assert_eq!(seen.to_string(), "127.0.0.1");
}

#[tokio::test]
async fn a_device_is_limited_over_its_users() {
    let mut settings = limited();
    settings.limits.device = burst(2);
    let server = Server::start(settings).await;
    let mut refused = 0;
    for user in 0..6 {
        let mut shopper = shopper(&format!("u{user}"));
        shopper.device = Some("one-device".into());
        let pass = server.signer.sign_pass(&shopper, NOW_S + 60).unwrap();
        let answer = server.send(&claim_request(SOLD_OUT, &pass, "")).await;
        if answer.status == 429 {
            assert_limited(&answer, "device");
            refused += 1;
        }
    }
    assert!((3..=4).contains(&refused), "{refused}");
}

#[tokio::test]
async fn without_limits_nobody_is_limited() {
    let mut settings = limited();
    settings.limits.enabled = false;
    settings.limits.address = burst(1);
    settings.limits.user = burst(1);
    let server = Server::start(settings).await;
    for _request in 0..20 {
        server
            .claim(SOLD_OUT, "ann")
            .await
            .assert_problem(409, "sold_out");
    }
}

#[tokio::test]
async fn f31_too_many_at_once_are_shed() {
    let mut settings = settings();
    settings.in_flight_max = 1;
    let server = Server::start(settings).await;
    let mut first = server.connect().await;
    first
        .write(claim_request(WAITS, &server.pass("ann"), "").as_bytes())
        .await;
    server.fake.begun.notified().await;
    let answer = server.claim(SOLD_OUT, "bob").await;
    answer.assert_problem(503, "overloaded");
    assert_eq!(answer.json()["outcome"], "not_applied");
    assert!(answer.header("retry-after").is_some());
    server.fake.release.notify_one();
    assert_eq!(first.read().await.status, 201);
    server
        .claim(SOLD_OUT, "bob")
        .await
        .assert_problem(409, "sold_out");
}

/// A shared quota of a fixed number of units.
struct Pool {
    left: AtomicUsize,
    calls: AtomicUsize,
}

#[async_trait::async_trait]
impl QuotaSource for Pool {
    async fn take_slices(&self, asks: &[SliceAsk]) -> Result<Vec<SliceGrant>, QuotaError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(asks
            .iter()
            .map(|ask| {
                let wanted = usize::try_from(ask.used + ask.wanted).unwrap();
                let before = self
                    .left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        Some(left.saturating_sub(wanted))
                    })
                    .unwrap();
                SliceGrant {
                    granted: if before >= wanted { ask.wanted } else { 0 },
                    retry_after_ms: 5_000,
                }
            })
            .collect())
    }
}

#[tokio::test]
async fn f32_gateways_share_a_quota_without_a_call_per_request() {
    let pool = Arc::new(Pool {
        left: AtomicUsize::new(200),
        calls: AtomicUsize::new(0),
    });
    let mut settings = limited();
    settings.limits.user = burst(40);
    settings.limits.subject_key = Some([9; 32]);
    let mut served = 0;
    for _gateway in 0..2 {
        let quota: Arc<dyn QuotaSource> = Arc::clone(&pool) as _;
        let server = Server::start_with(settings.clone(), Some(quota), |identity| identity).await;
        let request = claim_request(SOLD_OUT, &server.pass("ann"), "");
        let mut client = server.connect().await;
        for _request in 0..400 {
            client.write(request.as_bytes()).await;
            let answer = client.read().await;
            if answer.status == 429 {
                break;
            }
            served += 1;
        }
    }
    // Two local bursts of 40 would be 80; the shared pool has 200, and each gateway may give half
    // a burst on credit before it learns that the pool is empty.
    assert!((150..=250).contains(&served), "{served}");
    let calls = pool.calls.load(Ordering::SeqCst);
    assert!(calls <= served / 5, "{calls} calls for {served} requests");
}

/// A cap of 20, 17 of them claims that hang: no more claims and no pages, while whoever asks for an
/// outcome or ends an order is served.
#[tokio::test]
async fn f31_classes_are_turned_away_in_their_order() {
    let mut settings = settings();
    settings.in_flight_max = 20;
    let server = Server::start(settings).await;
    let pass = server.pass("ann");
    let mut waiting = Vec::new();
    for number in 0..17 {
        let mut client = server.connect().await;
        let request = claim_request(WAITS, &server.pass(&format!("u{number}")), "");
        client.write(request.as_bytes()).await;
        server.fake.begun.notified().await;
        waiting.push(client);
    }
    let claim = server.claim(SOLD_OUT, "bob").await;
    claim.assert_problem(503, "overloaded");
    assert!(claim.header("retry-after").is_some());
    for page in ["/v1/wallet", "/v1/notifications"] {
        let said = server.call(&format!("GET {page}"), &pass, "").await;
        said.assert_problem(503, "overloaded");
    }
    let matched = server.call("POST /v1/wallet/match", &pass, "{}").await;
    matched.assert_problem(503, "overloaded");
    let unknown = format!("GET /v1/claims/{}", "0".repeat(26));
    assert_eq!(server.call(&unknown, &pass, "").await.status, 404);
    let confirm = "POST /v1/redemptions/unknown/confirm";
    assert_eq!(server.call(confirm, &pass, "").await.status, 404);
    server.fake.release.notify_waiters();
    for client in &mut waiting {
        assert_eq!(client.read().await.status, 201);
    }
    server
        .claim(SOLD_OUT, "bob")
        .await
        .assert_problem(409, "sold_out");
}
