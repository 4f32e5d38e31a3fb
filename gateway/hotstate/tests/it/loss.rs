//! What is missing is "not ready", never zero and never unlimited.

use sluice_claim::port::{ClaimAnswer, ClaimStore, NotReady, StoreError};
use sluice_domain::id::{EntryNumber, Epoch};
use sluice_hotstate::LaneStore;
use sluice_hotstate::lane_store::{Fenced, Installed};

use super::fixture::{
    COUPON, FAR, LANE, Stage, by, call, from, granted, lease, limited, ok, published, revised,
};

fn reason(error: &StoreError) -> NotReady {
    match error {
        StoreError::LaneNotReady { reason, .. } => *reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn f05_an_emptied_server_is_missing() {
    let stage = Stage::serving(&published(), 5).await;
    stage.redis(&["FLUSHALL"]).await;
    assert_eq!(reason(&stage.claim_error(by("a")).await), NotReady::Missing);
    let error = stage.store.definition(LANE, COUPON).await.unwrap_err();
    assert_eq!(reason(&error), NotReady::Missing);
    assert_eq!(stage.store.facts(LANE).await.unwrap(), None);
    let missing = Fenced::NotReady(NotReady::Missing);
    assert_eq!(
        stage.store.renew(stage.fence, FAR, 1).await.unwrap(),
        missing
    );
    let read = stage
        .store
        .read_outbox(LANE, Epoch(1), EntryNumber(0), 10)
        .await;
    assert_eq!(reason(&read.unwrap_err()), NotReady::Missing);
    assert_eq!(
        reason(&stage.store.figures(LANE, COUPON).await.unwrap_err()),
        NotReady::Missing
    );
}

#[tokio::test]
async fn without_an_epoch_nobody_is_served() {
    let stage = Stage::bare(|_settings| {}).await;
    let error = stage.store.decide(call(vec![by("a")])).await.unwrap_err();
    assert_eq!(reason(&error), NotReady::Recovering);
}

#[tokio::test]
async fn another_epoch_is_told() {
    let stage = Stage::serving(&published(), 5).await;
    stage.store.learn_epoch(LANE, Epoch(3));
    assert_eq!(
        reason(&stage.claim_error(by("a")).await),
        NotReady::Epoch(Epoch(1))
    );
    // Reads find the lane's epoch themselves.
    assert_eq!(
        stage.store.facts(LANE).await.unwrap().unwrap().epoch,
        Epoch(1)
    );
    assert!(stage.store.figures(LANE, COUPON).await.unwrap().is_some());
}

#[tokio::test]
async fn f02_a_restarted_server_is_another_one() {
    let mut stage = Stage::serving(&published(), 5).await;
    let first = granted(stage.claim(by("a")).await);
    stage.server.stop().unwrap();
    stage.server.restart().await.unwrap();
    // All data is there; that is exactly what must not be believed.
    let error = loop {
        match stage.store.decide(call(vec![by("b")])).await.unwrap_err() {
            StoreError::Unavailable { .. } | StoreError::Unknown { .. } => {}
            other => break other,
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert_eq!(reason(&error), NotReady::ServerChanged);
    let facts = stage.store.facts(LANE).await.unwrap().unwrap();
    assert!(!facts.same_server);
    assert_eq!((facts.epoch, facts.tail), (Epoch(1), first.entry));
    let changed = Fenced::NotReady(NotReady::ServerChanged);
    assert_eq!(stage.store.halt(stage.fence).await.unwrap(), changed);
    assert_eq!(
        ok_reason(stage.store.renew(stage.fence, FAR, 1).await),
        NotReady::ServerChanged
    );
    let next = revised(&published(), |_next| {});
    let installed = stage
        .store
        .install(LANE, stage.fence.epoch, &next)
        .await
        .unwrap();
    assert_eq!(installed, Installed::NotReady(NotReady::ServerChanged));
    let read = stage
        .store
        .read_outbox(LANE, Epoch(1), EntryNumber(0), 10)
        .await;
    assert_eq!(reason(&read.unwrap_err()), NotReady::ServerChanged);
}

fn ok_reason<T: std::fmt::Debug>(answer: Result<Fenced<T>, StoreError>) -> NotReady {
    match answer.unwrap() {
        Fenced::NotReady(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn f08_a_server_that_stepped_down_and_up_is_another_one() {
    let stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("a")).await);
    let dir = tempfile::Builder::new()
        .prefix("slr")
        .tempdir_in("/tmp")
        .unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let port = port.to_string();
    let other = sluice_hotstate::testing::RedisServer::start_with(dir.path(), &["--port", &port])
        .await
        .unwrap();
    // As a replica: refused, whether before or inside the script.
    stage.redis(&["REPLICAOF", "127.0.0.1", &port]).await;
    assert_eq!(
        reason(&stage.claim_error(by("b")).await),
        NotReady::ServerChanged
    );
    let fenced = stage.store.fence(
        sluice_domain::lane::LaneFence {
            epoch: Epoch(2),
            ..stage.fence
        },
        super::fixture::LEDGER,
    );
    assert_eq!(ok_reason(fenced.await), NotReady::ServerChanged);
    stage.redis(&["REPLICAOF", "NO", "ONE"]).await;
    let error = stage.claim_error(by("b")).await;
    assert!(
        matches!(reason(&error), NotReady::ServerChanged | NotReady::Missing),
        "{error:?}"
    );
    drop(other);
}

#[tokio::test]
async fn f08_a_step_down_and_up_without_any_loss_is_seen_too() {
    let stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("a")).await);
    // To a primary that is not there, and back: nothing is overwritten.
    stage.redis(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let replica = stage.store.facts(LANE).await.unwrap().unwrap();
    assert!(!replica.same_server);
    assert_eq!(
        reason(&stage.claim_error(by("b")).await),
        NotReady::ServerChanged
    );
    stage.redis(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(
        reason(&stage.claim_error(by("b")).await),
        NotReady::ServerChanged
    );
}

#[tokio::test]
async fn single_lost_keys_are_losses() {
    for (kind, request) in [
        ('c', from("b", Some(2), Some(2))),
        ('u', from("b", Some(2), Some(2))),
        ('v', from("b", Some(2), Some(2))),
        ('i', from("b", Some(2), Some(2))),
    ] {
        let stage = Stage::serving(&limited(1, Some(1), Some(1)), 5).await;
        granted(stage.claim(from("a", Some(1), Some(1))).await);
        stage
            .redis(&["UNLINK", &format!("{{l00}}:1:{kind}:{COUPON}")])
            .await;
        let before = stage.digest().await;
        assert_eq!(
            reason(&stage.claim_error(request).await),
            NotReady::Loss,
            "{kind}"
        );
        assert_eq!(stage.digest().await, before);
    }
    for name in ["known", "hydrated", "refused", "mark"] {
        let stage = Stage::serving(&published(), 5).await;
        granted(stage.claim(by("a")).await);
        let refusal = sluice_hotstate::lane_store::Refusal {
            coupon: COUPON,
            claim_id: super::fixture::claim_id("a", 0),
            entry: EntryNumber(1),
            user: super::fixture::user("a"),
            device: None,
            address: None,
        };
        ok(stage.store.refuse(stage.fence, refusal).await);
        ok(stage.store.renew(stage.fence, FAR, 1).await);
        stage.redis(&["UNLINK", &format!("{{l00}}:1:{name}")]).await;
        let renewed = stage.store.renew(stage.fence, FAR, 1).await;
        assert_eq!(ok_reason(renewed), NotReady::Loss, "{name}");
        if name == "known" {
            let error = stage.store.definition(LANE, COUPON).await.unwrap_err();
            assert_eq!(reason(&error), NotReady::Loss);
        }
        if name != "mark" && name != "refused" {
            assert_eq!(
                reason(&stage.store.coupons(LANE).await.unwrap_err()),
                NotReady::Loss
            );
        }
    }
    let stage = Stage::serving(&published(), 5).await;
    stage
        .redis(&["UNLINK", &format!("{{l00}}:1:d:{COUPON}")])
        .await;
    let error = stage.store.definition(LANE, COUPON).await.unwrap_err();
    assert_eq!(reason(&error), NotReady::Loss);
    let next = revised(&published(), |_next| {});
    let installed = stage.store.install(LANE, Epoch(1), &next).await.unwrap();
    assert_eq!(installed, Installed::NotReady(NotReady::Loss));
}

#[tokio::test]
async fn f09_out_of_memory_is_refused_before_any_write() {
    let stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("a")).await);
    stage.redis(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let before = stage.digest().await;
    assert!(matches!(
        stage.claim_error(by("b")).await,
        StoreError::Backpressure { .. }
    ));
    let leased = stage.store.install_lease(stage.fence, lease(2, 5)).await;
    assert!(
        matches!(leased, Err(StoreError::Backpressure { .. })),
        "{leased:?}"
    );
    assert_eq!(stage.digest().await, before);
    // What frees memory, stops a sale or keeps the lane alive works all the same.
    ok(stage.store.mark(stage.fence, EntryNumber(1), 2).await);
    ok(stage.store.renew(stage.fence, FAR, 3).await);
    let paused = revised(&published(), |next| {
        next.lifecycle = sluice_domain::coupon::Lifecycle::Paused;
    });
    let installed = stage
        .store
        .install(LANE, stage.fence.epoch, &paused)
        .await
        .unwrap();
    assert_eq!(installed, Installed::Applied);
    assert!(stage.store.definition(LANE, COUPON).await.is_ok());
    stage.redis(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(stage.claim(by("b")).await, ClaimAnswer::StaleDefinition);
}

#[tokio::test]
async fn f10_an_evicting_server_is_not_renewed() {
    let stage = Stage::serving(&published(), 5).await;
    stage
        .redis(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])
        .await;
    let renewed = stage.store.renew(stage.fence, FAR, 1).await;
    assert!(
        matches!(renewed, Err(StoreError::Backpressure { .. })),
        "{renewed:?}"
    );
}

#[tokio::test]
async fn f21_unreadable_entries_are_handed_on_as_they_are() {
    let stage = Stage::serving(&published(), 5).await;
    stage
        .redis(&["XADD", "{l00}:1:out", "5-0", "h", "nonsense"])
        .await;
    let read = stage
        .store
        .read_outbox(LANE, Epoch(1), EntryNumber(0), 10)
        .await
        .unwrap();
    let [sluice_hotstate::lane_store::OutboxEntry::Unreadable { entry, .. }] = &read[..] else {
        panic!("{read:?}");
    };
    assert_eq!(*entry, EntryNumber(5));
}

#[tokio::test]
async fn a_fault_inside_a_script_is_unknown() {
    let stage = Stage::serving(&published(), 5).await;
    // The stream refuses the entry when everything else is written: tickets first.
    stage.redis(&["XADD", "{l00}:1:out", "9-0", "h", "x"]).await;
    let error = stage.claim_error(by("a")).await;
    assert!(matches!(error, StoreError::Unknown { .. }), "{error:?}");
    let figures = stage.store.figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!(figures.leases[0].1, sluice_domain::id::Ticket(1_001));
}
