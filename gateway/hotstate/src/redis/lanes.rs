//! Hot state as the lane's keeper, the control plane and the audit see it.

use std::collections::HashSet;

use redis::Value;
use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::claim::{ClaimRow, GrantRecord};
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, Epoch, KeeperNumber, LaneId, LeaseNumber, LedgerId, Revision,
    Ticket, UserId,
};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

use super::call::Call;
use super::key::{self, EpochKeys};
use super::layout::{self, FLAG_FINAL, FLAG_MORE_MAY_COME, millis};
use super::reply::{Code, Reply, array, bytes, nonsense, number};
use super::script::Script;
use super::{RedisHotState, definition, outbox};
use crate::lane_store::{
    CouponFigures, Fenced, FencedOff, HydrateBegin, Hydration, Installed, LaneFacts, LaneState,
    LaneStore, LeaseInstall, LeaseInstalled, OutboxEntry, Refusal, Retire, Retired,
};

/// Users per page of claims.
const CLAIMS_PAGE: usize = 500;
/// Keys of an ended epoch that one slice of the sweep unlinks, about.
const SWEEP_KEYS: usize = 200;
/// How much of the key space one step of the sweep looks at: a fraction of a millisecond of Redis.
const SWEEP_SCAN: usize = 500;
/// Steps of the sweep in one slice.
const SWEEP_STEPS: usize = 20;

/// Where the sweep of an ended epoch stands, between its slices.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    epoch: Epoch,
    cursor: u64,
    /// Whether the pass over the key space that is under way has found anything.
    found: bool,
}

/// The rest of an answer that says `Done`, or the keeper's refusal.
pub(super) fn fenced(mut reply: Reply) -> Result<Fenced<Reply>, StoreError> {
    match reply.code {
        Code::Deposed => Ok(Fenced::Deposed {
            epoch: Epoch(reply.number()?),
            keeper: KeeperNumber(reply.number()?),
        }),
        code => match code.not_ready() {
            Some(reason) => Ok(Fenced::NotReady(reason)),
            None => Ok(Fenced::Done(reply)),
        },
    }
}

/// Reads what a fenced call did where it did it.
pub(super) fn done<T>(
    answer: Fenced<Reply>,
    read: impl FnOnce(Reply) -> Result<T, StoreError>,
) -> Result<Fenced<T>, StoreError> {
    Ok(match answer {
        Fenced::Done(reply) => Fenced::Done(read(reply)?),
        Fenced::Deposed { epoch, keeper } => Fenced::Deposed { epoch, keeper },
        Fenced::NotReady(reason) => Fenced::NotReady(reason),
    })
}

/// For calls that answer nothing more than that they were carried out.
pub(super) fn nothing(reply: Reply) -> Result<(), StoreError> {
    match reply.code {
        Code::Done => Ok(()),
        _ => Err(reply.unexpected()),
    }
}

impl RedisHotState {
    /// Runs a keeper's call.
    pub(super) async fn fenced_call(
        &self,
        call: Call<'_>,
        fence: LaneFence,
    ) -> Result<Fenced<Reply>, StoreError> {
        let link = self.keeper_link(fence.lane);
        match call.run(link, fence.lane, fence.epoch).await {
            Ok(reply) => fenced(reply),
            // A replica refuses before the prologue can.
            Err(StoreError::LaneNotReady { reason, .. }) => Ok(Fenced::NotReady(reason)),
            Err(error) => Err(error),
        }
    }

    /// A keeper's call, with the keys every one begins with.
    pub(super) fn keeper_call(
        &self,
        script: Script,
        fence: LaneFence,
        keys: &[String],
    ) -> Call<'_> {
        let mut call = Call::new(&self.handles, script).key(&key::lane(fence.lane));
        for key in keys {
            call = call.key(key);
        }
        call.arg(fence.epoch.0).arg(fence.keeper.0)
    }

    /// Runs a read of the lane's current epoch, whichever that is: told by the lane itself where
    /// this process does not know.
    async fn read_current<'a>(
        &'a self,
        lane: LaneId,
        build: impl Fn(EpochKeys, Epoch) -> Call<'a>,
    ) -> Result<Reply, StoreError> {
        let mut epoch = self.known_epoch(lane).unwrap_or_default();
        // The lane may move on between the answer that names its epoch and the next call; not often.
        for _attempt in 0..4 {
            let mut reply = build(EpochKeys::new(lane, epoch), epoch)
                .run(self.keeper_link(lane), lane, epoch)
                .await?;
            if reply.code != Code::Epoch {
                return Ok(reply);
            }
            epoch = Epoch(reply.number()?);
        }
        Err(StoreError::LaneNotReady {
            lane,
            epoch,
            reason: NotReady::Recovering,
        })
    }
}

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
    ) -> Result<Fenced<()>, StoreError> {
        let keys = EpochKeys::new(fence.lane, fence.epoch);
        let mut call = self
            .keeper_call(Script::Open, fence, &[keys.known(), keys.mark()])
            .arg(millis(lease_until))
            .arg(seq)
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
            .run(self.keeper_link(lane), lane, epoch)
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
            .run(self.keeper_link(lane), lane, epoch)
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
            .run(self.keeper_link(lane), lane, epoch)
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
        let reply = self
            .read_current(lane, |keys, epoch| {
                Call::new(&self.handles, Script::Figures)
                    .key(&key::lane(lane))
                    .key(&keys.coupon(coupon))
                    .arg(epoch.0)
            })
            .await?
            .ready(lane, self.known_epoch(lane).unwrap_or_default())?;
        match reply.code {
            Code::Done => figures(coupon, reply).map(Some),
            Code::UnknownCoupon => Ok(None),
            _ => Err(reply.unexpected()),
        }
    }

    async fn coupons(&self, lane: LaneId) -> Result<Vec<(CouponId, bool)>, StoreError> {
        let mut reply = self
            .read_current(lane, |keys, epoch| {
                Call::new(&self.handles, Script::Coupons)
                    .key(&key::lane(lane))
                    .key(&keys.known())
                    .key(&keys.hydrated())
                    .arg(epoch.0)
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

impl RedisHotState {
    /// The delay that scripts add to a clock, in ms.
    pub(super) fn opens_delay_ms(&self) -> u64 {
        u64::try_from(self.settings.opens_delay.as_millis()).unwrap_or(u64::MAX)
    }

    async fn sweep(&self, lane: LaneId, ended: Epoch) -> Result<bool, StoreError> {
        let Some(known) = self.lanes.get(usize::from(lane.0)) else {
            return Ok(true);
        };
        let mut state = known.sweep.lock().await;
        if state.epoch != ended {
            *state = Sweep {
                epoch: ended,
                ..Sweep::default()
            };
        }
        let link = self.keeper_link(lane);
        // The braces of the hash tag mean nothing to a pattern.
        let pattern = format!("{}*", EpochKeys::new(lane, ended).prefix());
        let mut unlinked = 0;
        for _step in 0..SWEEP_STEPS {
            let mut scan = redis::cmd("SCAN");
            scan.arg(state.cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(SWEEP_SCAN);
            let mut page = array(link.send(&scan).await?)?.into_iter();
            let (Some(cursor), Some(keys)) = (page.next(), page.next()) else {
                return Err(nonsense("a scan has no cursor"));
            };
            for key in array(keys)? {
                if !self.unlink(lane, ended, &bytes(key)?).await? {
                    return Ok(false);
                }
                state.found = true;
                unlinked += 1;
            }
            state.cursor = number(&cursor)?;
            if state.cursor == 0 {
                // A whole pass that found nothing: none is left.
                return Ok(!std::mem::take(&mut state.found));
            }
            if unlinked >= SWEEP_KEYS {
                break;
            }
        }
        Ok(false)
    }

    /// Unlinks a key of an ended epoch; false where that epoch is not to be swept.
    async fn unlink(&self, lane: LaneId, ended: Epoch, key: &[u8]) -> Result<bool, StoreError> {
        let key = std::str::from_utf8(key).map_err(|_utf8| nonsense("a key is no text"))?;
        let reply = Call::new(&self.handles, Script::Sweep)
            .key(&key::lane(lane))
            .key(key)
            .arg(ended.0)
            .run(self.keeper_link(lane), lane, ended)
            .await?
            .ready(lane, ended)?;
        match reply.code {
            Code::Done => Ok(true),
            Code::Ignored => Ok(false),
            _ => Err(reply.unexpected()),
        }
    }
}

fn facts(mut reply: Reply) -> Result<LaneFacts, StoreError> {
    if reply.code != Code::Done {
        return Err(reply.unexpected());
    }
    let time = |ms: u64| Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
    Ok(LaneFacts {
        lane_time: time(reply.number()?),
        same_server: reply.number()? == 1,
        epoch: Epoch(reply.number()?),
        state: match reply.text()?.as_str() {
            "open" => LaneState::Open,
            "recovering" => LaneState::Recovering,
            "halted" => LaneState::Halted,
            _ => return Err(nonsense("a lane's state is not known")),
        },
        keeper: KeeperNumber(reply.number()?),
        lease_until: time(reply.number()?),
        ledger_id: u128::from_str_radix(&reply.text()?, 16)
            .map(|id| LedgerId(id.to_be_bytes()))
            .map_err(|_digits| nonsense("a ledger id is not hexadecimal"))?,
        seq: reply.number()?,
        tail: EntryNumber(reply.number()?),
        unsalvaged: reply
            .text()?
            .split(',')
            .filter(|epoch| !epoch.is_empty())
            .map(|epoch| epoch.parse().map(Epoch))
            .collect::<Result<_, _>>()
            .map_err(|_digits| nonsense("an unsalvaged epoch is no number"))?,
        mark: reply.optional_number()?.map(EntryNumber),
        refused: reply.number()?,
    })
}

fn figures(coupon: CouponId, mut reply: Reply) -> Result<CouponFigures, StoreError> {
    let revision = layout::rules_revision(&reply.bytes()?)?;
    let packed = match reply.value()? {
        Value::Nil => None,
        value => Some(bytes(value)?),
    };
    let listed = reply.bytes()?;
    let hydrating_last = LeaseNumber(narrow(reply.number()?)?);
    let Some(packed) = packed else {
        return Ok(CouponFigures {
            coupon,
            ready: false,
            revision,
            leases: Vec::new(),
            last_lease: hydrating_last,
            is_final: false,
            stock_seq: sluice_domain::id::StockSeq(0),
            users: 0,
            devices: 0,
            addresses: 0,
        });
    };
    let stock = layout::stock(&packed)?;
    let mut leases: Vec<(LeaseNumber, Ticket, Ticket)> = Vec::new();
    if stock.next < stock.end {
        leases.push((stock.lease, stock.next, stock.end));
    }
    leases.extend(layout::listed(&listed)?);
    Ok(CouponFigures {
        coupon,
        ready: true,
        revision,
        leases,
        last_lease: stock.last_lease,
        is_final: stock.flags & FLAG_FINAL != 0,
        stock_seq: stock.stock_seq,
        users: stock.users,
        devices: stock.devices,
        addresses: stock.addresses,
    })
}

/// An entry as XRANGE answers it: its id and its fields.
fn entry(value: Value) -> Result<OutboxEntry, StoreError> {
    let mut parts = array(value)?.into_iter();
    let (Some(id), Some(fields)) = (parts.next(), parts.next()) else {
        return Err(nonsense("an outbox entry has no fields"));
    };
    let id = bytes(id)?;
    let number = std::str::from_utf8(&id)
        .ok()
        .and_then(|id| id.split_once('-'))
        .and_then(|(number, _part)| number.parse().ok())
        .map(EntryNumber)
        .ok_or_else(|| nonsense("an outbox entry's id is no number"))?;
    let fields = array(fields)?
        .into_iter()
        .map(bytes)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(outbox::decode(number, &fields))
}

fn coupon_id(value: Value) -> Result<CouponId, StoreError> {
    let text = bytes(value)?;
    std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| nonsense("a coupon id cannot be read"))
}

fn user_id(value: Value) -> Result<UserId, StoreError> {
    let text = bytes(value)?;
    std::str::from_utf8(&text)
        .ok()
        .and_then(|text| UserId::new(text).ok())
        .ok_or_else(|| nonsense("a user id cannot be read"))
}

fn narrow<T: TryFrom<u64>>(number: u64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_range| nonsense("a number is out of range"))
}
