//! How a change gets into force, and what happens where it cannot.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::claim::Durability;
use sluice_domain::id::CouponId;
use sluice_hotstate::model::fault::{ModelKey, ModelOp};
use sluice_ledger::LedgerError;
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::coupons::{CouponWrite, Coupons as _};
use sluice_ledger::lanes::Lanes as _;
use sluice_ledger::leases::Leases;
use sluice_ledger::model::Fault;

use crate::world::{World, eventually, minimal, quick};

fn unreachable() -> StoreError {
    StoreError::Unavailable {
        reason: "no route".to_owned(),
    }
}

async fn in_force(world: &World, id: CouponId) -> u32 {
    world.keeper.in_force(id).await
}

/// The revision that the ledger has; asking it takes no time, whatever hot state takes.
async fn revision(world: &World, id: CouponId) -> u32 {
    world.ledger.coupon(id).await.unwrap().unwrap().revision.0
}

/// A world in which a change may take its time.
async fn patient() -> World {
    let world = World::with(sluice_control::ControlSettings {
        publish_deadline: Duration::from_secs(10),
        lane_call_timeout: Duration::from_secs(5),
        ..quick()
    })
    .await;
    world.keeper.open_all().await;
    world
}

fn id_of(path: &str) -> CouponId {
    path.rsplit('/').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_lane_that_fails_for_a_moment_costs_nothing() {
    let world = World::open().await;
    let path = world.draft(minimal()).await;
    for _ in 0..3 {
        world.hot.fail_next(ModelOp::Install, unreachable());
    }
    let lost = StoreError::Unknown {
        reason: "cut".to_owned(),
    };
    world.hot.lose_answer_of_next(ModelOp::Install, lost);
    world
        .post(&format!("{path}/publish"), Value::Null)
        .await
        .expect(200);
    assert_eq!(in_force(&world, id_of(&path)).await, 2);
}

#[tokio::test]
async fn a_lane_that_was_never_opened_answers_unknown_and_catches_up() {
    let world = World::with(quick()).await;
    let path = world.draft(minimal()).await;
    let id = id_of(&path);
    let reply = world.post(&format!("{path}/publish"), Value::Null).await;
    let problem = reply.expect_problem(503, "outcome_unknown");
    assert_eq!(problem["outcome"], "unknown");
    assert_eq!(problem["lane"], world.keeper.lane_of(id).0);
    assert_eq!(problem["revision"], 2);
    assert!(reply.header("retry-after").is_some());
    assert_eq!(
        world.get(&path).await.expect(200)["status"],
        "active",
        "saved all the same"
    );
    world.keeper.open_all().await;
    eventually("it is installed in the background", async || {
        in_force(&world, id).await == 2
    })
    .await;
    let again = world.post(&format!("{path}/publish"), Value::Null).await;
    assert_eq!(again.expect(200)["revision"], 2);
}

/// No claim may ever touch the coupon: then nobody else notices.
#[tokio::test]
async fn a_loss_that_an_install_meets_is_reported_to_the_keeper() {
    let world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    let lane = world.keeper.lane_of(id);
    let epoch = world.ledger.lane(lane).await.unwrap().epoch;
    world.hot.lose_key(lane, epoch, ModelKey::Definition(id));
    let paused = world.post(&format!("{path}/pause"), Value::Null).await;
    paused.expect_problem(503, "outcome_unknown");
    let reported = world.keeper.lost.lock().unwrap().first().copied();
    assert_eq!(reported, Some((lane, epoch, NotReady::Loss)));
}

#[tokio::test]
async fn a_change_waits_for_a_recovery_and_is_part_of_it() {
    let world = patient().await;
    let (path, id) = world.published(json!(100)).await;
    let lane = world.keeper.lane_of(id);
    let fence = world.keeper.fence_off(lane).await;
    // The lane takes definitions while it recovers, in its new epoch; but until that is opened, what is
    // granted in the old one, elsewhere, may still become durable.
    let opened = std::sync::atomic::AtomicBool::new(false);
    let pause = format!("{path}/pause");
    let ((), ()) = tokio::join!(
        async {
            let paused = world.post(&pause, Value::Null).await;
            assert_eq!(paused.expect(200)["status"], "paused");
            assert!(opened.load(std::sync::atomic::Ordering::SeqCst));
        },
        async {
            // Each attempt tells the gateways.
            let attempts = || world.gateways.invalidated.lock().unwrap().len();
            let before = attempts();
            eventually("it is tried again", async || attempts() >= before + 2).await;
            assert_eq!(revision(&world, id).await, 3, "it is saved");
            opened.store(true, std::sync::atomic::Ordering::SeqCst);
            world.keeper.open(fence).await;
        }
    );
    assert_eq!(in_force(&world, id).await, 3);
}

#[tokio::test]
async fn f26_an_install_does_not_count_if_the_epoch_rose_meanwhile() {
    let world = patient().await;
    let path = world.draft(minimal()).await;
    let id = id_of(&path);
    let lane = world.keeper.lane_of(id);
    // The install is on its way for a while; meanwhile a recovery begins that read the definitions
    // before this one was saved: what arrives in the old epoch is lost with it.
    world.hot.delay(Some(Duration::from_secs(1)));
    let publish = format!("{path}/publish");
    let (published, ()) = tokio::join!(world.post(&publish, Value::Null), async {
        eventually("it is saved", async || revision(&world, id).await == 2).await;
        let begun = world.keeper.begin_recovery(lane).await;
        world.hot.delay(None);
        eventually("it arrives in the old epoch", async || {
            in_force(&world, id).await == 2
        })
        .await;
        let fence = world.keeper.fence_hot_state(begun).await;
        world.keeper.open_bare(fence).await;
    });
    published.expect(200);
    assert_eq!(
        in_force(&world, id).await,
        2,
        "in the epoch that is in force"
    );
}

#[tokio::test]
async fn f26_what_was_not_installed_before_a_crash_is_installed_after_it() {
    let mut world = World::with(quick()).await;
    let path = world.draft(minimal()).await;
    let id = id_of(&path);
    let reply = world.post(&format!("{path}/publish"), Value::Null).await;
    reply.expect_problem(503, "outcome_unknown");
    world.stop().await;
    let next = World::over(
        world.ledger.clone(),
        world.hot.clone(),
        world.clock.clone(),
        quick(),
    )
    .await;
    assert_eq!(in_force(&next, id).await, 0);
    // Opened without definitions: only the sweep can bring it.
    for lane in 0..4 {
        let lane = sluice_domain::id::LaneId(lane);
        next.keeper.take(lane).await;
        let fence = next.keeper.fence_off(lane).await;
        next.keeper.open_bare(fence).await;
    }
    eventually("the sweep installs it", async || {
        in_force(&next, id).await == 2
    })
    .await;
}

#[tokio::test]
async fn a_queue_that_is_full_is_made_up_for_by_a_sweep() {
    let world = World::with(sluice_control::ControlSettings {
        retries_max: 1,
        publish_deadline: Duration::from_millis(20),
        ..quick()
    })
    .await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        let path = world.draft(minimal()).await;
        let reply = world.post(&format!("{path}/publish"), Value::Null).await;
        reply.expect_problem(503, "outcome_unknown");
        ids.push(id_of(&path));
    }
    for lane in 0..4 {
        let lane = sluice_domain::id::LaneId(lane);
        world.keeper.take(lane).await;
        let fence = world.keeper.fence_off(lane).await;
        world.keeper.open_bare(fence).await;
    }
    for id in ids {
        eventually("it is installed", async || in_force(&world, id).await == 2).await;
    }
}

#[tokio::test]
async fn leases_are_flagged_before_hot_reaches_the_lane() {
    let world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    world.keeper.stock_up(id, 10).await;
    let before = world.ledger.leases(id).await.unwrap();
    assert!(before.iter().all(|lease| !lease.hot_possible));
    let edited = world
        .patch(&path, "\"2\"", json!({"durability": "hot"}))
        .await;
    let edited = edited.expect(200);
    assert_eq!(
        edited["version"], 2,
        "claims keep the class they were made under"
    );
    let after = world.ledger.leases(id).await.unwrap();
    assert!(after.iter().all(|lease| lease.hot_possible));
}

/// A keeper may open a lease between the flags and the change, and the process may end right after
/// the change: whoever installs it later sets the flags again.
#[tokio::test]
async fn every_install_of_class_hot_flags_the_leases() {
    let mut world = World::open().await;
    let (_path, id) = world.published(json!(100)).await;
    world.keeper.stock_up(id, 10).await;
    world.stop().await;
    let now = world.clock.now();
    let coupon = world.ledger.coupon(id).await.unwrap().unwrap();
    let mut spec = coupon.spec.clone();
    spec.durability = Durability::Hot;
    let hot = sluice_domain::change::edit(&coupon, spec, now).unwrap();
    let entry = AuditEntry {
        at: now,
        actor: "key:gone".to_owned(),
        action: "coupon.edit".to_owned(),
        object: id.to_string(),
        before: String::new(),
        after: String::new(),
        request_id: "r".to_owned(),
    };
    let written = world
        .ledger
        .update_coupon(coupon.revision, &hot, "key:gone", entry)
        .await;
    assert!(matches!(written, Ok(CouponWrite::Done)), "{written:?}");
    let leases = world.ledger.leases(id).await.unwrap();
    assert!(!leases[0].hot_possible, "the flags were too early");
    let next = World::over(
        world.ledger.clone(),
        world.hot.clone(),
        world.clock.clone(),
        quick(),
    )
    .await;
    eventually("it is in force", async || in_force(&next, id).await == 3).await;
    let leases = next.ledger.leases(id).await.unwrap();
    assert!(leases[0].hot_possible);
}

#[tokio::test]
async fn hot_state_that_is_silent_costs_one_figure() {
    let world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    world.keeper.stock_up(id, 10).await;
    world.hot.fail_next(ModelOp::Figures, unreachable());
    let body = world.get(&path).await.expect(200);
    assert!(body["counts"]["available"].is_null(), "never 0");
    assert_eq!(body["counts"]["note"], "hot state does not answer");
    let body = world.get(&path).await.expect(200);
    assert_eq!(body["counts"]["available"], 100);
    assert!(body["counts"].get("note").is_none());
}

#[tokio::test]
async fn a_ledger_that_cannot_write_changes_nothing() {
    let world = World::open().await;
    let path = world.draft(minimal()).await;
    let full = LedgerError::Full {
        reason: "no space".to_owned(),
    };
    world.ledger.fail_next(Fault::Refuse(full));
    let reply = world.post(&format!("{path}/publish"), Value::Null).await;
    let problem = reply.expect_problem(503, "overloaded");
    assert_eq!(problem["outcome"], "not_applied");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(world.get(&path).await.expect(200)["status"], "draft");
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_unknown_and_put_in_force_behind() {
    let world = World::with(sluice_control::ControlSettings {
        key_cache_ttl: Duration::from_secs(1),
        ..quick()
    })
    .await;
    world.keeper.open_all().await;
    let path = world.draft(minimal()).await;
    // The key is remembered; then the coupon is read, by the request and by the publisher, then written.
    world.ledger.fail_next(Fault::Pass);
    world.ledger.fail_next(Fault::Pass);
    world.ledger.fail_next(Fault::LoseAnswer);
    let reply = world.post(&format!("{path}/publish"), Value::Null).await;
    let problem = reply.expect_problem(503, "outcome_unknown");
    assert_eq!(problem["outcome"], "unknown");
    let id = id_of(&path);
    eventually("it is in force", async || in_force(&world, id).await == 2).await;
}

#[tokio::test]
async fn f30_a_client_that_leaves_does_not_stop_its_change() {
    use tokio::io::AsyncWriteExt;
    let world = World::open().await;
    let path = world.draft(minimal()).await;
    let id = id_of(&path);
    world.hot.delay(Some(Duration::from_secs(1)));
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let request = format!(
        "POST {path}/publish HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\n\
         content-length: 0\r\n\r\n",
        world.admin
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    // The change has begun when the ledger has it; then the client goes, before the lane has it.
    eventually("it is saved", async || revision(&world, id).await == 2).await;
    assert_eq!(in_force(&world, id).await, 0);
    drop(stream);
    world.hot.delay(None);
    eventually("it is in force", async || in_force(&world, id).await == 2).await;
}

/// A ledger from a backup has forgotten a revision; one more change would give its number again, and
/// neither the lane nor the keeper could tell the two apart.
#[tokio::test]
async fn nothing_is_changed_while_hot_state_knows_more_than_the_ledger() {
    let mut world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    let backup = world.ledger.snapshot();
    let edited = world
        .patch(
            &path,
            "\"2\"",
            json!({"benefit": {"type": "fixed", "off": "9.00"}}),
        )
        .await;
    assert_eq!(edited.expect(200)["revision"], 3);
    world.stop().await;
    world.ledger.restore(&backup);
    let next = World::over(
        world.ledger.clone(),
        world.hot.clone(),
        world.clock.clone(),
        quick(),
    )
    .await;
    let paused = next.post(&format!("{path}/pause"), Value::Null).await;
    let problem = paused.expect_problem(503, "recovering");
    assert_eq!(problem["outcome"], "not_applied");
    assert_eq!(problem["lane"], next.keeper.lane_of(id).0);
    assert_eq!(revision(&next, id).await, 2, "nothing is written");
    assert_eq!(in_force(&next, id).await, 3, "nor put in force");
    // An operator says that this ledger is right: a new epoch is made of it.
    next.keeper.recover(next.keeper.lane_of(id)).await;
    assert_eq!(in_force(&next, id).await, 2);
    let paused = next.post(&format!("{path}/pause"), Value::Null).await;
    assert_eq!(paused.expect(200)["revision"], 3);
    assert_eq!(in_force(&next, id).await, 3);
}

/// The first change that a process makes of a coupon waits for the lane; later ones are saved at once.
#[tokio::test]
async fn the_first_change_after_a_start_waits_for_the_lane() {
    let mut world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    world.stop().await;
    let next = World::over(
        world.ledger.clone(),
        world.hot.clone(),
        world.clock.clone(),
        quick(),
    )
    .await;
    next.hot.restart_keeping();
    let paused = next.post(&format!("{path}/pause"), Value::Null).await;
    paused.expect_problem(503, "recovering");
    assert_eq!(revision(&next, id).await, 2);
    next.keeper.recover(next.keeper.lane_of(id)).await;
    next.post(&format!("{path}/pause"), Value::Null)
        .await
        .expect(200);
    next.hot.restart_keeping();
    let resumed = next.post(&format!("{path}/resume"), Value::Null).await;
    resumed.expect_problem(503, "outcome_unknown");
    assert_eq!(revision(&next, id).await, 4, "saved all the same");
}
