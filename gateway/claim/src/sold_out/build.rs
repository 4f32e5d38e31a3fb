//! Making a winner filter: taken from another gateway where one is stored, else read page by page.

use std::sync::Arc;
use std::time::Duration;

use sluice_domain::id::{CouponId, LaneId};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::filter::{FilterError, WinnerFilter, bytes_bound};
use super::{HeldFilter, ROOM_UNIT_BYTES, SoldOut};
use crate::port::{ClaimStore, SoldOutProof, StoreError};
use crate::shared::Shared;

/// One call of a build may take this long: claims that wait for the filter do not wait that long.
const CALL_WITHIN: Duration = Duration::from_secs(1);
/// A filter of so few winners is computed in place: that takes less time than a blocking thread costs
/// to reach, and leaves the lane's other work nothing to wait for.
const IN_PLACE_MAX: usize = 256;
/// A scan may repeat users while its hash is resized, but not for ever.
const REPEATS_MAX: u64 = 4_096;

#[derive(Debug, thiserror::Error)]
enum BuildError {
    #[error("there is no room for a filter of {0} users")]
    Room(u64),
    #[error("the proof does not hold any more")]
    Moved,
    #[error("the scan of winners does not end")]
    Endless,
    #[error("a call took too long")]
    Slow,
    #[error("the task that computes was cut off")]
    CutOff,
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes the filter of a coupon under `proof` and hands it to the coupon's memory. Failing costs
/// nothing but calls: without a filter every caller is asked about in Redis.
pub(crate) async fn build_filter<S: ClaimStore>(
    shared: Arc<Shared<S>>,
    lane: LaneId,
    coupon: CouponId,
    proof: SoldOutProof,
    sold_out: Arc<SoldOut>,
) {
    let built = make(&shared, lane, coupon, proof).await;
    let filter = match built {
        Ok(held) => {
            shared.filters.holds(&sold_out);
            Some(held)
        }
        Err(error) => {
            shared.metrics.filter_failed.increment(1);
            tracing::debug!(%coupon, %error, "no winner filter");
            None
        }
    };
    let retry_at = Instant::now() + shared.settings.filter_retry;
    sold_out.lock().filter_built(&proof, filter, retry_at);
}

async fn make<S: ClaimStore>(
    shared: &Shared<S>,
    lane: LaneId,
    coupon: CouponId,
    proof: SoldOutProof,
) -> Result<HeldFilter, BuildError> {
    // While it is made, the hashes of all winners are held beside it.
    let peak = bytes_bound(proof.users).saturating_add(proof.users.saturating_mul(8));
    let room = shared
        .filters
        .reserve(peak, Instant::now())
        .ok_or(BuildError::Room(proof.users))?;
    let store = &shared.store;
    if let Some(bytes) = in_time(store.load_filter(lane, coupon, proof)).await? {
        match WinnerFilter::load(coupon, &proof, &bytes) {
            Ok(filter) => {
                shared.metrics.filter_shared.increment(1);
                return Ok(HeldFilter::new(filter, room));
            }
            Err(error) => tracing::warn!(%coupon, %error, "made again"),
        }
    }
    let hashes = read_winners(shared, lane, coupon, proof).await?;
    let filter = if hashes.len() <= IN_PLACE_MAX {
        WinnerFilter::build(&proof, hashes)?
    } else {
        let build = move || WinnerFilter::build(&proof, hashes);
        let computed = tokio::task::spawn_blocking(build).await;
        computed.map_err(|_join| BuildError::CutOff)??
    };
    shared.metrics.filter_built.increment(1);
    let stored =
        in_time(store.store_filter(lane, coupon, proof, filter.encode(coupon, &proof))).await;
    if let Err(error) = stored {
        tracing::debug!(%coupon, %error, "the filter is not shared");
    }
    Ok(HeldFilter::new(filter, room))
}

async fn read_winners<S: ClaimStore>(
    shared: &Shared<S>,
    lane: LaneId,
    coupon: CouponId,
    proof: SoldOutProof,
) -> Result<Vec<u64>, BuildError> {
    let bound = proof.users.saturating_add(REPEATS_MAX);
    let mut hashes = Vec::new();
    let mut cursor = 0;
    for _page in 0..bound {
        let call = shared.store.winners(lane, coupon, proof, cursor);
        let page = in_time(call).await?.ok_or(BuildError::Moved)?;
        hashes.extend(page.user_hashes);
        if hashes.len() as u64 > bound {
            break;
        }
        match page.next {
            Some(next) => cursor = next,
            None => return Ok(hashes),
        }
    }
    Err(BuildError::Endless)
}

async fn in_time<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, BuildError> {
    let answer = timeout(CALL_WITHIN, call).await;
    Ok(answer.map_err(|_elapsed| BuildError::Slow)??)
}

// === impl HeldFilter ===

impl HeldFilter {
    /// Gives back the room that only the making needed.
    fn new(filter: WinnerFilter, mut room: OwnedSemaphorePermit) -> Self {
        let kept = (filter.bytes_held() as u64).div_ceil(ROOM_UNIT_BYTES);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        drop(room.split(room.num_permits().saturating_sub(kept)));
        Self {
            filter,
            _room: room,
        }
    }
}
