//! The two traits on the model: each method runs the script of the same name.

use sluice_claim::port::{
    ClaimCall, ClaimReply, ClaimStore, DefinitionAnswer, SoldOutProof, StoreError, WinnersPage,
};
use sluice_domain::claim::{ClaimRow, GrantRecord};
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, Epoch, LaneId, LedgerId, UserId};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

use super::fault::ModelOp;
use super::{ModelHotState, claim, coupon, hydration, lane, locked, prologue};
use crate::lane_store::{
    CouponFigures, Fenced, FencedOff, HydrateBegin, Hydration, Installed, LaneFacts, LaneStore,
    LeaseInstall, LeaseInstalled, OutboxEntry, Refusal, Retire, Retired,
};

// === impl ClaimStore for ModelHotState ===

impl ClaimStore for ModelHotState {
    async fn decide(&self, call: ClaimCall) -> Result<ClaimReply, StoreError> {
        let epoch = self.call_epoch(call.lane);
        self.run(ModelOp::Decide, move |shared, server| {
            let epoch = epoch?;
            let cap = shared.outbox_cap;
            let decided = shared.world.transition(call.lane, |keys| {
                claim::decide(keys, server, epoch, cap, &call)
            })?;
            if matches!(decided, Err(StoreError::Unknown { .. })) {
                shared.world.tear = None;
            }
            decided
        })
        .await
    }

    async fn definition(
        &self,
        lane: LaneId,
        coupon: CouponId,
    ) -> Result<DefinitionAnswer, StoreError> {
        let epoch = self.call_epoch(lane);
        self.run(ModelOp::Definition, move |shared, server| {
            claim::definition(shared.world.existing(lane)?, server, lane, epoch?, coupon)
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
            let keys = shared.world.existing(lane)?;
            let held = claim::proven(keys, server, lane, coupon, proof)?;
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
            let keys = shared.world.existing(lane)?;
            let held = claim::proven(keys, server, lane, coupon, proof)?;
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
            shared.world.transition(lane, |keys| {
                claim::store_filter(keys, server, lane, coupon, proof, filter)
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
        let mut learned = locked(&self.learned);
        let known = learned.entry(lane).or_default();
        *known = epoch.max(*known);
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
        adopt: Option<LedgerId>,
    ) -> Result<Fenced<()>, StoreError> {
        let opening = lane::Opening {
            lease_until,
            known,
            retired,
            seq,
            adopt,
        };
        self.run(ModelOp::Open, move |shared, server| {
            shared
                .world
                .transition(fence.lane, |keys| lane::open(keys, server, fence, &opening))
        })
        .await
    }

    async fn sweep_epoch(&self, lane: LaneId, ended: Epoch) -> Result<bool, StoreError> {
        self.run(ModelOp::SweepEpoch, move |shared, server| {
            if shared.world.existing(lane)?.has_none_of(ended) {
                return Ok(true);
            }
            prologue::readable(shared.world.existing(lane)?, server, lane)?;
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

    async fn clear_final(
        &self,
        fence: LaneFence,
        coupon: CouponId,
    ) -> Result<Fenced<()>, StoreError> {
        self.run(ModelOp::ClearFinal, move |shared, server| {
            shared.world.transition(fence.lane, |keys| {
                coupon::clear_final(keys, server, fence, coupon)
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
            coupon::list(keys, lane)
        })
        .await
    }

    async fn last_seen(&self, lane: LaneId) -> Result<Vec<CouponFigures>, StoreError> {
        self.run(ModelOp::LastSeen, move |shared, _server| {
            let keys = prologue::present(shared.world.existing(lane)?, lane)?;
            Ok(coupon::last_seen(keys))
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
