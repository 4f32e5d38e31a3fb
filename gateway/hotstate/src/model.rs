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
//! - **Repeats.** `fence` by the same (epoch, keeper) on a recovering lane is done again and changes
//!   nothing; on an open or halted one of the same epoch it is `Deposed`. `open` on a lane that is
//!   open in this epoch answers `Done` and changes nothing (else the mark would pass entries that
//!   no ledger has).
//! - **`seq`** is raised, never lowered, by every keeper's script that carries one and passed the
//!   prologue, whatever it answers then. So is `lease_until` by `take`, `renew` and `open`.
//! - **A claim call** whose revision is above the one in force is a `Loss` as a whole, as soon as one
//!   of its claims is neither a repeat nor `replay_only`. Backpressure is an error of the whole
//!   call, and only where the call would grant. A claim whose device or address is present where
//!   the coupon counts none, or absent where it does, comes from a stale definition.
//! - **A coupon that is not `ready`** is `CouponNotReady`, but `Loss` where `:hydrated` names it.
//!   Keepers' scripts see the same: `hydrate_begin` refuses to go over such a coupon.
//! - **`opens_at`** starts at the fence's TIME + 1.2 s in every epoch, and is set to TIME + 1.2 s by
//!   a lease that clears `final`.

pub mod fault;

mod claim;
mod coupon;
mod hydration;
mod lane;
mod prologue;
mod state;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_claim::port::{
    ClaimCall, ClaimReply, ClaimStore, DefinitionAnswer, SoldOutProof, StoreError, WinnersPage,
};
use sluice_domain::claim::{ClaimRow, GrantRecord};
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, Epoch, LaneId, LedgerId, UserId};
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

use crate::lane_store::{
    CouponFigures, Fenced, FencedOff, HydrateBegin, Hydration, Installed, LaneFacts, LaneStore,
    LeaseInstall, LeaseInstalled, OutboxEntry, Refusal, Retire, Retired,
};
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

/// Hot state in memory. Clones are handles of the same state.
#[derive(Debug, Clone)]
pub struct ModelHotState {
    clock: ModelClock,
    shared: Arc<Mutex<Shared>>,
}

/// What the handles share.
#[derive(Debug)]
struct Shared {
    world: World,
    faults: Faults,
    /// The epochs that this process was told of; claims carry them.
    learned: HashMap<LaneId, Epoch>,
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
                learned: HashMap::new(),
                outbox_cap: MODEL_OUTBOX_CAP,
            })),
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
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
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

// === impl Shared ===

impl Shared {
    /// The epoch that a call of claims carries: learned, or read from the lane the first time.
    fn call_epoch(&mut self, lane: LaneId) -> Epoch {
        if let Some(&epoch) = self.learned.get(&lane) {
            return epoch;
        }
        match self.world.lane(lane).and_then(|keys| keys.hash.as_ref()) {
            Some(hash) => {
                let epoch = hash.epoch;
                self.learned.insert(lane, epoch);
                epoch
            }
            None => Epoch(0),
        }
    }
}

// === impl ClaimStore for ModelHotState ===

impl ClaimStore for ModelHotState {
    async fn decide(&self, call: ClaimCall) -> Result<ClaimReply, StoreError> {
        self.run(ModelOp::Decide, move |shared, server| {
            let epoch = shared.call_epoch(call.lane);
            let cap = shared.outbox_cap;
            shared.world.transition(call.lane, |keys| {
                claim::decide(keys, server, epoch, cap, &call)
            })?
        })
        .await
    }

    async fn definition(
        &self,
        lane: LaneId,
        coupon: CouponId,
    ) -> Result<DefinitionAnswer, StoreError> {
        self.run(ModelOp::Definition, move |shared, server| {
            let epoch = shared.call_epoch(lane);
            claim::definition(shared.world.existing(lane)?, server, lane, epoch, coupon)
        })
        .await
    }

    async fn winners(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
        cursor: u64,
    ) -> Result<Option<WinnersPage>, StoreError> {
        self.run(ModelOp::Winners, move |shared, server| {
            let epoch = shared.call_epoch(lane);
            let keys = shared.world.existing(lane)?;
            let held = claim::proven(keys, server, lane, epoch, coupon, proof)?;
            Ok(held.map(|coupon| claim::winners(coupon, cursor)))
        })
        .await
    }

    async fn load_filter(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.run(ModelOp::LoadFilter, move |shared, server| {
            let epoch = shared.call_epoch(lane);
            let keys = shared.world.existing(lane)?;
            let held = claim::proven(keys, server, lane, epoch, coupon, proof)?;
            Ok(held.and_then(|coupon| claim::stored_filter(coupon, proof)))
        })
        .await
    }

    async fn store_filter(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
        filter: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.run(ModelOp::StoreFilter, move |shared, server| {
            let epoch = shared.call_epoch(lane);
            shared.world.transition(lane, |keys| {
                claim::store_filter(keys, server, (lane, epoch), coupon, proof, filter)
            })?
        })
        .await
    }
}

// === impl LaneStore for ModelHotState ===

#[async_trait::async_trait]
impl LaneStore for ModelHotState {
    async fn facts(&self, lane: LaneId) -> Result<Option<LaneFacts>, StoreError> {
        self.run(ModelOp::Facts, move |shared, server| {
            Ok(shared.world.existing(lane)?.facts(server))
        })
        .await
    }

    fn learn_epoch(&self, lane: LaneId, epoch: Epoch) {
        self.shared().learned.insert(lane, epoch);
    }

    async fn take(
        &self,
        fence: LaneFence,
        ledger: LedgerId,
        lease_until: Timestamp,
    ) -> Result<Fenced<LaneFacts>, StoreError> {
        self.run(ModelOp::Take, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                lane::take(keys, server, fence, ledger, lease_until)
            })
        })
        .await
    }

    async fn renew(
        &self,
        fence: LaneFence,
        lease_until: Timestamp,
        seq: u64,
    ) -> Result<Fenced<LaneFacts>, StoreError> {
        self.run(ModelOp::Renew, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                lane::renew(keys, server, fence, lease_until, seq)
            })
        })
        .await
    }

    async fn fence(
        &self,
        fence: LaneFence,
        ledger: LedgerId,
    ) -> Result<Fenced<FencedOff>, StoreError> {
        self.run(ModelOp::Fence, move |shared, server| {
            shared
                .world
                .transition(fence.lane, |keys| lane::fence(keys, server, fence, ledger))
        })
        .await
    }

    async fn halt(&self, fence: LaneFence) -> Result<Fenced<()>, StoreError> {
        self.run(ModelOp::Halt, move |shared, server| {
            shared
                .world
                .transition(fence.lane, |keys| lane::halt(keys, server, fence))
        })
        .await
    }

    async fn open(
        &self,
        fence: LaneFence,
        lease_until: Timestamp,
        known: &[CouponId],
        retired: &[CouponId],
        seq: u64,
    ) -> Result<Fenced<()>, StoreError> {
        let opening = lane::Opening {
            lease_until,
            known,
            retired,
            seq,
        };
        self.run(ModelOp::Open, move |shared, server| {
            shared
                .world
                .transition(fence.lane, |keys| lane::open(keys, server, fence, &opening))
        })
        .await
    }

    async fn sweep_epoch(&self, lane: LaneId, ended: Epoch) -> Result<bool, StoreError> {
        self.run(ModelOp::SweepEpoch, move |shared, _server| {
            shared
                .world
                .transition(lane, |keys| lane::sweep(keys, ended))
        })
        .await
    }

    async fn read_outbox(
        &self,
        lane: LaneId,
        epoch: Epoch,
        after: EntryNumber,
        count: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        self.run(ModelOp::ReadOutbox, move |shared, server| {
            let keys = prologue::readable(shared.world.existing(lane)?, server, lane)?;
            Ok(lane::read_outbox(keys, epoch, after, count))
        })
        .await
    }

    async fn mark(
        &self,
        fence: LaneFence,
        mark: EntryNumber,
        seq: u64,
    ) -> Result<Fenced<LaneFacts>, StoreError> {
        self.run(ModelOp::Mark, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                lane::mark(keys, server, fence, mark, seq)
            })
        })
        .await
    }

    async fn refuse(&self, fence: LaneFence, refusal: Refusal) -> Result<Fenced<()>, StoreError> {
        self.run(ModelOp::Refuse, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                lane::refuse(keys, server, fence, refusal)
            })
        })
        .await
    }

    async fn refused(
        &self,
        lane: LaneId,
        epoch: Epoch,
    ) -> Result<Vec<(ClaimId, EntryNumber)>, StoreError> {
        self.run(ModelOp::Refused, move |shared, server| {
            let keys = prologue::readable(shared.world.existing(lane)?, server, lane)?;
            Ok(lane::refused(keys, epoch))
        })
        .await
    }

    async fn install(
        &self,
        lane: LaneId,
        epoch: Epoch,
        published: &Published,
    ) -> Result<Installed, StoreError> {
        self.run(ModelOp::Install, move |shared, server| {
            shared
                .world
                .transition(lane, |keys| coupon::install(keys, server, epoch, published))
        })
        .await
    }

    async fn install_lease(
        &self,
        fence: LaneFence,
        lease: LeaseInstall,
    ) -> Result<Fenced<LeaseInstalled>, StoreError> {
        self.run(ModelOp::InstallLease, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                coupon::install_lease(keys, server, fence, lease)
            })
        })
        .await
    }

    async fn set_final(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        more_may_come: bool,
    ) -> Result<Fenced<()>, StoreError> {
        self.run(ModelOp::SetFinal, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                coupon::set_final(keys, server, fence, coupon, more_may_come)
            })
        })
        .await
    }

    async fn retire(
        &self,
        fence: LaneFence,
        retire: Retire,
    ) -> Result<Fenced<Retired>, StoreError> {
        self.run(ModelOp::Retire, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                coupon::retire(keys, server, fence, retire)
            })
        })
        .await
    }

    async fn hydrate_begin(
        &self,
        fence: LaneFence,
        begin: &HydrateBegin,
        attempt: u64,
    ) -> Result<Fenced<Hydration>, StoreError> {
        self.run(ModelOp::HydrateBegin, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                hydration::begin(keys, server, fence, begin, attempt)
            })
        })
        .await
    }

    async fn hydrate_claims(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        attempt: u64,
        rows: &[ClaimRow],
    ) -> Result<Fenced<Hydration>, StoreError> {
        self.run(ModelOp::HydrateClaims, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                hydration::fill(keys, server, fence, (coupon, attempt), rows)
            })
        })
        .await
    }

    async fn hydrate_finish(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        attempt: u64,
        users: u64,
        devices: u64,
        addresses: u64,
    ) -> Result<Fenced<Hydration>, StoreError> {
        let filled = hydration::Filled {
            users,
            devices,
            addresses,
        };
        self.run(ModelOp::HydrateFinish, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                hydration::finish(keys, server, fence, (coupon, attempt), filled)
            })
        })
        .await
    }

    async fn forget(&self, fence: LaneFence, coupon: CouponId) -> Result<Fenced<()>, StoreError> {
        self.run(ModelOp::Forget, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                coupon::forget(keys, server, fence, coupon)
            })
        })
        .await
    }

    async fn figures(
        &self,
        lane: LaneId,
        coupon: CouponId,
    ) -> Result<Option<CouponFigures>, StoreError> {
        self.run(ModelOp::Figures, move |shared, server| {
            let keys = prologue::readable(shared.world.existing(lane)?, server, lane)?;
            Ok(coupon::figures(keys, coupon))
        })
        .await
    }

    async fn coupons(&self, lane: LaneId) -> Result<Vec<(CouponId, bool)>, StoreError> {
        self.run(ModelOp::Coupons, move |shared, server| {
            let keys = prologue::readable(shared.world.existing(lane)?, server, lane)?;
            Ok(coupon::list(keys))
        })
        .await
    }

    async fn claims(
        &self,
        lane: LaneId,
        coupon: CouponId,
        cursor: u64,
    ) -> Result<(Vec<(UserId, GrantRecord)>, Option<u64>), StoreError> {
        self.run(ModelOp::Claims, move |shared, server| {
            let keys = prologue::readable(shared.world.existing(lane)?, server, lane)?;
            Ok(coupon::claims(keys, coupon, cursor))
        })
        .await
    }
}
