//! Keepers' calls: how they are made and how their refusals are read. And reads of the current epoch.

use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::id::{Epoch, KeeperNumber, LaneId};
use sluice_domain::lane::LaneFence;

use crate::lane_store::Fenced;
use crate::redis::RedisHotState;
use crate::redis::call::Call;
use crate::redis::key::{self, EpochKeys};
use crate::redis::reply::{Code, Reply};
use crate::redis::script::Script;

/// The rest of an answer that says `Done`, or the keeper's refusal.
pub(in crate::redis) fn fenced(mut reply: Reply) -> Result<Fenced<Reply>, StoreError> {
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
pub(in crate::redis) fn done<T>(
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
pub(in crate::redis) fn nothing(reply: Reply) -> Result<(), StoreError> {
    match reply.code {
        Code::Done => Ok(()),
        _ => Err(reply.unexpected()),
    }
}

impl RedisHotState {
    /// The delay that scripts add to a clock, in ms.
    pub(in crate::redis) fn opens_delay_ms(&self) -> u64 {
        u64::try_from(self.settings.opens_delay.as_millis()).unwrap_or(u64::MAX)
    }

    /// Runs a keeper's call.
    pub(in crate::redis) async fn fenced_call(
        &self,
        call: Call<'_>,
        fence: LaneFence,
    ) -> Result<Fenced<Reply>, StoreError> {
        let way = self.keeper_way(fence.lane);
        match call.run(way, fence.lane, fence.epoch).await {
            Ok(reply) => fenced(reply),
            // A replica refuses before the prologue can.
            Err(StoreError::LaneNotReady { reason, .. }) => Ok(Fenced::NotReady(reason)),
            Err(error) => Err(error),
        }
    }

    /// A keeper's call, with the keys every one begins with.
    pub(in crate::redis) fn keeper_call(
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
    pub(super) async fn read_current<'a>(
        &'a self,
        lane: LaneId,
        build: impl Fn(EpochKeys, Epoch) -> Call<'a>,
    ) -> Result<Reply, StoreError> {
        let mut epoch = self.known_epoch(lane).unwrap_or_default();
        // The lane may move on between the answer that names its epoch and the next call; not often.
        for _attempt in 0..4 {
            let mut reply = build(EpochKeys::new(lane, epoch), epoch)
                .run(self.keeper_way(lane), lane, epoch)
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
