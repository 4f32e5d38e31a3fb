//! After sell-out and a restart: winners keep their answer, strangers cost next to nothing.

use serde_json::json;

use crate::http::call;
use crate::process::{Place, Running};
use crate::redis::{RedisServer, scripts_run};

/// Units, and so winners.
const WINNERS: usize = 50;
/// Refused after the restart.
const STRANGERS: usize = 1_000;
/// Who ask at the same time.
const AT_ONCE: usize = 100;
/// The scripts that a gateway calls for those who claim.
const FOR_CLAIMANTS: [&str; 5] = [
    "claim",
    "definition",
    "winners",
    "filter_load",
    "filter_store",
];

#[test]
fn strangers_cost_at_most_one_redis_call_per_hundred() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let server = place.serve_patiently(&redis.url());
    server.wait_ready();
    let coupon = server.sale(&json!({"limits": {"total": WINNERS}}));
    let winners = place.tokens("w", WINNERS, &["--pass"]);
    let strangers = place.tokens("s", STRANGERS, &["--pass"]);
    let first: Vec<_> = winners
        .iter()
        .map(|winner| server.claim_patiently(&coupon, winner))
        .collect();
    assert!(first.iter().all(|said| matches!(said.status, 200 | 201)));
    let sold_out = server.claim_patiently(&coupon, &strangers[0]);
    assert_eq!(sold_out.refusal().1, "sold_out");
    assert_eq!(server.stop().code(), Some(0));

    // No winner filter is left, not even a shared one, and nobody has asked for the coupon yet.
    redis.delete_matching("*:f:*");
    let server = place.serve_patiently(&redis.url());
    server.wait_ready();
    let before = calls(&server, &redis);
    std::thread::scope(|crowd| {
        for some in strangers.chunks(STRANGERS / AT_ONCE) {
            let (server, coupon) = (&server, &coupon);
            crowd.spawn(move || {
                for stranger in some {
                    let said = server.claim(coupon, stranger);
                    assert_eq!(said.refusal(), (409, "sold_out".to_owned()));
                }
            });
        }
    });
    let after = calls(&server, &redis);
    let run = after.0 - before.0;
    let for_strangers = run - (after.1 - before.1);
    assert!(for_strangers <= 10, "{for_strangers} of {run} script calls");
    for (winner, first) in winners.iter().zip(&first) {
        let repeat = server.claim_patiently(&coupon, winner);
        assert_eq!((repeat.status, &repeat.body), (200, &first.body));
    }
}

/// The scripts that Redis has run, and how many of them the keepers called. Redis counts scripts and
/// not who calls them: the keepers' own count is read until it stands still around that of Redis.
fn calls(server: &Running, redis: &RedisServer) -> (u64, u64) {
    loop {
        let keepers = keeper_calls(server);
        let run = scripts_run(&redis.url());
        if keeper_calls(server) == keepers {
            return (run, keepers);
        }
    }
}

fn keeper_calls(server: &Running) -> u64 {
    let shown = call(server.url("ops"), "GET", "/metrics", &[], "").unwrap();
    shown
        .body
        .lines()
        .filter(|line| line.starts_with("sluice_hotstate_call_duration_seconds_count{"))
        .filter(|line| {
            !FOR_CLAIMANTS
                .iter()
                .any(|ours| line.contains(&format!("script=\"{ours}\"")))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
