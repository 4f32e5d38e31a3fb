//! The keeper's scripts for the lane itself, its outbox and its refused set.

use std::collections::BTreeMap;

use sluice_claim::port::NotReady;
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, Epoch, LedgerId, SubjectHash};
use sluice_domain::lane::LaneFence;
use sluice_domain::time::Timestamp;

use super::flaw::Flaw;
use super::prologue::{Runs, deposed, fenced, same_server};
use super::state::{CouponKeys, LaneHash, LaneKeys, Server};
use crate::lane_store::{Fenced, FencedOff, LaneFacts, LaneState, OutboxEntry, Refusal};

/// What `open.lua` is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening<'a> {
    pub(super) lease_until: Timestamp,
    pub(super) known: &'a [CouponId],
    pub(super) retired: &'a [CouponId],
    pub(super) seq: u64,
    pub(super) adopt: Option<LedgerId>,
}

/// `take.lua`: a new keeper in the same epoch, whatever the lane's state. A lane of another ledger
/// is not prolonged: the set-back check that follows will halt it.
pub(super) fn take(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    ledger: LedgerId,
    lease_until: Timestamp,
) -> Fenced<LaneFacts> {
    let hash = match same_server(keys, server) {
        Ok(hash) => hash,
        Err(reason) => return Fenced::NotReady(reason),
    };
    if hash.epoch != fence.epoch || hash.keeper >= fence.keeper {
        return deposed(hash);
    }
    write(keys, |hash| {
        hash.keeper = fence.keeper;
        if hash.ledger_id == ledger {
            hash.lease_until = hash.lease_until.max(lease_until);
        }
    });
    facts(keys, server)
}

/// `renew.lua`: also where lost keys of the lane are noticed.
pub(super) fn renew(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    lease_until: Timestamp,
    seq: u64,
) -> Fenced<LaneFacts> {
    if let Err(refused) = fenced(keys, server, fence, Runs::OpenAnyLease) {
        return refused;
    }
    if !is_whole(keys) {
        return Fenced::NotReady(NotReady::Loss);
    }
    write(keys, |hash| {
        hash.lease_until = hash.lease_until.max(lease_until);
        hash.seq = hash.seq.max(seq);
    });
    facts(keys, server)
}

/// `fence.lua`: the only script that writes `replid`, and the only one that runs on an empty
/// server.
pub(super) fn fence(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    ledger: LedgerId,
) -> Fenced<FencedOff> {
    if !server.primary && !server.has(Flaw::RoleUnchecked) {
        return Fenced::NotReady(NotReady::ServerChanged);
    }
    let fresh = LaneHash {
        epoch: fence.epoch,
        state: LaneState::Recovering,
        replid: server.replid,
        keeper: fence.keeper,
        lease_until: Timestamp::MIN,
        ledger_id: ledger,
        seq: 0,
        tail: EntryNumber(0),
        unsalvaged: Vec::new(),
        fenced_at: server.now,
        known: 0,
        hydrated: 0,
        refused: 0,
    };
    match &mut keys.hash {
        None => keys.hash = Some(fresh),
        Some(hash) if hash.epoch > fence.epoch || hash.keeper > fence.keeper => {
            return deposed(hash);
        }
        Some(hash) if hash.epoch == fence.epoch => {
            if hash.state != LaneState::Recovering
                || hash.keeper != fence.keeper
                || hash.replid != server.replid
            {
                return deposed(hash);
            }
        }
        Some(hash) => {
            if !server.has(Flaw::UnsalvagedForgotten) {
                hash.unsalvaged.push(hash.epoch);
            }
            hash.known = 0;
            hash.hydrated = 0;
            hash.refused = 0;
            hash.lease_until = Timestamp::MIN;
            hash.fenced_at = server.now;
            hash.epoch = fence.epoch;
            hash.state = LaneState::Recovering;
            hash.replid = server.replid;
            hash.keeper = fence.keeper;
        }
    }
    match keys.facts(server) {
        Some(facts) => Fenced::Done(FencedOff { facts }),
        None => Fenced::NotReady(NotReady::Missing),
    }
}

/// `halt.lua`.
pub(super) fn halt(keys: &mut LaneKeys, server: Server, fence: LaneFence) -> Fenced<()> {
    if let Err(refused) = fenced(keys, server, fence, Runs::Always) {
        return refused;
    }
    write(keys, |hash| hash.state = LaneState::Halted);
    Fenced::Done(())
}

/// `open.lua`.
pub(super) fn open(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    opening: &Opening<'_>,
) -> Fenced<()> {
    if let Err(refused) = fenced(keys, server, fence, Runs::Always) {
        return refused;
    }
    let Some(hash) = keys.hash.as_ref() else {
        return Fenced::NotReady(NotReady::Missing);
    };
    match hash.state {
        LaneState::Halted => return Fenced::NotReady(NotReady::Halted),
        LaneState::Open => return Fenced::Done(()),
        LaneState::Recovering => {}
    }
    let tail = hash.tail;
    let current = keys.epoch_mut(fence.epoch);
    current.mark = Some(tail);
    for &coupon in opening.known {
        current.know(coupon);
    }
    for &coupon in opening.retired {
        current.known.insert(coupon, true);
    }
    let known = current.known.len();
    write(keys, |hash| {
        hash.state = LaneState::Open;
        hash.lease_until = hash.lease_until.max(opening.lease_until);
        hash.seq = hash.seq.max(opening.seq);
        hash.ledger_id = opening.adopt.unwrap_or(hash.ledger_id);
        hash.unsalvaged.clear();
        hash.known = known;
    });
    Fenced::Done(())
}

/// Unlinks an ended, salvaged epoch, in an open lane. Never one that still has to be salvaged, nor
/// the one in force.
pub(super) fn sweep(keys: &mut LaneKeys, ended: Epoch) -> bool {
    let needed = keys
        .hash
        .as_ref()
        .is_none_or(|hash| hash.state != LaneState::Open || ended >= hash.epoch);
    if !needed {
        keys.epochs.remove(&ended);
    }
    !needed
}

/// `XRANGE` of an epoch's stream, whatever the lane's state.
pub(super) fn read_outbox(
    keys: &LaneKeys,
    epoch: Epoch,
    after: EntryNumber,
    count: usize,
) -> Vec<OutboxEntry> {
    let Some(held) = keys.epochs.get(&epoch) else {
        return Vec::new();
    };
    held.out
        .range(after.next()..)
        .take(count)
        .map(|(_entry, batch)| OutboxEntry::Batch(batch.as_ref().clone()))
        .collect()
}

/// `mark.lua`: the ledger has everything up to here, so the stream forgets it.
pub(super) fn mark(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    mark: EntryNumber,
    seq: u64,
) -> Fenced<LaneFacts> {
    if let Err(refused) = fenced(keys, server, fence, Runs::Serving) {
        return refused;
    }
    let tail = keys.hash.as_ref().map(|hash| hash.tail);
    let in_force = keys.current().and_then(|current| current.mark);
    if in_force.is_none_or(|in_force| mark < in_force) || tail.is_none_or(|tail| mark > tail) {
        return Fenced::NotReady(NotReady::Loss);
    }
    write(keys, |hash| hash.seq = hash.seq.max(seq));
    let current = keys.epoch_mut(fence.epoch);
    current.mark = Some(mark);
    let kept_from = if server.has(Flaw::TrimmedBeyondMark) {
        mark.next().next()
    } else {
        mark.next()
    };
    current.out = current.out.split_off(&kept_from);
    facts(keys, server)
}

/// `refuse.lua`.
pub(super) fn refuse(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    refusal: Refusal,
) -> Fenced<()> {
    if let Err(refused) = fenced(keys, server, fence, Runs::Serving) {
        return refused;
    }
    let current = keys.epoch_mut(fence.epoch);
    let is_new = current.refused.insert((refusal.claim_id, refusal.entry));
    if !is_new {
        return Fenced::Done(());
    }
    if current.coupons.contains_key(&refusal.coupon) {
        take_back(current.coupon_mut(refusal.coupon), refusal);
    }
    write(keys, |hash| hash.refused += 1);
    Fenced::Done(())
}

/// The refused set of an epoch, in order.
pub(super) fn refused(keys: &LaneKeys, epoch: Epoch) -> Vec<(ClaimId, EntryNumber)> {
    keys.epochs
        .get(&epoch)
        .map_or_else(Vec::new, |held| held.refused.iter().copied().collect())
}

/// Takes back what the claim of exactly this entry took.
fn take_back(coupon: &mut CouponKeys, refusal: Refusal) {
    if !coupon.is_ready() {
        return;
    }
    let Some(claims) = coupon.users.get_mut(&refusal.user) else {
        return;
    };
    let before = claims.len();
    claims.retain(|held| (held.claim_id, held.entry) != (refusal.claim_id, refusal.entry));
    if claims.len() == before {
        return;
    }
    let was_last = claims.is_empty();
    if was_last {
        coupon.users.remove(&refusal.user);
    }
    let device_gone = uncount(&mut coupon.devices, refusal.device);
    let address_gone = uncount(&mut coupon.addresses, refusal.address);
    if let Some(hash) = coupon.hash.as_mut() {
        hash.users -= usize::from(was_last).min(hash.users);
        hash.devices -= usize::from(device_gone).min(hash.devices);
        hash.addresses -= usize::from(address_gone).min(hash.addresses);
    }
}

/// Counts a subject down; true where it left the map.
fn uncount(counts: &mut BTreeMap<SubjectHash, u64>, subject: Option<SubjectHash>) -> bool {
    let Some(subject) = subject else {
        return false;
    };
    let Some(count) = counts.get_mut(&subject) else {
        return false;
    };
    *count -= 1;
    let gone = *count == 0;
    if gone {
        counts.remove(&subject);
    }
    gone
}

/// Whether the lane's own keys are all there, by their sizes.
fn is_whole(keys: &LaneKeys) -> bool {
    match (keys.hash.as_ref(), keys.current()) {
        (Some(hash), Some(current)) => {
            current.mark.is_some()
                && current.known.len() == hash.known
                && current.hydrated.len() == hash.hydrated
                && current.refused.len() == hash.refused
        }
        (None, _) | (_, None) => false,
    }
}

fn write(keys: &mut LaneKeys, change: impl FnOnce(&mut LaneHash)) {
    if let Some(hash) = keys.hash.as_mut() {
        change(hash);
    }
}

fn facts(keys: &LaneKeys, server: Server) -> Fenced<LaneFacts> {
    match keys.facts(server) {
        Some(facts) => Fenced::Done(facts),
        None => Fenced::NotReady(NotReady::Missing),
    }
}
