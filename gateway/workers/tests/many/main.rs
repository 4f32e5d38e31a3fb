//! Several processes that share one Redis and one ledger: here they are parts of one, each with its
//! own connections, marks, keepers and engine, as SQLite serves one process only.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its stage is not as it must be"
)]

mod shards;
mod split;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluice_claim::durability::MarkBoard;
use sluice_claim::engine::{Engine, EngineParts};
use sluice_claim::outcome::ClaimOutcome;
use sluice_claim::port::{ClaimLookup, ClaimReader, KeeperRequests as _, ReadError};
use sluice_claim::settings::EngineSettings;
use sluice_domain::claim::{Durability, Grant, GrantBatch};
use sluice_domain::coupon::Coupon;
use sluice_domain::eligibility::Shopper;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, Epoch, LaneId, Revision, UserId, Version};
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::reason::ReasonCode;
use sluice_domain::time::Timestamp;
use sluice_domain::{change, input};
use sluice_hotstate::testing::RedisServer;
use sluice_hotstate::{LaneStore as _, RedisHotState, RedisSettings};
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::claims::{AppendFrom, Claims as _};
use sluice_ledger::coupons::Coupons as _;
use sluice_ledger::lanes::Lanes as _;
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{Ledger, SqliteLedger};
use sluice_workers::keeper::PhaseName;
use sluice_workers::{Clock, Grid, KeeperParts, KeeperSettings, Keepers};
use tempfile::TempDir;

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

struct Reader(Arc<SqliteLedger>);

#[async_trait::async_trait]
impl ClaimReader for Reader {
    async fn find(&self, claim_id: ClaimId, lane: LaneId) -> Result<ClaimLookup, ReadError> {
        let found = self.0.claim_with_epoch(claim_id, lane).await;
        let (row, epoch) = found.map_err(|error| ReadError {
            reason: error.to_string(),
        })?;
        Ok(ClaimLookup { row, epoch })
    }
}

/// What the processes share.
struct Ground {
    redis: RedisServer,
    ledger: Arc<SqliteLedger>,
    lanes: LaneCount,
    keys: HashKeys,
    clock: Arc<Wall>,
    _dir: TempDir,
}

/// A process.
struct Process {
    store: Arc<RedisHotState>,
    grid: Arc<Grid>,
    engine: Arc<Engine<RedisHotState>>,
    keepers: Option<Keepers>,
}

impl Ground {
    async fn lay() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("slm")
            .tempdir_in("/tmp")
            .unwrap();
        let redis = RedisServer::start(dir.path()).await.unwrap();
        let lanes = LaneCount::new(LANES).unwrap();
        let path = dir.path().join("ledger.sqlite");
        let ledger = Arc::new(SqliteLedger::open(path, OpenOptions::new(lanes)).unwrap());
        Self {
            redis,
            keys: HashKeys::derive(&ledger.identity().hash_key),
            ledger,
            lanes,
            clock: Arc::new(Wall(Instant::now())),
            _dir: dir,
        }
    }

    /// Starts a process, with keepers or without.
    fn start(&self, name: &str, with_keepers: bool) -> Process {
        self.start_with(name, with_keepers, |_settings| {})
    }

    /// The same, with keepers of other habits.
    fn start_with(
        &self,
        name: &str,
        with_keepers: bool,
        change: impl FnOnce(&mut KeeperSettings),
    ) -> Process {
        let mut keeping = keeping();
        change(&mut keeping);
        let process = self.start_at(&self.redis.url(), name, with_keepers.then_some(keeping));
        let cached = Arc::clone(&process.engine);
        process
            .grid
            .on_change(Box::new(move |coupon| cached.invalidate(coupon)));
        process
    }

    /// Starts one at this Redis, whose engine hears of no changes.
    fn start_at(&self, url: &str, name: &str, keeping: Option<KeeperSettings>) -> Process {
        let mut settings = RedisSettings::new(vec![url.to_owned()]);
        // A loaded machine is no failure here.
        settings.claim_timeout = Duration::from_secs(4);
        settings.response_timeout = Duration::from_secs(6);
        let store = RedisHotState::connect(settings, self.lanes).unwrap();
        let board = Arc::new(MarkBoard::new(self.lanes));
        let parts = KeeperParts {
            ledger: self.ledger.clone() as Arc<dyn Ledger>,
            store: store.clone(),
            board: board.clone(),
            clock: self.clock.clone(),
        };
        let keepers = keeping.map(|keeping| Keepers::spawn(&parts, keeping, name).unwrap());
        let own = keepers.as_ref().map(Keepers::handle);
        let grid = Grid::join(&store, &board, own, self.lanes);
        let patient = EngineSettings {
            decide_within: Duration::from_secs(9),
            call_within: Duration::from_secs(5),
            queue_wait: Duration::from_secs(3),
            durable_within: Duration::from_secs(9),
            ..EngineSettings::default()
        };
        let parts = EngineParts {
            store: store.clone(),
            marks: board,
            reader: Arc::new(Reader(self.ledger.clone())),
            keeper: grid.clone(),
            keys: self.keys.clone(),
            lanes: self.lanes,
        };
        let engine = Engine::new(parts, patient).unwrap();
        Process {
            store,
            grid,
            engine,
            keepers,
        }
    }

    async fn draft(&self, total: u64, durability: &str, shards: u16) -> Coupon {
        let number = self.ledger.next_number().await.unwrap();
        let id = self.keys.coupon_id(number);
        let json = format!(
            r#"{{"name":"c","currency":"USD","benefit":{{"type":"fixed","off":"5.00"}},
            "limits":{{"total":{total}}},"durability":"{durability}","shards":{shards}}}"#
        );
        let spec = input::coupon(json.as_bytes()).unwrap();
        let draft = change::create(id, number, spec, self.clock.wall());
        self.ledger.create_coupon(&draft, entry()).await.unwrap();
        draft
    }

    /// Changes a coupon from a process, as its control plane does.
    async fn change(
        &self,
        from: &Process,
        coupon: &Coupon,
        rule: impl FnOnce(&Coupon, Timestamp) -> Coupon,
    ) -> Coupon {
        let next = rule(coupon, self.clock.wall());
        self.ledger
            .update_coupon(coupon.revision, &next, "t", entry())
            .await
            .unwrap();
        let versions = self.ledger.versions(coupon.id).await.unwrap();
        let versions: Vec<_> = versions.into_iter().map(|row| row.published).collect();
        let published = sluice_domain::published::Published::of(&next, &versions).unwrap();
        for lane in self.lanes.lanes_of(coupon.id, coupon.spec.shards) {
            let epoch = self.ledger.lane(lane).await.unwrap().epoch;
            from.store.install(lane, epoch, &published).await.unwrap();
            from.grid.hydrate(lane, coupon.id);
        }
        from.grid.changed(coupon.id);
        next
    }

    async fn publish(&self, from: &Process, total: u64) -> Coupon {
        self.publish_as(from, total, "ledger").await
    }

    async fn publish_as(&self, from: &Process, total: u64, durability: &str) -> Coupon {
        let draft = self.draft(total, durability, 1).await;
        let rule = |coupon: &Coupon, now| change::publish(coupon, now).unwrap();
        self.change(from, &draft, rule).await
    }
}

impl Process {
    async fn until_open(&self) {
        for lane in (0..LANES).map(LaneId) {
            let handle = self.keepers.as_ref().unwrap().handle();
            let mut lane = handle.watch(lane).unwrap();
            let open = lane.wait_for(|held| held.phase == PhaseName::Open);
            tokio::time::timeout(PATIENCE, open).await.unwrap().unwrap();
        }
    }

    async fn claim(&self, coupon: CouponId, user: &str) -> ClaimOutcome {
        let shopper = Shopper {
            user: UserId::new(user).unwrap(),
            groups: Arc::new([]),
            is_new: None,
            verified: Arc::new([]),
            device: None,
        };
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.engine.claim(coupon, &shopper, address, None).await
    }

    /// Claims until the answer stands.
    async fn insist(&self, coupon: CouponId, user: &str) -> ClaimOutcome {
        let begun = Instant::now();
        loop {
            let outcome = self.claim(coupon, user).await;
            if !matches!(
                outcome,
                ClaimOutcome::Unavailable(_) | ClaimOutcome::Pending(_)
            ) {
                return outcome;
            }
            assert!(begun.elapsed() < PATIENCE, "{outcome:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn keeping() -> KeeperSettings {
    KeeperSettings {
        keeper_lease_ms: 1_000,
        renewal_ms: 200,
        lane_lease_ms: 30_000,
        grace_ms: 60_000,
        exclusive: false,
        ..KeeperSettings::default()
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
async fn a_gateway_without_keepers_answers_as_soon_as_the_mark_of_another_process_comes() {
    let ground = Ground::lay().await;
    let worker = ground.start("worker", true);
    let gateway = ground.start("gateway", false);
    worker.until_open().await;
    let coupon = ground.publish(&worker, 100).await.id;
    let first = gateway.insist(coupon, "a").await;
    assert!(matches!(first, ClaimOutcome::Granted(_)), "{first:?}");
    for number in 0..50 {
        // Not one is pending: the mark arrives within the claim's budget.
        let outcome = gateway.claim(coupon, &format!("u{number}")).await;
        assert!(matches!(outcome, ClaimOutcome::Granted(_)), "{outcome:?}");
    }
    let again = worker.insist(coupon, "a").await;
    assert!(matches!(again, ClaimOutcome::Replayed(_)), "{again:?}");
    assert_eq!(ground.ledger.granted(coupon).await.unwrap(), 51);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f27_f28_a_pause_is_in_force_in_every_process_when_it_has_answered() {
    let ground = Ground::lay().await;
    let worker = ground.start("worker", true);
    let gateway = ground.start("gateway", false);
    worker.until_open().await;
    let coupon = ground.publish(&worker, 100).await;
    gateway.insist(coupon.id, "a").await;
    let pause = |held: &Coupon, now| change::pause(held, now).unwrap();
    let paused = ground.change(&worker, &coupon, pause).await;
    // The gateway may still hold the old definition; the script does not.
    for number in 0..20 {
        let outcome = gateway.claim(coupon.id, &format!("u{number}")).await;
        let ClaimOutcome::Refused(refusal) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(refusal.code, ReasonCode::Paused);
    }
    let resume = |held: &Coupon, now| change::resume(held, now).unwrap();
    ground.change(&worker, &paused, resume).await;
    let begun = Instant::now();
    while !matches!(
        gateway.claim(coupon.id, "u1").await,
        ClaimOutcome::Granted(_)
    ) {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_keepers_of_another_process_take_over_when_one_dies() {
    let ground = Ground::lay().await;
    let mut first = ground.start("first", true);
    first.until_open().await;
    let second = ground.start("second", true);
    let gateway = ground.start("gateway", false);
    let coupon = ground.publish(&first, 1_000).await.id;
    for number in 0..20 {
        let outcome = gateway.insist(coupon, &format!("a{number}")).await;
        assert!(matches!(outcome, ClaimOutcome::Granted(_)), "{outcome:?}");
    }
    // As a killed process ends: nothing is closed, nothing is said.
    drop(first.keepers.take());
    for number in 0..20 {
        let outcome = gateway.insist(coupon, &format!("b{number}")).await;
        assert!(
            matches!(
                outcome,
                ClaimOutcome::Granted(_) | ClaimOutcome::Replayed(_)
            ),
            "{outcome:?}"
        );
    }
    second.until_open().await;
    for lane in ground.lanes.iter() {
        let row = ground.ledger.lane(lane).await.unwrap();
        assert_eq!(row.epoch, Epoch(1), "a take-over is no recovery");
    }
    assert_eq!(ground.ledger.granted(coupon).await.unwrap(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_claim_is_never_called_granted_by_another_process() {
    let ground = Ground::lay().await;
    let worker = ground.start("worker", true);
    let gateway = ground.start("gateway", false);
    worker.until_open().await;
    let coupon = ground.publish(&worker, 100).await.id;
    gateway.insist(coupon, "a").await;
    // Somebody wrote a row over the ticket that comes next, as no working keeper would.
    let lane = ground.lanes.lane_of(coupon);
    let figures = worker.store.figures(lane, coupon).await.unwrap().unwrap();
    let (lease, ticket, _end) = figures.leases[0];
    let thief = UserId::new("thief").unwrap();
    let row = ground.ledger.lane(lane).await.unwrap();
    let fence = LaneFence {
        lane,
        epoch: row.epoch,
        keeper: row.keeper,
    };
    let stolen = GrantBatch {
        entry: EntryNumber(9_999),
        coupon,
        lease,
        revision: Revision(2),
        version: Version(1),
        granted_at: ground.clock.wall(),
        durability: Durability::Ledger,
        grants: vec![Grant {
            ticket,
            claim_id: ground.keys.single_claim_id(coupon, &thief),
            user: thief,
            device: None,
            address: None,
        }],
    };
    ground
        .ledger
        .append(fence, AppendFrom::Current, &[stolen])
        .await
        .unwrap();
    let refused = gateway.claim(coupon, "b").await;
    assert!(
        matches!(refused, ClaimOutcome::Unavailable(_)),
        "{refused:?}"
    );
    assert!(worker.store.facts(lane).await.unwrap().unwrap().refused == 1);
    // The same shopper again, with another ticket.
    let again = gateway.insist(coupon, "b").await;
    assert!(matches!(again, ClaimOutcome::Granted(_)), "{again:?}");
}
