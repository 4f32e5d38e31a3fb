//! The keys of the modelled server. One struct per Redis key, maps where Redis has hashes.
//!
//! Everything below a lane is shared by pointer and copied on write: a snapshot per transition (see
//! [`super::fault`]) costs little more than the part that changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sluice_claim::port::{SoldOutProof, StoreError};
use sluice_domain::claim::{GrantBatch, GrantRecord};
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, Epoch, KeeperNumber, LaneId, LeaseNumber, LedgerId, Revision,
    StockSeq, SubjectHash, Ticket, UserId,
};
use sluice_domain::lane::LaneCount;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

use super::flaw::{Flaw, Tear};
use crate::lane_store::{LaneFacts, LaneState};

/// What a script sees of the server it runs on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Server {
    /// `TIME`.
    pub(super) now: Timestamp,
    /// `master_replid`: changes with every restart, promotion, step down and up.
    pub(super) replid: u64,
    /// `role:master`.
    pub(super) primary: bool,
    /// The rule that is broken on purpose.
    pub(super) flaw: Option<Flaw>,
    /// Where a script that grants breaks off.
    pub(super) tear: Option<Tear>,
}

/// The whole server, and what it may lose.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) lanes: Vec<LaneKeys>,
    pub(super) replid: u64,
    pub(super) primary: bool,
    pub(super) flaw: Option<Flaw>,
    pub(super) tear: Option<Tear>,
    /// Lanes as they were before each of the last transitions, newest last.
    pub(super) history: VecDeque<(usize, LaneKeys)>,
    pub(super) history_max: usize,
}

/// All keys of one lane.
#[derive(Debug, Clone, Default)]
pub(super) struct LaneKeys {
    pub(super) hash: Option<LaneHash>,
    pub(super) epochs: BTreeMap<Epoch, Arc<EpochKeys>>,
}

/// `{lane}:lane`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LaneHash {
    pub(super) epoch: Epoch,
    pub(super) state: LaneState,
    pub(super) replid: u64,
    pub(super) keeper: KeeperNumber,
    pub(super) lease_until: Timestamp,
    pub(super) ledger_id: LedgerId,
    pub(super) seq: u64,
    pub(super) tail: EntryNumber,
    pub(super) unsalvaged: Vec<Epoch>,
    pub(super) fenced_at: Timestamp,
    /// What the size of `:known` has to be.
    pub(super) known: usize,
    /// What the size of `:hydrated` has to be.
    pub(super) hydrated: usize,
    /// What the size of `:refused` has to be.
    pub(super) refused: usize,
}

/// The keys of one epoch of a lane.
#[derive(Debug, Clone, Default)]
pub(super) struct EpochKeys {
    pub(super) coupons: BTreeMap<CouponId, Arc<CouponKeys>>,
    pub(super) definitions: BTreeMap<CouponId, Arc<Published>>,
    pub(super) out: BTreeMap<EntryNumber, Arc<GrantBatch>>,
    pub(super) mark: Option<EntryNumber>,
    pub(super) refused: BTreeSet<(ClaimId, EntryNumber)>,
    /// Coupon to "is retired".
    pub(super) known: BTreeMap<CouponId, bool>,
    pub(super) hydrated: BTreeSet<CouponId>,
}

/// The keys of one coupon.
#[derive(Debug, Clone, Default)]
pub(super) struct CouponKeys {
    pub(super) hash: Option<CouponHash>,
    pub(super) users: BTreeMap<UserId, Vec<GrantRecord>>,
    pub(super) devices: BTreeMap<SubjectHash, u64>,
    pub(super) addresses: BTreeMap<SubjectHash, u64>,
    pub(super) filter: Option<(SoldOutProof, Vec<u8>)>,
}

/// The coupon hash.
#[derive(Debug, Clone)]
pub(super) struct CouponHash {
    /// The revision in force.
    pub(super) published: Arc<Published>,
    /// The revision that the hydration began with.
    pub(super) begun: Revision,
    pub(super) ready: bool,
    pub(super) attempt: u64,
    pub(super) leases: VecDeque<ListedLease>,
    pub(super) last_lease: LeaseNumber,
    pub(super) is_final: bool,
    pub(super) more_may_come: bool,
    pub(super) stock_seq: StockSeq,
    pub(super) opens_at: Timestamp,
    /// The entry of the last call that began to write a grant, and of the last that ended.
    pub(super) writing: (EntryNumber, EntryNumber),
    /// What the sizes of the three hashes have to be.
    pub(super) users: usize,
    pub(super) devices: usize,
    pub(super) addresses: usize,
}

/// A lease on the list: `next` up to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListedLease {
    pub(super) number: LeaseNumber,
    pub(super) next: Ticket,
    pub(super) end: Ticket,
}

// === impl Server ===

impl Server {
    /// Whether the lane was opened on this server as it is now.
    pub(super) fn is_the_one_of(self, hash: &LaneHash) -> bool {
        (self.primary || self.has(Flaw::RoleUnchecked))
            && (self.replid == hash.replid || self.has(Flaw::ReplidUnchecked))
    }

    pub(super) fn has(self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}

// === impl World ===

impl World {
    pub(super) fn new(lanes: LaneCount) -> Self {
        Self {
            lanes: lanes.iter().map(|_lane| LaneKeys::default()).collect(),
            replid: 1,
            primary: true,
            flaw: None,
            tear: None,
            history: VecDeque::new(),
            history_max: super::fault::HISTORY_MAX,
        }
    }

    pub(super) const fn server(&self, now: Timestamp) -> Server {
        Server {
            now,
            replid: self.replid,
            primary: self.primary,
            flaw: self.flaw,
            tear: self.tear,
        }
    }

    pub(super) fn lane(&self, lane: LaneId) -> Option<&LaneKeys> {
        self.lanes.get(usize::from(lane.0))
    }

    /// The lane's keys, or the error that Redis would give for a lane outside the count.
    pub(super) fn existing(&self, lane: LaneId) -> Result<&LaneKeys, StoreError> {
        self.lane(lane).ok_or_else(|| no_such_lane(lane))
    }

    /// Runs a script on a lane, and keeps the lane as it was before, if it changed anything.
    pub(super) fn transition<T>(
        &mut self,
        lane: LaneId,
        script: impl FnOnce(&mut LaneKeys) -> T,
    ) -> Result<T, StoreError> {
        let index = usize::from(lane.0);
        let keys = self
            .lanes
            .get_mut(index)
            .ok_or_else(|| no_such_lane(lane))?;
        let before = keys.clone();
        let answer = script(keys);
        if !keys.is_same(&before) {
            self.history.push_back((index, before));
            while self.history.len() > self.history_max {
                self.history.pop_front();
            }
        }
        Ok(answer)
    }
}

fn no_such_lane(lane: LaneId) -> StoreError {
    StoreError::Protocol {
        reason: format!("there is no lane {lane}"),
    }
}

// === impl LaneKeys ===

impl LaneKeys {
    /// Whether nothing was written since `before` was cloned: what is written is copied first.
    fn is_same(&self, before: &Self) -> bool {
        self.hash == before.hash
            && self.epochs.len() == before.epochs.len()
            && self
                .epochs
                .iter()
                .zip(&before.epochs)
                .all(|(now, then)| now.0 == then.0 && Arc::ptr_eq(now.1, then.1))
    }

    /// Whether nothing is left of an epoch.
    pub(super) fn has_none_of(&self, epoch: Epoch) -> bool {
        self.epochs.get(&epoch).is_none_or(|keys| keys.is_empty())
    }

    /// The keys of the epoch in force, to read.
    pub(super) fn current(&self) -> Option<&EpochKeys> {
        let epoch = self.hash.as_ref()?.epoch;
        self.epochs.get(&epoch).map(Arc::as_ref)
    }

    /// The keys of an epoch, to write.
    pub(super) fn epoch_mut(&mut self, epoch: Epoch) -> &mut EpochKeys {
        Arc::make_mut(self.epochs.entry(epoch).or_default())
    }

    pub(super) fn facts(&self, server: Server) -> Option<LaneFacts> {
        let hash = self.hash.as_ref()?;
        let current = self.current();
        Some(LaneFacts {
            lane_time: server.now,
            same_server: server.is_the_one_of(hash),
            epoch: hash.epoch,
            state: hash.state,
            keeper: hash.keeper,
            lease_until: hash.lease_until,
            ledger_id: hash.ledger_id,
            seq: hash.seq,
            tail: hash.tail,
            mark: current.and_then(|keys| keys.mark),
            refused: current.map_or(0, |keys| keys.refused.len() as u64),
            unsalvaged: hash.unsalvaged.clone(),
        })
    }
}

// === impl EpochKeys ===

impl EpochKeys {
    /// Whether Redis would have no key of this epoch.
    fn is_empty(&self) -> bool {
        self.coupons.is_empty()
            && self.definitions.is_empty()
            && self.out.is_empty()
            && self.mark.is_none()
            && self.refused.is_empty()
            && self.known.is_empty()
            && self.hydrated.is_empty()
    }

    pub(super) fn coupon(&self, coupon: CouponId) -> Option<&CouponKeys> {
        self.coupons.get(&coupon).map(Arc::as_ref)
    }

    pub(super) fn coupon_mut(&mut self, coupon: CouponId) -> &mut CouponKeys {
        Arc::make_mut(self.coupons.entry(coupon).or_default())
    }

    /// The revision in force, by the definition that gateways read.
    pub(super) fn revision(&self, coupon: CouponId) -> Option<Revision> {
        self.definitions.get(&coupon).map(|held| held.revision)
    }

    /// Adds a coupon to the known ones; true where it is new.
    pub(super) fn know(&mut self, coupon: CouponId) -> bool {
        if self.known.contains_key(&coupon) {
            return false;
        }
        self.known.insert(coupon, false);
        true
    }
}

// === impl CouponKeys ===

impl CouponKeys {
    pub(super) fn is_ready(&self) -> bool {
        self.hash.as_ref().is_some_and(|hash| hash.ready)
    }

    /// Whether the last call that granted came to its end, and the hashes in use have the sizes that
    /// the coupon's hash says.
    pub(super) fn is_whole(&self, hash: &CouponHash, server: Server) -> bool {
        let torn_unnoticed = server.has(Flaw::TornUnnoticed) || server.has(Flaw::EntryLast);
        (hash.writing.0 == hash.writing.1 || torn_unnoticed) && self.counts_agree(hash)
    }

    fn counts_agree(&self, hash: &CouponHash) -> bool {
        let limits = hash.published.limits;
        self.users.len() == hash.users
            && (limits.per_device.is_none() || self.devices.len() == hash.devices)
            && (limits.per_address.is_none() || self.addresses.len() == hash.addresses)
    }
}
