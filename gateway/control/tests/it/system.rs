//! Lanes, and stopping.

use serde_json::json;
use sluice_claim::port::StoreError;
use sluice_hotstate::model::fault::ModelOp;

use crate::world::{World, minimal};

#[tokio::test]
async fn lanes_show_what_ledger_hot_state_and_keeper_say() {
    let world = World::open().await;
    let lanes = world.get("/admin/v1/system/lanes").await.expect(200);
    let items = lanes["items"].as_array().unwrap();
    assert_eq!(items.len(), 4);
    assert_eq!(items[0]["epoch"], 1);
    assert_eq!(items[0]["opened"], 1);
    assert_eq!(items[0]["hot_state"]["state"], "open");
    assert_eq!(items[0]["phase"], "serving");
    assert!(items[1]["phase"].is_null());
    let silent = StoreError::Unavailable {
        reason: "no route".to_owned(),
    };
    world.hot.fail_next(ModelOp::Facts, silent);
    let lanes = world.get("/admin/v1/system/lanes").await.expect(200);
    assert!(lanes["items"][0]["hot_state"].is_null());
    let error = lanes["items"][0]["hot_state_error"].as_str().unwrap();
    assert!(error.contains("no route"));
}

#[tokio::test]
async fn an_operator_recovers_a_lane_and_is_on_record() {
    let world = World::open().await;
    let path = "/admin/v1/system/lanes/2/recover";
    let lane = world
        .post(path, json!({"accept_ledger": true}))
        .await
        .expect(200);
    assert_eq!(lane["epoch"], 2);
    let lane = world.call("POST", path, &[], b"").await.expect(200);
    assert_eq!(lane["epoch"], 3);
    let bad = world.post(path, json!({"accept": true})).await;
    let problem = bad.expect_problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/accept");
    let halted = world
        .post("/admin/v1/system/lanes/1/recover", json!({}))
        .await;
    let problem = halted.expect_problem(409, "conflict");
    assert_eq!(problem["lane"], 1);
    let release = world
        .post("/admin/v1/system/lanes/3/release", json!({}))
        .await;
    let problem = release.expect_problem(503, "recovering");
    assert_eq!(problem["outcome"], "not_applied");
    let log = world
        .get("/admin/v1/audit-log?object=lane:2")
        .await
        .expect(200);
    assert_eq!(log["items"][0]["action"], "lane.recover");
    assert_eq!(log["items"][0]["after"], json!({"accept_ledger": true}));
}

#[tokio::test]
async fn the_audit_log_pages_and_its_chain_holds() {
    let world = World::open().await;
    for _ in 0..5 {
        world.draft(minimal()).await;
    }
    let mut path = "/admin/v1/audit-log?limit=2".to_owned();
    let mut previous = "0".repeat(64);
    let mut sequence = 0;
    loop {
        let page = world.get(&path).await.expect(200);
        for entry in page["items"].as_array().unwrap() {
            sequence += 1;
            assert_eq!(entry["sequence"], sequence);
            assert_eq!(entry["previous_hash"], previous.as_str());
            previous = entry["hash"].as_str().unwrap().to_owned();
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/admin/v1/audit-log?limit=2&cursor={cursor}");
    }
    assert_eq!(sequence, 6);
}

#[tokio::test]
async fn a_stop_lets_changes_end() {
    let mut world = World::open().await;
    let path = world.draft(minimal()).await;
    world.stop().await;
    let refused = tokio::net::TcpStream::connect(world.address).await;
    assert!(refused.is_err(), "nobody listens any more");
    assert!(path.starts_with("/admin/v1/coupons/"));
}
