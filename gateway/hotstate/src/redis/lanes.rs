//! Hot state as the lane's keeper, the control plane and the audit see it.

mod coupons;
mod fenced;
mod read;
mod sweep;

use sluice_claim::port::StoreError;
use sluice_domain::claim::{ClaimRow, GrantRecord};
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, Epoch, LaneId, LeaseNumber, LedgerId, Revision, UserId,
};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

use super::call::Call;
use super::key::{self, EpochKeys};
use super::layout::{self, FLAG_FINAL, FLAG_MORE_MAY_COME, millis};
use super::reply::{Code, bytes, narrow};
use super::script::Script;
use super::{RedisHotState, definition};
use crate::lane_store::{
    CouponFigures, Fenced, FencedOff, HydrateBegin, Hydration, Installed, LaneFacts, LaneStore,
    LeaseInstall, LeaseInstalled, OutboxEntry, Refusal, Retire, Retired,
};

use coupons::Asks;
pub(super) use fenced::done;
use fenced::nothing;
use read::{entry, facts, user_id};
pub(super) use sweep::Sweep;

/// Users per page of claims.
const CLAIMS_PAGE: usize = 500;

#[async_trait::async_trait]
impl LaneStore for RedisHotState {
    async fn facts(&self, lane: LaneId) -> Result<Option<LaneFacts>, StoreError> {
        let reply = self
            .read_current(lane, |keys, epoch| {
                Call::new(&self.handles, Script::Facts)
                    .key(&key::lane(lane))
                    .key(&keys.mark())
                    .key(&keys.refused())
                    .arg(epoch.0)
            })
            .await?;
        match reply.code {
            Code::Missing => Ok(None),
            _ => facts(reply).map(Some),
        }
    }

    fn learn_epoch(&self, lane: LaneId, epoch: Epoch) {
        self.learn(lane, epoch);
    }

    async fn take(
        &self,
        fence: LaneFence,
        ledger: LedgerId,
        lease_until: Timestamp,
    ) -> Result<Fenced<LaneFacts>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let call = self
            .keeper_call(Script::Take, fence, &[keys.mark(), keys.refused()])
            .arg(millis(lease_until))
            .arg(ledger.to_string());
        done(self.fenced_call(call, fence).await?, facts)
    }

    async fn renew(
        &self,
        fence: LaneFence,
        lease_until: Timestamp,
        seq: u64,
    ) -> Result<Fenced<LaneFacts>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let named = [keys.mark(), keys.refused(), keys.known(), keys.hydrated()];
        let call = self
            .keeper_call(Script::Renew, fence, &named)
            .arg(millis(lease_until))
            .arg(seq);
        match self.fenced_call(call, fence).await? {
            Fenced::Done(reply) if reply.code == Code::Evicting => Err(StoreError::Backpressure {
                reason: "maxmemory-policy is not noeviction",
            }),
            answer => done(answer, facts),
        }
    }

    async fn fence(
        &self,
        fence: LaneFence,
        ledger: LedgerId,
    ) -> Result<Fenced<FencedOff>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let call = self
            .keeper_call(Script::Fence, fence, &[keys.mark(), keys.refused()])
            .arg(ledger.to_string());
        done(self.fenced_call(call, fence).await?, |reply| {
            Ok(FencedOff {
                facts: facts(reply)?,
            })
        })
    }

    async fn halt(&self, fence: LaneFence) -> Result<Fenced<()>, StoreError> {
        let call = self.keeper_call(Script::Halt, fence, &[]);
        done(self.fenced_call(call, fence).await?, nothing)
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
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let mut call = self
            .keeper_call(Script::Open, fence, &[keys.known(), keys.mark()])
            .arg(millis(lease_until))
            .arg(seq)
            .arg(adopt.map_or_else(String::new, |ledger| ledger.to_string()))
            .arg(known.len());
        for coupon in known.iter().chain(retired) {
            call.push(coupon.to_string());
        }
        done(self.fenced_call(call, fence).await?, nothing)
    }

    async fn sweep_epoch(&self, lane: LaneId, ended: Epoch) -> Result<bool, StoreError> {
        self.sweep(lane, ended).await
    }

    async fn read_outbox(
        &self,
        lane: LaneId,
        epoch: Epoch,
        after: EntryNumber,
        count: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError> {
        let mut reply = Call::new(&self.handles, Script::Outbox)
            .key(&key::lane(lane))
            .key(&EpochKeys::new(lane, epoch).outbox())
            .arg(after.0)
            .arg(count)
            .run(self.keeper_way(lane), lane, epoch)
            .await?
            .ready(lane, epoch)?;
        reply.array()?.into_iter().map(entry).collect()
    }

    async fn mark(
        &self,
        fence: LaneFence,
        mark: EntryNumber,
        seq: u64,
    ) -> Result<Fenced<LaneFacts>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let named = [keys.mark(), keys.refused(), keys.outbox()];
        let call = self
            .keeper_call(Script::Mark, fence, &named)
            .arg(mark.0)
            .arg(seq);
        done(self.fenced_call(call, fence).await?, facts)
    }

    async fn refuse(&self, fence: LaneFence, refusal: Refusal) -> Result<Fenced<()>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let coupon = refusal.coupon;
        let named = [
            keys.refused(),
            keys.coupon(coupon),
            keys.users(coupon),
            keys.devices(coupon),
            keys.addresses(coupon),
        ];
        let call = self
            .keeper_call(Script::Refuse, fence, &named)
            .arg(&refusal.claim_id.0[..])
            .arg(refusal.entry.0)
            .arg(refusal.user.as_bytes())
            .arg(refusal.device.map_or(Vec::new(), |hash| hash.0.to_vec()))
            .arg(refusal.address.map_or(Vec::new(), |hash| hash.0.to_vec()));
        done(self.fenced_call(call, fence).await?, nothing)
    }

    async fn refused(
        &self,
        lane: LaneId,
        epoch: Epoch,
    ) -> Result<Vec<(ClaimId, EntryNumber)>, StoreError> {
        let mut reply = Call::new(&self.handles, Script::Refused)
            .key(&key::lane(lane))
            .key(&EpochKeys::new(lane, epoch).refused())
            .run(self.keeper_way(lane), lane, epoch)
            .await?
            .ready(lane, epoch)?;
        let pair = |value| {
            let member = bytes(value)?;
            let mut cursor = layout::Cursor::new(&member);
            Ok((ClaimId(cursor.bytes()?), EntryNumber(cursor.uint::<8>()?)))
        };
        reply.array()?.into_iter().map(pair).collect()
    }

    async fn install(
        &self,
        lane: LaneId,
        epoch: Epoch,
        published: &Published,
    ) -> Result<Installed, StoreError> {
        let keys = EpochKeys::new(lane, epoch);
        let called = Call::new(&self.handles, Script::Install)
            .key(&key::lane(lane))
            .key(&keys.known())
            .key(&keys.coupon(published.id))
            .key(&keys.definition(published.id))
            .arg(epoch.0)
            .arg(published.id.to_string())
            .arg(published.revision.0)
            .arg(layout::rules(published))
            .arg(definition::encode(published)?)
            .run(self.keeper_way(lane), lane, epoch)
            .await;
        let mut reply = match called {
            Ok(reply) => reply,
            Err(StoreError::LaneNotReady { reason, .. }) => return Ok(Installed::NotReady(reason)),
            Err(error) => return Err(error),
        };
        match reply.code {
            Code::Done => Ok(Installed::Applied),
            Code::Older => Ok(Installed::Older {
                in_force: Revision(narrow(reply.number()?)?),
            }),
            Code::Epoch => Ok(Installed::Epoch(Epoch(reply.number()?))),
            code => match code.not_ready() {
                Some(reason) => Ok(Installed::NotReady(reason)),
                None => Err(reply.unexpected()),
            },
        }
    }

    async fn install_lease(
        &self,
        fence: LaneFence,
        lease: LeaseInstall,
    ) -> Result<Fenced<LeaseInstalled>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let call = self
            .keeper_call(Script::Lease, fence, &[keys.coupon(lease.coupon)])
            .arg(lease.lease.0)
            .arg(lease.first.0)
            .arg(lease.first.0 + u64::from(lease.size))
            .arg(lease.seq)
            .arg(self.opens_delay_ms());
        done(
            self.fenced_call(call, fence).await?,
            |mut reply| match reply.code {
                Code::Done => Ok(LeaseInstalled::Listed),
                Code::NotHydrated => Ok(LeaseInstalled::NotHydrated),
                Code::Ignored => Ok(LeaseInstalled::Ignored {
                    last: LeaseNumber(narrow(reply.number()?)?),
                }),
                _ => Err(reply.unexpected()),
            },
        )
    }

    async fn set_final(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        more_may_come: bool,
    ) -> Result<Fenced<()>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let flags = if more_may_come {
            FLAG_FINAL | FLAG_MORE_MAY_COME
        } else {
            FLAG_FINAL
        };
        let call = self
            .keeper_call(Script::Final, fence, &[keys.coupon(coupon)])
            .arg(flags);
        done(self.fenced_call(call, fence).await?, nothing)
    }

    async fn clear_final(
        &self,
        fence: LaneFence,
        coupon: CouponId,
    ) -> Result<Fenced<()>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let call = self
            .keeper_call(Script::Final, fence, &[keys.coupon(coupon)])
            .arg(0)
            .arg(self.opens_delay_ms());
        done(self.fenced_call(call, fence).await?, nothing)
    }

    async fn retire(
        &self,
        fence: LaneFence,
        retire: Retire,
    ) -> Result<Fenced<Retired>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let call = self
            .keeper_call(Script::Retire, fence, &[keys.coupon(retire.coupon)])
            .arg(retire.only.map_or(0, |lease| lease.0))
            .arg(retire.last.0)
            .arg(retire.seq);
        done(self.fenced_call(call, fence).await?, |mut reply| {
            let tail = EntryNumber(reply.number()?);
            Ok(Retired { tail })
        })
    }

    async fn hydrate_begin(
        &self,
        fence: LaneFence,
        begin: &HydrateBegin,
        attempt: u64,
    ) -> Result<Fenced<Hydration>, StoreError> {
        self.begin_hydration(fence, begin, attempt).await
    }

    async fn hydrate_claims(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        attempt: u64,
        rows: &[ClaimRow],
    ) -> Result<Fenced<Hydration>, StoreError> {
        self.fill_claims(fence, coupon, attempt, rows).await
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
        self.finish_hydration(fence, coupon, attempt, [users, devices, addresses])
            .await
    }

    async fn forget(&self, fence: LaneFence, coupon: CouponId) -> Result<Fenced<()>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let named = [
            keys.known(),
            keys.hydrated(),
            keys.coupon(coupon),
            keys.users(coupon),
            keys.devices(coupon),
            keys.addresses(coupon),
        ];
        let call = self
            .keeper_call(Script::Forget, fence, &named)
            .arg(coupon.to_string());
        done(self.fenced_call(call, fence).await?, nothing)
    }

    async fn figures(
        &self,
        lane: LaneId,
        coupon: CouponId,
    ) -> Result<Option<CouponFigures>, StoreError> {
        self.read_figures(lane, coupon, Asks::Current).await
    }

    async fn coupons(&self, lane: LaneId) -> Result<Vec<(CouponId, bool)>, StoreError> {
        self.list_coupons(lane, Asks::Current).await
    }

    async fn last_seen(&self, lane: LaneId) -> Result<Vec<CouponFigures>, StoreError> {
        let mut seen = Vec::new();
        for (coupon, _hydrated) in self.list_coupons(lane, Asks::WhatIsLeft).await? {
            seen.extend(self.read_figures(lane, coupon, Asks::WhatIsLeft).await?);
        }
        Ok(seen)
    }

    async fn claims(
        &self,
        lane: LaneId,
        coupon: CouponId,
        cursor: u64,
    ) -> Result<(Vec<(UserId, GrantRecord)>, Option<u64>), StoreError> {
        let mut reply = self
            .read_current(lane, |keys, epoch| {
                Call::new(&self.handles, Script::Claims)
                    .key(&key::lane(lane))
                    .key(&keys.users(coupon))
                    .arg(epoch.0)
                    .arg(cursor)
                    .arg(CLAIMS_PAGE)
            })
            .await?
            .ready(lane, self.known_epoch(lane).unwrap_or_default())?;
        let next = reply.number()?;
        let mut claims = Vec::new();
        let mut values = reply.array()?.into_iter();
        while let (Some(user), Some(packed)) = (values.next(), values.next()) {
            let user = user_id(user)?;
            let records = layout::records(coupon, &bytes(packed)?)?;
            claims.extend(records.into_iter().map(|record| (user, record)));
        }
        Ok((claims, (next != 0).then_some(next)))
    }
}
