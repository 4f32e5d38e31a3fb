//! Virtual time: it stands still while anybody can go on, then jumps to the next timer.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sluice_domain::time::Timestamp;
use sluice_workers::Clock;
use tokio::time::{Instant, sleep};

/// When every simulation begins, in milliseconds of the calendar.
const BEGINNING_MS: i64 = 1_795_737_600_000;
/// Milliseconds from one turn of an actor to its next.
const TURNS: u64 = 32;

tokio::task_local! {
    /// The turn of the actor whose task this is.
    static TURN: Cell<u64>;
}

/// The one true clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct VirtualTime {
    began: Instant,
}

/// The clock of one process, whose time of day may be wrong.
#[derive(Debug)]
pub(super) struct ProcessClock {
    time: VirtualTime,
    skew_ms: AtomicI64,
}

/// Runs an actor that has this turn.
pub(super) async fn in_turn<T>(turn: u64, actor: impl Future<Output = T>) -> T {
    TURN.scope(Cell::new(turn % TURNS), actor).await
}

// === impl VirtualTime ===

impl VirtualTime {
    pub(super) fn begin() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Milliseconds since the simulation began.
    pub(super) fn now_ms(self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn now(self) -> Timestamp {
        Timestamp::from_millis(BEGINNING_MS.saturating_add_unsigned(self.now_ms()))
    }

    /// Lets an actor wait for its turn. Who wakes first of several that wait for one mark is not
    /// for this program to say; from here on each acts in a millisecond of its own, so that the
    /// order is the same in every run.
    pub(super) async fn take_turn(self) {
        if let Ok(turn) = TURN.try_with(Cell::get) {
            let wait = (turn + TURNS - self.now_ms() % TURNS) % TURNS;
            pause(wait).await;
        }
    }
}

/// Waits in virtual time.
pub(super) async fn pause(millis: u64) {
    if millis > 0 {
        sleep(Duration::from_millis(millis)).await;
    }
}

// === impl ProcessClock ===

impl ProcessClock {
    pub(super) fn new(time: VirtualTime) -> Arc<Self> {
        Arc::new(Self {
            time,
            skew_ms: AtomicI64::new(0),
        })
    }

    /// Sets how far the time of day is off from now on.
    pub(super) fn set_skew_ms(&self, skew_ms: i64) {
        self.skew_ms.store(skew_ms, Ordering::Relaxed);
    }
}

impl Clock for ProcessClock {
    fn monotonic_ms(&self) -> u64 {
        self.time.now_ms() + 1
    }

    fn wall(&self) -> Timestamp {
        let skew = self.skew_ms.load(Ordering::Relaxed);
        self.time.now().plus_millis(skew)
    }
}
