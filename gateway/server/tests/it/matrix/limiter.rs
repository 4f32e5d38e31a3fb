//! The Redis of the request limits dies: claims go on under half the quota, guessing stays limited.

use std::time::Instant;

use serde_json::json;

use super::{Done, report, steady};
use crate::checkout::Caller;
use crate::process::{Place, Running};
use crate::redis::RedisServer;

/// Requests of one user at once.
const BURST: usize = 40;

/// How many requests of this user were let in before one was told to wait.
fn let_in(server: &Running, coupon: &str, token: &str) -> usize {
    for number in 0..4 * BURST {
        let said = server.claim(coupon, token);
        if said.status == 429 {
            assert!(said.header("retry-after").is_some(), "{said:?}");
            return number;
        }
        assert!(matches!(said.status, 200..=202 | 503), "{said:?}");
    }
    panic!("nobody is limited any more")
}

#[test]
fn f32_without_the_limiters_redis_claims_go_on_at_half_and_guessing_stays_limited() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let mut limiter = RedisServer::start(&place.folder.path().join("limiter"));
    let limits = format!(
        "enabled = true\nredis_url = \"{}\"\naddress_burst = 100000\nuser_burst = {BURST}\nuser_per_second = 1\n\
         code_failures_per_user = 3\n",
        limiter.url()
    );
    let text = steady(&place, &redis.url()).replace("enabled = false\n", &limits);
    let server = place.serve_with(&text);
    server.wait_ready();
    let coupon = server.sale(&json!({}));
    server.claim_patiently(&coupon, &place.token("warmer"));
    // How much of the whole quota one gateway has in time is the limiter's matter; there is an end.
    let_in(&server, &coupon, &place.token("alice"));

    limiter.kill();
    let begun = Instant::now();
    let half = let_in(&server, &coupon, &place.token("bob"));
    // Half of the burst, and what half of the rate (one a second at least) gave meanwhile.
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    let most = BURST / 2 + 2 + seconds;
    assert!((BURST / 4..=most).contains(&half), "{half}, at most {most}");

    let guesser = Caller::shopper(&place, &server, "mallory");
    let guess = |code: &str| guesser.post("/v1/claims", &json!({"code": code})).refusal();
    for code in ["GUESS-1", "GUESS-2", "GUESS-3"] {
        assert_eq!(guess(code), (404, "code_not_accepted".to_owned()));
    }
    assert_eq!(guess("GUESS-4"), (429, "rate_limited".to_owned()));

    limiter.restart();
    let said = server.claim_patiently(&coupon, &place.token("carol"));
    assert_eq!(said.status, 201, "{said:?}");
    report(
        32,
        &Done {
            rounds: 1,
            kills: 1,
            recovery: None,
        },
    );
}
