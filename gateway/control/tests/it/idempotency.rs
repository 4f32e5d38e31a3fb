//! The same call again.

use std::sync::Arc;

use serde_json::{Value, json};
use sluice_ledger::ModelLedger;
use sluice_ledger::coupons::{Coupons, Operation};

use crate::http::Reply;
use crate::world::{World, minimal, quick};

const COUPONS: &str = "/admin/v1/coupons";

async fn keyed(world: &World, path: &str, key: &str, body: &Value) -> Reply {
    let bytes = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let headers = [("idempotency-key", key)];
    world.call("POST", path, &headers, bytes.as_bytes()).await
}

async fn count(world: &World) -> usize {
    let list = world.get(COUPONS).await.expect(200);
    list["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_repeat_answers_the_same_and_makes_nothing() {
    let world = World::open().await;
    let first = keyed(&world, COUPONS, "k-1", &minimal()).await;
    first.expect(201);
    assert!(first.header("idempotency-replayed").is_none());
    let again = keyed(&world, COUPONS, "k-1", &minimal()).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("content-type"), Some("application/json"));
    let mut other = minimal();
    other["name"] = json!("another");
    keyed(&world, COUPONS, "k-1", &other)
        .await
        .expect_problem(422, "key_reused");
    assert_eq!(count(&world).await, 1);
    keyed(&world, COUPONS, "k-2", &minimal()).await.expect(201);
    assert_eq!(count(&world).await, 2);
    // A key belongs to one operator and one path.
    let path = first.header("location").unwrap();
    keyed(&world, &format!("{path}/publish"), "k-1", &Value::Null)
        .await
        .expect(200);
    let replayed = keyed(&world, &format!("{path}/publish"), "k-1", &Value::Null).await;
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn refusals_are_not_remembered_and_bad_keys_are_refused() {
    let world = World::open().await;
    let mut bad = minimal();
    bad["name"] = json!("");
    keyed(&world, COUPONS, "k", &bad)
        .await
        .expect_problem(400, "invalid_request");
    keyed(&world, COUPONS, "k", &minimal()).await.expect(201);
    let long = "x".repeat(129);
    for key in ["", "two words", "é", long.as_str()] {
        let reply = keyed(&world, COUPONS, key, &minimal()).await;
        let problem = reply.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["parameter"], "idempotency-key");
    }
}

#[tokio::test]
async fn f17_calls_at_the_same_time_make_one_coupon() {
    let world = Arc::new(World::open().await);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { keyed(&world, COUPONS, "same", &minimal()).await.status })
        })
        .collect();
    for task in tasks {
        let status = task.await.unwrap();
        assert!([201, 409].contains(&status), "{status}");
    }
    assert_eq!(count(&world).await, 1);
}

#[tokio::test]
async fn a_crash_between_the_change_and_its_record_makes_no_second_coupon() {
    let mut world = World::open().await;
    let first = keyed(&world, COUPONS, "k", &minimal()).await;
    let made = first.expect(201);
    world.stop().await;
    // A ledger to which all came but the answer's record.
    let ledger = Arc::new(ModelLedger::new(
        sluice_domain::lane::LaneCount::new(4).unwrap(),
    ));
    ledger.restore(&world.ledger.snapshot());
    let next = World::over(ledger, world.hot.clone(), world.clock.clone(), quick()).await;
    let prefix = world.admin.split('_').nth(1).unwrap();
    let scope = format!("key:{prefix} POST {COUPONS}");
    assert!(next.ledger.operation(&scope, "k").await.unwrap().is_some());
    let intent = next
        .ledger
        .operation(&format!("intent {scope}"), "k")
        .await
        .unwrap();
    assert!(intent.is_some(), "the number was written down before");
    // The record of another key's scope with the same intent: as if only the intent was there.
    let own = next.admin.split('_').nth(1).unwrap();
    let intent: Operation = intent.unwrap();
    let scope = format!("intent key:{own} POST {COUPONS}");
    assert!(
        next.ledger
            .record_operation(&scope, "k", &intent)
            .await
            .unwrap()
    );
    let again = keyed(&next, COUPONS, "k", &minimal()).await;
    assert_eq!(again.expect(201)["id"], made["id"]);
    assert!(again.header("idempotency-replayed").is_none());
    assert_eq!(count(&next).await, 1);
}

#[tokio::test]
async fn the_text_of_a_key_is_not_stored_for_a_repeat() {
    let world = World::open().await;
    let body = json!({"role": "viewer"});
    let made = keyed(&world, "/admin/v1/api-keys", "k", &body)
        .await
        .expect(201);
    let again = keyed(&world, "/admin/v1/api-keys", "k", &body).await;
    let problem = again.expect_problem(409, "conflict");
    let prefix = made["prefix"].as_str().unwrap();
    assert!(problem["detail"].as_str().unwrap().contains(prefix));
    assert!(!again.body.contains(made["key"].as_str().unwrap()));
}
