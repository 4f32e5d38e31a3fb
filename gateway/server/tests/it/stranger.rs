//! After sell-out and a restart: winners keep their answer, strangers cost next to nothing.

use serde_json::json;

use crate::http::{call, wait_for};
use crate::process::{Place, Running};
use crate::redis::scripts_run;

/// Units, and so winners.
const WINNERS: usize = 50;
/// Refused after the restart.
const STRANGERS: usize = 1_000;

#[test]
fn strangers_cost_at_most_one_redis_call_per_hundred() {
    let place = Place::new();
    let server = place.dev();
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

    let server = place.dev();
    server.wait_ready();
    // The first one finds the coupon warming up, and has the winner filter built, in the background.
    // Until it stands a stranger may be a winner and is asked for in Redis; from then on we count.
    let said = server.claim_patiently(&coupon, &strangers[0]);
    assert_eq!(said.refusal(), (409, "sold_out".to_owned()));
    wait_for("the winner filter", 10, || {
        let built = ["built", "shared"]
            .map(|how| format!("{{cache=\"winner_filter\",result=\"{how}\"}} 1"));
        let shown = call(server.url("ops"), "GET", "/metrics", &[], "")
            .unwrap()
            .body;
        built.iter().any(|line| shown.contains(line)).then_some(())
    });
    // The keeper calls scripts too; what it says of them is taken off what Redis has counted.
    let before = (scripts_run(server.url("redis_url")), keeper_calls(&server));
    // In a crowd: the memory of "sold out" is renewed by the second, whoever asks.
    std::thread::scope(|crowd| {
        for some in strangers.chunks(STRANGERS / 10) {
            let (server, coupon) = (&server, &coupon);
            crowd.spawn(move || {
                for stranger in some {
                    let said = server.claim(coupon, stranger);
                    assert_eq!(said.refusal(), (409, "sold_out".to_owned()));
                }
            });
        }
    });
    let keeper = keeper_calls(&server);
    let run = scripts_run(server.url("redis_url")) - before.0;
    let for_strangers = run.saturating_sub(keeper - before.1);
    assert!(for_strangers <= 10, "{for_strangers} of {run} script calls");
    for (winner, first) in winners.iter().zip(&first) {
        let repeat = server.claim_patiently(&coupon, winner);
        assert_eq!((repeat.status, &repeat.body), (200, &first.body));
    }
}

/// Script calls that are no claims and no reading of winners or definitions.
fn keeper_calls(server: &Running) -> u64 {
    let shown = call(server.url("ops"), "GET", "/metrics", &[], "").unwrap();
    shown
        .body
        .lines()
        .filter(|line| line.starts_with("sluice_hotstate_call_duration_seconds_count{"))
        .filter(|line| {
            !["claim", "winners", "definition"]
                .iter()
                .any(|ours| line.contains(ours))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}
