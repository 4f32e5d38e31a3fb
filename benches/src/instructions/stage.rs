//! The server whose instructions are counted: edge and engine as they are, one thread, a clock that
//! stands still, and a hot state that says at once what the case is about.

use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, anyhow, bail};
use metrics_exporter_prometheus::PrometheusBuilder;
use sluice_checkout::{Checkout, CheckoutSettings};
use sluice_claim::durability::MarkBoard;
use sluice_claim::engine::{Engine, EngineParts};
use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimLookup, ClaimReader, ClaimReply, ClaimStore, DefinitionAnswer,
    KeeperRequests, NotReady, ReadError, SoldOutProof, StoreError, WinnersPage,
};
use sluice_claim::settings::EngineSettings;
use sluice_domain::change;
use sluice_domain::claim::GrantRecord;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{
    ClaimId, CouponId, CouponNumber, EntryNumber, Epoch, KeeperNumber, LaneId, LeaseNumber,
    LedgerId, StockSeq, Ticket,
};
use sluice_domain::input;
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;
use sluice_edge::identity::sign::DevKeyFiles;
use sluice_edge::identity::{Identity, IdentitySettings};
use sluice_edge::limits::slice::QuotaSource;
use sluice_edge::server::{Edge, EdgeParts};
use sluice_edge::service_key::{KeysUnavailable, ServiceKey, ServiceKeys};
use sluice_edge::settings::{EdgeSettings, Rate};
use sluice_hotstate::lane_store::{Fenced, HydrateBegin, LeaseInstall};
use sluice_hotstate::{LaneStore, RedisHotState, RedisSettings};
use sluice_ledger::{Ledger, ModelLedger};
use tokio::net::TcpListener;

use super::Case;

/// Who signs the passes, for whom.
pub const ISSUER: &str = "sluice-bench";
/// See [`ISSUER`].
pub const AUDIENCE: &str = "sluice";
/// The instant at which the clock stands, in seconds.
pub const NOW_S: u64 = 1_800_000_000;
/// The coupon that is claimed.
pub const COUPON: CouponId = CouponId(7);

const FENCE: LaneFence = LaneFence {
    lane: LaneId(0),
    epoch: Epoch(1),
    keeper: KeeperNumber(1),
};
/// How long a call to Redis may take where callgrind slows the caller down.
const SLOW_WAIT: std::time::Duration = std::time::Duration::from_secs(30);
/// More than any run asks for: limits are checked and never met.
const RATE: Rate = Rate {
    per_second: 1_000_000,
    burst: 1_000_000,
};

/// Serves until standard input ends. Prints its address first; at the end, where hot state is in
/// memory, how many claims that was asked about.
///
/// # Errors
/// Where it cannot be set up.
pub fn serve(case: Case, folder: &Path, redis: Option<&str>) -> anyhow::Result<()> {
    // With a recorder, as in production: metrics without one cost nothing.
    PrometheusBuilder::new().install_recorder()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let published = published()?;
        match (case, redis) {
            (Case::GrantedRedis, Some(url)) => {
                let store = opened(url, &published).await?;
                accept(store, folder).await
            }
            (Case::GrantedRedis, None) => bail!("this case takes the URL of a Redis"),
            (Case::SoldOut | Case::Granted, _none) => {
                let store = Arc::new(FixedStore {
                    published,
                    sold_out: case == Case::SoldOut,
                    asked: AtomicU64::new(0),
                });
                accept(Arc::clone(&store), folder).await?;
                say(&store.asked.load(Ordering::Relaxed).to_string());
                Ok(())
            }
        }
    })
}

/// A published coupon of class `hot` without an end of its stock.
fn published() -> anyhow::Result<Arc<Published>> {
    let json = r#"{"name":"c","currency":"USD","benefit":{"type":"fixed","off":"5.00"},
        "limits":{"total":null},"durability":"hot"}"#;
    let spec = input::coupon(json.as_bytes()).map_err(|faults| anyhow!("{faults:?}"))?;
    let draft = change::create(COUPON, CouponNumber(1), spec, Timestamp::MIN);
    let live = change::publish(&draft, Timestamp::MIN).map_err(|fault| anyhow!("{fault:?}"))?;
    let published = Published::of(&live, &[]).context("it is published")?;
    Ok(Arc::new(published))
}

/// Edge and engine on this hot state, as the composition root puts them together.
async fn accept<S: ClaimStore>(store: Arc<S>, folder: &Path) -> anyhow::Result<()> {
    let lanes = LaneCount::new(1).map_err(|count| anyhow!("{count} lanes"))?;
    let ledger: Arc<dyn Ledger> = Arc::new(ModelLedger::new(lanes));
    let keys = HashKeys::derive(&ledger.identity().hash_key);
    let parts = EngineParts {
        store,
        marks: Arc::new(MarkBoard::new(lanes)),
        reader: Arc::new(Nobody),
        keeper: Arc::new(Nobody),
        keys: keys.clone(),
        lanes,
    };
    // Slowed down by callgrind nothing may run out of time.
    let engine = Engine::new(parts, slow(EngineSettings::default()))?;
    let files = DevKeyFiles::in_folder(folder);
    let identity = IdentitySettings::new(ISSUER, AUDIENCE, files.jwks, files.pass_keys);
    let now = Timestamp::from_millis(i64::try_from(NOW_S)? * 1_000);
    let parts = EdgeParts {
        claims: engine,
        checkout: Checkout::new(ledger, keys, CheckoutSettings::default()),
        identity: Arc::new(Identity::open(identity, Arc::new(move || now))?),
        service_keys: Arc::new(Nobody),
        quota: None::<Arc<dyn QuotaSource>>,
    };
    let mut settings = EdgeSettings {
        requests_per_connection_max: u32::MAX,
        access_log_one_in: 0,
        ..EdgeSettings::default()
    };
    settings.limits.address = RATE;
    settings.limits.user = RATE;
    let edge = Edge::new(parts, settings)?;
    let listener = TcpListener::bind((IpAddr::from([127, 0, 0, 1]), 0)).await?;
    say(&listener.local_addr()?.to_string());
    let (ended, until) = tokio::sync::oneshot::channel();
    // A thread that sleeps in one read: it costs no instructions.
    std::thread::spawn(move || {
        let _all = std::io::stdin().read_to_end(&mut Vec::new());
        ended.send(())
    });
    edge.serve(listener, async move {
        // A sender that is gone is an end too.
        let _either = until.await;
    })
    .await;
    Ok(())
}

/// Waits that callgrind's slowness does not reach.
fn slow(settings: EngineSettings) -> EngineSettings {
    let times = 20;
    EngineSettings {
        decide_within: settings.decide_within * times,
        queue_wait: settings.queue_wait * times,
        call_within: settings.call_within * times,
        ..settings
    }
}

/// A lane of Redis with the coupon in it, ready, and one lease that does not end.
async fn opened(url: &str, published: &Arc<Published>) -> anyhow::Result<Arc<RedisHotState>> {
    let mut settings = RedisSettings::new(vec![url.to_owned()]);
    settings.opens_delay = std::time::Duration::ZERO;
    settings.connect_timeout = SLOW_WAIT;
    settings.claim_timeout = SLOW_WAIT;
    settings.response_timeout = SLOW_WAIT;
    let lanes = LaneCount::new(1).map_err(|count| anyhow!("{count} lanes"))?;
    let store = RedisHotState::connect(settings, lanes)?;
    done(store.fence(FENCE, LedgerId([1; 16])).await)?;
    store.install(FENCE.lane, FENCE.epoch, published).await?;
    let opened = store
        .open(FENCE, Timestamp::MAX, &[COUPON], &[], 1, None)
        .await;
    done(opened)?;
    store.learn_epoch(FENCE.lane, FENCE.epoch);
    let begin = HydrateBegin {
        published: Arc::clone(published),
        last_lease: LeaseNumber(0),
        seq: 1,
    };
    done(store.hydrate_begin(FENCE, &begin, 1).await)?;
    done(store.hydrate_finish(FENCE, COUPON, 1, 0, 0, 0).await)?;
    let lease = LeaseInstall {
        coupon: COUPON,
        lease: LeaseNumber(1),
        first: Ticket(0),
        size: u32::MAX,
        seq: 2,
    };
    done(store.install_lease(FENCE, lease).await)?;
    Ok(store)
}

fn done<T: std::fmt::Debug>(answer: Result<Fenced<T>, StoreError>) -> anyhow::Result<T> {
    match answer? {
        Fenced::Done(done) => Ok(done),
        refused => bail!("{refused:?}"),
    }
}

#[expect(clippy::print_stdout, reason = "its parent reads the address there")]
fn say(address: &str) {
    println!("{address}");
}

/// Grants everything, or nothing.
struct FixedStore {
    published: Arc<Published>,
    sold_out: bool,
    asked: AtomicU64,
}

impl ClaimStore for FixedStore {
    async fn decide(&self, call: ClaimCall) -> Result<ClaimReply, StoreError> {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let answer = |claim_id: ClaimId| {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            if self.sold_out {
                return ClaimAnswer::SoldOut(SoldOutProof {
                    epoch: FENCE.epoch,
                    revision: call.revision,
                    stock_seq: StockSeq(1),
                    users: 1,
                    more_may_come: false,
                });
            }
            ClaimAnswer::Granted(GrantRecord {
                claim_id,
                ticket: Ticket(number),
                version: self.published.version,
                granted_at: now,
                entry: EntryNumber(number + 1),
            })
        };
        Ok(ClaimReply {
            epoch: FENCE.epoch,
            lane_time: now,
            answers: call
                .requests
                .iter()
                .map(|request| answer(request.claim_id))
                .collect(),
        })
    }

    async fn definition(
        &self,
        _lane: LaneId,
        _coupon: CouponId,
    ) -> Result<DefinitionAnswer, StoreError> {
        Ok(DefinitionAnswer::Found(Arc::clone(&self.published)))
    }

    async fn winners(
        &self,
        _lane: LaneId,
        _coupon: CouponId,
        _proof: SoldOutProof,
        _cursor: u64,
    ) -> Result<Option<WinnersPage>, StoreError> {
        Ok(Some(WinnersPage {
            user_hashes: vec![1],
            next: None,
        }))
    }

    async fn load_filter(
        &self,
        _lane: LaneId,
        _coupon: CouponId,
        _proof: SoldOutProof,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        // Nobody stored one.
        Ok(Some(Vec::new()))
    }

    async fn store_filter(
        &self,
        _lane: LaneId,
        _coupon: CouponId,
        _proof: SoldOutProof,
        _filter: Vec<u8>,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

/// No ledger, no keeper, no service: none of them is asked by a claim of class `hot`.
struct Nobody;

#[async_trait::async_trait]
impl ClaimReader for Nobody {
    async fn find(&self, _claim: ClaimId, _lane: LaneId) -> Result<ClaimLookup, ReadError> {
        Err(ReadError {
            reason: "there is no ledger".to_owned(),
        })
    }
}

impl KeeperRequests for Nobody {
    fn hydrate(&self, _lane: LaneId, _coupon: CouponId) {}

    fn report_loss(&self, _lane: LaneId, _epoch: Epoch, _reason: NotReady) {}

    fn granted(&self, _lane: LaneId) {}
}

#[async_trait::async_trait]
impl ServiceKeys for Nobody {
    async fn prove(&self, _text: &str) -> Result<Option<ServiceKey>, KeysUnavailable> {
        Ok(None)
    }
}
