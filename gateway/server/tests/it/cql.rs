//! The binary on a CQL ledger, a real one: a sale with more shoppers than stock, a killed server, an
//! order, and the audit of all of it.

use std::sync::Mutex;

use serde_json::json;
use sluice_domain::lane::LaneCount;
use sluice_ledger::testing;

use crate::faults::holds_exactly;
use crate::http::wait_for;
use crate::process::{Place, Running, run, text};
use crate::redis::RedisServer;

const TOTAL: usize = 200;
const SHOPPERS: usize = 500;
const CALLERS: usize = 8;

/// A configuration with the ledger on the node of this test binary.
pub(crate) fn config(place: &Place, redis: &RedisServer) -> String {
    let options = testing::cql_options(LaneCount::new(2).unwrap());
    let (node, keyspace) = (&options.nodes[0], &options.keyspace);
    let ledger = format!(
        "[ledger]\nbackend = \"cql\"\nnodes = [\"{node}\"]\nkeyspace = \"{keyspace}\"\n\
         lwt_timeout_ms = 5000\nrequest_timeout_ms = 5000\n"
    );
    let path = place.serve_config(&redis.url());
    let quick = std::fs::read_to_string(path).unwrap();
    let patient = crate::process::PATIENT;
    quick
        .replace("[ledger]\n", &ledger)
        .replace("keeper_lease_ms = 1000", "keeper_lease_ms = 4000")
        .replace("lane_lease_ms = 3000", "lane_lease_ms = 12000")
        .replace("grace_ms = 4000", "grace_ms = 13000")
        .replace("[hotstate]\n", "[hotstate]\nresponse_timeout_ms = 2000\n")
        + patient
}

fn migrate(place: &Place, config: &str) {
    let path = place.config(config);
    let path = path.to_str().unwrap();
    let early = run(&["key", "create", "--config", path, "--role", "admin"]);
    assert!(
        !early.status.success(),
        "nothing is made without being asked"
    );
    assert!(text(&early.stderr).contains("sluice migrate"));
    for _twice in 0..2 {
        let migrated = run(&["migrate", "--config", path]);
        assert!(migrated.status.success(), "{}", text(&migrated.stderr));
        assert!(text(&migrated.stdout).contains("is up to date"));
    }
}

/// Lets every shopper claim, some at once, until each was told yes or no; gives how many have one.
fn storm(server: &Running, coupon: &str, tokens: &[String]) -> usize {
    let (next, won) = (Mutex::new(tokens.iter()), Mutex::new(0));
    let caller = || {
        loop {
            let Some(token) = next.lock().unwrap().next() else {
                return;
            };
            let said = server.claim_patiently(coupon, token);
            match said.status {
                200..=202 => *won.lock().unwrap() += 1,
                409 => assert_eq!(said.json()["code"], "sold_out", "{said:?}"),
                _ => panic!("{said:?}"),
            }
        }
    };
    std::thread::scope(|scope| {
        for _caller in 0..CALLERS {
            scope.spawn(caller);
        }
    });
    won.into_inner().unwrap()
}

#[test]
fn f01_a_sale_on_cql_is_exact_over_a_killed_server() {
    let place = Place::new();
    let redis = RedisServer::start(&place.folder.path().join("redis"));
    let config = config(&place, &redis);
    migrate(&place, &config);
    let mut server = place.serve_with(&config);
    wait_for("every lane to serve", 90, || {
        (server.readyz().status == 200).then_some(())
    });
    let coupon = server.sale(&json!({"limits": {"total": TOTAL}}));
    let tokens = place.tokens("u", SHOPPERS, &[]);
    assert_eq!(storm(&server, &coupon, &tokens), TOTAL);
    holds_exactly(&place, &server, &coupon, TOTAL as u64);

    server.kill();
    let server = place.serve_with(&config);
    wait_for("every lane to serve again", 90, || {
        (server.readyz().status == 200).then_some(())
    });
    // Winners keep theirs, and nobody gets one more.
    assert_eq!(storm(&server, &coupon, &tokens), TOTAL);
    holds_exactly(&place, &server, &coupon, TOTAL as u64);
}

#[test]
fn a_ledger_that_is_away_is_said_at_once() {
    let place = Place::new();
    let path = place.config(
        "[ledger]\nbackend = \"cql\"\nnodes = [\"127.0.0.1:1\"]\n[hotstate]\n\
         redis_urls = [\"redis://127.0.0.1:1\"]\n",
    );
    let said = run(&["migrate", "--config", path.to_str().unwrap()]);
    assert!(!said.status.success());
    let error = text(&said.stderr);
    assert!(
        error.contains("no node of the ledger can be reached"),
        "{error}"
    );
}
