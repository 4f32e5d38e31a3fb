//! A small system in one process, without HTTP: a real `redis-server`, a SQLite ledger, the keeper
//! of its one lane, the claim engine, one published coupon, and a history of who claimed it.
//!
//! It exists to break the system on purpose and see the checker notice: scripts are changed by
//! [`mutation`], the engine is lied to by [`counter`], and the keeper is held up by [`gate`].
//! Nothing in it is chosen at random.

mod board;
pub mod copy;
pub mod counter;
pub mod gate;
mod judge;
pub mod mutation;
mod trick;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use sluice_claim::durability::MarkBoard;
use sluice_claim::engine::{Engine, EngineParts};
use sluice_claim::outcome::{AttemptOutcome, ClaimOutcome};
use sluice_claim::port::{ClaimLookup, ClaimReader, ReadError};
use sluice_claim::settings::EngineSettings;
use sluice_domain::change;
use sluice_domain::eligibility::Shopper;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, CouponNumber, LaneId, UserId};
use sluice_domain::input;
use sluice_domain::invariant::history::{Answer, Attempt, Deed, OperatorCall};
use sluice_domain::lane::LaneCount;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;
use sluice_hotstate::lane_store::Installed;
use sluice_hotstate::{LaneStore as _, RedisHotState, RedisSettings};
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::claims::Claims as _;
use sluice_ledger::coupons::{CouponWrite, Coupons as _};
use sluice_ledger::lanes::Lanes as _;
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{Ledger, SqliteLedger};
use sluice_workers::keeper::{LaneStatus, PhaseName};
use sluice_workers::{Clock, KeeperHandle, KeeperParts, KeeperSettings, Keepers};
use tempfile::TempDir;

use crate::redis_server::RedisServer;
use crate::tally::{Tally, now};
use copy::Copy;
use counter::Counter;
use gate::{Gate, Shut};
use mutation::Mutation;

/// The lane of a world.
pub const LANE: LaneId = LaneId(0);

/// How long the lane may take to be opened.
const OPEN_WAIT: Duration = Duration::from_secs(10);
/// How long a shopper goes on asking for an answer that is no fault of the machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause between two of their questions.
const PAUSE: Duration = Duration::from_millis(20);

/// What a world is like.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Claims are worth `hot` instead of `ledger`.
    pub hot: bool,
    /// Units of its coupon.
    pub total: u64,
    /// Each user may have two claims, one per key, instead of one.
    pub two_each: bool,
    /// Scripts broken on purpose.
    pub mutations: Vec<Mutation>,
    /// `ledger` is acknowledged before the mark has passed the claim.
    pub early_yes: bool,
    /// The engine hears of marks, and not of the claims that they passed without a row.
    pub deaf_to_refusals: bool,
    /// The engine takes a refusal for one of the claim, whichever entry it was of.
    pub refused_by_claim: bool,
    /// A lease is closed before the mark has passed what was granted from it.
    pub early_close: bool,
}

/// A running world.
pub struct World {
    keepers: Keepers,
    keeper: KeeperHandle,
    ledger: Arc<SqliteLedger>,
    hot: Arc<RedisHotState>,
    gate: Arc<Gate>,
    engine: Arc<Engine<Counter>>,
    copy: Copy,
    redis: RedisServer,
    tally: Tally,
    coupon: CouponId,
    per_user: u16,
    // Last, so that everything else is over before its folder goes.
    _folder: TempDir,
}

struct MachineClock(Instant);

impl Clock for MachineClock {
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn wall(&self) -> Timestamp {
        now()
    }
}

struct LedgerReader(Arc<SqliteLedger>);

#[async_trait::async_trait]
impl ClaimReader for LedgerReader {
    async fn find(&self, claim_id: ClaimId, lane: LaneId) -> Result<ClaimLookup, ReadError> {
        let found = self.0.claim_with_epoch(claim_id, lane).await;
        let (row, epoch) = found.map_err(|error| ReadError {
            reason: error.to_string(),
        })?;
        Ok(ClaimLookup { row, epoch })
    }
}

/// Seconds instead of minutes; the lane's lease outlasts every time that a keeper is held up.
fn keeper_settings() -> KeeperSettings {
    KeeperSettings {
        keeper_lease_ms: 2_000,
        lane_lease_ms: 20_000,
        grace_ms: 30_000,
        renewal_ms: 300,
        sweep_ms: 500,
        poll_ms_max: 100,
        lease_floor: 64,
        ..KeeperSettings::default()
    }
}

impl World {
    /// Starts everything, opens the lane and publishes the coupon.
    ///
    /// # Errors
    /// When a mutation does not find its text, or something does not start.
    pub async fn open(setup: &Setup) -> anyhow::Result<Self> {
        mutation::verify(&setup.mutations)?;
        let folder = tempfile::Builder::new().prefix("world").tempdir()?;
        let redis = RedisServer::start(&folder.path().join("redis")).await?;
        let copy = Copy::follow(&redis, &folder.path().join("copy")).await?;
        let lanes = LaneCount::new(1).map_err(|count| anyhow!("{count} lanes"))?;
        let hot = RedisHotState::connect_with_scripts(
            RedisSettings::new(vec![redis.url()]),
            lanes,
            &|script, text| mutation::apply(&setup.mutations, script, text),
        )?;
        let path = folder.path().join("ledger.sqlite");
        let ledger = Arc::new(SqliteLedger::open(path, OpenOptions::new(lanes))?);
        let marks = Arc::new(MarkBoard::new(lanes));
        let gate = Arc::new(Gate::new(Arc::clone(&hot), setup.early_close));
        let parts = KeeperParts {
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            store: Arc::clone(&gate) as _,
            board: Arc::clone(&marks),
            clock: Arc::new(MachineClock(Instant::now())),
        };
        let keepers = Keepers::spawn(&parts, keeper_settings(), "world")?;
        let keeper = keepers.handle();
        let keys = HashKeys::derive(&ledger.identity().hash_key);
        let engine = Engine::new(
            EngineParts {
                store: Arc::new(Counter::new(Arc::clone(&hot), setup.early_yes)),
                marks: board::engine_marks(&marks, lanes, setup)?,
                reader: Arc::new(LedgerReader(Arc::clone(&ledger))),
                keeper: Arc::new(keeper.clone()),
                keys: keys.clone(),
                lanes,
            },
            EngineSettings::default(),
        )?;
        let number = ledger.next_number().await?;
        let world = Self {
            keepers,
            keeper,
            ledger,
            hot,
            gate,
            engine,
            copy,
            redis,
            tally: Tally::default(),
            coupon: keys.coupon_id(number),
            per_user: if setup.two_each { 2 } else { 1 },
            _folder: folder,
        };
        world.wait_until_open().await?;
        world.publish(number, setup).await?;
        Ok(world)
    }

    async fn wait_until_open(&self) -> anyhow::Result<()> {
        let mut status = self.keeper.watch(LANE).context("there is no lane")?;
        let open = status.wait_for(|status| status.phase == PhaseName::Open);
        tokio::time::timeout(OPEN_WAIT, open).await??;
        Ok(())
    }

    /// Publishes the coupon as the control plane does: the ledger first, then the lane.
    async fn publish(&self, number: CouponNumber, setup: &Setup) -> anyhow::Result<()> {
        let class = if setup.hot { "hot" } else { "ledger" };
        let (total, per_user) = (setup.total, self.per_user);
        let json = format!(
            r#"{{"name":"c","currency":"USD","benefit":{{"type":"fixed","off":"5.00"}},
            "limits":{{"total":{total},"per_user":{per_user}}},"durability":"{class}"}}"#
        );
        let spec = input::coupon(json.as_bytes()).map_err(|error| anyhow!("{error:?}"))?;
        let sent_at = now();
        let draft = change::create(self.coupon, number, spec, sent_at);
        self.ledger.create_coupon(&draft, entry()).await?;
        let coupon = change::publish(&draft, now()).map_err(|error| anyhow!("{error:?}"))?;
        let written = self
            .ledger
            .update_coupon(draft.revision, &coupon, "world", entry());
        ensure!(written.await? == CouponWrite::Done, "not written");
        let published = Published::of(&coupon, &[]).context("it is a draft")?;
        let epoch = self.ledger.lane(LANE).await?.epoch;
        let installed = self.hot.install(LANE, epoch, &published).await?;
        ensure!(
            matches!(installed, Installed::Applied | Installed::Older { .. }),
            "not installed: {installed:?}"
        );
        self.keeper.look_at(self.coupon);
        self.tally.operator_call(OperatorCall {
            sent_at,
            answered_at: now(),
            coupon: self.coupon,
            deed: Deed::Publish(Some(total)),
            revision: Some(coupon.revision),
        });
        Ok(())
    }

    /// One attempt of a shopper, written into the history.
    ///
    /// # Errors
    /// When the name is none.
    pub async fn claim(&self, name: &str) -> anyhow::Result<Answer> {
        self.claim_with(name, "").await
    }

    /// As [`claim`](Self::claim), with a key; where each user has one claim it means nothing.
    ///
    /// # Errors
    /// When the name is none.
    pub async fn claim_with(&self, name: &str, key: &str) -> anyhow::Result<Answer> {
        let user = UserId::new(name)?;
        let shopper = Shopper {
            user,
            groups: Arc::default(),
            is_new: None,
            verified: Arc::default(),
            device: None,
        };
        let sent_at = now();
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let outcome = self.engine.claim(self.coupon, &shopper, address, Some(key));
        let answer = answer(outcome.await);
        self.tally.attempt(Attempt {
            sent_at,
            answered_at: now(),
            coupon: self.coupon,
            user,
            key: key.to_owned(),
            answer: answer.clone(),
        });
        Ok(answer)
    }

    /// Attempts of a shopper until they are told yes or no.
    ///
    /// # Errors
    /// When that does not come.
    pub async fn insist(&self, name: &str) -> anyhow::Result<Answer> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.claim(name).await?;
            if matches!(answer, Answer::Acknowledged { .. } | Answer::Refused(_)) {
                return Ok(answer);
            }
            ensure!(
                Instant::now() < deadline,
                "{name} still hears {answer:?}; the lane: {:?}",
                self.lane_status()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Holds the keeper up until the answer is dropped.
    pub async fn hold_keeper(&self) -> Shut {
        self.gate.shut().await
    }

    /// How the lane stands.
    #[must_use]
    pub fn lane_status(&self) -> Option<LaneStatus> {
        self.keeper.status().into_iter().next()
    }
}

fn answer(outcome: ClaimOutcome) -> Answer {
    match outcome {
        ClaimOutcome::Granted(view) | ClaimOutcome::Replayed(view) => Answer::Acknowledged {
            claim_id: view.claim_id,
            durability: view.durability,
            body: format!("{view:?}"),
        },
        ClaimOutcome::Pending(claim_id) => Answer::Pending(claim_id),
        ClaimOutcome::Refused(refusal) => Answer::Refused(refusal.code.as_str().to_owned()),
        ClaimOutcome::Unavailable(fault) => match fault.outcome {
            AttemptOutcome::NotApplied => Answer::NotApplied,
            AttemptOutcome::Unknown => Answer::Unknown,
        },
    }
}

fn entry() -> AuditEntry {
    AuditEntry {
        at: now(),
        actor: "world".to_owned(),
        action: "coupon.change".to_owned(),
        object: "c".to_owned(),
        before: String::new(),
        after: String::new(),
        request_id: String::new(),
    }
}
