//! The scripts for one coupon: install, leases, final, retire, forget, and what is read of it.

use std::sync::Arc;

use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::claim::GrantRecord;
use sluice_domain::id::{CouponId, EntryNumber, Epoch, LaneId, Revision, Ticket, UserId};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;

use super::OPENS_AFTER_MS;
use super::flaw::Flaw;
use super::prologue::{Runs, fenced, same_server, stands};
use super::state::{CouponHash, LaneKeys, ListedLease, Server};
use crate::lane_store::{
    CouponFigures, Fenced, Installed, LaneState, LeaseInstall, LeaseInstalled, Retire, Retired,
};

/// Users in a page of claims.
const CLAIMS_PAGE: usize = 512;

/// `install.lua`: a revision comes into force. Called by the control plane too: no keeper's number.
pub(super) fn install(
    keys: &mut LaneKeys,
    server: Server,
    epoch: Epoch,
    published: &Published,
) -> Installed {
    let hash = match same_server(keys, server) {
        Ok(hash) => hash,
        Err(reason) => return Installed::NotReady(reason),
    };
    if hash.epoch != epoch {
        return Installed::Epoch(hash.epoch);
    }
    if let Err(reason) = stands(hash, server, Runs::AlsoRecovering) {
        return Installed::NotReady(reason);
    }
    let is_open = hash.state == LaneState::Open;
    match keys.current().and_then(|held| held.revision(published.id)) {
        Some(in_force)
            if in_force >= published.revision && !server.has(Flaw::OlderRevisionTaken) =>
        {
            return Installed::Older { in_force };
        }
        None if is_open && is_known(keys, published.id) => {
            return Installed::NotReady(NotReady::Loss);
        }
        Some(_) | None => {}
    }
    let published = Arc::new(published.clone());
    define(keys, epoch, &published);
    let current = keys.epoch_mut(epoch);
    if current.coupons.contains_key(&published.id)
        && let Some(hash) = current.coupon_mut(published.id).hash.as_mut()
    {
        // A hydration under way remembers what it began with: it is refused at its next step.
        hash.published = published;
    }
    Installed::Applied
}

/// Writes the definition that gateways read, and makes the coupon known.
pub(super) fn define(keys: &mut LaneKeys, epoch: Epoch, published: &Arc<Published>) {
    let current = keys.epoch_mut(epoch);
    current
        .definitions
        .insert(published.id, Arc::clone(published));
    make_known(keys, epoch, published.id);
}

/// Adds a coupon to the known ones.
pub(super) fn make_known(keys: &mut LaneKeys, epoch: Epoch, coupon: CouponId) {
    let is_new = keys.epoch_mut(epoch).know(coupon);
    if let Some(hash) = keys.hash.as_mut() {
        hash.known += usize::from(is_new);
    }
}

/// `lease.lua`.
pub(super) fn install_lease(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    lease: LeaseInstall,
) -> Fenced<LeaseInstalled> {
    if let Err(refused) = fenced(keys, server, fence, Runs::Serving) {
        return refused;
    }
    let installed = on_coupon(keys, fence.epoch, lease.coupon, |hash| {
        if !hash.ready {
            return LeaseInstalled::NotHydrated;
        }
        if lease.lease <= hash.last_lease && !server.has(Flaw::LastLeaseIgnored) {
            return LeaseInstalled::Ignored {
                last: hash.last_lease,
            };
        }
        hash.leases.push_back(ListedLease {
            number: lease.lease,
            next: lease.first,
            end: Ticket(lease.first.0 + u64::from(lease.size)),
        });
        hash.last_lease = lease.lease;
        open_again(hash, server);
        LeaseInstalled::Listed
    })
    .unwrap_or(LeaseInstalled::NotHydrated);
    if installed == LeaseInstalled::Listed {
        raise_seq(keys, lease.seq);
    }
    Fenced::Done(installed)
}

/// `final.lua`. Nothing happens to a coupon that is not hydrated.
pub(super) fn set_final(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    coupon: CouponId,
    more_may_come: bool,
) -> Fenced<()> {
    if let Err(refused) = fenced(keys, server, fence, Runs::Serving) {
        return refused;
    }
    on_coupon(keys, fence.epoch, coupon, |hash| {
        if hash.ready {
            hash.is_final = true;
            hash.more_may_come = more_may_come;
        }
    });
    Fenced::Done(())
}

/// `final.lua`, the other way round.
pub(super) fn clear_final(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    coupon: CouponId,
) -> Fenced<()> {
    if let Err(refused) = fenced(keys, server, fence, Runs::Serving) {
        return refused;
    }
    on_coupon(keys, fence.epoch, coupon, |hash| {
        if hash.ready {
            open_again(hash, server);
        }
    });
    Fenced::Done(())
}

/// What comes after "final" is granted when every memory of it has ended.
fn open_again(hash: &mut CouponHash, server: Server) {
    if hash.is_final {
        hash.is_final = false;
        hash.more_may_come = false;
        hash.stock_seq = hash.stock_seq.next();
        hash.opens_at = hash.opens_at.max(server.now.plus_millis(OPENS_AFTER_MS));
    }
}

/// `retire.lua`. Also of a coupon that is not hydrated: then only `last_lease` may have to rise.
pub(super) fn retire(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    retire: Retire,
) -> Fenced<Retired> {
    if let Err(refused) = fenced(keys, server, fence, Runs::Serving) {
        return refused;
    }
    raise_seq(keys, retire.seq);

    on_coupon(keys, fence.epoch, retire.coupon, |hash| {
        hash.leases
            .retain(|lease| retire.only.is_some_and(|only| only != lease.number));
        hash.last_lease = hash.last_lease.max(retire.last);
    });
    match keys.hash.as_ref() {
        Some(_) if server.has(Flaw::TailForgotten) => Fenced::Done(Retired {
            tail: EntryNumber(0),
        }),
        Some(hash) => Fenced::Done(Retired { tail: hash.tail }),
        None => Fenced::NotReady(NotReady::Missing),
    }
}

/// `forget.lua`: the state goes, the definition stays, and the coupon is marked retired.
pub(super) fn forget(
    keys: &mut LaneKeys,
    server: Server,
    fence: LaneFence,
    coupon: CouponId,
) -> Fenced<()> {
    if let Err(refused) = fenced(keys, server, fence, Runs::Serving) {
        return refused;
    }
    let current = keys.epoch_mut(fence.epoch);
    current.coupons.remove(&coupon);
    let was_hydrated = current.hydrated.remove(&coupon);
    let is_new = current.know(coupon);
    current.known.insert(coupon, true);
    if let Some(hash) = keys.hash.as_mut() {
        hash.known += usize::from(is_new);
        hash.hydrated -= usize::from(was_hydrated).min(hash.hydrated);
    }
    Fenced::Done(())
}

/// The figures of a coupon in the epoch in force, whatever the lane's state.
pub(super) fn figures(keys: &LaneKeys, coupon: CouponId) -> Option<CouponFigures> {
    let hash = keys.current()?.coupon(coupon)?.hash.as_ref()?;
    Some(CouponFigures {
        coupon,
        ready: hash.ready,
        revision: hash.published.revision,
        leases: hash
            .leases
            .iter()
            .map(|lease| (lease.number, lease.next, lease.end))
            .collect(),
        last_lease: hash.last_lease,
        is_final: hash.is_final,
        stock_seq: hash.stock_seq,
        users: hash.users as u64,
        devices: hash.devices as u64,
        addresses: hash.addresses as u64,
    })
}

/// The known coupons of the epoch in force, in order. In an open lane the list is whole or refused.
pub(super) fn list(keys: &LaneKeys, lane: LaneId) -> Result<Vec<(CouponId, bool)>, StoreError> {
    let (Some(hash), Some(current)) = (keys.hash.as_ref(), keys.current()) else {
        return Ok(Vec::new());
    };
    let is_whole = current.known.len() == hash.known && current.hydrated.len() == hash.hydrated;
    if hash.state == LaneState::Open && !is_whole {
        return Err(StoreError::LaneNotReady {
            lane,
            epoch: hash.epoch,
            reason: NotReady::Loss,
        });
    }
    let coupons = current.known.keys();
    Ok(coupons
        .map(|&coupon| (coupon, current.hydrated.contains(&coupon)))
        .collect())
}

/// The figures of all known coupons, whole or not.
pub(super) fn last_seen(keys: &LaneKeys) -> Vec<CouponFigures> {
    let known = keys.current().map(|current| current.known.keys());
    known
        .into_iter()
        .flatten()
        .filter_map(|&coupon| figures(keys, coupon))
        .collect()
}

/// One page of a coupon's claims; the cursor counts users.
pub(super) fn claims(
    keys: &LaneKeys,
    coupon: CouponId,
    cursor: u64,
) -> (Vec<(UserId, GrantRecord)>, Option<u64>) {
    let Some(held) = keys.current().and_then(|current| current.coupon(coupon)) else {
        return (Vec::new(), None);
    };
    let from = usize::try_from(cursor).unwrap_or(usize::MAX);
    let page = held.users.iter().skip(from).take(CLAIMS_PAGE);
    let records = page
        .flat_map(|(&user, records)| records.iter().map(move |&record| (user, record)))
        .collect();
    let next = from.saturating_add(CLAIMS_PAGE);
    (records, (next < held.users.len()).then_some(next as u64))
}

fn is_known(keys: &LaneKeys, coupon: CouponId) -> bool {
    keys.current()
        .is_some_and(|current| current.known.contains_key(&coupon))
}

/// Changes a coupon's hash, where there is one.
fn on_coupon<T>(
    keys: &mut LaneKeys,
    epoch: Epoch,
    coupon: CouponId,
    change: impl FnOnce(&mut CouponHash) -> T,
) -> Option<T> {
    let current = keys.epoch_mut(epoch);
    if !current.coupons.contains_key(&coupon) {
        return None;
    }
    current.coupon_mut(coupon).hash.as_mut().map(change)
}

/// The lane hash hears of the ledger's sequence.
pub(super) fn raise_seq(keys: &mut LaneKeys, seq: u64) {
    if let Some(hash) = keys.hash.as_mut() {
        hash.seq = hash.seq.max(seq);
    }
}

/// The revision in force, 0 where there is none.
pub(super) fn revision_in_force(keys: &LaneKeys, coupon: CouponId) -> Revision {
    keys.current()
        .and_then(|current| current.revision(coupon))
        .unwrap_or_default()
}
