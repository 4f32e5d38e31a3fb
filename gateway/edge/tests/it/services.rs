//! Services with a key: for whom they act, and what they may not.

use serde_json::json;

use super::checkout::{held, hold_of, quote_of};
use super::harness::{Server, settings};
use super::till::{CHECKOUT_KEY, EVENTS_KEY, SILENT_KEY};

/// Every route of checkout, with a body that would do.
fn routes() -> Vec<(String, String)> {
    let id = "0".repeat(32);
    let redemption = |end: &str| format!("POST /v1/redemptions/{id}{end}");
    let cart = quote_of(&[])["cart"].clone();
    vec![
        ("GET /v1/wallet?user_id=ann".to_owned(), String::new()),
        (
            "POST /v1/wallet/match".to_owned(),
            json!({"cart": cart, "user_id": "ann"}).to_string(),
        ),
        ("POST /v1/quotes".to_owned(), quote_of(&[]).to_string()),
        (
            "POST /v1/redemptions".to_owned(),
            hold_of("o", &[]).to_string(),
        ),
        (format!("GET /v1/redemptions/{id}"), String::new()),
        (redemption("/confirm"), String::new()),
        (redemption("/cancel"), String::new()),
        (
            redemption("/refunds"),
            json!({"refund_id": "r", "full": true}).to_string(),
        ),
        (
            "POST /v1/claims".to_owned(),
            json!({"code": "X"}).to_string(),
        ),
    ]
}

#[tokio::test]
async fn a_key_without_the_scope_is_refused_everywhere() {
    let server = Server::start(settings()).await;
    for (line, body) in routes() {
        let scope = server.call(&line, EVENTS_KEY, &body).await;
        scope.assert_problem(403, "forbidden");
        let unknown = server.call(&line, "slk_nobody_knows", &body).await;
        unknown.assert_problem(401, "unauthorized");
        assert_eq!(unknown.header("www-authenticate"), Some("Bearer"));
        let silent = server.call(&line, SILENT_KEY, &body).await;
        silent.assert_problem(503, "overloaded");
        assert_eq!(silent.json()["outcome"], "not_applied");
        assert!(silent.header("retry-after").is_some());
        let nobody = server.call(&line, "rubbish", &body).await;
        nobody.assert_problem(401, "login_required");
    }
    // Claims of shoppers are no business of services.
    let claim = server
        .call("POST /v1/coupons/0000001/claims", CHECKOUT_KEY, "")
        .await;
    claim.assert_problem(401, "login_required");
}

#[tokio::test]
async fn a_service_acts_for_the_user_it_names() {
    let server = Server::start(settings()).await;
    let claim = server.till.fixed(500, "ann").await;
    let mut hold = hold_of("o-1", &[claim]);
    let unnamed = server
        .call("POST /v1/redemptions", CHECKOUT_KEY, &hold.to_string())
        .await;
    unnamed.assert_problem(400, "invalid_request");
    assert_eq!(unnamed.json()["errors"][0]["pointer"], "/user_id");
    hold["user_id"] = json!("bob");
    let foreign = server
        .call("POST /v1/redemptions", CHECKOUT_KEY, &hold.to_string())
        .await;
    foreign.assert_problem(404, "not_found");
    hold["user_id"] = json!("ann");
    let answer = server
        .call("POST /v1/redemptions", CHECKOUT_KEY, &hold.to_string())
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.json()["redemption_id"].as_str().unwrap().to_owned();

    // Where it names a user, only that user's redemption is there.
    let confirm = format!("POST /v1/redemptions/{id}/confirm");
    let other = server
        .call(
            &confirm,
            CHECKOUT_KEY,
            &json!({"user_id": "bob"}).to_string(),
        )
        .await;
    other.assert_problem(404, "not_found");
    let done = server
        .call(
            &confirm,
            CHECKOUT_KEY,
            &json!({"user_id": "ann"}).to_string(),
        )
        .await;
    assert_eq!(done.json()["status"], "confirmed");
    let read = server
        .call(&format!("GET /v1/redemptions/{id}"), CHECKOUT_KEY, "")
        .await;
    assert_eq!(read.json()["transitions"][1]["actor"], "key:slk_checkout");
    // The shopper sees what was done for them.
    let theirs = server
        .call(
            &format!("GET /v1/redemptions/{id}"),
            &server.pass("ann"),
            "",
        )
        .await;
    assert_eq!(theirs.status, 200);
}

#[tokio::test]
async fn a_service_says_what_is_known_of_the_buyer() {
    let server = Server::start(settings()).await;
    let claim = server
        .till
        .claim("ann", |spec| {
            spec.terms.conditions.users = sluice_domain::terms::Users::Groups {
                groups: vec!["vip".to_owned()],
            };
        })
        .await;
    let mut quote = quote_of(&[claim]);
    quote["user_id"] = json!("ann");
    let without = server
        .call("POST /v1/quotes", CHECKOUT_KEY, &quote.to_string())
        .await;
    assert_eq!(
        without.json()["rejected"][0]["reasons"][0]["code"],
        "not_eligible"
    );
    quote["buyer"] = json!({"groups": ["vip"], "new": false, "verified": ["email"]});
    let with = server
        .call("POST /v1/quotes", CHECKOUT_KEY, &quote.to_string())
        .await;
    assert_eq!(with.json()["discount"], "5.00", "{with:?}");
}

#[tokio::test]
async fn a_shopper_acts_for_nobody_else() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let claim = server.till.fixed(500, "ann").await;
    let id = held(&server, &pass, "o-1", &[claim]).await;
    for (field, value) in [
        ("user_id", json!("bob")),
        ("user_id", json!("ann")),
        ("buyer", json!({"groups": ["vip"]})),
    ] {
        for (line, mut body) in [
            ("POST /v1/quotes", quote_of(&[])),
            ("POST /v1/redemptions", hold_of("o-2", &[])),
            (
                "POST /v1/wallet/match",
                json!({"cart": quote_of(&[])["cart"]}),
            ),
            ("POST /v1/claims", json!({"code": "X"})),
        ] {
            body[field] = value.clone();
            let answer = server.call(line, &pass, &body.to_string()).await;
            answer.assert_problem(400, "invalid_request");
            let pointer = format!("/{field}");
            assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{line}");
        }
    }
    for end in ["confirm", "cancel", "refunds"] {
        let mut body = json!({"user_id": "ann"});
        if end == "refunds" {
            body["refund_id"] = json!("r");
            body["full"] = json!(true);
        }
        let line = format!("POST /v1/redemptions/{id}/{end}");
        let answer = server.call(&line, &pass, &body.to_string()).await;
        answer.assert_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_service_cannot_claim_as_itself_and_is_told_so() {
    let server = Server::start(settings()).await;
    let line = "POST /v1/coupons/00000001/claims";
    let answer = server.call(line, CHECKOUT_KEY, "{}").await;
    answer.assert_problem(401, "login_required");
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("service key"), "{detail}");
}
