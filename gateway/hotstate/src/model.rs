//! Hot state in memory: the double that other crates test with, and the oracle that Redis is
//! compared with.
//!
//! It is written to be read beside the protocol: plain maps, one function per script, no cleverness.
//! Time is injected ([`ModelClock`]), nothing is random, so the same calls give the same answers.
//! Faults that a server can have are methods (see [`fault`]).
//!
//! # The points that the protocol leaves to the scripts
//!
//! Both implementations settle them in the same way; the conformance suite holds them to it.
//!
//! - **Prologue.** In the order that [`crate::lane_store`] lists.
//! - **Repeats.** `fence` by the same (epoch, keeper) changes nothing on a lane that is recovering on
//!   the same server; on any other lane of the same epoch it is `Deposed`. `open` on a lane that is
//!   open in this epoch answers `Done` and changes nothing (else the mark would pass entries that
//!   no ledger has).
//! - **`seq`** is raised, never lowered, by keepers' scripts that carry one and did something. A
//!   fence sets `lease_until` to 0; `take` and `renew` only ever raise it.
//! - **A claim call** whose revision is above the one in force is a `Loss` as a whole, as soon as one
//!   of its claims is neither a repeat nor `replay_only`. Backpressure is an error of the whole
//!   call, and only where the call would grant. A claim whose device or address is present where
//!   the coupon counts none, or absent where it does, comes from a stale definition.
//! - **A coupon that is not `ready`** is `CouponNotReady`, but `Loss` where `:hydrated` names it; nor
//!   does `hydrate_begin` go over such a coupon. Leases and "final" do not look: the next claim
//!   will.
//! - **`opens_at`** starts at the fence's TIME + 1.2 s in every epoch, and is set to TIME + 1.2 s by
//!   a lease that clears `final`.

pub mod fault;
pub mod flaw;

mod claim;
mod coupon;
mod hydration;
mod lane;
mod ports;
mod prologue;
mod state;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::id::{Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use sluice_domain::time::Timestamp;

use fault::{Faults, ModelOp};
use state::{Server, World};

/// Outbox entries that a stream may hold unless [`ModelHotState::set_outbox_cap`] says otherwise.
pub const MODEL_OUTBOX_CAP: usize = 100_000;

/// How long after a restock (or a fence) strangers are told to come back: every memory of "sold
/// out" has ended by then.
pub(crate) const OPENS_AFTER_MS: i64 = 1_200;

/// The clock of the modelled server. Clones are handles of the same clock.
#[derive(Debug, Clone)]
pub struct ModelClock {
    now: Arc<Mutex<Timestamp>>,
}

/// Hot state in memory, as one process reaches it. Clones are handles of the same state and belong to
/// the same process; see [`ModelHotState::of_another_process`].
#[derive(Debug, Clone)]
pub struct ModelHotState {
    clock: ModelClock,
    shared: Arc<Mutex<Shared>>,
    /// The epochs that this process was told of; claims carry them.
    learned: Arc<Mutex<HashMap<LaneId, Epoch>>>,
}

/// What the handles share.
#[derive(Debug)]
struct Shared {
    world: World,
    faults: Faults,
    outbox_cap: usize,
}

// === impl ModelClock ===

impl ModelClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            now: Arc::new(Mutex::new(now)),
        }
    }

    /// The instant it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets it, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Moves it forward.
    pub fn advance_ms(&self, millis: u32) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.plus_millis(i64::from(millis));
    }
}

// === impl ModelHotState ===

impl ModelHotState {
    /// An empty server with room for `lanes` lanes, all of them missing.
    #[must_use]
    pub fn new(lanes: LaneCount, clock: ModelClock) -> Self {
        Self {
            clock,
            shared: Arc::new(Mutex::new(Shared {
                world: World::new(lanes),
                faults: Faults::default(),
                outbox_cap: MODEL_OUTBOX_CAP,
            })),
            learned: Arc::default(),
        }
    }

    /// The same server, reached by another process: one that was told of no epoch yet.
    #[must_use]
    pub fn of_another_process(&self) -> Self {
        Self {
            learned: Arc::default(),
            ..self.clone()
        }
    }

    /// The same process, connected to another server from now on.
    #[must_use]
    pub fn connected_to(&self, server: &Self) -> Self {
        Self {
            learned: Arc::clone(&self.learned),
            ..server.clone()
        }
    }

    /// The server's clock.
    #[must_use]
    pub const fn clock(&self) -> &ModelClock {
        &self.clock
    }

    /// Sets how many entries a stream may hold before claims are refused with backpressure.
    pub fn set_outbox_cap(&self, entries: usize) {
        self.shared().outbox_cap = entries;
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // A panic of another test thread says nothing about the maps: each transition is one
        // assignment of a finished state.
        locked(&self.shared)
    }

    /// The epoch that a call of claims carries. Without one nobody is served.
    fn call_epoch(&self, lane: LaneId) -> Result<Epoch, StoreError> {
        locked(&self.learned)
            .get(&lane)
            .copied()
            .filter(|&epoch| epoch > Epoch(0))
            .ok_or(StoreError::LaneNotReady {
                lane,
                epoch: Epoch(0),
                reason: NotReady::Recovering,
            })
    }

    /// Carries out one script, with the faults that were asked for.
    async fn run<T>(
        &self,
        op: ModelOp,
        script: impl FnOnce(&mut Shared, Server) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let delay = self.shared().faults.delay();
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        let mut shared = self.shared();
        if let Some(error) = shared.faults.before(op) {
            return Err(error);
        }
        let server = shared.world.server(self.clock.now());
        let answer = script(&mut shared, server);
        match shared.faults.after(op) {
            Some(error) => Err(error),
            None => answer,
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
