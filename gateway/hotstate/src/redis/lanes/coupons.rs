//! What a lane says of its coupons.

use std::collections::HashSet;

use sluice_claim::port::StoreError;
use sluice_domain::id::{CouponId, LaneId};

use super::read::{coupon_id, figures};
use crate::lane_store::CouponFigures;
use crate::redis::RedisHotState;
use crate::redis::call::Call;
use crate::redis::key;
use crate::redis::reply::Code;
use crate::redis::script::Script;

/// Of which lane something is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// One that stands as it was opened; of any other the answer is why not.
    Current,
    /// Any: what is left of it after a loss.
    WhatIsLeft,
}

impl RedisHotState {
    /// The coupons known in the current epoch, each with whether it is hydrated, in order.
    pub(super) async fn list_coupons(
        &self,
        lane: LaneId,
        asks: Asks,
    ) -> Result<Vec<(CouponId, bool)>, StoreError> {
        let mut reply = self
            .read_current(lane, |keys, epoch| {
                Call::new(&self.handles, Script::Coupons)
                    .key(&key::lane(lane))
                    .key(&keys.known())
                    .key(&keys.hydrated())
                    .arg(epoch.0)
                    .arg(asks.flag())
            })
            .await?
            .ready(lane, self.known_epoch(lane).unwrap_or_default())?;
        let known = reply.array()?;
        let hydrated = reply.array()?.into_iter().map(coupon_id);
        let hydrated = hydrated.collect::<Result<HashSet<_>, _>>()?;
        let mut coupons = known
            .into_iter()
            .step_by(2)
            .map(|id| coupon_id(id).map(|id| (id, hydrated.contains(&id))))
            .collect::<Result<Vec<_>, _>>()?;
        coupons.sort_unstable();
        Ok(coupons)
    }

    /// What a coupon's hash says; `None` where there is none.
    pub(super) async fn read_figures(
        &self,
        lane: LaneId,
        coupon: CouponId,
        asks: Asks,
    ) -> Result<Option<CouponFigures>, StoreError> {
        let reply = self
            .read_current(lane, |keys, epoch| {
                Call::new(&self.handles, Script::Figures)
                    .key(&key::lane(lane))
                    .key(&keys.coupon(coupon))
                    .arg(epoch.0)
                    .arg(asks.flag())
            })
            .await?
            .ready(lane, self.known_epoch(lane).unwrap_or_default())?;
        match reply.code {
            Code::Done => figures(coupon, reply).map(Some),
            Code::UnknownCoupon => Ok(None),
            _ => Err(reply.unexpected()),
        }
    }
}

impl Asks {
    fn flag(self) -> u8 {
        u8::from(self == Self::WhatIsLeft)
    }
}
