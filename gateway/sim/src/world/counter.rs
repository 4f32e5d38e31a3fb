//! Hot state as the claim engine sees it, which may lie about durability.

use std::sync::Arc;

use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimReply, ClaimStore, DefinitionAnswer, SoldOutProof, StoreError,
    WinnersPage,
};
use sluice_domain::id::{CouponId, EntryNumber, LaneId};
use sluice_hotstate::RedisHotState;

/// Hot state in front of the engine.
pub struct Counter {
    inner: Arc<RedisHotState>,
    early_yes: bool,
}

impl Counter {
    /// With `early_yes` each grant looks like a row already, so that the engine acknowledges it as
    /// `ledger` before the mark has passed its entry.
    #[must_use]
    pub const fn new(inner: Arc<RedisHotState>, early_yes: bool) -> Self {
        Self { inner, early_yes }
    }
}

impl ClaimStore for Counter {
    async fn decide(&self, call: ClaimCall) -> Result<ClaimReply, StoreError> {
        let mut reply = self.inner.decide(call).await?;
        if self.early_yes {
            for answer in &mut reply.answers {
                if let ClaimAnswer::Granted(record) | ClaimAnswer::Replayed(record) = answer {
                    record.entry = EntryNumber(0);
                }
            }
        }
        Ok(reply)
    }

    async fn definition(
        &self,
        lane: LaneId,
        coupon: CouponId,
    ) -> Result<DefinitionAnswer, StoreError> {
        self.inner.definition(lane, coupon).await
    }

    async fn winners(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
        cursor: u64,
    ) -> Result<Option<WinnersPage>, StoreError> {
        self.inner.winners(lane, coupon, proof, cursor).await
    }

    async fn load_filter(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.load_filter(lane, coupon, proof).await
    }

    async fn store_filter(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
        filter: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.inner.store_filter(lane, coupon, proof, filter).await
    }
}
