//! What a server can do to us, on purpose.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluice_claim::port::StoreError;
use sluice_domain::id::{CouponId, EntryNumber, Epoch, LaneId};

use super::state::{EpochKeys, LaneKeys, World};
use super::{ModelHotState, Shared};

/// Transitions that [`ModelHotState::forget_suffix`] can undo.
pub const HISTORY_MAX: usize = 256;

/// A method of the two traits, to aim a fault at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of the same name")]
pub enum ModelOp {
    Decide,
    Definition,
    Winners,
    LoadFilter,
    StoreFilter,
    Facts,
    Take,
    Renew,
    Fence,
    Halt,
    Open,
    SweepEpoch,
    ReadOutbox,
    Mark,
    Refuse,
    Refused,
    Install,
    InstallLease,
    SetFinal,
    ClearFinal,
    Retire,
    HydrateBegin,
    HydrateClaims,
    HydrateFinish,
    Forget,
    Figures,
    Coupons,
    LastSeen,
    Claims,
}

/// One Redis key of an epoch (or the lane hash itself).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKey {
    /// The lane hash.
    Lane,
    /// The outbox stream.
    Outbox,
    /// The mark.
    Mark,
    /// The refused set.
    Refused,
    /// The set of published coupons.
    Known,
    /// The set of hydrated coupons.
    Hydrated,
    /// A coupon's hash.
    Coupon(CouponId),
    /// A coupon's definition.
    Definition(CouponId),
    /// The users who hold claims of a coupon.
    Users(CouponId),
    /// The devices counted for a coupon.
    Devices(CouponId),
    /// The addresses counted for a coupon.
    Addresses(CouponId),
}

/// The faults that were asked for.
#[derive(Debug, Default)]
pub(super) struct Faults {
    before: VecDeque<(ModelOp, StoreError)>,
    after: VecDeque<(ModelOp, StoreError)>,
    delay: Option<Duration>,
}

// === impl Faults ===

impl Faults {
    pub(super) fn before(&mut self, op: ModelOp) -> Option<StoreError> {
        take_first(&mut self.before, op)
    }

    pub(super) fn after(&mut self, op: ModelOp) -> Option<StoreError> {
        take_first(&mut self.after, op)
    }

    pub(super) const fn delay(&self) -> Option<Duration> {
        self.delay
    }
}

fn take_first(faults: &mut VecDeque<(ModelOp, StoreError)>, op: ModelOp) -> Option<StoreError> {
    let index = faults.iter().position(|(aim, _error)| *aim == op)?;
    faults.remove(index).map(|(_aim, error)| error)
}

// === impl ModelHotState ===

impl ModelHotState {
    /// The next call of `op` is not carried out and answers `error`. Faults of one op queue up.
    pub fn fail_next(&self, op: ModelOp, error: StoreError) {
        self.shared().faults.before.push_back((op, error));
    }

    /// The next call of `op` is carried out, but its answer is lost: the caller gets `error`.
    pub fn lose_answer_of_next(&self, op: ModelOp, error: StoreError) {
        self.shared().faults.after.push_back((op, error));
    }

    /// Every call waits this long before it is carried out (`None`: not at all).
    pub fn delay(&self, each: Option<Duration>) {
        self.shared().faults.delay = each;
    }

    /// The server restarts without its data.
    pub fn restart_empty(&self) {
        let world = &mut self.shared().world;
        world.clear();
        world.replid += 1;
    }

    /// The server restarts with all of its data.
    pub fn restart_keeping(&self) {
        self.shared().world.replid += 1;
    }

    /// `FLUSHALL`: the data goes, the server stays the same.
    pub fn flush_all(&self) {
        self.shared().world.clear();
    }

    /// The server restarts from a log that ends `transitions` before the present (those that
    /// changed something count; at most [`HISTORY_MAX`] are kept). Answers how many were lost.
    pub fn forget_suffix(&self, transitions: usize) -> usize {
        let world = &mut self.shared().world;
        world.replid += 1;
        world.undo(transitions)
    }

    /// The primary steps down, its replica, which is `lost` transitions behind, takes over and
    /// hands back. Neither run id, role nor script cache tells: only the id does.
    pub fn step_down_and_up(&self, lost: usize) -> usize {
        self.forget_suffix(lost)
    }

    /// A replica of this server that is `lost` transitions behind and was never promoted: another
    /// server that carries the same id. How many it lacks.
    #[must_use]
    pub fn lagging_replica(&self, lost: usize) -> (Self, usize) {
        let shared = self.shared();
        let mut world = shared.world.clone();
        let outbox_cap = shared.outbox_cap;
        drop(shared);
        let behind = world.undo(lost);
        world.primary = false;
        let replica = Self {
            clock: self.clock.clone(),
            shared: Arc::new(Mutex::new(Shared {
                world,
                faults: Faults::default(),
                outbox_cap,
            })),
            learned: Arc::clone(&self.learned),
        };
        (replica, behind)
    }

    /// The replica becomes a primary under the id `replid`, which no other server has.
    pub fn promote(&self, replid: u64) {
        let world = &mut self.shared().world;
        world.primary = true;
        world.replid = replid;
    }

    /// Makes the server a replica (`false`) or a primary again under the same id (`true`).
    pub fn set_primary(&self, primary: bool) {
        self.shared().world.primary = primary;
    }

    /// Changes the server's identity to a number of the test's choice.
    pub fn set_replid(&self, replid: u64) {
        self.shared().world.replid = replid;
    }

    /// The server's identity.
    #[must_use]
    pub fn replid(&self) -> u64 {
        self.shared().world.replid
    }

    /// One key is gone (a slot move given up half-way, an `UNLINK` by hand).
    pub fn lose_key(&self, lane: LaneId, epoch: Epoch, key: ModelKey) {
        if let Some(keys) = self.shared().world.lanes.get_mut(usize::from(lane.0)) {
            lose(keys, epoch, key);
        }
    }

    /// One entry of an epoch's stream is gone: a gap.
    pub fn lose_entry(&self, lane: LaneId, epoch: Epoch, entry: EntryNumber) {
        if let Some(keys) = self.shared().world.lanes.get_mut(usize::from(lane.0)) {
            keys.epoch_mut(epoch).out.remove(&entry);
        }
    }
}

// === impl World ===

impl World {
    fn clear(&mut self) {
        for keys in &mut self.lanes {
            *keys = LaneKeys::default();
        }
        self.history.clear();
    }

    fn undo(&mut self, transitions: usize) -> usize {
        let mut undone = 0;
        while undone < transitions {
            let Some((index, before)) = self.history.pop_back() else {
                break;
            };
            self.lanes[index] = before;
            undone += 1;
        }
        undone
    }
}

fn lose(keys: &mut LaneKeys, epoch: Epoch, key: ModelKey) {
    if key == ModelKey::Lane {
        keys.hash = None;
        return;
    }
    if !keys.epochs.contains_key(&epoch) {
        return;
    }
    let current = keys.epoch_mut(epoch);
    match key {
        ModelKey::Lane => {}
        ModelKey::Outbox => current.out.clear(),
        ModelKey::Mark => current.mark = None,
        ModelKey::Refused => current.refused.clear(),
        ModelKey::Known => current.known.clear(),
        ModelKey::Hydrated => current.hydrated.clear(),
        ModelKey::Definition(coupon) => {
            current.definitions.remove(&coupon);
        }
        ModelKey::Coupon(coupon)
        | ModelKey::Users(coupon)
        | ModelKey::Devices(coupon)
        | ModelKey::Addresses(coupon) => lose_of_coupon(current, coupon, key),
    }
}

fn lose_of_coupon(current: &mut EpochKeys, coupon: CouponId, key: ModelKey) {
    let Some(held) = current.coupons.get_mut(&coupon).map(Arc::make_mut) else {
        return;
    };
    match key {
        ModelKey::Coupon(_) => held.hash = None,
        ModelKey::Users(_) => held.users.clear(),
        ModelKey::Devices(_) => held.devices.clear(),
        ModelKey::Addresses(_) => held.addresses.clear(),
        ModelKey::Lane
        | ModelKey::Outbox
        | ModelKey::Mark
        | ModelKey::Refused
        | ModelKey::Known
        | ModelKey::Hydrated
        | ModelKey::Definition(_) => {}
    }
}
