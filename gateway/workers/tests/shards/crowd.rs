//! Lanes, their keepers, and a crowd that claims one coupon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use sluice_claim::durability::MarkBoard;
use sluice_claim::port::{ClaimAnswer, ClaimCall, ClaimRequest, ClaimStore as _, StoreError};
use sluice_domain::change::{self, TotalChange};
use sluice_domain::claim::{ClaimForm, ClaimRow};
use sluice_domain::coupon::Coupon;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, LaneId, UserId};
use sluice_domain::input;
use sluice_domain::lane::LaneCount;
use sluice_domain::lease::{LeaseState, Stock};
use sluice_domain::time::Timestamp;
use sluice_hotstate::LaneStore as _;
use sluice_hotstate::model::{ModelClock, ModelHotState};
use sluice_ledger::ModelLedger;
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::claims::{Claims as _, ClaimsPage};
use sluice_ledger::coupons::{CouponWrite, Coupons as _};
use sluice_ledger::lanes::Lanes as _;
use sluice_ledger::leases::Leases as _;
use sluice_workers::clock::Clock;
use sluice_workers::keeper::{Keeper, KeeperParts, Next, PhaseName};
use sluice_workers::settings::KeeperSettings;

/// Lanes of the system. Fewer shards than lanes, so that some lanes have none.
pub(crate) const LANES: u16 = 8;

/// How long a raised total may take until no shard says "sold out" any more.
const RESTOCK_MS: u64 = 3_000;

struct TestClock {
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

/// A keeper and when it wants its next step.
struct Post {
    keeper: Keeper,
    due_ms: u64,
}

/// The system.
pub(crate) struct Crowd {
    pub(crate) ledger: Arc<ModelLedger>,
    pub(crate) hot: ModelHotState,
    pub(crate) lanes: LaneCount,
    pub(crate) coupon: CouponId,
    clock: Arc<TestClock>,
    board: Arc<MarkBoard>,
    posts: Vec<Post>,
    keys: HashKeys,
    shards: u16,
    /// Every claim that was granted, with its user.
    pub(crate) granted: BTreeMap<ClaimId, UserId>,
    /// The total before it was last raised, and when that was.
    raised: (u64, u64),
    /// Notes between keepers are lost, all of them.
    pub(crate) deaf: bool,
}

/// What a future of the models gives: they never wait.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the models never wait")
}

fn settings() -> KeeperSettings {
    KeeperSettings {
        keeper_lease_ms: 1_000,
        renewal_ms: 300,
        lane_lease_ms: 5_000,
        grace_ms: 20_000,
        retention_ms: 60_000,
        sweep_ms: 1_000,
        full_sweep_every: 3,
        poll_ms_max: 200,
        lease_floor: 8,
        lease_floor_max: 64,
        shard_hold_ms: 50,
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

impl Crowd {
    /// All lanes open, and a published coupon of so many units in so many shards.
    pub(crate) fn new(shards: u16, total: u64) -> Self {
        let lanes = LaneCount::new(LANES).unwrap();
        let begin: Timestamp = "2026-11-27T00:00:00Z".parse().unwrap();
        let lane = ModelClock::new(begin);
        let ledger = Arc::new(ModelLedger::new(lanes));
        let mut crowd = Self {
            hot: ModelHotState::new(lanes, lane.clone()),
            keys: HashKeys::derive(&ledger.identity().hash_key),
            ledger,
            lanes,
            coupon: CouponId(0),
            clock: Arc::new(TestClock {
                millis: AtomicU64::new(1),
                lane,
            }),
            board: Arc::new(MarkBoard::new(lanes)),
            posts: Vec::new(),
            shards,
            granted: BTreeMap::new(),
            raised: (0, 0),
            deaf: false,
        };
        for lane in lanes.iter() {
            let keeper = crowd.keeper(lane);
            crowd.posts.push(Post { keeper, due_ms: 0 });
        }
        crowd.run(100);
        crowd.publish(total);
        crowd.run(1_500);
        crowd
    }

    fn keeper(&self, lane: LaneId) -> Keeper {
        let parts = KeeperParts {
            ledger: self.ledger.clone(),
            store: Arc::new(self.hot.clone()),
            board: self.board.clone(),
            clock: self.clock.clone(),
        };
        Keeper::new(parts, Arc::new(settings()), lane, "keeper")
    }

    fn publish(&mut self, total: u64) {
        let number = now(self.ledger.next_number()).unwrap();
        self.coupon = self.keys.coupon_id(number);
        let json = format!(
            r#"{{"name":"c","currency":"USD","benefit":{{"type":"fixed","off":"5.00"}},
            "limits":{{"total":{total}}},"shards":{}}}"#,
            self.shards
        );
        let spec = input::coupon(json.as_bytes()).unwrap();
        let draft = change::create(self.coupon, number, spec, self.clock.wall());
        now(self.ledger.create_coupon(&draft, entry())).unwrap();
        self.change(|coupon, now| change::publish(coupon, now).unwrap());
    }

    /// Changes the coupon as the control plane does, ledger first; the keepers bring it to hot
    /// state.
    pub(crate) fn change(&mut self, change: impl FnOnce(&Coupon, Timestamp) -> Coupon) {
        let stored = self.stored();
        let changed = change(&stored, self.clock.wall());
        let written = now(self
            .ledger
            .update_coupon(stored.revision, &changed, "t", entry()));
        assert_eq!(written.unwrap(), CouponWrite::Done);
        for lane in self.own_lanes() {
            self.touch(lane);
        }
    }

    pub(crate) fn raise_total(&mut self, total: u64) {
        let before = self.stored().spec.limits.total.unwrap();
        let at = self.clock.monotonic_ms();
        if at > self.raised.1 + RESTOCK_MS {
            self.raised = (before, at);
        } else {
            self.raised.1 = at;
        }
        self.change(
            |held, now| match change::set_total(held, Some(total), now).unwrap() {
                TotalChange::Set(raised) => *raised,
                other => panic!("not raised: {other:?}"),
            },
        );
    }

    pub(crate) fn stored(&self) -> Coupon {
        now(self.ledger.coupon(self.coupon)).unwrap().unwrap()
    }

    /// The lanes of the coupon, its home first.
    pub(crate) fn own_lanes(&self) -> Vec<LaneId> {
        self.lanes.lanes_of(self.coupon, self.shards).collect()
    }

    pub(crate) fn lane_of(&self, user: &UserId) -> LaneId {
        self.lanes.lane_for(self.coupon, self.shards, user)
    }

    /// The first so many users of a lane.
    pub(crate) fn users_of(&self, lane: LaneId, count: usize) -> Vec<UserId> {
        (0..)
            .map(|number| UserId::new(&format!("u{number}")).unwrap())
            .filter(|user| self.lane_of(user) == lane)
            .take(count)
            .collect()
    }

    pub(crate) fn keeper_of(&mut self, lane: LaneId) -> &mut Keeper {
        let post = &mut self.posts[usize::from(lane.0)];
        post.due_ms = 0;
        &mut post.keeper
    }

    fn touch(&mut self, lane: LaneId) {
        let coupon = self.coupon;
        self.keeper_of(lane).touch(coupon);
    }

    /// The process of a lane's keeper dies; another takes its place.
    pub(crate) fn crash(&mut self, lane: LaneId) {
        let keeper = self.keeper(lane);
        self.posts[usize::from(lane.0)] = Post { keeper, due_ms: 0 };
    }

    /// Runs all keepers for so long.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.clock.monotonic_ms() + millis;
        while self.clock.monotonic_ms() < end {
            self.turn();
            let next = self.posts.iter().map(|post| post.due_ms).min().unwrap();
            let at = self.clock.monotonic_ms();
            let wait = next.saturating_sub(at).clamp(1, end - at);
            self.clock.millis.fetch_add(wait, Ordering::SeqCst);
            self.clock.lane.advance_ms(u32::try_from(wait).unwrap());
        }
    }

    /// Lets every keeper that is due do what it can.
    fn turn(&mut self) {
        let at = self.clock.monotonic_ms();
        for index in 0..self.posts.len() {
            let mut steps = 0;
            while self.posts[index].due_ms <= at {
                steps += 1;
                assert!(steps < 10_000, "a keeper never rests");
                let post = &mut self.posts[index];
                post.due_ms = match now(post.keeper.step()) {
                    Next::Now => at,
                    Next::After(wait) | Next::Backoff(wait) => at + wait.max(1),
                    Next::Stopped => u64::MAX,
                };
                for note in self.posts[index].keeper.take_notes() {
                    if !self.deaf {
                        let other = &mut self.posts[usize::from(note.to.0)];
                        other.keeper.hear_word(note.coupon, note.word);
                        other.due_ms = other.due_ms.min(at);
                    }
                }
            }
        }
    }

    pub(crate) fn all_open(&self) -> bool {
        let open = |post: &Post| post.keeper.status().phase == PhaseName::Open;
        self.posts.iter().all(open)
    }

    pub(crate) fn stop(&mut self) {
        for post in &mut self.posts {
            post.keeper.stop();
            post.due_ms = 0;
        }
        self.run(2_000);
    }

    /// One claim. What the answer tells the engine to do is done, and "sold out" has to be true.
    pub(crate) fn claim(&mut self, user: UserId) -> Result<ClaimAnswer, StoreError> {
        let lane = self.lane_of(&user);
        let call = ClaimCall {
            lane,
            coupon: self.coupon,
            form: ClaimForm::Single,
            revision: self.stored().terms_revision,
            requests: vec![ClaimRequest {
                user,
                claim_id: self.keys.single_claim_id(self.coupon, &user),
                device: None,
                address: None,
                replay_only: false,
            }],
        };
        match now(self.hot.decide(call)) {
            Ok(reply) => {
                let answer = reply.answers[0];
                match answer {
                    ClaimAnswer::Granted(grant) => {
                        assert_eq!(self.granted.insert(grant.claim_id, user), None);
                        self.keeper_of(lane).nudge();
                    }
                    ClaimAnswer::NeedLease => self.touch(lane),
                    ClaimAnswer::SoldOut(_) => {
                        let total = self.stored().spec.limits.total.unwrap();
                        let sold = self.granted.len() as u64;
                        // New stock may take its time to every shard, and no longer.
                        let (before, at) = self.raised;
                        let fresh = self.clock.monotonic_ms() < at + RESTOCK_MS;
                        let least = if fresh { before } else { total };
                        assert!(
                            sold >= least,
                            "{sold} of {total} sold, and sold out was said"
                        );
                    }
                    _ => {}
                }
                Ok(answer)
            }
            Err(error) => {
                match &error {
                    StoreError::CouponNotReady { .. } => self.touch(lane),
                    StoreError::LaneNotReady { epoch, reason, .. } => {
                        self.keeper_of(lane).hear_of_loss(*epoch, *reason);
                    }
                    _ => {}
                }
                Err(error)
            }
        }
    }

    /// Claims for each of these until they are granted or it is sold out, as people do who try
    /// again every second. True where all of them were answered.
    pub(crate) fn sell(&mut self, users: &[UserId]) -> bool {
        users.iter().all(|user| self.insist(*user))
    }

    fn insist(&mut self, user: UserId) -> bool {
        for _attempt in 0..60 {
            match self.claim(user) {
                Ok(ClaimAnswer::Granted(_)) => {
                    self.run(1);
                    return true;
                }
                Ok(ClaimAnswer::Replayed(_) | ClaimAnswer::SoldOut(_)) => return true,
                // The batcher asks again within the claim's 50 ms; people after a second.
                Ok(_) | Err(_) => {
                    self.run(20);
                    if matches!(self.claim(user), Ok(ClaimAnswer::Granted(_))) {
                        return true;
                    }
                    self.run(980);
                }
            }
        }
        false
    }

    pub(crate) fn rows(&self) -> Vec<ClaimRow> {
        let page = ClaimsPage {
            after: None,
            limit: 10_000,
        };
        now(self.ledger.claims_of_coupon(self.coupon, page)).unwrap()
    }

    pub(crate) fn stock(&self) -> Stock {
        now(self.ledger.stock(self.coupon)).unwrap()
    }

    /// What must hold at any moment, and at rest that everything granted is a row.
    pub(crate) fn check(&self) {
        let stock = self.stock();
        assert!(
            stock.leased - stock.returned <= stock.total.unwrap(),
            "{stock:?}"
        );
        for row in self.rows() {
            assert_eq!(self.granted.get(&row.claim_id), Some(&row.user));
        }
        for lease in now(self.ledger.leases(self.coupon)).unwrap() {
            assert!(self.own_lanes().contains(&lease.lane), "{lease:?}");
            assert!(lease.rows <= lease.size);
        }
    }

    /// As [`check`](Self::check), once everything came to rest.
    pub(crate) fn check_at_rest(&mut self) {
        self.run(1_000);
        self.check();
        assert_eq!(self.rows().len(), self.granted.len());
        // Each user's claim is in the lane of the user's shard, and nowhere else.
        for lane in self.lanes.iter() {
            let held = now(self.hot.claims(lane, self.coupon, 0));
            for (user, _grant) in held.map(|page| page.0).unwrap_or_default() {
                assert_eq!(self.lane_of(&user), lane);
            }
        }
    }

    /// Units that are on the list of a lane.
    pub(crate) fn listed(&self, lane: LaneId) -> u64 {
        let figures = now(self.hot.figures(lane, self.coupon)).unwrap();
        figures.map_or(0, |figures| {
            let left =
                |(_, next, end): &(_, sluice_domain::id::Ticket, sluice_domain::id::Ticket)| {
                    end.0 - next.0
                };
            figures.leases.iter().map(left).sum()
        })
    }

    /// Leases that are open, by lane.
    pub(crate) fn open_leases(&self) -> Vec<LaneId> {
        let leases = now(self.ledger.leases(self.coupon)).unwrap();
        let open = leases
            .iter()
            .filter(|lease| lease.state == LeaseState::Open);
        open.map(|lease| lease.lane).collect()
    }

    pub(crate) fn lower_total(
        &mut self,
        target: u64,
    ) -> tokio::sync::oneshot::Receiver<sluice_workers::keeper::LowerOutcome> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let (coupon, home) = (self.coupon, self.own_lanes()[0]);
        self.keeper_of(home).lower_total(coupon, target, reply);
        answer
    }
}
