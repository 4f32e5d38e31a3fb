//! Lanes on CQL: one row each, written by conditional statements only.

use sluice_domain::id::{Epoch, KeeperNumber, LaneId};
use sluice_domain::lane::LaneFence;
use sluice_domain::time::Timestamp;

use super::store::{Reading, fresh_op};
use super::value::{Record, values};
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::lanes::{LaneRow, LaneWrite, Lanes, LedgerIdentity};

const READ: &str = "SELECT lane, epoch, opened, keeper, holder, until, halted, seq, op FROM lanes \
                    WHERE lane = ?";
const WRITE: &str = "UPDATE lanes SET epoch = ?, opened = ?, keeper = ?, holder = ?, until = ?, \
                     halted = ?, seq = ?, op = ? WHERE lane = ? IF op = ?";

pub(super) const STATEMENTS: &[&str] = &[READ, WRITE];

/// Writes of one lane that a caller may lose against others before it gives up.
const ROUNDS: u32 = 30;

/// A row with the stamp of its last write.
pub(super) struct Stamped {
    pub(super) row: LaneRow,
    op: [u8; 16],
}

fn decode(record: &Record) -> Result<Stamped, LedgerError> {
    Ok(Stamped {
        row: LaneRow {
            lane: LaneId(record.number("lane")?),
            epoch: Epoch(record.number("epoch")?),
            opened: Epoch(record.number("opened")?),
            keeper: KeeperNumber(record.number("keeper")?),
            holder: record.text("holder")?.to_owned(),
            until: record.instant("until")?,
            halted: record.opt_text("halted")?.map(str::to_owned),
            seq: record.number("seq")?,
        },
        op: record.bytes("op")?,
    })
}

/// Whether a lane is where a keeper believes it to be.
pub(super) fn holds(row: &LaneRow, fence: LaneFence) -> bool {
    row.epoch == fence.epoch && row.keeper == fence.keeper
}

// === impl CqlLedger ===

impl CqlLedger {
    pub(super) async fn read_lane(
        &self,
        lane: LaneId,
        reading: Reading,
    ) -> Result<Stamped, LedgerError> {
        let record = self.store.row(READ, values![lane.0], reading).await?;
        let record =
            record.ok_or_else(|| LedgerError::corrupt(format!("there is no lane {lane}")))?;
        decode(&record)
    }

    /// Changes a lane row where `condition` holds of it.
    async fn write_lane(
        &self,
        lane: LaneId,
        condition: impl Fn(&LaneRow) -> bool + Send,
        change: impl Fn(&mut LaneRow) + Send,
    ) -> Result<LaneWrite, LedgerError> {
        let mut reading = Reading::Quorum;
        for round in 0..ROUNDS {
            let Stamped { mut row, op: seen } = self.read_lane(lane, reading).await?;
            if !condition(&row) {
                return Ok(LaneWrite::Refused(row));
            }
            change(&mut row);
            let op = fresh_op()?;
            let values = values![
                row.epoch.0,
                row.opened.0,
                row.keeper.0,
                row.holder,
                row.until,
                row.halted,
                row.seq,
                op,
                lane.0,
                seen
            ];
            let probe = (READ, values![lane.0]);
            let calls = vec![(WRITE, values)];
            if self.store.write(calls, probe, Some(seen), op).await? {
                return Ok(LaneWrite::Done(row));
            }
            reading = Reading::Serial;
            super::store::back_off(round).await;
        }
        Err(crowded("lane", lane))
    }

    /// Raises the lane's number and gives the new one; `None` where the fence does not hold.
    pub(super) async fn raise_seq(&self, fence: LaneFence) -> Result<Option<u64>, LedgerError> {
        let raised = self.write_lane(fence.lane, |row| holds(row, fence), |row| row.seq += 1);
        Ok(match raised.await? {
            LaneWrite::Done(row) => Some(row.seq),
            LaneWrite::Refused(_) => None,
        })
    }

    /// Raises the lane's number, whoever keeps it.
    pub(super) async fn raise_seq_unfenced(&self, lane: LaneId) -> Result<(), LedgerError> {
        let raised = self.write_lane(lane, |_row| true, |row| row.seq += 1);
        raised.await.map(|_row| ())
    }
}

#[async_trait::async_trait]
impl Lanes for CqlLedger {
    fn identity(&self) -> &LedgerIdentity {
        &self.identity
    }

    async fn lane(&self, lane: LaneId) -> Result<LaneRow, LedgerError> {
        Ok(self.read_lane(lane, Reading::Serial).await?.row)
    }

    async fn take_lane(
        &self,
        seen: &LaneRow,
        holder: &str,
        until: Timestamp,
    ) -> Result<LaneWrite, LedgerError> {
        let change = |row: &mut LaneRow| {
            row.keeper = row.keeper.next();
            holder.clone_into(&mut row.holder);
            row.until = until;
        };
        self.write_lane(seen.lane, |row| row == seen, change).await
    }

    async fn renew_lane(
        &self,
        fence: LaneFence,
        until: Timestamp,
    ) -> Result<LaneWrite, LedgerError> {
        self.write_lane(fence.lane, |row| holds(row, fence), |row| row.until = until)
            .await
    }

    async fn raise_epoch(&self, fence: LaneFence) -> Result<LaneWrite, LedgerError> {
        self.write_lane(
            fence.lane,
            |row| holds(row, fence) && row.halted.is_none(),
            |row| row.epoch = row.epoch.next(),
        )
        .await
    }

    async fn set_opened(&self, fence: LaneFence) -> Result<LaneWrite, LedgerError> {
        self.write_lane(
            fence.lane,
            |row| holds(row, fence) && row.halted.is_none(),
            |row| row.opened = fence.epoch,
        )
        .await
    }

    async fn halt_lane(&self, fence: LaneFence, reason: &str) -> Result<LaneWrite, LedgerError> {
        self.write_lane(
            fence.lane,
            |row| holds(row, fence),
            |row| row.halted = Some(reason.to_owned()),
        )
        .await
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
        .await
    }
}
