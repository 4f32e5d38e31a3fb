//! Public codes: one word for many users, at claim and at checkout.

use serde_json::json;

use super::{Caller, alike, has, id_in, shoes};
use crate::process::{Place, QUICK};

#[test]
fn a_word_is_a_claim_however_it_is_typed() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let [alice, bob] = ["alice", "bob"].map(|user| Caller::shopper(&place, &server, user));
    let coupon = server.sale(&json!({"code": "SUMMER20", "distribution": ["code"]}));

    let without = server.claim_patiently(&coupon, &place.token("carol"));
    assert_eq!(
        without.refusal(),
        (403, "not_eligible".to_owned()),
        "by its code alone"
    );
    let claimed = alice.claims_by_code(" summer20 ");
    assert_eq!(claimed.status, 201, "{claimed:?}");
    has(
        &claimed.json(),
        &json!({"coupon_id": coupon, "user_id": "alice", "status": "usable"}),
    );
    let again = alice.claims_by_code("Summer20");
    assert_eq!((again.status, &again.body), (200, &claimed.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));

    // At checkout: a quote claims nothing, a hold does.
    let quote = json!({"cart": shoes(), "codes": ["summer20"]});
    let quoted = bob.post("/v1/quotes", &quote).json();
    has(&quoted, &json!({"discount": "5.00", "total": "60.00"}));
    assert_eq!(quoted["applied"][0]["code"], "SUMMER20");
    assert_eq!(bob.get("/v1/wallet").json()["items"], json!([]));
    let mut hold = quote.clone();
    hold["order_id"] = json!("o-1");
    let held = bob.post("/v1/redemptions", &hold);
    assert_eq!(held.status, 201, "{held:?}");
    let claim = id_in(&held.json()["applied"][0], "claim_id");
    assert_eq!(quoted["applied"][0]["claim_id"], claim, "as the quote said");
    assert_eq!(bob.claim_status(&claim), "held");
    let repeat = bob.post("/v1/redemptions", &hold);
    assert_eq!((repeat.status, &repeat.body), (200, &held.body));
}

#[test]
fn what_is_no_code_of_yours_is_answered_alike() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let alice = Caller::shopper(&place, &server, "alice");
    server.draft(&json!({"code": "DRAFTED1", "distribution": ["code"]}));
    let ended = server.sale(&json!({"code": "ENDED001", "distribution": ["code"]}));
    server.act(&ended, "end");
    server.sale(&json!({"code": "FORBOB01", "distribution": ["code"],
        "conditions": {"users": {"kind": "ids", "ids": ["bob"]}}}));

    let claim = |code: &str| alice.post("/v1/claims", &json!({"code": code}));
    let quote = |code: &str| {
        alice.post(
            "/v1/quotes",
            &json!({"cart": shoes(), "codes": ["FREEWORD", code]}),
        )
    };
    let hold = |code: &str| {
        let body = json!({"cart": shoes(), "codes": [code], "order_id": "o-1"});
        alice.post("/v1/redemptions", &body)
    };
    server.sale(&json!({"code": "FREEWORD", "distribution": ["code"]}));
    let routes: [&dyn Fn(&str) -> crate::http::Reply; 3] = [&claim, &quote, &hold];
    for ask in routes {
        let unknown = ask("NOTHING1");
        assert_eq!(unknown.refusal(), (404, "code_not_accepted".to_owned()));
        for code in ["DRAFTED1", "ENDED001", "FORBOB01"] {
            alike(&unknown, &ask(code));
        }
    }
    let named = &quote("NOTHING1").json()["errors"][0]["pointer"];
    assert_eq!(named, "/codes/1", "which of them it was");
}

#[test]
fn whoever_guesses_has_to_wait() {
    let place = Place::new();
    let few = "enabled = true\nuser_burst = 1000\ncode_failures_per_user = 3";
    let server = place.dev_with(&QUICK.replace("enabled = false", few));
    server.wait_ready();
    server.sale(&json!({"code": "SUMMER20", "distribution": ["code"]}));
    let [alice, bob] = ["alice", "bob"].map(|user| Caller::shopper(&place, &server, user));
    for guess in ["GUESS-1", "GUESS-2", "GUESS-3"] {
        let said = alice.post("/v1/claims", &json!({"code": guess}));
        assert_eq!(said.refusal(), (404, "code_not_accepted".to_owned()));
    }
    let right = json!({"code": "SUMMER20"});
    let waits = alice.post("/v1/claims", &right);
    assert_eq!(
        waits.refusal(),
        (429, "rate_limited".to_owned()),
        "even the right one"
    );
    assert!(waits.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    let quote = json!({"cart": shoes(), "codes": ["SUMMER20"]});
    assert_eq!(alice.post("/v1/quotes", &quote).status, 429);
    assert_eq!(
        alice.post("/v1/quotes", &json!({"cart": shoes()})).status,
        200
    );
    assert_eq!(bob.claims_by_code("SUMMER20").status, 201, "somebody else");
}
