//! Lanes on a real Redis Cluster: three masters, one replica.

use std::sync::Arc;
use std::time::Duration;

use sluice_claim::port::{ClaimAnswer, ClaimCall, ClaimStore, NotReady, StoreError};
use sluice_domain::claim::ClaimForm;
use sluice_domain::id::{Epoch, KeeperNumber, LaneId, Revision};
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_hotstate::lane_store::{Fenced, HydrateBegin, LeaseInstall};
use sluice_hotstate::redis::server::{ServerFacts, ServerProblem};
use sluice_hotstate::testing::{RedisCluster, RedisServer};
use sluice_hotstate::{LaneStore, RedisHotState, RedisSettings};
use tempfile::TempDir;

use super::fixture::{COUPON, FAR, LEDGER, by, lease, ok, published};

const LANES: u16 = 16;

/// A cluster, hot state on it, and every lane open with the same coupon.
struct Grid {
    cluster: RedisCluster,
    store: Arc<RedisHotState>,
    _dir: TempDir,
}

fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("slc")
        .tempdir_in("/tmp")
        .unwrap()
}

fn settings(urls: Vec<String>) -> RedisSettings {
    let mut settings = RedisSettings::new(urls);
    settings.cluster = true;
    settings.opens_delay = Duration::ZERO;
    // A loaded machine is no failure here.
    settings.connect_timeout = Duration::from_secs(5);
    settings.claim_timeout = Duration::from_secs(5);
    settings.response_timeout = Duration::from_secs(5);
    settings
}

fn fence(lane: LaneId, epoch: u64) -> LaneFence {
    LaneFence {
        lane,
        epoch: Epoch(epoch),
        keeper: KeeperNumber(1),
    }
}

fn lanes() -> impl Iterator<Item = LaneId> {
    LaneCount::new(LANES).unwrap().iter()
}

impl Grid {
    async fn start(replicas: usize) -> Self {
        let dir = folder();
        let cluster = RedisCluster::start(dir.path(), 3, replicas).await.unwrap();
        let lanes = LaneCount::new(LANES).unwrap();
        let store = RedisHotState::connect(settings(cluster.urls()), lanes).unwrap();
        let grid = Self {
            cluster,
            store,
            _dir: dir,
        };
        for lane in lanes.iter() {
            grid.open(lane, 1).await;
        }
        grid
    }

    /// What a recovery does with a lane, without its ledger.
    async fn open(&self, lane: LaneId, epoch: u64) {
        let (store, fence, published) = (&self.store, fence(lane, epoch), published());
        ok(store.fence(fence, LEDGER).await);
        store.install(lane, fence.epoch, &published).await.unwrap();
        ok(store.open(fence, FAR, &[COUPON], &[], 1, None).await);
        store.learn_epoch(lane, fence.epoch);
        let begin = HydrateBegin {
            published: Arc::new(published),
            last_lease: sluice_domain::id::LeaseNumber(u32::try_from(epoch).unwrap() - 1),
            seq: 1,
        };
        ok(store.hydrate_begin(fence, &begin, 1).await);
        ok(store.hydrate_finish(fence, COUPON, 1, 0, 0, 0).await);
        let install = LeaseInstall {
            ..lease(u32::try_from(epoch).unwrap(), 900)
        };
        ok(store.install_lease(fence, install).await);
    }

    async fn claim(&self, lane: LaneId, user: &str) -> Result<ClaimAnswer, StoreError> {
        let call = ClaimCall {
            lane,
            coupon: COUPON,
            form: ClaimForm::Single,
            revision: Revision(1),
            requests: vec![by(user)],
        };
        self.store.decide(call).await.map(|reply| reply.answers[0])
    }

    async fn slot(&self, lane: LaneId) -> u16 {
        let key = format!("{{l{:02}}}:lane", lane.0);
        self.cluster.slot(&key).await.unwrap()
    }

    /// The lanes whose slot a node has.
    async fn lanes_of(&self, node: usize) -> Vec<LaneId> {
        let mut found = Vec::new();
        for lane in lanes() {
            if self
                .cluster
                .owner(node, self.slot(lane).await)
                .await
                .unwrap()
                == node
            {
                found.push(lane);
            }
        }
        found
    }

    /// All lanes but these grant at once, to somebody new.
    async fn others_go_on(&self, but: &[LaneId], user: &str) {
        for lane in lanes().filter(|lane| !but.contains(lane)) {
            let answer = self.claim(lane, user).await;
            assert!(
                matches!(answer, Ok(ClaimAnswer::Granted(_))),
                "{lane}: {answer:?}"
            );
        }
    }

    /// Asks until the lane answers for itself; what came before must have changed nothing.
    async fn until_it_answers(&self, lane: LaneId, user: &str) -> Result<ClaimAnswer, StoreError> {
        let begun = tokio::time::Instant::now();
        loop {
            let answer = self.claim(lane, user).await;
            let away = matches!(answer, Err(StoreError::Unavailable { .. }));
            if !away || begun.elapsed() > Duration::from_secs(20) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn is_loss(answer: &Result<ClaimAnswer, StoreError>) -> bool {
    let reason = NotReady::ServerChanged;
    matches!(answer, Err(StoreError::LaneNotReady { reason: why, .. }) if *why == reason)
}

#[tokio::test]
async fn every_lane_lives_on_the_master_of_its_slot() {
    let grid = Grid::start(0).await;
    let mut lanes = 0;
    for node in 0..3 {
        let own = grid.lanes_of(node).await;
        assert!(!own.is_empty(), "master {node} has no lane");
        lanes += own.len();
        for lane in own {
            let key = format!("{{l{:02}}}:lane", lane.0);
            let there = grid.cluster.command(node, &["EXISTS", &key]).await;
            assert_eq!(there.unwrap(), redis::Value::Int(1), "{lane}");
        }
    }
    assert_eq!(lanes, usize::from(LANES));
    grid.others_go_on(&[], "a").await;
    let facts = grid.store.check_server().await.unwrap();
    assert_eq!(facts.len(), 3);
    let problems: Vec<_> = facts.iter().flat_map(ServerFacts::problems).collect();
    assert_eq!(problems, []);
}

#[tokio::test]
async fn f06_a_killed_master_stops_its_own_lanes_and_its_replica_serves_after_a_new_epoch() {
    let mut grid = Grid::start(1).await;
    let lost = grid.lanes_of(0).await;
    grid.others_go_on(&[], "a").await;
    grid.cluster.server(0).kill().unwrap();
    for &lane in &lost {
        let answer = grid.claim(lane, "b").await;
        assert!(
            matches!(
                answer,
                Err(StoreError::Unavailable { .. } | StoreError::Unknown { .. })
            ),
            "{answer:?}"
        );
    }
    grid.others_go_on(&lost, "b").await;
    grid.cluster.promote(3).await.unwrap();
    for &lane in &lost {
        // The replica has all the data, and must not serve it: it may lack what came last.
        let answer = grid.until_it_answers(lane, "c").await;
        assert!(is_loss(&answer), "{lane}: {answer:?}");
        grid.open(lane, 2).await;
        let answer = grid.claim(lane, "c").await;
        assert!(matches!(answer, Ok(ClaimAnswer::Granted(_))), "{answer:?}");
    }
    grid.others_go_on(&lost, "c").await;
}

#[tokio::test]
async fn f06_an_old_master_that_comes_back_serves_nothing() {
    let mut grid = Grid::start(1).await;
    let lost = grid.lanes_of(0).await;
    grid.cluster.server(0).pause().unwrap();
    grid.cluster.promote(3).await.unwrap();
    for &lane in &lost {
        let answer = grid.until_it_answers(lane, "a").await;
        // What was sent to the frozen server has no answer; what is sent now goes to the new one.
        let answer = match answer {
            Err(StoreError::Unknown { .. }) => grid.until_it_answers(lane, "a").await,
            other => other,
        };
        assert!(is_loss(&answer), "{lane}: {answer:?}");
        grid.open(lane, 2).await;
    }
    grid.cluster.server(0).cont().unwrap();
    for &lane in &lost {
        let answer = grid.claim(lane, "b").await;
        assert!(matches!(answer, Ok(ClaimAnswer::Granted(_))), "{answer:?}");
        let again = grid.claim(lane, "b").await;
        assert!(matches!(again, Ok(ClaimAnswer::Replayed(_))), "{again:?}");
    }
}

#[tokio::test]
async fn f12_a_slot_on_the_move_pauses_its_lane_and_no_other() {
    let grid = Grid::start(0).await;
    let lane = grid.lanes_of(0).await[0];
    let slot = grid.slot(lane).await;
    let granted = grid.claim(lane, "a").await;
    assert!(
        matches!(granted, Ok(ClaimAnswer::Granted(_))),
        "{granted:?}"
    );
    grid.cluster.begin_move(slot, 0, 1).await.unwrap();
    for user in ["a", "b", "c"] {
        let answer = grid.claim(lane, user).await;
        assert!(
            matches!(answer, Err(StoreError::Unavailable { .. })),
            "{answer:?}"
        );
    }
    // Nor does a keeper do anything to half of a lane.
    let halved = grid.store.fence(fence(lane, 2), LEDGER).await;
    assert!(
        matches!(halved, Err(StoreError::Unavailable { .. })),
        "{halved:?}"
    );
    grid.others_go_on(&[lane], "b").await;
    grid.cluster.end_move(slot, 0, 1).await.unwrap();
    let answer = grid.claim(lane, "d").await;
    assert!(is_loss(&answer), "{answer:?}");
    grid.others_go_on(&[lane], "c").await;
    grid.open(lane, 2).await;
    // Everything came along, so the old epoch is salvaged where it is now.
    let entries = grid
        .store
        .read_outbox(lane, Epoch(1), sluice_domain::id::EntryNumber(0), 10)
        .await
        .unwrap();
    assert_eq!(entries.len(), 1);
    let answer = grid.claim(lane, "d").await;
    assert!(matches!(answer, Ok(ClaimAnswer::Granted(_))), "{answer:?}");
}

#[tokio::test]
async fn f12_a_move_that_was_given_up_is_seen_by_the_counts() {
    let grid = Grid::start(0).await;
    let lane = grid.lanes_of(0).await[0];
    let slot = grid.slot(lane).await;
    for user in ["a", "b"] {
        grid.claim(lane, user).await.unwrap();
    }
    grid.cluster.begin_move(slot, 0, 1).await.unwrap();
    let text = slot.to_string();
    for node in [0, 1] {
        grid.cluster
            .command(node, &["CLUSTER", "SETSLOT", &text, "STABLE"])
            .await
            .unwrap();
    }
    // Half of the keys are gone from where the slot is. Whichever they are: nothing is granted, or
    // the keeper sees it at its next renewal.
    let claimed = grid.claim(lane, "c").await;
    let renewed = grid.store.renew(fence(lane, 1), FAR, 1).await;
    let lost = |reason: NotReady| reason.is_loss();
    let seen_by_claim = matches!(&claimed,
        Err(StoreError::LaneNotReady { reason, .. }) if lost(*reason));
    let seen_by_keeper = matches!(&renewed, Ok(Fenced::NotReady(reason)) if lost(*reason));
    assert!(seen_by_claim || seen_by_keeper, "{claimed:?} {renewed:?}");
}

#[tokio::test]
async fn a_frozen_master_costs_its_own_lanes_only() {
    let mut grid = Grid::start(0).await;
    let frozen = grid.lanes_of(2).await;
    grid.others_go_on(&[], "a").await;
    grid.cluster.server(2).pause().unwrap();
    let store = Arc::clone(&grid.store);
    let waiting = tokio::spawn(async move { store.facts(LaneId(0)).await.is_ok() });
    // Somebody waits for the frozen one meanwhile, and the slots are asked for.
    let slow = grid.claim(frozen[0], "b");
    let fast = grid.others_go_on(&frozen, "b");
    tokio::select! {
        biased;
        answer = slow => panic!("a frozen server answered: {answer:?}"),
        () = fast => {}
    }
    grid.cluster.server(2).cont().unwrap();
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_what_the_configuration_says_is_named() {
    let dir = folder();
    let single = RedisServer::start(dir.path()).await.unwrap();
    let lanes = LaneCount::new(LANES).unwrap();
    let urls = vec![single.url()];
    assert!(RedisHotState::connect(settings(urls), lanes).is_err());
    let cluster_dir = folder();
    let cluster = RedisCluster::start(cluster_dir.path(), 1, 0).await.unwrap();
    cluster
        .command(
            0,
            &["CONFIG", "SET", "cluster-require-full-coverage", "yes"],
        )
        .await
        .unwrap();
    let mut plain = settings(cluster.urls());
    plain.cluster = false;
    for (settings, problem) in [
        (plain, ServerProblem::IsClusterNode),
        (settings(cluster.urls()), ServerProblem::NeedsFullCoverage),
    ] {
        let store = RedisHotState::connect(settings, lanes).unwrap();
        let facts = store.check_server().await.unwrap();
        let problems: Vec<_> = facts.iter().flat_map(ServerFacts::problems).collect();
        assert_eq!(problems, [problem]);
    }
}
