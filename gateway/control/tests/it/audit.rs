//! The audit over HTTP and as a library.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_control::audit::{self, AuditSource, Rounds};
use sluice_domain::id::EntryNumber;
use sluice_domain::invariant::{CheckStatus, Verdict};
use sluice_hotstate::LaneStore;
use sluice_ledger::Ledger;

use crate::world::World;

fn source(world: &World) -> AuditSource {
    AuditSource {
        ledger: world.ledger.clone() as Arc<dyn Ledger>,
        lanes_store: Some(Arc::new(world.hot.clone()) as Arc<dyn LaneStore>),
    }
}

const ROUNDS: Rounds = Rounds {
    most: 4,
    pause: Duration::from_millis(1),
};

fn check(report: &Value, invariant: u64) -> &Value {
    let checks = report["checks"].as_array().unwrap();
    checks
        .iter()
        .find(|check| check["invariant"] == invariant)
        .unwrap()
}

#[tokio::test]
async fn a_coupon_at_rest_is_exact_with_claims_drained_and_on_their_way() {
    let world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    let audit = format!("{path}/audit");
    let report = world.get(&audit).await.expect(200);
    assert_eq!(report["verdict"], "exact", "{report}");
    world.keeper.stock_up(id, 50).await;
    assert_eq!(world.keeper.claim(id, 0..10).await, 10);
    world.keeper.drain(world.keeper.lane_of(id)).await;
    assert_eq!(world.keeper.claim(id, 10..15).await, 5);
    let report = world.get(&audit).await.expect(200);
    assert_eq!(report["verdict"], "exact", "{report}");
    assert_eq!(
        report["coupons"][0],
        json!({
            "id": id.to_string(), "total": 100, "leased": 50, "granted": 10, "quarantined": 0,
            "in_outbox": 5, "available": 85, "drift": 0, "moved": [],
        })
    );
    assert_eq!(check(&report, 1)["examined"], 15);
    assert_eq!(check(&report, 5)["examined"], 10);
    let whole = audit::everything(&source(&world), ROUNDS).await.unwrap();
    assert_eq!(whole.verdict, Verdict::Exact, "{whole:?}");
    for invariant in [1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14] {
        assert!(
            whole
                .checks
                .iter()
                .any(|check| check.invariant == invariant)
        );
    }
}

#[tokio::test]
async fn an_entry_that_vanished_is_a_violation() {
    let world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    let lane = world.keeper.lane_of(id);
    world.keeper.stock_up(id, 50).await;
    assert_eq!(world.keeper.claim(id, 0..3).await, 3);
    assert_eq!(world.keeper.claim(id, 3..5).await, 2);
    let fence = world.keeper.fence(lane).await;
    world.hot.lose_entry(lane, fence.epoch, EntryNumber(1));
    let report = world.get(&format!("{path}/audit")).await.expect(200);
    assert_eq!(report["verdict"], "violated", "{report}");
    assert_eq!(check(&report, 11)["status"], "violated");
    assert_eq!(check(&report, 6)["status"], "violated");
    assert_eq!(report["coupons"][0]["drift"], 3);
    let lost = check(&report, 1);
    assert_eq!(
        (&lost["status"], &lost["violated"]),
        (&json!("violated"), &json!(3))
    );
    assert!(
        lost["violations"][0]
            .as_str()
            .unwrap()
            .contains("neither a row")
    );
}

#[tokio::test]
async fn without_hot_state_what_needs_it_is_unchecked() {
    let world = World::open().await;
    let (_path, id) = world.published(json!(100)).await;
    world.keeper.stock_up(id, 50).await;
    let source = AuditSource {
        lanes_store: None,
        ..source(&world)
    };
    let report = audit::coupon(&source, id, ROUNDS).await.unwrap();
    assert_eq!(report.verdict, Verdict::Unchecked);
    let held = |invariant| {
        let check = report
            .checks
            .iter()
            .find(|check| check.invariant == invariant);
        check.unwrap().status
    };
    assert_eq!(held(3), CheckStatus::Held);
    assert_eq!(held(6), CheckStatus::Unchecked);
    assert_eq!(report.coupons[0].drift, None);
}

#[tokio::test]
async fn a_lane_that_recovers_is_unchecked_not_wrong() {
    let world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    world.keeper.stock_up(id, 50).await;
    world.keeper.fence_off(world.keeper.lane_of(id)).await;
    let report = world.get(&format!("{path}/audit")).await.expect(200);
    assert_eq!(report["verdict"], "unchecked", "{report}");
    assert_eq!(check(&report, 6)["status"], "unchecked");
}
