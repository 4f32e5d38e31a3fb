//! Unlinking what is left of an ended epoch, a slice at a time.

use sluice_claim::port::StoreError;
use sluice_domain::id::{Epoch, LaneId};

use crate::redis::RedisHotState;
use crate::redis::call::Call;
use crate::redis::key::{self, EpochKeys};
use crate::redis::reply::{Code, array, bytes, nonsense, number};
use crate::redis::script::Script;

/// Keys of an ended epoch that one slice of the sweep unlinks, about.
const SWEEP_KEYS: usize = 200;
/// How much of the key space one step of the sweep looks at: a fraction of a millisecond of Redis.
const SWEEP_SCAN: usize = 500;
/// Steps of the sweep in one slice.
const SWEEP_STEPS: usize = 20;

/// Where the sweep of an ended epoch stands, between its slices.
#[derive(Debug, Default)]
pub(in crate::redis) struct Sweep {
    epoch: Epoch,
    cursor: u64,
    /// Whether the pass over the key space that is under way has found anything.
    found: bool,
}

impl RedisHotState {
    pub(super) async fn sweep(&self, lane: LaneId, ended: Epoch) -> Result<bool, StoreError> {
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
        let way = self.keeper_way(lane);
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
            let mut page = array(way.send(&scan).await?)?.into_iter();
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
            .run(self.keeper_way(lane), lane, ended)
            .await?
            .ready(lane, ended)?;
        match reply.code {
            Code::Done => Ok(true),
            Code::Ignored => Ok(false),
            _ => Err(reply.unexpected()),
        }
    }
}
