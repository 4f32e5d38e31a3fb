//! A process: a gateway, the keepers of all lanes, a publisher and a checkout, on ports that may
//! fail at any call. Only the ports, the clock and the word between processes are the simulation's;
//! everything else is what production runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sluice_checkout::{Checkout, CheckoutSettings};
use sluice_claim::durability::{LaneMark, MarkBoard};
use sluice_claim::engine::{Engine, EngineParts};
use sluice_claim::port::{ClaimLookup, ClaimReader, KeeperRequests, NotReady, ReadError};
use sluice_claim::settings::EngineSettings;
use sluice_control::ControlSettings;
use sluice_control::port::{Gateways, KeeperStatus, LaneOperator, Lowering, OperatorError};
use sluice_control::publish::Publisher;
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, Epoch, LaneId};
use sluice_hotstate::LaneStore as _;
use sluice_ledger::Ledger;
use sluice_ledger::claims::Claims as _;
use sluice_workers::{Clock, KeeperHandle, KeeperParts, KeeperSettings, Keepers, hold_sweeper};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::dice::Dice;
use super::hot_port::{HotPort, of_every_entry};
use super::ledger_port::LedgerPort;
use super::link::Link;
use super::mutation::Mutation;
use super::time::{ProcessClock, pause};
use super::world::World;

/// More entries than an outbox of a simulation ever has.
const ENTRIES_MAX: u64 = 1_000;
/// How often holds that ran out are looked for.
const SWEEP_EVERY: std::time::Duration = std::time::Duration::from_millis(250);
/// How long a hold lasts.
const HOLD_MS: u32 = 1_000;

/// A running process.
pub(super) struct Process {
    pub(super) link: Arc<Link>,
    pub(super) engine: Arc<Engine<HotPort>>,
    pub(super) handle: KeeperHandle,
    pub(super) publisher: Arc<Publisher>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) checkout: Checkout,
    pub(super) clock: Arc<ProcessClock>,
    /// What its engine hears of marks: from its own keepers and from other processes.
    heard: Arc<MarkBoard>,
    hot: Arc<HotPort>,
    keepers: Mutex<Option<Keepers>>,
    tasks: Mutex<JoinSet<()>>,
    died: Notify,
    _stop: watch::Sender<bool>,
}

/// Reads claims through the process's own link.
struct Reader(Arc<LedgerPort>);

/// The keepers of all processes, as far as they are there.
struct AllKeepers(Weak<World>);

/// Times of seconds instead of minutes, leases of few tickets.
pub(super) fn keeper_settings() -> KeeperSettings {
    KeeperSettings {
        keeper_lease_ms: 1_000,
        renewal_ms: 300,
        lane_lease_ms: 3_000,
        grace_ms: 5_000,
        retention_ms: 7_000,
        sweep_ms: 800,
        full_sweep_every: 3,
        poll_ms_max: 400,
        backoff_ms_max: 400,
        lease_floor: 4,
        lease_floor_max: 16,
        exclusive: false,
        ..KeeperSettings::default()
    }
}

// === impl Process ===

impl Process {
    /// Starts a process with this number.
    ///
    /// # Errors
    /// When its settings contradict each other.
    pub(super) fn start(
        world: &Arc<World>,
        number: usize,
        dice: &mut Dice,
    ) -> anyhow::Result<Arc<Self>> {
        let (net, mutation) = (&world.net, world.mutation);
        let lanes = net.ledger_lanes();
        let link = Link::new(Arc::clone(net), number, world.server().of_another_process());
        let clock = ProcessClock::new(net.time);
        let hot = Arc::new(HotPort::new(&link, mutation));
        let ledger = Arc::new(LedgerPort::new(&link, mutation));
        let (told, heard) = (
            Arc::new(MarkBoard::new(lanes)),
            Arc::new(MarkBoard::new(lanes)),
        );
        let keepers = Keepers::spawn(
            &keeper_parts(&ledger, &hot, &told, &clock),
            net.scene.keeper_settings(),
            &format!("process {number}"),
        )?;
        let all = || AllKeepers(Arc::downgrade(world));
        let engine = Engine::new(
            EngineParts {
                store: Arc::clone(&hot),
                marks: Arc::clone(&heard),
                reader: Arc::new(Reader(Arc::clone(&ledger))),
                keeper: Arc::new(all()),
                keys: world.keys.clone(),
                lanes,
            },
            EngineSettings::default(),
        )?;
        let publisher = Arc::new(publisher(&ledger, &hot, &all));
        let settings = CheckoutSettings {
            hold_ms: HOLD_MS,
            ..CheckoutSettings::default()
        };
        let checkout = Checkout::new(Arc::clone(&ledger) as _, world.keys.clone(), settings);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let retries = Arc::clone(&publisher);
        tasks.spawn(async move { retries.run_retries(stopped).await });
        // How long a hold lasts is a promise in the machine's time: that of the checkout is right.
        let sweeping =
            hold_sweeper::run(checkout.clone(), ProcessClock::new(net.time), SWEEP_EVERY);
        tasks.spawn(sweeping);
        for lane in lanes.iter() {
            let relay = Relay {
                world: Arc::downgrade(world),
                number,
                lane,
                told: Arc::clone(&told),
                heard: Arc::clone(&heard),
                mutation,
                dice: dice.fork(),
            };
            tasks.spawn(relay.run());
        }
        Ok(Arc::new(Self {
            link,
            engine,
            handle: keepers.handle(),
            publisher,
            ledger,
            checkout,
            clock,
            heard,
            hot,
            keepers: Mutex::new(Some(keepers)),
            tasks: Mutex::new(tasks),
            died: Notify::new(),
            _stop: stop,
        }))
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        self.link.die();
        drop(locked(&self.keepers).take());
        locked(&self.tasks).abort_all();
        self.died.notify_waiters();
    }

    /// Returns when it is no more.
    pub(super) async fn until_dead(&self) {
        loop {
            let died = self.died.notified();
            if self.link.is_dead() {
                return;
            }
            died.await;
        }
    }

    /// What comes of this while the process lives; `None` where it dies first.
    pub(super) async fn living<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.until_dead() => None,
            done = work => Some(done),
        }
    }

    /// Stops its keepers in order; true where that came to its end.
    pub(super) async fn stop(&self) -> bool {
        let keepers = locked(&self.keepers).take();
        match keepers {
            Some(keepers) => keepers.shutdown(std::time::Duration::from_secs(8)).await,
            None => true,
        }
    }

    /// Another process's word, or that of its own keeper.
    pub(super) fn hear(&self, lane: LaneId, mark: LaneMark) {
        if let Some(epoch) = mark.epoch {
            self.hot.learn_epoch(lane, epoch);
        }
        hear(&self.heard, lane, mark);
    }

    pub(super) fn mark(&self, lane: LaneId) -> Option<LaneMark> {
        Some(self.heard.subscribe(lane)?.borrow().clone())
    }
}

fn keeper_parts(
    ledger: &Arc<LedgerPort>,
    hot: &Arc<HotPort>,
    told: &Arc<MarkBoard>,
    clock: &Arc<ProcessClock>,
) -> KeeperParts {
    KeeperParts {
        ledger: Arc::clone(ledger) as Arc<dyn Ledger>,
        store: Arc::clone(hot) as _,
        board: Arc::clone(told),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
    }
}

/// The control plane's publisher, with a deadline that a simulation has time for.
fn publisher(
    ledger: &Arc<LedgerPort>,
    hot: &Arc<HotPort>,
    all: &impl Fn() -> AllKeepers,
) -> Publisher {
    let settings = ControlSettings {
        publish_deadline: std::time::Duration::from_millis(800),
        ..ControlSettings::default()
    };
    Publisher::new(
        Arc::clone(ledger) as Arc<dyn Ledger>,
        Arc::clone(hot) as _,
        Arc::new(all()),
        Arc::new(all()),
        settings,
    )
}

/// Whoever knows more is believed.
fn hear(board: &MarkBoard, lane: LaneId, mark: LaneMark) {
    let Some(held) = board.subscribe(lane) else {
        return;
    };
    let known = |mark: &LaneMark| (mark.epoch, mark.refused.len(), mark.mark);
    let is_news = held.borrow().epoch.is_none() || known(&mark) >= known(&held.borrow());
    drop(held);
    if is_news {
        board.publish(lane, mark);
    }
}

/// Carries the marks of one lane to the engines.
struct Relay {
    world: Weak<World>,
    number: usize,
    lane: LaneId,
    told: Arc<MarkBoard>,
    heard: Arc<MarkBoard>,
    mutation: Option<Mutation>,
    dice: Dice,
}

// === impl Relay ===

impl Relay {
    async fn run(mut self) {
        let Some(mut marks) = self.told.subscribe(self.lane) else {
            return;
        };
        loop {
            let mark = self.changed(marks.borrow_and_update().clone());
            if mark.epoch.is_some() {
                hear(&self.heard, self.lane, mark.clone());
                self.pass_on(&mark);
            } else {
                self.heard.close(self.lane);
            }
            if marks.changed().await.is_err() {
                return;
            }
        }
    }

    /// To the other processes, late, or not at all: the next one says more.
    fn pass_on(&mut self, mark: &LaneMark) {
        let Some(world) = self.world.upgrade() else {
            return;
        };
        for other in 0..world.process_count() {
            if other == self.number || self.dice.chance(150) {
                continue;
            }
            let (world, lane, mark) = (self.world.clone(), self.lane, mark.clone());
            let wait = self.dice.below(30);
            drop(tokio::spawn(async move {
                pause(wait).await;
                let process = world.upgrade().and_then(|world| world.process(other));
                if let Some(process) = process.filter(|process| !process.link.is_isolated()) {
                    process.hear(lane, mark);
                }
            }));
        }
    }

    fn changed(&self, mut mark: LaneMark) -> LaneMark {
        match self.mutation {
            Some(Mutation::DeafToRefusals) => mark.refused = Arc::default(),
            Some(Mutation::RefusedByClaim) => {
                mark.refused = Arc::new(of_every_entry(&mark.refused, ENTRIES_MAX));
            }
            Some(Mutation::EarlyYes) => mark.mark = EntryNumber(u64::MAX),
            Some(_) | None => {}
        }
        mark
    }
}

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

// === impl AllKeepers ===

impl AllKeepers {
    fn each(&self, tell: impl Fn(&Process)) {
        if let Some(world) = self.0.upgrade() {
            for number in 0..world.process_count() {
                if let Some(process) = world.process(number) {
                    tell(&process);
                }
            }
        }
    }
}

impl KeeperRequests for AllKeepers {
    fn hydrate(&self, lane: LaneId, coupon: CouponId) {
        self.each(|process| process.handle.hydrate(lane, coupon));
    }

    fn report_loss(&self, lane: LaneId, epoch: Epoch, reason: NotReady) {
        self.each(|process| process.handle.report_loss(lane, epoch, reason));
    }

    fn granted(&self, lane: LaneId) {
        self.each(|process| process.handle.granted(lane));
    }
}

impl Gateways for AllKeepers {
    fn invalidate(&self, coupon: CouponId) {
        self.each(|process| process.engine.invalidate(coupon));
    }
}

#[async_trait::async_trait]
impl LaneOperator for AllKeepers {
    fn changed(&self, _lane: LaneId, coupon: CouponId) {
        self.each(|process| process.handle.look_at(coupon));
    }

    fn lost(&self, lane: LaneId, epoch: Epoch, reason: NotReady) {
        self.each(|process| process.handle.report_loss(lane, epoch, reason));
    }

    async fn lower_total(
        &self,
        lane: LaneId,
        _coupon: CouponId,
        _target: u64,
    ) -> Result<Lowering, OperatorError> {
        Err(elsewhere(lane))
    }

    async fn recover(&self, lane: LaneId, _accept_ledger: bool) -> Result<(), OperatorError> {
        Err(elsewhere(lane))
    }

    async fn release(&self, lane: LaneId) -> Result<(), OperatorError> {
        Err(elsewhere(lane))
    }

    fn status(&self, _lane: LaneId) -> Option<KeeperStatus> {
        None
    }
}

/// The simulation's operator asks keepers by their handle.
fn elsewhere(lane: LaneId) -> OperatorError {
    OperatorError::Unavailable {
        lane,
        reason: "ask its handle".to_owned(),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
