//! The way from a process to its stores, on which everything goes wrong that can.
//!
//! Each call of a store passes here, and the dice say what becomes of it: how long it is under way,
//! whether it is carried out once, twice, late or not at all, whether its answer arrives, and whether
//! the process that asked is still there. What is under way belongs to nobody: it arrives also where
//! whoever sent it has given up or died.

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_domain::lane::LaneCount;
use sluice_hotstate::model::ModelHotState;
use sluice_ledger::ModelLedger;
use sluice_ledger::lanes::Lanes as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::count::Counts;
use super::dice::Dice;
use super::scene::Scene;
use super::story::{Story, briefly};
use super::time::{VirtualTime, pause};
use super::watch::Watch;

/// How long a call of hot state is waited for; after that its outcome is unknown.
const HOT_CALL_WITHIN: Duration = Duration::from_millis(400);
/// How long it takes to find out that nobody is there.
const NOBODY_THERE_MS: u64 = 25;

/// How often calls go wrong, in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    pub(super) not_carried_out: u32,
    pub(super) answer_lost: u32,
    pub(super) late: u32,
    pub(super) twice: u32,
    pub(super) deadly: u32,
    /// Nothing goes wrong, whatever the scene says.
    pub(super) is_calm: bool,
}

/// What all processes share.
pub(super) struct Net {
    pub(super) scene: Scene,
    pub(super) time: VirtualTime,
    pub(super) story: Story,
    pub(super) counts: Counts,
    pub(super) watch: Watch,
    pub(super) ledger: Arc<ModelLedger>,
    dice: Mutex<Dice>,
    weather: Mutex<Weather>,
    ledger_down_until: AtomicU64,
    deaths: mpsc::UnboundedSender<usize>,
}

/// The links of one process, from its start to its end.
pub(super) struct Link {
    pub(super) net: Arc<Net>,
    pub(super) process: usize,
    dead: AtomicBool,
    hot: Mutex<ModelHotState>,
    hot_cut_until: AtomicU64,
    ledger_cut_until: AtomicU64,
    still_until: AtomicU64,
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Hot,
    Ledger,
}

/// The errors of a store that does not answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence<E> {
    pub(super) not_carried_out: fn() -> E,
    pub(super) unknown: fn() -> E,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It takes so long there and back.
    Plain(u64, u64),
    NotCarriedOut,
    AnswerLost,
    /// It arrives after so long.
    Late(u64),
    /// Its first answer is lost, so it is sent once more after so long, and that answer counts.
    Twice(u64),
    /// The process dies: before it is carried out where true.
    Deadly(bool),
}

// === impl Net ===

impl Net {
    pub(super) fn new(
        scene: Scene,
        dice: Dice,
        story: Story,
        ledger: Arc<ModelLedger>,
        watch: Watch,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<usize>) {
        let (deaths, died) = mpsc::unbounded_channel();
        let net = Self {
            scene,
            time: VirtualTime::begin(),
            story,
            counts: Counts::default(),
            watch,
            ledger,
            dice: Mutex::new(dice),
            weather: Mutex::default(),
            ledger_down_until: AtomicU64::new(0),
            deaths,
        };
        (Arc::new(net), died)
    }

    /// The process of this number is to end, and to be started again.
    pub(super) fn report_death(&self, number: usize) {
        // Without a listener the simulation is over.
        let _over = self.deaths.send(number);
    }

    pub(super) fn ledger_lanes(&self) -> LaneCount {
        self.ledger.identity().lanes
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        *locked(&self.weather) = weather;
    }

    /// Nobody reaches the ledger for so long.
    pub(super) fn ledger_down(&self, millis: u64) {
        let until = self.time.now_ms() + millis;
        self.ledger_down_until.store(until, Ordering::Relaxed);
    }

    /// Whether what a hydration filled in goes before it is looked at.
    pub(super) fn loses_key(&self) -> bool {
        let share = locked(&self.weather).not_carried_out * 3;
        let lost = locked(&self.dice).chance(share);
        if lost {
            self.counts.add("fault: a key is lost while it is filled");
        }
        lost
    }

    fn fate(&self, side: Side, what: &str) -> Fate {
        let weather = *locked(&self.weather);
        let mut dice = locked(&self.dice);
        let (throw, mut edge) = (dice.below(1_000), 0);
        let mut falls = |share: u32| {
            let from = edge;
            edge += u64::from(share);
            (from..edge).contains(&throw)
        };
        if falls(weather.not_carried_out) {
            return Fate::NotCarriedOut;
        }
        let of_scene = self.scene.loses_answer_of(what);
        if of_scene > 0 && !weather.is_calm && dice.chance(of_scene) {
            return Fate::AnswerLost;
        }
        if falls(weather.answer_lost) {
            return Fate::AnswerLost;
        }
        if falls(weather.late) {
            let most = if dice.chance(200) { 4_000 } else { 600 };
            let most = if side == Side::Ledger { most / 2 } else { most };
            return Fate::Late(dice.between(20, most));
        }
        if side == Side::Hot && falls(weather.twice) {
            let later = if dice.chance(700) { 8 } else { 1_500 };
            return Fate::Twice(dice.between(1, later));
        }
        if falls(weather.deadly) {
            return Fate::Deadly(dice.chance(500));
        }
        let mut way = || {
            if dice.chance(600) {
                0
            } else {
                dice.between(1, 5)
            }
        };
        Fate::Plain(way(), way())
    }
}

// === impl Link ===

impl Link {
    pub(super) fn new(net: Arc<Net>, process: usize, hot: ModelHotState) -> Arc<Self> {
        Arc::new(Self {
            net,
            process,
            dead: AtomicBool::new(false),
            hot: Mutex::new(hot),
            hot_cut_until: AtomicU64::new(0),
            ledger_cut_until: AtomicU64::new(0),
            still_until: AtomicU64::new(0),
        })
    }

    pub(super) fn hot(&self) -> ModelHotState {
        locked(&self.hot).clone()
    }

    /// Calls that are sent from here on go to another server.
    pub(super) fn connect_to(&self, server: &ModelHotState) {
        let mut hot = locked(&self.hot);
        *hot = hot.connected_to(server);
    }

    pub(super) fn cut(&self, side: Side, millis: u64) {
        let until = self.net.time.now_ms() + millis;
        let cut = match side {
            Side::Hot => &self.hot_cut_until,
            Side::Ledger => &self.ledger_cut_until,
        };
        cut.store(until, Ordering::Relaxed);
    }

    /// The process does nothing for so long, and then goes on as if nothing had been.
    pub(super) fn stand_still(&self, millis: u64) {
        let until = self.net.time.now_ms() + millis;
        self.still_until.store(until, Ordering::Relaxed);
    }

    /// Nothing is cut off or stands still any more.
    pub(super) fn heal(&self) {
        self.hot_cut_until.store(0, Ordering::Relaxed);
        self.ledger_cut_until.store(0, Ordering::Relaxed);
        self.still_until.store(0, Ordering::Relaxed);
        self.net.ledger_down_until.store(0, Ordering::Relaxed);
    }

    /// The process is no more: it sends nothing and hears nothing.
    pub(super) fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// One call, whatever becomes of it.
    pub(super) async fn call<T, E>(
        self: &Arc<Self>,
        side: Side,
        what: &'static str,
        silence: Silence<E>,
        carry_out: impl Fn() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Debug + Send + 'static,
        E: Debug + Send + 'static,
    {
        self.net.time.take_turn().await;
        self.stand().await;
        if self.is_cut(side) {
            pause(NOBODY_THERE_MS).await;
            self.stand().await;
            return Err((silence.not_carried_out)());
        }
        let step = {
            let (net, process) = (Arc::clone(&self.net), self.process);
            move |how: &'static str| {
                let answer = carry_out();
                net.tell(process, what, how, &answer);
                answer
            }
        };
        let answer = self.meet_fate(side, what, silence, step).await;
        self.stand().await;
        answer
    }

    /// Carries a call out once more, after so long.
    pub(super) fn echo<T, E>(
        &self,
        what: &'static str,
        after_ms: u64,
        carry_out: impl Fn() -> Result<T, E> + Send + 'static,
    ) where
        T: Debug + Send + 'static,
        E: Debug + Send + 'static,
    {
        let (net, process) = (Arc::clone(&self.net), self.process);
        net.counts.add("call: hot state, an echo");
        drop(send(after_ms, move || {
            net.tell(process, what, " (an echo)", &carry_out());
        }));
    }

    /// What the dice say of a call.
    async fn meet_fate<T, E>(
        self: &Arc<Self>,
        side: Side,
        what: &'static str,
        silence: Silence<E>,
        step: impl Fn(&'static str) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Debug + Send + 'static,
        E: Debug + Send + 'static,
    {
        match self.net.fate(side, what) {
            Fate::Plain(there, back) => {
                pause(there).await;
                self.stand().await;
                let answer = step("");
                pause(back).await;
                answer
            }
            Fate::NotCarriedOut => {
                self.note(
                    side,
                    [
                        "not carried out",
                        "call: hot state, not carried out",
                        "call: ledger, not carried out",
                    ],
                    what,
                );
                pause(NOBODY_THERE_MS).await;
                Err((silence.not_carried_out)())
            }
            Fate::AnswerLost => {
                self.note(
                    side,
                    [
                        "its answer is lost",
                        "call: hot state, answer lost",
                        "call: ledger, answer lost",
                    ],
                    what,
                );
                pause(1).await;
                drop(step(" (answer lost)"));
                pause(NOBODY_THERE_MS).await;
                Err((silence.unknown)())
            }
            Fate::Late(millis) => {
                self.note(
                    side,
                    ["is late", "call: hot state, late", "call: ledger, late"],
                    what,
                );
                let late = send(millis, move || step(" (late)"));
                self.wait_for(side, late, silence).await
            }
            Fate::Twice(millis) => {
                self.note(
                    side,
                    [
                        "is sent twice",
                        "call: hot state, twice",
                        "call: hot state, twice",
                    ],
                    what,
                );
                drop(step(" (answer lost)"));
                let second = send(millis, move || step(" (again)"));
                let unknown = silence.unknown;
                let answer = self.wait_for(side, second, silence).await;
                // "Nothing happened" of the second says nothing of the first.
                answer.map_err(|_of_second| unknown())
            }
            Fate::Deadly(before) => self.end_at(what, before, step).await,
        }
    }

    /// Waits while the process stands still; for ever where it is dead.
    async fn stand(&self) {
        loop {
            if self.is_dead() {
                std::future::pending::<()>().await;
            }
            let until = self.still_until.load(Ordering::Relaxed);
            let now = self.net.time.now_ms();
            if now >= until {
                return;
            }
            pause(until - now).await;
        }
    }

    /// Whether this process, for now, hears nothing from where the ledger is.
    pub(super) fn is_isolated(&self) -> bool {
        self.is_cut(Side::Ledger)
    }

    fn is_cut(&self, side: Side) -> bool {
        let now = self.net.time.now_ms();
        match side {
            Side::Hot => now < self.hot_cut_until.load(Ordering::Relaxed),
            Side::Ledger => {
                now < self.ledger_cut_until.load(Ordering::Relaxed)
                    || now < self.net.ledger_down_until.load(Ordering::Relaxed)
            }
        }
    }

    fn note(&self, side: Side, [how, hot, ledger]: [&'static str; 3], what: &'static str) {
        self.net.counts.add(match side {
            Side::Hot => hot,
            Side::Ledger => ledger,
        });
        let at = self.net.time.now_ms();
        self.net
            .story
            .step(at, self.process, what, 7, || how.to_owned());
    }

    /// The answer of a call under way. The ledger is waited for as long as it takes.
    async fn wait_for<T, E>(
        &self,
        side: Side,
        answer: oneshot::Receiver<Result<T, E>>,
        silence: Silence<E>,
    ) -> Result<T, E> {
        let unknown = || Err((silence.unknown)());
        match side {
            Side::Hot => {
                let answer = timeout(HOT_CALL_WITHIN, answer).await;
                answer.ok().and_then(Result::ok).unwrap_or_else(unknown)
            }
            Side::Ledger => answer.await.unwrap_or_else(|_gone| unknown()),
        }
    }

    /// The process ends with this call.
    async fn end_at<T, E>(
        &self,
        what: &'static str,
        before: bool,
        step: impl Fn(&'static str) -> Result<T, E>,
    ) -> Result<T, E> {
        if !before {
            drop(step(" (the process dies of it)"));
        }
        self.net.counts.add(if before {
            "fault: a process dies before a call"
        } else {
            "fault: a process dies after a call"
        });
        let at = self.net.time.now_ms();
        self.net
            .story
            .step(at, self.process, what, 9, || "the process dies".to_owned());
        self.die();
        self.net.report_death(self.process);
        std::future::pending().await
    }
}

impl Net {
    fn tell<T: Debug, E: Debug>(
        &self,
        process: usize,
        what: &'static str,
        how: &'static str,
        answer: &Result<T, E>,
    ) {
        let end = u64::from(answer.is_err());
        self.story.step(self.time.now_ms(), process, what, end, || {
            // A winner filter is made with a seed of its own; what it says is the same.
            if what == "load_filter" {
                return how.to_owned();
            }
            format!("{}{how}", briefly(answer))
        });
    }
}

/// Carries a call out after so long, whatever becomes of its sender.
fn send<T: Send + 'static>(
    millis: u64,
    step: impl FnOnce() -> T + Send + 'static,
) -> oneshot::Receiver<T> {
    let (sender, answer) = oneshot::channel();
    // It ends by itself.
    drop(tokio::spawn(async move {
        pause(millis).await;
        let _gone = sender.send(step());
    }));
    answer
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
