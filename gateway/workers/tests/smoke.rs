//! All lanes with their runners, on a real redis-server and SQLite.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its stage is not as it must be"
)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluice_claim::durability::MarkBoard;
use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimRequest, ClaimStore as _, KeeperRequests as _, StoreError,
};
use sluice_domain::claim::ClaimForm;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{CouponId, EntryNumber, Epoch, LaneId, UserId};
use sluice_domain::lane::LaneCount;
use sluice_domain::time::Timestamp;
use sluice_domain::{change, input};
use sluice_hotstate::testing::RedisServer;
use sluice_hotstate::{RedisHotState, RedisSettings};
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::claims::Claims as _;
use sluice_ledger::coupons::Coupons as _;
use sluice_ledger::lanes::Lanes as _;
use sluice_ledger::leases::Leases as _;
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{Ledger, SqliteLedger};
use sluice_workers::keeper::{LowerOutcome, PhaseName};
use sluice_workers::{Clock, KeeperHandle, KeeperParts, KeeperSettings, Keepers};

const LANES: u16 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

struct Wall(Instant);

impl Clock for Wall {
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the clock that the test hands in"
    )]
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
    }
}

struct Stage {
    ledger: Arc<SqliteLedger>,
    store: Arc<RedisHotState>,
    board: Arc<MarkBoard>,
    keys: HashKeys,
    clock: Arc<Wall>,
}

impl Stage {
    fn new(dir: &std::path::Path, url: String) -> Self {
        let lanes = LaneCount::new(LANES).unwrap();
        let ledger =
            SqliteLedger::open(dir.join("ledger.sqlite"), OpenOptions::new(lanes)).unwrap();
        let mut settings = RedisSettings::new(vec![url]);
        // A loaded machine is no failure here.
        settings.claim_timeout = Duration::from_secs(5);
        settings.response_timeout = Duration::from_secs(5);
        Self {
            keys: HashKeys::derive(&ledger.identity().hash_key),
            ledger: Arc::new(ledger),
            store: RedisHotState::connect(settings, lanes).unwrap(),
            board: Arc::new(MarkBoard::new(lanes)),
            clock: Arc::new(Wall(Instant::now())),
        }
    }

    fn keepers(&self) -> Keepers {
        let parts = KeeperParts {
            ledger: self.ledger.clone() as Arc<dyn Ledger>,
            store: self.store.clone(),
            board: self.board.clone(),
            clock: self.clock.clone(),
        };
        Keepers::spawn(&parts, KeeperSettings::default(), "smoke").unwrap()
    }

    async fn publish(&self, handle: &KeeperHandle, total: u64) -> CouponId {
        let number = self.ledger.next_number().await.unwrap();
        let id = self.keys.coupon_id(number);
        let json = format!(
            r#"{{"name":"c","currency":"USD","benefit":{{"type":"fixed","off":"5.00"}},
            "limits":{{"total":{total}}}}}"#
        );
        let now = self.clock.wall();
        let draft = change::create(id, number, input::coupon(json.as_bytes()).unwrap(), now);
        self.ledger.create_coupon(&draft, entry()).await.unwrap();
        let live = change::publish(&draft, now).unwrap();
        self.ledger
            .update_coupon(draft.revision, &live, "t", entry())
            .await
            .unwrap();
        handle.look_at(id);
        id
    }

    fn lane_of(&self, coupon: CouponId) -> LaneId {
        self.ledger.identity().lanes.lane_of(coupon)
    }

    /// Claims until there is an answer; true where it is a grant, new or old, that is durable.
    async fn claim(&self, handle: &KeeperHandle, coupon: CouponId, shopper: u32) -> bool {
        let lane = self.lane_of(coupon);
        let user = UserId::new(&format!("u{shopper}")).unwrap();
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "{:?}", handle.status());
            let call = ClaimCall {
                lane,
                coupon,
                form: ClaimForm::Single,
                revision: sluice_domain::id::Revision(2),
                requests: vec![ClaimRequest {
                    user,
                    claim_id: self.keys.single_claim_id(coupon, &user),
                    device: None,
                    address: None,
                    replay_only: false,
                }],
            };
            match self.store.decide(call).await {
                Ok(reply) => match reply.answers[0] {
                    ClaimAnswer::Granted(grant) => {
                        handle.granted(lane);
                        return self.durable(lane, reply.epoch, grant.entry).await;
                    }
                    ClaimAnswer::Replayed(grant) => {
                        return self.durable(lane, reply.epoch, grant.entry).await;
                    }
                    ClaimAnswer::SoldOut(_) => return false,
                    ClaimAnswer::NeedLease => handle.hydrate(lane, coupon),
                    _ => {}
                },
                Err(StoreError::CouponNotReady { .. }) => handle.hydrate(lane, coupon),
                Err(StoreError::LaneNotReady { epoch, reason, .. }) => {
                    handle.report_loss(lane, epoch, reason);
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for the mark, as class `ledger` does.
    async fn durable(&self, lane: LaneId, epoch: Epoch, entry: EntryNumber) -> bool {
        let mut marks = self.board.subscribe(lane).unwrap();
        let passed = marks.wait_for(|held| held.epoch != Some(epoch) || held.mark >= entry);
        let held = tokio::time::timeout(PATIENCE, passed)
            .await
            .unwrap()
            .unwrap();
        held.epoch == Some(epoch)
    }

    async fn until_open(&self, handle: &KeeperHandle, epoch: Epoch) {
        for lane in (0..LANES).map(LaneId) {
            let mut lane = handle.watch(lane).unwrap();
            let open = lane.wait_for(|held| held.phase == PhaseName::Open && held.epoch >= epoch);
            tokio::time::timeout(PATIENCE, open).await.unwrap().unwrap();
        }
    }
}

fn entry() -> AuditEntry {
    AuditEntry {
        at: Timestamp::MIN,
        actor: "test".to_owned(),
        action: "coupon.change".to_owned(),
        object: "c".to_owned(),
        before: String::new(),
        after: String::new(),
        request_id: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_through_a_restart_of_redis_and_one_of_the_process() {
    let dir = tempfile::Builder::new()
        .prefix("slw")
        .tempdir_in("/tmp")
        .unwrap();
    let mut redis = RedisServer::start(dir.path()).await.unwrap();
    let stage = Stage::new(dir.path(), redis.url());
    let keepers = stage.keepers();
    let handle = keepers.handle();
    stage.until_open(&handle, Epoch(1)).await;
    assert!(handle.all_open());
    let coupons = [
        stage.publish(&handle, 60).await,
        stage.publish(&handle, 60).await,
    ];

    for shopper in 0..30 {
        for coupon in coupons {
            assert!(stage.claim(&handle, coupon, shopper).await);
        }
    }
    // A killed Redis comes back with its log; the lanes come back in epoch 2.
    redis.restart().await.unwrap();
    stage.until_open(&handle, Epoch(2)).await;
    for coupon in coupons {
        assert_eq!(stage.ledger.granted(coupon).await.unwrap(), 30);
        assert!(stage.claim(&handle, coupon, 7).await, "a winner's repeat");
        assert!(stage.claim(&handle, coupon, 100).await);
    }
    // A total is lowered under the sale.
    let lowered = handle.lower_total(coupons[0], 40).await.unwrap();
    assert!(matches!(lowered, LowerOutcome::Lowered(stock) if stock.total == Some(40)));

    // The process ends in good order, and another goes on in the same epoch.
    assert!(keepers.shutdown(PATIENCE).await, "{:?}", handle.status());
    for coupon in coupons {
        let stock = stage.ledger.stock(coupon).await.unwrap();
        assert_eq!(
            stock.leased - stock.returned,
            31,
            "nothing is leased but what was granted"
        );
    }
    let keepers = stage.keepers();
    let handle = keepers.handle();
    stage.until_open(&handle, Epoch(2)).await;
    let mut sold = [0, 0];
    for shopper in 200..240 {
        for (index, coupon) in coupons.into_iter().enumerate() {
            sold[index] += u32::from(stage.claim(&handle, coupon, shopper).await);
        }
    }
    assert_eq!(sold, [9, 29]);
    assert!(handle.status().iter().all(|lane| lane.epoch == Epoch(2)));
    assert!(keepers.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "the measured wait is worth seeing")]
async fn a_claim_is_durable_at_once() {
    let dir = tempfile::Builder::new()
        .prefix("slw")
        .tempdir_in("/tmp")
        .unwrap();
    let redis = RedisServer::start(dir.path()).await.unwrap();
    let stage = Stage::new(dir.path(), redis.url());
    let keepers = stage.keepers();
    let handle = keepers.handle();
    stage.until_open(&handle, Epoch(1)).await;
    let coupon = stage.publish(&handle, 1_000).await;
    assert!(stage.claim(&handle, coupon, 0).await);
    let mut waits = Vec::new();
    for shopper in 1..200 {
        let began = Instant::now();
        assert!(stage.claim(&handle, coupon, shopper).await);
        waits.push(began.elapsed());
    }
    waits.sort_unstable();
    let median = waits[waits.len() / 2];
    eprintln!(
        "claim to durable: median {median:?}, slowest {:?}",
        waits[waits.len() - 1]
    );
    // Far from the goal, and far below what polling at rest would take.
    assert!(median < Duration::from_millis(100), "{median:?}");
    assert!(keepers.shutdown(PATIENCE).await);
}
