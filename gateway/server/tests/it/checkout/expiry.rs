//! Holds that run out: with the sweeper, without it, and against a confirm that comes late.

use serde_json::{Value, json};

use super::{Caller, audit_is_exact, has, id_in, shoes, threshold};
use crate::http::wait_for;
use crate::process::{Place, QUICK, Running};

fn short_holds(place: &Place, sweep_ms: u32) -> Running {
    let server = place.dev_with(&format!(
        "{QUICK}[checkout]\nhold_s = 1\nsweep_ms = {sweep_ms}\n"
    ));
    server.wait_ready();
    server
}

fn wait_expired(alice: &Caller, redemption: &str) -> Value {
    wait_for("the hold to run out", 30, || {
        let body = alice.redemption(redemption).json();
        (body["status"] == "expired").then_some(body)
    })
}

#[test]
fn the_sweeper_frees_what_ran_out_and_a_late_confirm_takes_it_again() {
    let place = Place::new();
    let server = short_holds(&place, 50);
    let alice = Caller::shopper(&place, &server, "alice");
    let claim = alice.claims(&server, &server.sale(&threshold()));
    let first = id_in(&alice.holds("o-1", &shoes(), &[&claim]), "redemption_id");
    let swept = wait_for("the sweeper", 30, || {
        let body = alice.redemption(&first).json();
        let last = body["transitions"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        (last["to"] == "expired").then_some(last)
    });
    has(&swept, &json!({"from": "held", "actor": "sluice"}));
    assert_eq!(alice.claim_status(&claim), "usable");

    // Another order spends the claim. Whether its own hold was over by then does not matter.
    let second = id_in(&alice.holds("o-2", &shoes(), &[&claim]), "redemption_id");
    has(
        &alice.confirm(&second).json(),
        &json!({"status": "confirmed"}),
    );
    let late = alice.confirm(&first);
    assert_eq!(late.refusal(), (409, "hold_expired".to_owned()));
    has(
        &alice.redemption(&first).json(),
        &json!({"status": "expired"}),
    );

    // It comes back with that order's refund, and the first order has it at the frozen price.
    let back = alice.refund(&second, &json!({"refund_id": "r-1", "full": true}));
    has(&back.json(), &json!({"claims_returned": [claim]}));
    let paid = alice.confirm(&first);
    assert_eq!(paid.status, 200, "{paid:?}");
    has(
        &paid.json(),
        &json!({"status": "confirmed", "total": "60.00"}),
    );
    assert_eq!(alice.claim_status(&claim), "used");
    audit_is_exact(&place);
}

#[test]
fn f19_nothing_waits_for_the_sweeper() {
    let place = Place::new();
    let server = short_holds(&place, 60_000);
    let alice = Caller::shopper(&place, &server, "alice");
    let claim = alice.claims(&server, &server.sale(&threshold()));
    let first = id_in(&alice.holds("o-1", &shoes(), &[&claim]), "redemption_id");
    let expired = wait_expired(&alice, &first);
    let transitions = expired["transitions"].as_array().unwrap();
    assert_eq!(
        transitions.len(),
        1,
        "the sweeper was not there: {expired:#}"
    );
    assert_eq!(alice.claim_status(&claim), "usable");
    let quote = alice.post("/v1/quotes", &json!({"cart": shoes(), "choose": "best"}));
    has(&quote.json(), &json!({"total": "60.00"}));

    let second = id_in(&alice.holds("o-2", &shoes(), &[&claim]), "redemption_id");
    has(
        &alice.cancel(&second).json(),
        &json!({"status": "cancelled"}),
    );
    // The first order may hold again, as if for the first time.
    let anew = alice.holds("o-1", &shoes(), &[&claim]);
    assert_eq!(anew["redemption_id"], *first);
    has(&anew, &json!({"status": "held", "total": "60.00"}));
    audit_is_exact(&place);
}
