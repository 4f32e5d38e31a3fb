//! A hot state that follows a script, with everything around an engine.
//!
//! By default it is a small honest shop: one coupon, a stock, users who win once. Tests change what
//! it says (`next_errors`, `delay`, the published form) and count what it was asked.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluice_claim::durability::{LaneMark, MarkBoard};
use sluice_claim::engine::{Engine, EngineParts};
use sluice_claim::outcome::ClaimOutcome;
use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimLookup, ClaimReader, ClaimReply, ClaimStore, DefinitionAnswer,
    KeeperRequests, NotReady, ReadError, SoldOutProof, StoreError, WinnersPage,
};
use sluice_claim::settings::EngineSettings;
use sluice_domain::claim::{ClaimForm, ClaimRow, GrantRecord};
use sluice_domain::coupon::Lifecycle;
use sluice_domain::eligibility::Shopper;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, Epoch, LaneId, Revision, StockSeq, Ticket, UserId,
};
use sluice_domain::lane::LaneCount;
use sluice_domain::published::Published;
use sluice_domain::reason::ReasonCode;
use sluice_domain::time::Timestamp;
use tokio::time::Instant;

use crate::values::shopper;

pub(crate) const COUPON: CouponId = CouponId(77);
pub(crate) const EPOCH: Epoch = Epoch(3);
/// The lane's clock when the test begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// What the fake knows and does. Everything may be changed while an engine runs.
pub(crate) struct Shop {
    pub(crate) published: Option<Arc<Published>>,
    pub(crate) retired: bool,
    pub(crate) hydrated: bool,
    pub(crate) left: u64,
    pub(crate) stock_seq: u64,
    pub(crate) more_may_come: bool,
    /// No lease on the list for so many calls.
    pub(crate) calls_without_lease: u64,
    pub(crate) delay: Duration,
    pub(crate) next_errors: VecDeque<StoreError>,
    pub(crate) definition_error: Option<StoreError>,
    pub(crate) winners: HashMap<UserId, GrantRecord>,
    pub(crate) entry: u64,
    pub(crate) epoch: Epoch,
    pub(crate) shared_filter: Option<Vec<u8>>,
    /// Winners that the scan leaves out: a defect.
    pub(crate) scan_skips: usize,
    /// Sizes of all decide calls.
    pub(crate) decide_calls: Vec<usize>,
    pub(crate) replay_only: usize,
    pub(crate) definition_calls: usize,
    pub(crate) winners_calls: usize,
    /// How long reading a page of winners takes.
    pub(crate) winners_delay: Duration,
    pub(crate) in_flight: usize,
    pub(crate) in_flight_max: usize,
    begun: Instant,
}

#[derive(Clone)]
pub(crate) struct FakeStore(pub(crate) Arc<Mutex<Shop>>);

/// The rows of the ledger, and how often it was asked.
#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) rows: HashMap<ClaimId, ClaimRow>,
    pub(crate) epoch: Epoch,
    pub(crate) broken: bool,
    pub(crate) asked: usize,
}

#[derive(Clone)]
pub(crate) struct FakeReader(pub(crate) Arc<Mutex<Rows>>);

#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) granted: Vec<LaneId>,
    pub(crate) hydrated: Vec<CouponId>,
    pub(crate) losses: Vec<(LaneId, Epoch, NotReady)>,
}

#[derive(Clone, Default)]
pub(crate) struct FakeKeeper(pub(crate) Arc<Mutex<Asked>>);

/// An engine and everything around it.
pub(crate) struct Bench {
    pub(crate) engine: Arc<Engine<FakeStore>>,
    pub(crate) store: FakeStore,
    pub(crate) marks: Arc<MarkBoard>,
    pub(crate) reader: FakeReader,
    pub(crate) keeper: FakeKeeper,
    pub(crate) lane: LaneId,
}

pub(crate) fn keys() -> HashKeys {
    HashKeys::derive(&[9; 32])
}

// === impl Bench ===

impl Bench {
    pub(crate) fn new(published: Published) -> Self {
        let shop = Shop {
            published: Some(Arc::new(published)),
            retired: false,
            hydrated: true,
            left: 1_000,
            stock_seq: 1,
            more_may_come: false,
            calls_without_lease: 0,
            delay: Duration::from_millis(1),
            next_errors: VecDeque::new(),
            definition_error: None,
            winners: HashMap::new(),
            entry: 0,
            epoch: EPOCH,
            shared_filter: None,
            scan_skips: 0,
            decide_calls: Vec::new(),
            replay_only: 0,
            definition_calls: 0,
            winners_calls: 0,
            winners_delay: Duration::ZERO,
            in_flight: 0,
            in_flight_max: 0,
            begun: Instant::now(),
        };
        let reader = Rows {
            epoch: EPOCH,
            ..Rows::default()
        };
        Self::around(
            FakeStore(Arc::new(Mutex::new(shop))),
            FakeReader(Arc::new(Mutex::new(reader))),
        )
    }

    /// Another engine on the same store and ledger: a restarted gateway.
    pub(crate) fn restarted(&self) -> Self {
        Self::around(self.store.clone(), self.reader.clone())
    }

    fn around(store: FakeStore, reader: FakeReader) -> Self {
        Self::with(store, reader, EngineSettings::default())
    }

    pub(crate) fn with(store: FakeStore, reader: FakeReader, settings: EngineSettings) -> Self {
        let lanes = LaneCount::new(4).unwrap();
        let marks = Arc::new(MarkBoard::new(lanes));
        let keeper = FakeKeeper::default();
        let parts = EngineParts {
            store: Arc::new(store.clone()),
            marks: Arc::clone(&marks),
            reader: Arc::new(reader.clone()),
            keeper: Arc::new(keeper.clone()),
            keys: keys(),
            lanes,
        };
        Self {
            engine: Engine::new(parts, settings).unwrap(),
            store,
            marks,
            reader,
            keeper,
            lane: lanes.lane_of(COUPON),
        }
    }

    pub(crate) fn shop<T>(&self, change: impl FnOnce(&mut Shop) -> T) -> T {
        change(&mut self.store.0.lock().unwrap())
    }

    pub(crate) fn rows<T>(&self, change: impl FnOnce(&mut Rows) -> T) -> T {
        change(&mut self.reader.0.lock().unwrap())
    }

    pub(crate) async fn claim(&self, n: usize) -> ClaimOutcome {
        self.claim_as(&shopper(n)).await
    }

    pub(crate) async fn claim_as(&self, shopper: &Shopper) -> ClaimOutcome {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.engine.claim(COUPON, shopper, address, None).await
    }

    /// Claims of many users at the same time.
    pub(crate) async fn crowd(&self, users: std::ops::Range<usize>) -> Vec<ClaimOutcome> {
        futures_util::future::join_all(users.map(|n| self.claim(n))).await
    }

    /// The keeper's word: everything up to `mark` is durable.
    pub(crate) fn mark(&self, epoch: Option<Epoch>, mark: u64, refused: &[(ClaimId, u64)]) {
        let refused: HashSet<_> = refused
            .iter()
            .map(|(claim, entry)| (*claim, EntryNumber(*entry)))
            .collect();
        let mark = LaneMark {
            epoch,
            mark: EntryNumber(mark),
            refused: Arc::new(refused),
        };
        self.marks.publish(self.lane, mark);
    }

    pub(crate) fn calls(&self) -> usize {
        self.shop(|shop| shop.decide_calls.len())
    }

    pub(crate) fn edit(&self, change: impl FnOnce(&mut Published)) {
        self.shop(|shop| {
            let mut next = Published::clone(shop.published.as_ref().unwrap());
            next.revision = next.revision.next();
            next.terms_revision = next.revision;
            change(&mut next);
            shop.published = Some(Arc::new(next));
        });
    }
}

pub(crate) fn code(outcome: &ClaimOutcome) -> ReasonCode {
    match outcome {
        ClaimOutcome::Refused(refusal) => refusal.code,
        ClaimOutcome::Unavailable(fault) => fault.code,
        other => panic!("neither refused nor unavailable: {other:?}"),
    }
}

// === impl Shop ===

impl Shop {
    fn now(&self) -> Timestamp {
        BEGIN.plus_millis(i64::try_from(self.begun.elapsed().as_millis()).unwrap())
    }

    pub(crate) fn proof(&self) -> SoldOutProof {
        SoldOutProof {
            epoch: self.epoch,
            revision: self
                .published
                .as_ref()
                .map_or(Revision(0), |held| held.revision),
            stock_seq: StockSeq(self.stock_seq),
            users: self.winners.len() as u64,
            more_may_come: self.more_may_come,
        }
    }

    fn decide(&mut self, call: &ClaimCall) -> Result<ClaimReply, StoreError> {
        if let Some(error) = self.next_errors.pop_front() {
            return Err(error);
        }
        if !self.hydrated {
            return Err(StoreError::CouponNotReady {
                coupon: call.coupon,
            });
        }
        self.entry += 1;
        let lease = self.calls_without_lease == 0;
        self.calls_without_lease = self.calls_without_lease.saturating_sub(1);
        let answers = call
            .requests
            .iter()
            .map(|request| self.answer(call, request, lease))
            .collect();
        Ok(ClaimReply {
            epoch: self.epoch,
            lane_time: self.now(),
            answers,
        })
    }

    fn answer(
        &mut self,
        call: &ClaimCall,
        request: &sluice_claim::port::ClaimRequest,
        lease: bool,
    ) -> ClaimAnswer {
        self.replay_only += usize::from(request.replay_only);
        let held = self.winners.get(&request.user);
        if let Some(record) = held.filter(|record| record.claim_id == request.claim_id) {
            return ClaimAnswer::Replayed(*record);
        }
        if request.replay_only {
            return ClaimAnswer::NoClaim;
        }
        let published = Arc::clone(self.published.as_ref().unwrap());
        let now = self.now();
        if call.revision < published.terms_revision {
            return ClaimAnswer::StaleDefinition;
        }
        if published.lifecycle == Lifecycle::Paused {
            return ClaimAnswer::Paused;
        }
        if let Some(starts_at) = published.window.starts_at.filter(|start| now < *start) {
            return ClaimAnswer::NotStarted { starts_at };
        }
        if published.window.ends_at.is_some_and(|end| now >= end) {
            return ClaimAnswer::Ended;
        }
        if held.is_some() && published.form == ClaimForm::Single {
            return ClaimAnswer::UserLimit;
        }
        if !lease {
            return ClaimAnswer::NeedLease;
        }
        if self.left == 0 {
            return ClaimAnswer::SoldOut(self.proof());
        }
        self.left -= 1;
        let record = GrantRecord {
            claim_id: request.claim_id,
            ticket: Ticket(self.winners.len() as u64),
            version: published.version,
            granted_at: now,
            entry: EntryNumber(self.entry),
        };
        self.winners.insert(request.user, record);
        ClaimAnswer::Granted(record)
    }
}

// === impl FakeStore ===

impl FakeStore {
    fn shop<T>(&self, change: impl FnOnce(&mut Shop) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

impl ClaimStore for FakeStore {
    async fn decide(&self, call: ClaimCall) -> Result<ClaimReply, StoreError> {
        let delay = self.shop(|shop| {
            shop.decide_calls.push(call.requests.len());
            shop.in_flight += 1;
            shop.in_flight_max = shop.in_flight_max.max(shop.in_flight);
            shop.delay
        });
        // Decided half-way, as over a network.
        tokio::time::sleep(delay / 2).await;
        let reply = self.shop(|shop| shop.decide(&call));
        tokio::time::sleep(delay / 2).await;
        self.shop(|shop| shop.in_flight -= 1);
        reply
    }

    async fn definition(
        &self,
        _lane: LaneId,
        coupon: CouponId,
    ) -> Result<DefinitionAnswer, StoreError> {
        let (delay, answer) = self.shop(|shop| {
            shop.definition_calls += 1;
            let held = shop.published.clone().filter(|held| held.id == coupon);
            let answer = match (held, &shop.definition_error) {
                (_, Some(error)) => Err(error.clone()),
                (Some(published), None) if shop.retired => Ok(DefinitionAnswer::Retired(published)),
                (Some(published), None) => Ok(DefinitionAnswer::Found(published)),
                (None, None) => Ok(DefinitionAnswer::Unknown),
            };
            (shop.delay, answer)
        });
        tokio::time::sleep(delay).await;
        answer
    }

    async fn winners(
        &self,
        _lane: LaneId,
        _coupon: CouponId,
        proof: SoldOutProof,
        cursor: u64,
    ) -> Result<Option<WinnersPage>, StoreError> {
        let delay = self.shop(|shop| shop.winners_delay);
        tokio::time::sleep(delay).await;
        Ok(self.shop(|shop| {
            shop.winners_calls += 1;
            if proof != shop.proof() {
                return None;
            }
            let mut users: Vec<_> = shop.winners.keys().copied().collect();
            users.sort();
            let at = usize::try_from(cursor).unwrap();
            let rest = users.iter().skip(shop.scan_skips + at);
            let user_hashes: Vec<u64> = rest
                .take(100)
                .map(|user| xxhash_rust::xxh3::xxh3_64(user.as_bytes()))
                .collect();
            let next = (user_hashes.len() == 100).then(|| cursor + 100);
            Some(WinnersPage { user_hashes, next })
        }))
    }

    async fn load_filter(
        &self,
        _lane: LaneId,
        _coupon: CouponId,
        proof: SoldOutProof,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.shop(|shop| shop.shared_filter.clone().filter(|_| proof == shop.proof())))
    }

    async fn store_filter(
        &self,
        _lane: LaneId,
        _coupon: CouponId,
        proof: SoldOutProof,
        filter: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.shop(|shop| {
            if proof == shop.proof() {
                shop.shared_filter = Some(filter);
            }
        });
        Ok(())
    }
}

// === impl FakeReader, FakeKeeper ===

#[async_trait::async_trait]
impl ClaimReader for FakeReader {
    async fn find(&self, claim_id: ClaimId, _lane: LaneId) -> Result<ClaimLookup, ReadError> {
        let mut rows = self.0.lock().unwrap();
        rows.asked += 1;
        if rows.broken {
            return Err(ReadError {
                reason: "closed".to_owned(),
            });
        }
        Ok(ClaimLookup {
            row: rows.rows.get(&claim_id).cloned(),
            epoch: rows.epoch,
        })
    }
}

impl KeeperRequests for FakeKeeper {
    fn hydrate(&self, _lane: LaneId, coupon: CouponId) {
        self.0.lock().unwrap().hydrated.push(coupon);
    }

    fn report_loss(&self, lane: LaneId, epoch: Epoch, reason: NotReady) {
        self.0.lock().unwrap().losses.push((lane, epoch, reason));
    }

    fn granted(&self, lane: LaneId) {
        self.0.lock().unwrap().granted.push(lane);
    }
}
