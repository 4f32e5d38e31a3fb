//! "Is this still the Redis that we opened?": the checks in front of every script, in their order.

use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::id::{CouponId, Epoch, LaneId};
use sluice_domain::lane::LaneFence;

use super::flaw::Flaw;
use super::state::{CouponHash, CouponKeys, EpochKeys, LaneHash, LaneKeys, Server};
use crate::lane_store::{Fenced, LaneState};

/// In which states a keeper's script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// Only in an open lane, and before `lease_until`.
    Serving,
    /// In an open lane, also past `lease_until` (renew).
    OpenAnyLease,
    /// While recovering, or as [`Serving`](Self::Serving) (install, hydration).
    AlsoRecovering,
    /// In every state (halt, take).
    Always,
}

/// The lane hash, on the server that it was opened on.
pub(super) fn same_server(keys: &LaneKeys, server: Server) -> Result<&LaneHash, NotReady> {
    let hash = keys.hash.as_ref().ok_or(NotReady::Missing)?;
    if !server.is_the_one_of(hash) {
        return Err(NotReady::ServerChanged);
    }
    Ok(hash)
}

/// State and lease, after the epoch was found right.
pub(super) fn stands(hash: &LaneHash, server: Server, runs: Runs) -> Result<(), NotReady> {
    match (hash.state, runs) {
        (_, Runs::Always)
        | (LaneState::Open, Runs::OpenAnyLease)
        | (LaneState::Recovering, Runs::AlsoRecovering) => Ok(()),
        (LaneState::Recovering, Runs::Serving | Runs::OpenAnyLease) => Err(NotReady::Recovering),
        (LaneState::Halted, _) => Err(NotReady::Halted),
        (LaneState::Open, Runs::Serving | Runs::AlsoRecovering) => {
            if server.now < hash.lease_until || server.has(Flaw::LaneLeaseUnchecked) {
                Ok(())
            } else {
                Err(NotReady::LeaseOver)
            }
        }
    }
}

/// The prologue of what is only read, in any state.
pub(super) fn readable(
    keys: &LaneKeys,
    server: Server,
    lane: LaneId,
) -> Result<&LaneKeys, StoreError> {
    match same_server(keys, server) {
        Ok(_hash) => Ok(keys),
        Err(reason) => Err(StoreError::LaneNotReady {
            lane,
            epoch: keys.hash.as_ref().map_or(Epoch(0), |hash| hash.epoch),
            reason,
        }),
    }
}

/// The prologue of what is read of any server that holds a lane hash.
pub(super) fn present(keys: &LaneKeys, lane: LaneId) -> Result<&LaneKeys, StoreError> {
    if keys.hash.is_some() {
        return Ok(keys);
    }
    Err(StoreError::LaneNotReady {
        lane,
        epoch: Epoch(0),
        reason: NotReady::Missing,
    })
}

/// The prologue of the claims' scripts.
pub(super) fn serving(
    keys: &LaneKeys,
    server: Server,
    lane: LaneId,
    epoch: Epoch,
) -> Result<(&LaneHash, &EpochKeys), StoreError> {
    let not_ready = |reason| StoreError::LaneNotReady {
        lane,
        epoch,
        reason,
    };
    let hash = same_server(keys, server).map_err(not_ready)?;
    if hash.epoch != epoch {
        if server.has(Flaw::SalvageUnfenced)
            && hash.state == LaneState::Recovering
            && hash.unsalvaged.last() == Some(&epoch)
            && let Some(old) = keys.epochs.get(&epoch)
        {
            return Ok((hash, old));
        }
        return Err(not_ready(NotReady::Epoch(hash.epoch)));
    }
    stands(hash, server, Runs::Serving).map_err(not_ready)?;
    let current = keys.current().ok_or(not_ready(NotReady::Loss))?;
    Ok((hash, current))
}

/// The prologue of a keeper's scripts. The error is the answer.
pub(super) fn fenced<T>(
    keys: &LaneKeys,
    server: Server,
    fence: LaneFence,
    runs: Runs,
) -> Result<(), Fenced<T>> {
    let hash = same_server(keys, server).map_err(Fenced::NotReady)?;
    let same_keeper = hash.keeper == fence.keeper || server.has(Flaw::KeeperUnchecked);
    if hash.epoch != fence.epoch || !same_keeper {
        return Err(deposed(hash));
    }
    stands(hash, server, runs).map_err(Fenced::NotReady)
}

/// "Another keeper or epoch is in charge."
pub(super) const fn deposed<T>(hash: &LaneHash) -> Fenced<T> {
    Fenced::Deposed {
        epoch: hash.epoch,
        keeper: hash.keeper,
    }
}

/// Why a coupon cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It was not hydrated in this epoch.
    NotHydrated,
    /// It was, and some of it is gone.
    Loss,
}

/// A hydrated coupon, whole.
pub(super) fn hydrated(
    keys: &EpochKeys,
    server: Server,
    coupon: CouponId,
) -> Result<(&CouponKeys, &CouponHash), Unusable> {
    let ready = keys
        .coupon(coupon)
        .and_then(|held| held.hash.as_ref().map(|hash| (held, hash)))
        .filter(|(_, hash)| hash.ready);
    match ready {
        Some((held, hash)) if held.is_whole(hash, server) => Ok((held, hash)),
        Some(_differs) => Err(Unusable::Loss),
        None if keys.hydrated.contains(&coupon) => Err(Unusable::Loss),
        None => Err(Unusable::NotHydrated),
    }
}
