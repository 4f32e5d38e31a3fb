//! The whole state of a lane, read through the traits, in one order.

use sluice_claim::port::{ClaimStore, StoreError};
use sluice_domain::claim::GrantRecord;
use sluice_domain::id::{CouponId, EntryNumber, Epoch, UserId};

use super::fixture::{COUPONS, LANE};
use crate::lane_store::LaneStore;

/// More entries than an outbox may hold, and than a page of anything.
const ALL: usize = 10_000;

/// Every line is one fact. `epochs` is the highest epoch ever.
pub(super) async fn snapshot<S: ClaimStore + LaneStore>(store: &S, epochs: Epoch) -> Vec<String> {
    let mut lines = vec![
        said("facts", store.facts(LANE).await),
        said("coupons", store.coupons(LANE).await),
        said("last seen", store.last_seen(LANE).await),
    ];
    for coupon in COUPONS {
        lines.push(said("figures", store.figures(LANE, coupon).await));
        lines.push(said("definition", store.definition(LANE, coupon).await));
        lines.push(said("claims", all_claims(store, coupon).await));
    }
    for epoch in 1..=epochs.0 {
        let from = EntryNumber(0);
        let outbox = store.read_outbox(LANE, Epoch(epoch), from, ALL).await;
        lines.push(said(&format!("outbox of {epoch}"), outbox));
        let mut refused = store.refused(LANE, Epoch(epoch)).await;
        if let Ok(pairs) = &mut refused {
            pairs.sort_unstable();
        }
        lines.push(said(&format!("refused of {epoch}"), refused));
    }
    lines
}

/// All pages of a coupon's claims. A user may come twice over the pages, so doubles are dropped.
pub(super) async fn all_claims<S: LaneStore>(
    store: &S,
    coupon: CouponId,
) -> Result<Vec<(UserId, GrantRecord)>, StoreError> {
    let mut all = Vec::new();
    let mut cursor = 0;
    loop {
        let (page, next) = store.claims(LANE, coupon, cursor).await?;
        all.extend(page);
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    all.sort_unstable_by_key(|(user, record)| (*user, record.claim_id, record.entry));
    all.dedup();
    Ok(all)
}

/// An answer as text. Of an error only what the trait promises: what it was, not in which words.
pub(super) fn said<T: std::fmt::Debug>(what: &str, answer: Result<T, StoreError>) -> String {
    match answer {
        Ok(value) => format!("{what}: {value:?}"),
        Err(StoreError::LaneNotReady { lane, reason, .. }) => {
            format!("{what}: lane {lane} is not ready: {reason:?}")
        }
        Err(StoreError::CouponNotReady { coupon }) => format!("{what}: {coupon} is not ready"),
        Err(StoreError::Backpressure { .. }) => format!("{what}: backpressure"),
        Err(
            error @ (StoreError::Unavailable { .. }
            | StoreError::Unknown { .. }
            | StoreError::Protocol { .. }),
        ) => format!("{what}: {error}"),
    }
}
