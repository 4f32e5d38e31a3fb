//! The wallet, and a claim with the order that holds it.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use sluice_domain::id::ClaimId;
use sluice_ledger::LedgerError;
use sluice_ledger::model::Fault;

use super::checkout::held;
use super::harness::{Answer, GRANTS, Server, settings};
use super::till::CHECKOUT_KEY;

async fn status_of(server: &Server, pass: &str, claim: ClaimId) -> Answer {
    server
        .call(&format!("GET /v1/claims/{claim}"), pass, "")
        .await
}

#[tokio::test]
async fn a_claim_says_which_order_holds_it_also_while_hot_state_is_away() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let claim = server.till.fixed(500, "ann").await;
    for away in [false, true] {
        server.fake.away.store(away, Ordering::SeqCst);
        let order = if away { "o-2" } else { "o-1" };
        let free = status_of(&server, &pass, claim).await;
        assert_eq!(free.status, 200, "{free:?}");
        assert_eq!(free.json()["status"], "usable");
        assert_eq!(free.json().get("order_id"), None);

        let id = held(&server, &pass, order, &[claim]).await;
        let answer = status_of(&server, &pass, claim).await;
        let expected = json!({
            "claim_id": claim, "coupon_id": claim.coupon(), "user_id": "ann", "version": 1,
            "status": "held", "durability": "ledger",
            "granted_at": "2027-01-15T08:00:00Z", "valid_from": "2027-01-15T08:00:00Z",
            "expires_at": null, "order_id": order, "held_until": "2027-01-15T08:15:00Z",
        });
        assert_eq!(answer.json(), expected);
        let end = if away { "confirm" } else { "cancel" };
        let line = format!("POST /v1/redemptions/{id}/{end}");
        assert_eq!(server.call(&line, &pass, "").await.status, 200);
    }
    let used = status_of(&server, &pass, claim).await.json();
    assert_eq!(used["status"], "used");
    assert_eq!((used.get("order_id"), used.get("held_until")), (None, None));

    // What the ledger does not know cannot be said without hot state; nor what is foreign.
    let foreign = status_of(&server, &server.pass("bob"), claim).await;
    foreign.assert_problem(503, "recovering");
    assert_eq!(foreign.json()["outcome"], "not_applied");
    server.fake.away.store(false, Ordering::SeqCst);
    let foreign = status_of(&server, &server.pass("bob"), claim).await;
    foreign.assert_problem(404, "not_found");
}

#[tokio::test]
async fn a_claim_that_is_not_a_row_yet_is_shown_as_the_engine_says() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let granted = server.claim(GRANTS, "ann").await;
    let id: ClaimId = granted.json()["claim_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let answer = status_of(&server, &pass, id).await;
    assert_eq!((answer.status, &answer.body), (200, &granted.body));
    // Usable for the engine, and the ledger, which alone knows of orders, is silent.
    let claim = server.till.fixed(500, "ann").await;
    server.till.ledger.fail_next(Fault::Pass);
    server
        .till
        .ledger
        .fail_next(Fault::Refuse(LedgerError::Unavailable {
            reason: "told to".to_owned(),
        }));
    let answer = status_of(&server, &pass, claim).await;
    answer.assert_problem(503, "overloaded");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn the_wallet_lists_claims_with_their_terms() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let free = server.till.fixed(500, "ann").await;
    let in_use = server.till.fixed(700, "ann").await;
    server.till.fixed(900, "bob").await;
    held(&server, &pass, "o-1", &[in_use]).await;

    let all = server.call("GET /v1/wallet", &pass, "").await;
    assert_eq!(all.status, 200, "{all:?}");
    assert_eq!(all.header("cache-control"), Some("no-store"));
    assert_eq!(all.json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(all.json()["more"], false);
    for (status, claims) in [
        ("usable", vec![free]),
        ("held", vec![in_use]),
        ("used", vec![]),
        ("expired", vec![]),
        ("revoked", vec![]),
    ] {
        let line = format!("GET /v1/wallet?status={status}");
        let items = server.call(&line, &pass, "").await.json()["items"].clone();
        let ids: Vec<Value> = items
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["claim_id"].clone())
            .collect();
        assert_eq!(json!(ids), json!(claims), "{status}");
        if status == "held" {
            let item = &items[0];
            assert_eq!(item["order_id"], "o-1");
            assert_eq!(item["held_until"], "2027-01-15T08:15:00Z");
            assert_eq!(item["uses_left"], 0);
            assert_eq!(item["status"], "held");
            assert_eq!(item["coupon_id"], json!(in_use.coupon()));
            assert!(item["terms"].is_object() && item["name"].is_string());
        }
    }
    // By a service, for a user that it names.
    let theirs = server
        .call("GET /v1/wallet?user_id=bob", CHECKOUT_KEY, "")
        .await;
    assert_eq!(theirs.json()["items"].as_array().unwrap().len(), 1);
    let head = server
        .call("GET /v1/wallet?status=used&user_id=ann", CHECKOUT_KEY, "")
        .await;
    assert_eq!(head.json()["items"], json!([]));
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_refused() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    for (query, pointer) in [
        ("status=fine", "query:status"),
        ("status=", "query:status"),
        ("status=used&status=held&page=2", "query:page"),
        ("user_id=ann", "query:user_id"),
    ] {
        let answer = server
            .call(&format!("GET /v1/wallet?{query}"), &pass, "")
            .await;
        answer.assert_problem(400, "invalid_request");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{query}");
    }
    for query in ["", "?user_id=", "?user_id=a%20b"] {
        let line = format!("GET /v1/wallet{query}");
        let answer = server.call(&line, CHECKOUT_KEY, "").await;
        answer.assert_problem(400, "invalid_request");
        assert_eq!(answer.json()["errors"][0]["pointer"], "query:user_id");
    }
}
