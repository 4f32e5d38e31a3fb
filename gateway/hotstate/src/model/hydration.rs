//! The three steps in which a coupon comes into hot state.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sluice_claim::port::NotReady;
use sluice_domain::claim::{ClaimRow, GrantRecord};
use sluice_domain::id::{CouponId, EntryNumber, LeaseNumber, StockSeq, UserId};
use sluice_domain::lane::LaneFence;

use super::OPENS_AFTER_MS;
use super::coupon::{define, make_known, raise_seq, revision_in_force};
use super::flaw::Flaw;
use super::prologue::{Runs, fenced};
use super::state::{CouponHash, CouponKeys, LaneKeys, Server};
use crate::lane_store::{Fenced, HydrateBegin, Hydration};

/// What the keeper says that it filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) users: u64,
    pub(super) devices: u64,
    pub(super) addresses: u64,
}

/// `hydrate_begin.lua`: empties what an earlier attempt filled; nothing of it is served.
pub(super) fn begin(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    begin: &HydrateBegin,
    attempt: u64,
) -> Fenced<Hydration> {
    if let Err(refused) = fenced(keys, server, fence, Runs::AlsoRecovering) {
        return refused;
    }
    let coupon = begin.published.id;
    let held = current_hash(keys, coupon);
    let over_served = server.has(Flaw::HydratedOverServed);
    if held.is_some_and(|hash| hash.ready) && !over_served {
        return Fenced::Done(Hydration::AlreadyReady);
    }
    if !over_served && is_lost(keys, coupon) {
        return Fenced::NotReady(NotReady::Loss);
    }
    if is_retired(keys, coupon) || held.is_some_and(|hash| hash.attempt > attempt && !over_served) {
        return Fenced::Done(Hydration::Superseded);
    }
    if revision_in_force(keys, coupon) > begin.published.revision {
        return Fenced::Done(Hydration::StaleRevision);
    }
    raise_seq(keys, begin.seq);
    let held = current_hash(keys, coupon);
    // A lease that was retired while the coupon was not hydrated stays retired.
    let last_lease = held.map_or(LeaseNumber(0), |hash| hash.last_lease);
    let fenced_at = keys.hash.as_ref().map_or(server.now, |hash| hash.fenced_at);
    if revision_in_force(keys, coupon) < begin.published.revision {
        define(keys, fence.epoch, &begin.published);
    }
    make_known(keys, fence.epoch, coupon);
    let current = keys.epoch_mut(fence.epoch);
    *current.coupon_mut(coupon) = CouponKeys {
        hash: Some(CouponHash {
            published: Arc::clone(&begin.published),
            begun: begin.published.revision,
            ready: false,
            attempt,
            leases: VecDeque::new(),
            last_lease: last_lease.max(begin.last_lease),
            is_final: false,
            more_may_come: false,
            stock_seq: StockSeq(0),
            opens_at: fenced_at.plus_millis(OPENS_AFTER_MS),
            writing: (EntryNumber(0), EntryNumber(0)),
            users: 0,
            devices: 0,
            addresses: 0,
        }),
        ..CouponKeys::default()
    };
    Fenced::Done(Hydration::Done)
}

/// `hydrate_claims.lua`. Claims from rows wait for nothing: entry 0. A user who is filled already is
/// skipped, so that a call may be repeated.
pub(super) fn fill(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    (coupon, attempt): (CouponId, u64),
    rows: &[ClaimRow],
) -> Fenced<Hydration> {
    if let Err(refused) = step(keys, server, fence, (coupon, attempt)) {
        return refused;
    }
    let mut packed: BTreeMap<UserId, Vec<GrantRecord>> = BTreeMap::new();
    let held = keys.epoch_mut(fence.epoch).coupon_mut(coupon);
    let new = |row: &&ClaimRow| !held.users.contains_key(&row.user);
    let rows: Vec<&ClaimRow> = rows.iter().filter(new).collect();
    for row in rows {
        packed.entry(row.user).or_default().push(GrantRecord {
            claim_id: row.claim_id,
            ticket: row.ticket,
            version: row.version,
            granted_at: row.granted_at,
            entry: EntryNumber(0),
        });
        if let Some(device) = row.device {
            *held.devices.entry(device).or_default() += 1;
        }
        if let Some(address) = row.address {
            *held.addresses.entry(address).or_default() += 1;
        }
    }
    held.users.extend(packed);
    Fenced::Done(Hydration::Done)
}

/// `hydrate_finish.lua`: compares what is there with what was filled, then serves.
pub(super) fn finish(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    (coupon, attempt): (CouponId, u64),
    filled: Filled,
) -> Fenced<Hydration> {
    if let Err(refused) = step(keys, server, fence, (coupon, attempt)) {
        return refused;
    }
    let current = keys.epoch_mut(fence.epoch);
    let held = current.coupon_mut(coupon);
    let found = (held.users.len(), held.devices.len(), held.addresses.len());
    let found_filled = Filled {
        users: found.0 as u64,
        devices: found.1 as u64,
        addresses: found.2 as u64,
    };
    if found_filled != filled && !server.has(Flaw::CountsBelieved) {
        return Fenced::Done(Hydration::CountsDiffer);
    }
    if let Some(hash) = held.hash.as_mut() {
        hash.ready = true;
        (hash.users, hash.devices, hash.addresses) = found;
    }
    let is_new = current.hydrated.insert(coupon);
    if let Some(lane) = keys.hash.as_mut() {
        lane.hydrated += usize::from(is_new);
    }
    Fenced::Done(Hydration::Done)
}

/// What the second and third step check first.
fn step(
    keys: &LaneKeys,
    server: Server,
    fence: LaneFence,
    (coupon, attempt): (CouponId, u64),
) -> Result<(), Fenced<Hydration>> {
    fenced(keys, server, fence, Runs::AlsoRecovering)?;
    let Some(hash) = current_hash(keys, coupon) else {
        return Err(Fenced::Done(Hydration::Superseded));
    };
    if hash.ready {
        return Err(Fenced::Done(Hydration::AlreadyReady));
    }
    if hash.attempt != attempt {
        return Err(Fenced::Done(Hydration::Superseded));
    }
    if hash.published.revision != hash.begun {
        return Err(Fenced::Done(Hydration::StaleRevision));
    }
    Ok(())
}

fn current_hash(keys: &LaneKeys, coupon: CouponId) -> Option<&CouponHash> {
    keys.current()?.coupon(coupon)?.hash.as_ref()
}

/// Whether a coupon that is not ready was hydrated in this epoch.
fn is_lost(keys: &LaneKeys, coupon: CouponId) -> bool {
    keys.current()
        .is_some_and(|current| current.hydrated.contains(&coupon))
}

/// Whether the coupon's state was given up for good.
fn is_retired(keys: &LaneKeys, coupon: CouponId) -> bool {
    keys.current()
        .and_then(|current| current.known.get(&coupon))
        .is_some_and(|&retired| retired)
}
