//! What goes wrong with servers and processes, at random instants, or as a scene has it ([`directed`]). What goes wrong with single
//! calls is the business of [`super::link`].

mod directed;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use sluice_domain::claim::{Durability, Grant, GrantBatch};
use sluice_domain::coupon::Lifecycle;
use sluice_domain::id::{EntryNumber, Epoch, LaneId, UserId};
use sluice_domain::invariant::history::{Answer, Attempt};
use sluice_domain::lane::LaneFence;
use sluice_hotstate::LaneStore as _;
use sluice_hotstate::model::ModelHotState;
use sluice_hotstate::model::fault::ModelKey;
use sluice_hotstate::model::flaw::Tear;
use sluice_ledger::claims::{AppendFrom, Claims as _};
use sluice_ledger::coupons::Coupons as _;
use sluice_ledger::lanes::Lanes as _;
use sluice_workers::keeper::PhaseName;
use tokio::sync::mpsc;

use super::dice::Dice;
use super::link::Side;
use super::process::Process;
use super::time::pause;
use super::verdict::all_open;
use super::world::{Offer, World, locked};

/// Until everything that is under way has arrived.
pub(super) const ALL_ARRIVED_MS: u64 = 4_200;
/// How often it is written down that an old primary's answers may be lost; less than a claim takes.
const LOSS_SLICE_MS: u64 = 5;
/// An hour.
const SKEW_MS: i64 = 3_600_000;

/// Whoever lets things go wrong.
pub(super) struct Gremlin {
    pub(super) world: Arc<World>,
    pub(super) dice: Dice,
}

/// Starts processes that died again, after a while.
pub(super) async fn supervise(
    world: Arc<World>,
    mut died: mpsc::UnboundedReceiver<usize>,
    mut dice: Dice,
) {
    while let Some(number) = died.recv().await {
        world.kill(number);
        let (world, mut dice) = (Arc::clone(&world), dice.fork());
        drop(tokio::spawn(async move {
            pause(dice.between(100, 1_500)).await;
            if !world.no_restarts.load(Ordering::Relaxed) {
                // The settings were good before.
                let _started = world.start(number, &mut dice);
            }
        }));
    }
}

// === impl Gremlin ===

impl Gremlin {
    /// One fault after the other, until the world is calm.
    pub(super) async fn haunt(mut self, often_ms: u64) {
        let mut old_ledger_at = self
            .dice
            .chance(90)
            .then(|| self.dice.between(1_000, 4_000));
        loop {
            pause(self.dice.between(60, often_ms)).await;
            if self.world.is_calm() {
                return;
            }
            let now = self.world.net.time.now_ms();
            if old_ledger_at.take_if(|at| *at <= now).is_some() {
                self.old_ledger().await;
                if self.world.is_calm() {
                    return;
                }
            }
            match self.dice.below(100) {
                0..9 => self.kill(),
                9..17 => self.stand_still(),
                17..22 => self.skew(),
                22..29 => self.cut(Side::Hot),
                29..35 => self.cut(Side::Ledger),
                35..39 => self.ledger_down(),
                39..44 => self.restart(),
                44..53 => self.forget_tail(),
                53..56 => self.restart_empty(),
                56..59 => self.flush(),
                59..65 => self.step_down_and_up(),
                65..75 => self.promote().await,
                75..80 => self.ask_replica().await,
                80..85 => self.lose_key(),
                85..88 => self.lose_entry(),
                88..94 => self.tear(),
                _rest => self.give_ticket_away(),
            }
        }
    }

    fn note(&self, fault: &'static str, words: impl FnOnce() -> String) {
        self.world.net.counts.add(fault);
        self.world.tell(fault, 1, words);
    }

    fn anyone(&mut self) -> Option<Arc<Process>> {
        let alive = self.world.alive();
        alive.get(self.dice.index(alive.len())).cloned()
    }

    fn kill(&mut self) {
        let number = self.dice.index(self.world.process_count());
        self.note("fault: a process is killed", || format!("process {number}"));
        self.world.net.report_death(number);
    }

    fn stand_still(&mut self) {
        let Some(process) = self.anyone() else { return };
        let millis = self.dice.between(200, 3_500);
        self.note("fault: a process stands still", || {
            format!("process {} for {millis} ms", process.link.process)
        });
        process.link.stand_still(millis);
    }

    fn skew(&mut self) {
        let Some(process) = self.anyone() else { return };
        let ahead = self.dice.chance(500);
        self.note("fault: a clock is wrong", || {
            format!("process {}, ahead: {ahead}", process.link.process)
        });
        process
            .clock
            .set_skew_ms(if ahead { SKEW_MS } else { -SKEW_MS });
    }

    fn cut(&mut self, side: Side) {
        let Some(process) = self.anyone() else { return };
        let millis = self.dice.between(100, 2_200);
        let fault = match side {
            Side::Hot => "fault: hot state is cut off",
            Side::Ledger => "fault: the ledger is cut off",
        };
        self.note(fault, || {
            format!("process {} for {millis} ms", process.link.process)
        });
        process.link.cut(side, millis);
    }

    fn ledger_down(&mut self) {
        let millis = self.dice.between(100, 1_800);
        self.note("fault: the ledger is down", || format!("for {millis} ms"));
        self.world.net.ledger_down(millis);
    }

    fn restart(&mut self) {
        self.note("fault: Redis restarts", String::new);
        self.world.server().restart_keeping();
    }

    fn forget_tail(&mut self) {
        let lost = self.dice.index(30);
        let lost = self.world.server().forget_suffix(lost);
        self.note("fault: Redis restarts without its tail", || {
            format!("{lost} writes")
        });
        self.world.lose();
    }

    fn restart_empty(&mut self) {
        self.note("fault: Redis restarts empty", String::new);
        self.world.server().restart_empty();
        self.world.lose();
    }

    fn flush(&mut self) {
        self.note("fault: Redis is flushed", String::new);
        self.world.server().flush_all();
        self.world.lose();
    }

    fn step_down_and_up(&mut self) {
        let lost = self.dice.index(20);
        let lost = self.world.server().step_down_and_up(lost);
        self.note("fault: Redis steps down and up", || {
            format!("{lost} writes")
        });
        self.world.lose();
    }

    /// A replica that lags behind takes over. Processes follow one after the other; where one does
    /// not, the old primary goes on for it.
    async fn promote(&mut self) {
        let left_behind = self.dice.chance(500).then(|| self.anyone()).flatten();
        let old = self.promote_for_all_but(left_behind.as_ref()).await;
        let Some(process) = left_behind else { return };
        let millis = self.dice.between(200, 5_000);
        if self.dice.chance(600) {
            process.link.cut(Side::Ledger, millis);
        }
        let comes_back = self.dice.chance(350);
        self.go_on_with(old, process, millis, comes_back);
    }

    /// The server that was the primary.
    async fn promote_for_all_but(&mut self, left_behind: Option<&Arc<Process>>) -> ModelHotState {
        let old = self.world.server();
        let (new, behind) = old.lagging_replica(self.dice.index(25));
        new.promote(self.world.next_replid());
        self.note("fault: a lagging replica is promoted", || {
            format!("{behind} writes behind")
        });
        self.world.lose();
        self.world.set_server(new.clone());
        for process in self.world.alive() {
            let stays = left_behind.is_some_and(|left| Arc::ptr_eq(left, &process));
            if !stays {
                pause(self.dice.below(80)).await;
                process.link.connect_to(&new);
            }
        }
        // Until here somebody may have been served by the old one.
        self.world.lose();
        old
    }

    /// An old primary goes on for one process, and may be the primary again after that.
    fn go_on_with(
        &mut self,
        old: ModelHotState,
        process: Arc<Process>,
        millis: u64,
        comes_back: bool,
    ) {
        self.note("fault: an old primary goes on", || {
            format!("for process {} and {millis} ms", process.link.process)
        });
        let world = Arc::clone(&self.world);
        let ends = world
            .now()
            .plus_millis(i64::try_from(millis).unwrap_or(i64::MAX));
        locked(&world.split).push((world.now(), ends));
        drop(tokio::spawn(async move {
            // What it answers meanwhile is unknown to all others, however it ends.
            for _slice in 0..millis / LOSS_SLICE_MS {
                pause(LOSS_SLICE_MS).await;
                world.lose();
            }
            if comes_back && !world.is_calm() {
                world.net.counts.add("fault: an old server comes back");
                world.tell("the old primary is the primary again", 1, String::new);
                old.promote(world.next_replid());
                world.set_server(old);
                for process in world.alive() {
                    process.link.connect_to(&world.server());
                }
            } else {
                process.link.connect_to(&world.server());
                world.tell("the old primary is gone", 1, String::new);
            }
        }));
    }

    /// A process is sent to a replica for a while.
    async fn ask_replica(&mut self) {
        let Some(process) = self.anyone() else { return };
        let (replica, behind) = self.world.server().lagging_replica(self.dice.index(4));
        let millis = self.dice.between(60, 900);
        self.note("fault: a replica is asked", || {
            format!(
                "{behind} writes behind, by process {} for {millis} ms",
                process.link.process
            )
        });
        process.link.connect_to(&replica);
        pause(millis).await;
        process.link.connect_to(&self.world.server());
    }

    /// Where hot state is now: a lane, its epoch, a coupon.
    fn place(&mut self) -> Option<(ModelHotState, LaneId, Epoch, Offer)> {
        let offers = self.world.offers();
        let offer = offers.get(self.dice.index(offers.len()))?.clone();
        let lane = self.world.net.ledger_lanes().lane_of(offer.coupon);
        let server = self.world.server();
        let facts = server.facts(lane).now_or_never()?.ok()??;
        Some((server, lane, facts.epoch, offer))
    }

    fn lose_key(&mut self) {
        let Some((server, lane, epoch, offer)) = self.place() else {
            return;
        };
        let coupon = offer.coupon;
        let key = match self.dice.below(14) {
            0 => ModelKey::Lane,
            1 => ModelKey::Outbox,
            2 => ModelKey::Mark,
            3 => ModelKey::Refused,
            4 => ModelKey::Known,
            5 => ModelKey::Hydrated,
            6 => ModelKey::Coupon(coupon),
            7 => ModelKey::Definition(coupon),
            8 => ModelKey::Devices(coupon),
            _often => ModelKey::Users(coupon),
        };
        self.note("fault: a key is lost", || format!("{key:?} of lane {lane}"));
        server.lose_key(lane, epoch, key);
        self.world.lose();
    }

    fn lose_entry(&mut self) {
        let Some((server, lane, epoch, _offer)) = self.place() else {
            return;
        };
        let read = server.read_outbox(lane, epoch, EntryNumber(0), 100);
        let entries = read.now_or_never().and_then(Result::ok).unwrap_or_default();
        let Some(entry) = entries.get(self.dice.index(entries.len())) else {
            return;
        };
        let sluice_hotstate::lane_store::OutboxEntry::Batch(batch) = entry else {
            return;
        };
        self.note("fault: an entry is lost", || {
            format!("entry {} of lane {lane}", batch.entry)
        });
        server.lose_entry(lane, epoch, batch.entry);
        self.world.lose();
    }

    fn tear(&mut self) {
        let tear = [Tear::AfterFirst, Tear::AfterSecond, Tear::AfterThird][self.dice.index(3)];
        self.note("fault: a script breaks off", || format!("{tear:?}"));
        self.world.server().tear_next_grant(tear);
    }

    /// The next ticket of a coupon becomes somebody else's row, as no working keeper would do it.
    fn give_ticket_away(&mut self) {
        let given = self.place().and_then(|place| self.give_away(place));
        if let Some(user) = given {
            self.note("fault: a ticket is somebody else's", || format!("{user}'s"));
        }
    }

    fn give_away(
        &mut self,
        (server, lane, _epoch, offer): (ModelHotState, LaneId, Epoch, Offer),
    ) -> Option<UserId> {
        if !offer.always_ledger || offer.per_user != 1 {
            return None;
        }
        let (ledger, now) = (&self.world.net.ledger, self.world.now());
        let figures = server.figures(lane, offer.coupon).now_or_never()?.ok()??;
        let (lease, ticket, _end) = *figures.leases.first()?;
        let coupon = ledger.coupon(offer.coupon).now_or_never()?.ok()??;
        if coupon.lifecycle != Lifecycle::Live || figures.revision != coupon.revision {
            return None;
        }
        let row = ledger.lane(lane).now_or_never()?.ok()?;
        let user = super::shopper::user('t', self.dice.below(1_000))?;
        let claim_id = self.world.keys.single_claim_id(offer.coupon, &user);
        let fence = LaneFence {
            lane,
            epoch: row.epoch,
            keeper: row.keeper,
        };
        let batch = GrantBatch {
            entry: EntryNumber(9_999),
            coupon: offer.coupon,
            lease,
            revision: coupon.revision,
            version: coupon.version,
            granted_at: now,
            durability: Durability::Ledger,
            grants: vec![Grant {
                ticket,
                claim_id,
                user,
                device: None,
                address: None,
            }],
        };
        let batches = [batch];
        let appended = ledger.append(fence, AppendFrom::Current, &batches);
        appended.now_or_never()?.ok()?;
        self.world.tally.attempt(Attempt {
            sent_at: now,
            answered_at: now,
            coupon: offer.coupon,
            user,
            key: String::new(),
            answer: Answer::Unknown,
        });
        Some(user)
    }

    /// Everything stops, the ledger is replaced by a backup, everything starts again, and after a
    /// while an operator says that this ledger is right.
    async fn old_ledger(&mut self) {
        let world = Arc::clone(&self.world);
        let backup = world.net.ledger.snapshot();
        pause(self.dice.between(100, 1_500)).await;
        world.no_restarts.store(true, Ordering::Relaxed);
        for number in 0..world.process_count() {
            world.kill(number);
        }
        // Nothing that was sent to the ledger as it was arrives in the one from the backup.
        pause(ALL_ARRIVED_MS).await;
        world.net.ledger.restore(&backup);
        world.net.watch.forget_numbers();
        *locked(&world.set_back_at) = Some(world.now());
        world.lose();
        self.note("fault: a ledger from a backup", String::new);
        world.no_restarts.store(false, Ordering::Relaxed);
        for number in 0..world.process_count() {
            // The settings were good before.
            let _started = world.start(number, &mut self.dice);
        }
        pause(self.dice.between(300, 1_500)).await;
        while !all_open(&world) && !world.is_calm() {
            accept_ledger(&world).await;
            pause(100).await;
        }
    }
}

/// An operator's word, for every lane that is halted.
pub(super) async fn accept_ledger(world: &World) {
    for process in world.alive() {
        for status in process.handle.status() {
            if status.phase == PhaseName::Halted {
                let accepting = process.handle.accept_ledger(status.lane);
                let accepted = process.living(accepting).await;
                world.tell("the operator accepts the ledger", 0, || {
                    format!("lane {}: {accepted:?}, {:?}", status.lane, status.halted)
                });
                if matches!(accepted, Some(Ok(()))) {
                    world.net.counts.add("operator: accepts the ledger");
                }
            }
        }
    }
}
