//! A cluster, a ledger, the keepers of all lanes, and an engine: one process of the real thing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluice_claim::durability::MarkBoard;
use sluice_claim::engine::{Engine, EngineParts};
use sluice_claim::outcome::ClaimOutcome;
use sluice_claim::port::{ClaimLookup, ClaimReader, ReadError};
use sluice_claim::settings::EngineSettings;
use sluice_domain::claim::ClaimRow;
use sluice_domain::eligibility::Shopper;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, Epoch, LaneId, UserId};
use sluice_domain::lane::LaneCount;
use sluice_domain::published::Published;
use sluice_domain::reason::ReasonCode;
use sluice_domain::time::Timestamp;
use sluice_domain::{change, input};
use sluice_hotstate::lane_store::Installed;
use sluice_hotstate::testing::RedisCluster;
use sluice_hotstate::{LaneStore as _, RedisHotState, RedisSettings};
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::claims::{Claims as _, ClaimsPage};
use sluice_ledger::coupons::Coupons as _;
use sluice_ledger::lanes::Lanes as _;
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{Ledger, SqliteLedger};
use sluice_workers::keeper::PhaseName;
use sluice_workers::{Clock, KeeperHandle, KeeperParts, KeeperSettings, Keepers};
use tempfile::TempDir;

pub(crate) const LANES: u16 = 16;
pub(crate) const SHARDS: u16 = 4;
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

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

pub(crate) struct Stage {
    pub(crate) cluster: RedisCluster,
    pub(crate) ledger: Arc<SqliteLedger>,
    store: Arc<RedisHotState>,
    pub(crate) engine: Arc<Engine<RedisHotState>>,
    pub(crate) handle: KeeperHandle,
    pub(crate) keepers: Keepers,
    pub(crate) lanes: LaneCount,
    keys: HashKeys,
    clock: Arc<Wall>,
    _dir: TempDir,
}

/// What became of a crowd's claims.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Who was told "yes", with the claim.
    pub(crate) granted: BTreeMap<UserId, ClaimId>,
    /// Who was told "sold out".
    pub(crate) sold_out: BTreeSet<UserId>,
    /// Lanes of which somebody was told "not now".
    pub(crate) paused: BTreeSet<LaneId>,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("slg")
            .tempdir_in("/tmp")
            .unwrap();
        let cluster = RedisCluster::start(dir.path(), 3, 1).await.unwrap();
        let lanes = LaneCount::new(LANES).unwrap();
        let options = OpenOptions::new(lanes);
        let path = dir.path().join("ledger.sqlite");
        let ledger = Arc::new(SqliteLedger::open(path, options).unwrap());
        // A loaded machine is no failure here; a lane that is away is told apart by its answer.
        let engine_settings = EngineSettings {
            decide_within: Duration::from_secs(9),
            call_within: Duration::from_secs(5),
            queue_wait: Duration::from_secs(3),
            durable_within: Duration::from_secs(9),
            ..EngineSettings::default()
        };
        let mut settings = RedisSettings::new(cluster.urls());
        settings.cluster = true;
        settings.connect_timeout = Duration::from_secs(3);
        settings.claim_timeout = Duration::from_secs(4);
        settings.response_timeout = Duration::from_secs(6);
        let store = RedisHotState::connect(settings, lanes).unwrap();
        let board = Arc::new(MarkBoard::new(lanes));
        let clock = Arc::new(Wall(Instant::now()));
        let parts = KeeperParts {
            ledger: ledger.clone() as Arc<dyn Ledger>,
            store: store.clone(),
            board: board.clone(),
            clock: clock.clone(),
        };
        let keepers = Keepers::spawn(&parts, KeeperSettings::default(), "grid").unwrap();
        let handle = keepers.handle();
        let keys = HashKeys::derive(&ledger.identity().hash_key);
        let parts = EngineParts {
            store: store.clone(),
            marks: board,
            reader: Arc::new(Reader(ledger.clone())),
            keeper: Arc::new(handle.clone()),
            keys: keys.clone(),
            lanes,
        };
        let stage = Self {
            cluster,
            engine: Engine::new(parts, engine_settings).unwrap(),
            ledger,
            store,
            handle,
            keepers,
            lanes,
            keys,
            clock,
            _dir: dir,
        };
        for lane in lanes.iter() {
            stage.until_open(lane, Epoch(1)).await;
        }
        stage
    }

    /// The master of a lane's slot, as the first master sees it.
    pub(crate) async fn master_of(&self, lane: LaneId) -> usize {
        let slot = self.slot(lane).await;
        self.cluster.owner(1, slot).await.unwrap()
    }

    pub(crate) async fn slot(&self, lane: LaneId) -> u16 {
        let key = format!("{{l{:02}}}:lane", lane.0);
        self.cluster.slot(&key).await.unwrap()
    }

    /// Publishes a coupon whose lanes live on at least two masters, the first of them among these.
    pub(crate) async fn publish(&self, total: u64) -> CouponId {
        let number = loop {
            let number = self.ledger.next_number().await.unwrap();
            let mut masters = BTreeSet::new();
            for lane in self.lanes_of(self.keys.coupon_id(number)) {
                masters.insert(self.master_of(lane).await);
            }
            if masters.len() > 1 && masters.contains(&0) {
                break number;
            }
        };
        let id = self.keys.coupon_id(number);
        let json = format!(
            r#"{{"name":"c","currency":"USD","benefit":{{"type":"fixed","off":"5.00"}},
            "limits":{{"total":{total}}},"shards":{SHARDS}}}"#
        );
        let now = self.clock.wall();
        let draft = change::create(id, number, input::coupon(json.as_bytes()).unwrap(), now);
        self.ledger.create_coupon(&draft, entry()).await.unwrap();
        let live = change::publish(&draft, now).unwrap();
        self.ledger
            .update_coupon(draft.revision, &live, "t", entry())
            .await
            .unwrap();
        let published = Published::of(&live, &[]).unwrap();
        for lane in self.lanes_of(id) {
            let installed = self.store.install(lane, self.epoch(lane), &published).await;
            assert_eq!(installed.unwrap(), Installed::Applied);
        }
        self.handle.look_at_shards(id, SHARDS);
        id
    }

    pub(crate) fn lanes_of(&self, coupon: CouponId) -> Vec<LaneId> {
        self.lanes.lanes_of(coupon, SHARDS).collect()
    }

    pub(crate) async fn until_open(&self, lane: LaneId, epoch: Epoch) {
        let mut watched = self.handle.watch(lane).unwrap();
        let open = watched.wait_for(|held| held.phase == PhaseName::Open && held.epoch >= epoch);
        let opened = tokio::time::timeout(PATIENCE, open).await;
        assert!(opened.is_ok(), "{:?}", self.handle.status());
    }

    pub(crate) fn epoch(&self, lane: LaneId) -> Epoch {
        self.handle.watch(lane).unwrap().borrow().epoch
    }

    /// Everybody of a crowd claims, many at once, each until there is an answer that stands.
    pub(crate) async fn crowd(&self, coupon: CouponId, name: &str, count: usize) -> Heard {
        const AT_ONCE: usize = 32;
        let heard = Mutex::new(Heard::default());
        let tasks = (0..AT_ONCE).map(|first| {
            let heard = &heard;
            async move {
                for number in (first..count).step_by(AT_ONCE) {
                    let user = UserId::new(&format!("{name}{number}")).unwrap();
                    self.insist(coupon, user, heard).await;
                }
            }
        });
        futures_util::future::join_all(tasks).await;
        heard.into_inner().unwrap()
    }

    async fn insist(&self, coupon: CouponId, user: UserId, heard: &Mutex<Heard>) {
        let shopper = Shopper {
            user,
            groups: Arc::new([]),
            is_new: None,
            verified: Arc::new([]),
            device: None,
        };
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.engine.claim(coupon, &shopper, address, None).await {
                ClaimOutcome::Granted(view) | ClaimOutcome::Replayed(view) => {
                    heard.lock().unwrap().granted.insert(user, view.claim_id);
                    return;
                }
                ClaimOutcome::Refused(refusal) => {
                    assert_eq!(refusal.code, ReasonCode::SoldOut);
                    heard.lock().unwrap().sold_out.insert(user);
                    return;
                }
                ClaimOutcome::Pending(_) | ClaimOutcome::Unavailable(_) => {
                    let lane = self.lanes.lane_for(coupon, SHARDS, &user);
                    heard.lock().unwrap().paused.insert(lane);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
        panic!(
            "no answer for {}: {:?}",
            user.as_str(),
            self.handle.status()
        );
    }

    pub(crate) async fn rows(&self, coupon: CouponId) -> Vec<ClaimRow> {
        let page = ClaimsPage {
            after: None,
            limit: 10_000,
        };
        self.ledger.claims_of_coupon(coupon, page).await.unwrap()
    }

    /// Everything that was acknowledged is a row, of one claim per user.
    pub(crate) async fn check(&self, coupon: CouponId, heard: &[&Heard]) {
        let rows = self.rows(coupon).await;
        let by_user: BTreeMap<UserId, ClaimId> =
            rows.iter().map(|row| (row.user, row.claim_id)).collect();
        assert_eq!(by_user.len(), rows.len(), "a user has two claims");
        let tickets: BTreeSet<_> = rows.iter().map(|row| row.ticket).collect();
        assert_eq!(tickets.len(), rows.len(), "a ticket was given twice");
        for (user, claim_id) in heard.iter().flat_map(|heard| &heard.granted) {
            assert_eq!(
                by_user.get(user),
                Some(claim_id),
                "an acknowledged claim is lost"
            );
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
