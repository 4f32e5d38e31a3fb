//! A lane, its keeper and its shoppers, on the models, with everything that must hold checked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use sluice_claim::durability::MarkBoard;
use sluice_claim::port::{ClaimAnswer, ClaimStore as _, StoreError};
use sluice_domain::change::{self, TotalChange};
use sluice_domain::claim::{ClaimRow, Durability, Grant, GrantBatch};
use sluice_domain::coupon::Coupon;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, Epoch, LaneId, Revision, Ticket, UserId, Version,
};
use sluice_domain::input;
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::lease::{Lease, LeaseState, Stock};
use sluice_domain::time::Timestamp;
use sluice_hotstate::model::{ModelClock, ModelHotState};
use sluice_ledger::ModelLedger;
use sluice_ledger::claims::{AppendFrom, Claims as _, ClaimsPage};
use sluice_ledger::coupons::{CouponWrite, Coupons as _};
use sluice_ledger::lanes::{LaneRow, Lanes as _};
use sluice_ledger::leases::Leases as _;
use sluice_workers::clock::Clock;
use sluice_workers::keeper::{Keeper, KeeperParts, LaneStatus, Next, PhaseName};
use sluice_workers::settings::KeeperSettings;

use crate::dice::Dice;
use crate::fixture::{at, entry, settings};
use crate::gate::GateStore;
use crate::rush::{Rush, single};

pub(crate) const LANE: LaneId = LaneId(0);

/// Both clocks, moved together.
pub(crate) struct TestClock {
    millis: AtomicU64,
    lane: ModelClock,
}

impl Clock for TestClock {
    fn monotonic_ms(&self) -> u64 {
        self.millis.load(Ordering::SeqCst)
    }

    fn wall(&self) -> Timestamp {
        self.lane.now()
    }
}

/// A grant that a shopper was told of, or may have been.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) claim_id: ClaimId,
    pub(crate) ticket: Ticket,
    pub(crate) entry: EntryNumber,
    pub(crate) epoch: Epoch,
    pub(crate) durability: Durability,
    /// The shopper has an acknowledgement.
    pub(crate) acknowledged: bool,
}

pub(crate) struct World {
    pub(crate) ledger: Arc<ModelLedger>,
    pub(crate) hot: ModelHotState,
    pub(crate) gate: Arc<GateStore>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) board: Arc<MarkBoard>,
    pub(crate) settings: KeeperSettings,
    pub(crate) keeper: Keeper,
    keys: HashKeys,
    /// By coupon: every grant that was ever answered.
    pub(crate) told: BTreeMap<CouponId, Vec<Told>>,
    /// The highest total so far.
    totals: HashMap<CouponId, u64>,
    highest: (Epoch, u64),
    keepers: u32,
}

/// What a future of the models gives: they never wait.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the models never wait")
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: KeeperSettings) -> Self {
        settings.validate().unwrap();
        let lanes = LaneCount::new(1).unwrap();
        let lane = ModelClock::new(at(0));
        let hot = ModelHotState::new(lanes, lane.clone());
        let ledger = Arc::new(ModelLedger::new(lanes));
        let keys = HashKeys::derive(&ledger.identity().hash_key);
        let gate = Arc::new(GateStore::new(hot.clone()));
        let clock = Arc::new(TestClock {
            millis: AtomicU64::new(1),
            lane,
        });
        let board = Arc::new(MarkBoard::new(lanes));
        let parts = KeeperParts {
            ledger: ledger.clone(),
            store: gate.clone(),
            board: board.clone(),
            clock: clock.clone(),
        };
        let keeper = Keeper::new(parts, Arc::new(settings.clone()), LANE, "keeper 0");
        Self {
            ledger,
            hot,
            gate,
            clock,
            board,
            settings,
            keeper,
            keys,
            told: BTreeMap::new(),
            totals: HashMap::new(),
            highest: (Epoch(0), 0),
            keepers: 0,
        }
    }

    pub(crate) fn parts(&self) -> KeeperParts {
        KeeperParts {
            ledger: self.ledger.clone(),
            store: self.gate.clone(),
            board: self.board.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Another keeper, as a new process would make it.
    pub(crate) fn another(&mut self) -> Keeper {
        self.keepers += 1;
        let name = format!("keeper {}", self.keepers);
        Keeper::new(self.parts(), Arc::new(self.settings.clone()), LANE, &name)
    }

    /// The process dies; another starts.
    pub(crate) fn crash(&mut self) {
        self.keeper = self.another();
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.clock.millis.fetch_add(millis, Ordering::SeqCst);
        self.clock.lane.advance_ms(u32::try_from(millis).unwrap());
    }

    pub(crate) fn step(&mut self) -> Next {
        now(self.keeper.step())
    }

    /// Runs the keeper for so long on its own clock.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.clock.monotonic_ms() + millis;
        let mut steps = 0;
        while self.clock.monotonic_ms() < end {
            steps += 1;
            assert!(
                steps < 100_000,
                "the keeper never rests: {:?}",
                self.status()
            );
            match self.step() {
                Next::Now => self.check(),
                Next::After(wait) | Next::Backoff(wait) => {
                    let left = end - self.clock.monotonic_ms();
                    self.advance(wait.clamp(1, left.max(1)));
                }
                Next::Stopped => break,
            }
        }
        self.check();
    }

    pub(crate) fn status(&self) -> LaneStatus {
        self.keeper.status()
    }

    pub(crate) fn open(&mut self) {
        self.run(200);
        assert_eq!(self.status().phase, PhaseName::Open, "{:?}", self.status());
    }

    /// Publishes a coupon in the ledger, and in hot state where the lane serves.
    pub(crate) fn publish(&mut self, total: Option<u64>, durability: &str) -> CouponId {
        let number = now(self.ledger.next_number()).unwrap();
        let id = self.keys.coupon_id(number);
        let total_json = total.map_or("null".to_owned(), |total| total.to_string());
        let json = format!(
            r#"{{"name":"c","currency":"USD","benefit":{{"type":"fixed","off":"5.00"}},
            "limits":{{"total":{total_json}}},"durability":"{durability}"}}"#
        );
        let spec = input::coupon(json.as_bytes()).unwrap();
        let draft = change::create(id, number, spec, self.clock.wall());
        now(self.ledger.create_coupon(&draft, entry())).unwrap();
        self.totals.insert(id, total.unwrap_or(u64::MAX));
        self.change(id, |coupon, now| change::publish(coupon, now).unwrap());
        id
    }

    /// Changes a coupon as the control plane does, ledger first; the keeper brings it to hot state.
    pub(crate) fn change(
        &mut self,
        id: CouponId,
        change: impl FnOnce(&Coupon, Timestamp) -> Coupon,
    ) {
        let stored = self.coupon(id);
        let changed = change(&stored, self.clock.wall());
        let written = now(self
            .ledger
            .update_coupon(stored.revision, &changed, "t", entry()));
        assert_eq!(written.unwrap(), CouponWrite::Done);
        if let Some(total) = changed.spec.limits.total {
            let held = self.totals.entry(id).or_default();
            *held = total.max(*held);
        }
        self.keeper.touch(id);
    }

    /// From here on shoppers claim between the calls of the keeper.
    pub(crate) fn begin_rush(&mut self, seed: u64) {
        let coupons = self.totals.keys().copied().collect::<BTreeSet<_>>();
        let coupons = coupons
            .into_iter()
            .map(|id| (id, self.coupon(id).spec.durability))
            .collect();
        *self.gate.rush.lock().unwrap() = Some(Rush {
            keys: HashKeys::derive(&self.ledger.identity().hash_key),
            dice: Dice(seed),
            coupons,
            told: Vec::new(),
        });
    }

    /// They go home.
    pub(crate) fn end_rush(&mut self) {
        self.note_rush();
        *self.gate.rush.lock().unwrap() = None;
    }

    fn note_rush(&mut self) {
        if let Some(rush) = self.gate.rush.lock().unwrap().as_mut() {
            for (id, told) in rush.told.drain(..) {
                self.told.entry(id).or_default().push(told);
            }
        }
    }

    /// Raises a total.
    pub(crate) fn raise_total(&mut self, id: CouponId, total: u64) {
        self.change(id, |held, now| {
            match change::set_total(held, Some(total), now).unwrap() {
                TotalChange::Set(raised) => *raised,
                other => panic!("not raised: {other:?}"),
            }
        });
    }

    pub(crate) fn coupon(&self, id: CouponId) -> Coupon {
        now(self.ledger.coupon(id)).unwrap().unwrap()
    }

    /// One shopper claims. What the answer tells the engine to do is done.
    pub(crate) fn claim(&mut self, id: CouponId, shopper: u32) -> Result<ClaimAnswer, StoreError> {
        let stored = self.coupon(id);
        let user = UserId::new(&format!("u{shopper}")).unwrap();
        let call = single(&self.keys, id, user, stored.terms_revision);
        match now(self.hot.decide(call)) {
            Ok(reply) => {
                let answer = reply.answers[0];
                if let ClaimAnswer::Granted(grant) = answer {
                    self.keeper.nudge();
                    let hot = stored.spec.durability == Durability::Hot;
                    self.told.entry(id).or_default().push(Told {
                        claim_id: grant.claim_id,
                        ticket: grant.ticket,
                        entry: grant.entry,
                        epoch: reply.epoch,
                        durability: stored.spec.durability,
                        acknowledged: hot,
                    });
                } else if answer == ClaimAnswer::NeedLease {
                    self.keeper.touch(id);
                }
                self.check();
                Ok(answer)
            }
            Err(error) => {
                match &error {
                    StoreError::CouponNotReady { .. } => self.keeper.touch(id),
                    StoreError::LaneNotReady { epoch, reason, .. } => {
                        self.keeper.hear_of_loss(*epoch, *reason);
                    }
                    _ => {}
                }
                Err(error)
            }
        }
    }

    /// Claims until a shopper of `shoppers` is granted, running the keeper between refusals.
    pub(crate) fn sell(&mut self, id: CouponId, shoppers: std::ops::Range<u32>) -> u32 {
        let mut sold = 0;
        for shopper in shoppers {
            for _attempt in 0..40 {
                match self.claim(id, shopper) {
                    Ok(ClaimAnswer::Granted(_)) => {
                        sold += 1;
                        break;
                    }
                    Ok(
                        ClaimAnswer::Replayed(_) | ClaimAnswer::SoldOut(_) | ClaimAnswer::Paused,
                    ) => {
                        break;
                    }
                    Ok(_) | Err(_) => self.run(50),
                }
            }
        }
        self.run(20);
        sold
    }

    /// The process ends, and the next one finds another ledger, a new one.
    pub(crate) fn swap_ledger(&mut self) {
        let lanes = LaneCount::new(1).unwrap();
        self.ledger = Arc::new(ModelLedger::with_seed(lanes, 1));
        self.keys = HashKeys::derive(&self.ledger.identity().hash_key);
        self.told.clear();
        self.totals.clear();
        self.forget_numbers();
        self.crash();
    }

    /// A ledger from a backup begins with lower numbers.
    pub(crate) fn forget_numbers(&mut self) {
        self.highest = (Epoch(0), 0);
    }

    /// Writes a row over the ticket that the next claim will get, as no working keeper would.
    pub(crate) fn steal_next_ticket(&mut self, id: CouponId) -> ClaimId {
        let figures = now(sluice_hotstate::LaneStore::figures(&self.hot, LANE, id));
        let (lease, ticket, _) = figures.unwrap().unwrap().leases[0];
        let user = UserId::new("thief").unwrap();
        let claim_id = self.keys.single_claim_id(id, &user);
        let row = self.row();
        let fence = LaneFence {
            lane: LANE,
            epoch: row.epoch,
            keeper: row.keeper,
        };
        let batch = GrantBatch {
            entry: EntryNumber(9_999),
            coupon: id,
            lease,
            revision: Revision(1),
            version: Version(1),
            granted_at: self.clock.wall(),
            durability: Durability::Ledger,
            grants: vec![Grant {
                ticket,
                claim_id,
                user,
                device: None,
                address: None,
            }],
        };
        now(self.ledger.append(fence, AppendFrom::Current, &[batch])).unwrap();
        claim_id
    }

    pub(crate) fn row(&self) -> LaneRow {
        now(self.ledger.lane(LANE)).unwrap()
    }

    pub(crate) fn leases(&self, id: CouponId) -> Vec<Lease> {
        now(self.ledger.leases(id)).unwrap()
    }

    pub(crate) fn stock(&self, id: CouponId) -> Stock {
        now(self.ledger.stock(id)).unwrap()
    }

    pub(crate) fn rows(&self, id: CouponId) -> Vec<ClaimRow> {
        let page = ClaimsPage {
            after: None,
            limit: 10_000,
        };
        now(self.ledger.claims_of_coupon(id, page)).unwrap()
    }

    pub(crate) fn quarantined(&self, id: CouponId) -> u64 {
        self.leases(id)
            .iter()
            .filter(|lease| lease.state == LeaseState::Quarantined)
            .map(|lease| u64::from(lease.size - lease.rows))
            .sum()
    }

    /// Notes acknowledgements, then checks what must hold at every moment.
    pub(crate) fn check(&mut self) {
        self.note_rush();
        let row = self.row();
        let highest = (row.epoch, row.keeper.0);
        assert!(
            highest.0 >= self.highest.0 && highest.1 >= self.highest.1,
            "12: numbers rise"
        );
        self.highest = highest;
        self.acknowledge();
        for (id, told) in &self.told {
            self.check_coupon(*id, told);
        }
        for id in self.totals.keys().copied().collect::<Vec<_>>() {
            let held = self.stock(id);
            if let Some(total) = held.total {
                assert!(held.leased - held.returned <= total, "3: {held:?}");
            }
            for lease in self.leases(id) {
                assert!(lease.rows <= lease.size, "3: {lease:?}");
            }
        }
    }

    /// Class `ledger` is answered when the mark has passed the entry and did not refuse it.
    fn acknowledge(&mut self) {
        let held = self.board.subscribe(LANE).unwrap();
        let held = held.borrow().clone();
        for told in self.told.values_mut().flatten() {
            if held.epoch == Some(told.epoch)
                && told.entry <= held.mark
                && !held.refused.contains(&(told.claim_id, told.entry))
            {
                told.acknowledged = true;
            }
        }
    }

    fn check_coupon(&self, id: CouponId, told: &[Told]) {
        let rows = self.rows(id);
        let by_claim: HashMap<ClaimId, &ClaimRow> =
            rows.iter().map(|row| (row.claim_id, row)).collect();
        assert_eq!(by_claim.len(), rows.len(), "3: one row per claim id");
        let users: BTreeSet<&str> = rows.iter().map(|row| row.user.as_str()).collect();
        assert_eq!(users.len(), rows.len(), "4: one claim per user");
        let leases = self.leases(id);
        for row in rows.iter().filter(|row| row.durability == Durability::Hot) {
            let flagged = leases
                .iter()
                .any(|lease| lease.number == row.lease && lease.hot_possible);
            assert!(
                flagged,
                "`hot` was granted from a lease without the flag: {row:?}"
            );
        }
        let open = |ticket: Ticket| {
            leases
                .iter()
                .any(|lease| lease.contains(ticket) && lease.state != LeaseState::Closed)
        };
        let mut holders: HashMap<Ticket, ClaimId> = HashMap::new();
        let mut alive: BTreeSet<ClaimId> = rows.iter().map(|row| row.claim_id).collect();
        for told in told {
            if told.acknowledged {
                let before = holders.insert(told.ticket, told.claim_id);
                assert!(
                    before.is_none_or(|before| before == told.claim_id),
                    "ticket {} was acknowledged twice",
                    told.ticket
                );
                match told.durability {
                    Durability::Ledger => assert!(
                        by_claim.contains_key(&told.claim_id),
                        "1: acknowledged and not in the ledger: {told:?}"
                    ),
                    Durability::Hot if open(told.ticket) => {
                        alive.insert(told.claim_id);
                    }
                    Durability::Hot => {}
                }
            }
        }
        let total = self.totals[&id];
        assert!(
            alive.len() as u64 <= total,
            "2: {} of {total} sold",
            alive.len()
        );
    }
}
