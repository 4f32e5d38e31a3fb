//! Lanes of the model.

use sluice_domain::id::{Epoch, LaneId};
use sluice_domain::lane::LaneFence;
use sluice_domain::time::Timestamp;

use super::ModelLedger;
use crate::LedgerError;
use crate::lanes::{LaneRow, LaneWrite, Lanes, LedgerIdentity};

impl ModelLedger {
    /// Changes a lane row where `condition` holds of it.
    fn write_lane(
        &self,
        lane: LaneId,
        condition: impl FnOnce(&LaneRow) -> bool,
        change: impl FnOnce(&mut LaneRow),
    ) -> Result<LaneWrite, LedgerError> {
        self.call(|state| {
            let row = state.lane_mut(lane)?;
            if !condition(row) {
                return Ok(LaneWrite::Refused(row.clone()));
            }
            change(row);
            Ok(LaneWrite::Done(row.clone()))
        })
    }
}

fn holds(row: &LaneRow, fence: LaneFence) -> bool {
    row.epoch == fence.epoch && row.keeper == fence.keeper
}

#[async_trait::async_trait]
impl Lanes for ModelLedger {
    fn identity(&self) -> &LedgerIdentity {
        &self.identity
    }

    async fn lane(&self, lane: LaneId) -> Result<LaneRow, LedgerError> {
        self.call(|state| state.lane(lane).cloned())
    }

    async fn take_lane(
        &self,
        seen: &LaneRow,
        holder: &str,
        until: Timestamp,
    ) -> Result<LaneWrite, LedgerError> {
        self.write_lane(
            seen.lane,
            |row| row == seen,
            |row| {
                row.keeper = row.keeper.next();
                holder.clone_into(&mut row.holder);
                row.until = until;
            },
        )
    }

    async fn renew_lane(
        &self,
        fence: LaneFence,
        until: Timestamp,
    ) -> Result<LaneWrite, LedgerError> {
        self.write_lane(fence.lane, |row| holds(row, fence), |row| row.until = until)
    }

    async fn raise_epoch(&self, fence: LaneFence) -> Result<LaneWrite, LedgerError> {
        self.write_lane(
            fence.lane,
            |row| holds(row, fence) && row.halted.is_none(),
            |row| row.epoch = row.epoch.next(),
        )
    }

    async fn set_opened(&self, fence: LaneFence) -> Result<LaneWrite, LedgerError> {
        self.write_lane(
            fence.lane,
            |row| holds(row, fence) && row.halted.is_none(),
            |row| row.opened = fence.epoch,
        )
    }

    async fn halt_lane(&self, fence: LaneFence, reason: &str) -> Result<LaneWrite, LedgerError> {
        self.write_lane(
            fence.lane,
            |row| holds(row, fence),
            |row| row.halted = Some(reason.to_owned()),
        )
    }

    async fn accept_lane(
        &self,
        fence: LaneFence,
        epoch: Epoch,
        seq: u64,
    ) -> Result<LaneWrite, LedgerError> {
        self.write_lane(
            fence.lane,
            |row| holds(row, fence),
            |row| {
                row.halted = None;
                row.epoch = row.epoch.max(epoch);
                row.seq = row.seq.max(seq);
            },
        )
    }
}
