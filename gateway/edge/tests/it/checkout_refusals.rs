//! Checkout requests that are wrong, foreign or too large, and a checkout that cannot serve.

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_domain::id::{ClaimId, RedemptionId};
use sluice_ledger::LedgerError;
use sluice_ledger::model::Fault;
use tokio::task::JoinSet;

use super::checkout::{cart, held, hold_of, quote_of};
use super::harness::{Answer, Server, settings};

/// A body without what differs from request to request.
fn plain(answer: &Answer) -> Value {
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("request_id");
    body
}

#[tokio::test]
async fn bodies_that_are_wrong_are_refused_with_a_pointer() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let claim = ClaimId::new(sluice_domain::id::CouponId(1), [1; 12]);
    let changed = |change: fn(&mut Value)| {
        let mut body = hold_of("o-1", &[]);
        change(&mut body);
        body.to_string()
    };
    let cases = [
        (String::new(), ""),
        ("{".to_owned(), ""),
        ("[]".to_owned(), ""),
        ("null".to_owned(), ""),
        ("{\"cart\":1,\"cart\":1}".to_owned(), "/cart"),
        (changed(|body| body["more"] = json!(1)), "/more"),
        (
            changed(|body| body["cart"]["more"] = json!(1)),
            "/cart/more",
        ),
        (
            changed(|body| body["cart"]["lines"][0]["unit_price"] = json!("30.001")),
            "/cart/lines/0/unit_price",
        ),
        (
            changed(|body| body["cart"]["lines"][0]["unit_price"] = json!(30)),
            "/cart/lines/0/unit_price",
        ),
        (
            changed(|body| body["cart"]["lines"][0]["unit_price"] = json!("-1.00")),
            "/cart/lines/0/unit_price",
        ),
        (
            changed(|body| body["cart"]["lines"][0]["quantity"] = json!(0)),
            "/cart/lines/0/quantity",
        ),
        (
            changed(|body| body["cart"]["lines"] = json!([])),
            "/cart/lines",
        ),
        (
            changed(|body| body["cart"]["currency"] = json!("XYZ")),
            "/cart/currency",
        ),
        (
            changed(|body| body["expected_total"] = json!("1.234")),
            "/expected_total",
        ),
        (changed(|body| body["order_id"] = json!("a b")), "/order_id"),
        (changed(|body| body["claims"] = json!(["x"])), "/claims/0"),
        (changed(|body| body["choose"] = json!("all")), "/choose"),
        (hold_of("o-1", &[claim, claim]).to_string(), "/claims/1"),
    ];
    for (body, pointer) in cases {
        let answer = server.call("POST /v1/redemptions", &pass, &body).await;
        answer.assert_problem(400, "invalid_request");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
}

#[tokio::test]
async fn bodies_of_transitions_are_read_as_strictly() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let redemption = held(&server, &pass, "o-1", &[]).await;
    let refunds = format!("POST /v1/redemptions/{redemption}/refunds");
    for body in [
        "",
        "{}",
        "{\"refund_id\":\"r\"}",
        "{\"refund_id\":\"r\",\"full\":true,\"lines\":[]}",
    ] {
        let answer = server.call(&refunds, &pass, body).await;
        answer.assert_problem(400, "invalid_request");
    }
    let confirm = format!("POST /v1/redemptions/{redemption}/confirm");
    let answer = server.call(&confirm, &pass, "{\"x\":1}").await;
    answer.assert_problem(400, "invalid_request");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/x");
}

#[tokio::test]
async fn a_refund_of_too_much_names_the_line() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let id = held(&server, &pass, "o-1", &[]).await;
    let line = |end: &str| format!("POST /v1/redemptions/{id}/{end}");
    let part = |name: &str, quantity: u32| {
        json!({"refund_id": name, "lines": [{"id": "l1", "quantity": quantity}]}).to_string()
    };
    let early = server.call(&line("refunds"), &pass, &part("r-1", 1)).await;
    early.assert_problem(409, "conflict");
    assert_eq!(early.json()["state"], "held");
    server.call(&line("confirm"), &pass, "").await;
    let over = server.call(&line("refunds"), &pass, &part("r-1", 3)).await;
    over.assert_problem(400, "invalid_request");
    let pointer = over.json()["errors"][0]["pointer"].clone();
    assert!(
        pointer.as_str().unwrap().starts_with("/lines/0"),
        "{pointer}"
    );
    let done = server.call(&line("refunds"), &pass, &part("r-1", 1)).await;
    assert_eq!(done.status, 200);
    let reused = server.call(&line("refunds"), &pass, &part("r-1", 2)).await;
    reused.assert_problem(422, "key_reused");
}

#[tokio::test]
async fn bodies_are_bounded_and_json() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let quote = quote_of(&[]).to_string();
    let padded = |bytes: usize| format!("{}{quote}", " ".repeat(bytes - quote.len()));
    let whole = server
        .call("POST /v1/quotes", &pass, &padded(256 * 1024))
        .await;
    assert_eq!(whole.status, 200);
    let over = server
        .call("POST /v1/quotes", &pass, &padded(256 * 1024 + 1))
        .await;
    over.assert_problem(413, "too_large");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = server
        .call_with("POST /v1/quotes", &pass, form, &quote)
        .await;
    answer.assert_problem(415, "unsupported_media_type");
    let two = "Idempotency-Key: a\r\nIdempotency-Key: b\r\n";
    let answer = server
        .call_with("POST /v1/quotes", &pass, two, &quote)
        .await;
    answer.assert_problem(400, "invalid_request");
}

#[tokio::test]
async fn what_is_foreign_unknown_or_no_id_at_all_is_one_body() {
    let server = Server::start(settings()).await;
    let (ann, bob) = (server.pass("ann"), server.pass("bob"));
    let claim = server.till.fixed(500, "ann").await;
    let id = held(&server, &ann, "o-1", &[claim]).await;
    let unknown = RedemptionId([7; 16]).to_string();
    let refund = json!({"refund_id": "r", "full": true}).to_string();
    for (line, body) in [
        ("GET /v1/redemptions/{}", ""),
        ("POST /v1/redemptions/{}/confirm", ""),
        ("POST /v1/redemptions/{}/cancel", "{}"),
        ("POST /v1/redemptions/{}/refunds", refund.as_str()),
    ] {
        let mut bodies = Vec::new();
        for id in [id.as_str(), unknown.as_str(), "x", ""] {
            let answer = server.call(&line.replace("{}", id), &bob, body).await;
            answer.assert_problem(404, "not_found");
            bodies.push(plain(&answer));
        }
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    }
    // Claims and orders.
    let no_claim = ClaimId::new(claim.coupon(), [9; 12]);
    for line in ["POST /v1/quotes", "POST /v1/redemptions"] {
        let of = |claim| match line {
            "POST /v1/quotes" => quote_of(&[claim]).to_string(),
            _ => hold_of("o-2", &[claim]).to_string(),
        };
        let foreign = server.call(line, &bob, &of(claim)).await;
        let unknown = server.call(line, &bob, &of(no_claim)).await;
        foreign.assert_problem(404, "not_found");
        assert_eq!(plain(&foreign), plain(&unknown));
    }
    let order = server
        .call(
            "POST /v1/redemptions",
            &bob,
            &hold_of("o-1", &[]).to_string(),
        )
        .await;
    order.assert_problem(404, "not_found");
    // Nothing of it touched the redemption.
    let read = server
        .call(&format!("GET /v1/redemptions/{id}"), &ann, "")
        .await;
    assert_eq!(read.json()["transitions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn f18_a_key_is_used_for_one_operation() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let id = held(&server, &pass, "o-1", &[]).await;
    let key = "Idempotency-Key: k-1\r\n";
    let line = |end: &str| format!("POST /v1/redemptions/{id}/{end}");
    let done = server.call_with(&line("confirm"), &pass, key, "").await;
    assert_eq!(
        (done.status, done.header("idempotency-replayed")),
        (200, None)
    );
    let again = server.call_with(&line("confirm"), &pass, key, "").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = server.call_with(&line("cancel"), &pass, key, "").await;
    other.assert_problem(422, "key_reused");
}

#[tokio::test]
async fn a_ledger_that_fails_is_answered_as_what_it_is() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    let hold = hold_of("o-1", &[]).to_string();
    let reason = || "told to".to_owned();
    for (error, status, code, outcome) in [
        (
            LedgerError::Unavailable { reason: reason() },
            503,
            "overloaded",
            json!("not_applied"),
        ),
        (
            LedgerError::Full { reason: reason() },
            503,
            "overloaded",
            json!("not_applied"),
        ),
        (
            LedgerError::Unknown { reason: reason() },
            503,
            "outcome_unknown",
            json!("unknown"),
        ),
        (
            LedgerError::Corrupt { reason: reason() },
            500,
            "internal",
            Value::Null,
        ),
    ] {
        server.till.ledger.fail_next(Fault::Refuse(error));
        let answer = server.call("POST /v1/redemptions", &pass, &hold).await;
        answer.assert_problem(status, code);
        assert_eq!(answer.json()["outcome"], outcome);
        assert_eq!(answer.header("retry-after").is_some(), status == 503);
        assert!(!answer.body.contains("told to"), "no inner words");
    }
    assert_eq!(
        server
            .call("POST /v1/redemptions", &pass, &hold)
            .await
            .status,
        201
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_large_carts_are_told_to_come_back() {
    let server = Server::start(settings()).await;
    let pass = server.pass("ann");
    for n in 0..40 {
        server
            .till
            .claim("ann", |spec| {
                let tiers = vec![sluice_domain::terms::Tier {
                    spend: 1_000 + n,
                    off: 100 + n * 7,
                }];
                spec.terms.benefit = sluice_domain::terms::Benefit::Threshold { tiers };
            })
            .await;
    }
    let mut large = cart();
    large["lines"] = (0..200)
        .map(|n| {
            json!({"id": format!("l{n}"), "sku": format!("S-{n}"), "quantity": 1,
                "unit_price": format!("5.{:02}", n % 100)})
        })
        .collect();
    let body = json!({"cart": large}).to_string();
    let alone = server.call("POST /v1/wallet/match", &pass, &body).await;
    assert_eq!(alone.status, 200, "{alone:?}");
    let (server, alone) = (Arc::new(server), Arc::new(alone.body));
    let mut tasks = JoinSet::new();
    for _caller in 0..24 {
        let (server, pass, body) = (Arc::clone(&server), pass.clone(), body.clone());
        tasks.spawn(async move { server.call("POST /v1/wallet/match", &pass, &body).await });
    }
    for answer in tasks.join_all().await {
        if answer.status == 200 {
            assert_eq!(answer.body, *alone);
            continue;
        }
        answer.assert_problem(503, "overloaded");
        assert_eq!(answer.json()["outcome"], "not_applied");
        assert!(answer.header("retry-after").is_some());
    }
}
