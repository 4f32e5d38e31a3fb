//! `docs/metrics.md` and `/metrics` name the same metrics.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::call;
use crate::process::{Place, QUICK};

pub(crate) fn documented() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `sluice_")?.split('`').next())
        .map(|name| format!("sluice_{name}"))
        .collect()
}

#[test]
fn the_page_and_the_scrape_agree() {
    let place = Place::new();
    let server = place.dev_with(&QUICK.replace("enabled = false", "enabled = true"));
    server.wait_ready();
    let coupon = server.sale(&json!({"limits": {"total": 1}}));
    server.sale(&json!({"limits": {"total": 100}}));
    server.claim_patiently(&coupon, &place.token("alice"));
    server.claim(&coupon, &place.token("bob"));
    // Somebody whose request limit the patient claims have not used up.
    let carol = crate::checkout::Caller::shopper(&place, &server, "carol");
    carol.holds("o-1", &crate::checkout::shoes(), &[]);
    let documented = documented();
    // A keeper's figures are shown when it has looked over its coupons.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let shown = shown(server.url("ops"));
        let unknown: Vec<_> = shown.difference(&documented).collect();
        assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");
        let missing: Vec<_> = documented.difference(&shown).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "not in /metrics: {missing:?}");
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

pub(crate) fn shown(ops: &str) -> BTreeSet<String> {
    let scrape = call(ops, "GET", "/metrics", &[], "").unwrap().body;
    scrape
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .filter(|name| name.starts_with("sluice_"))
        .map(str::to_owned)
        .collect()
}
