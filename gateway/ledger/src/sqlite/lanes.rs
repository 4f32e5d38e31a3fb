//! Lanes on SQLite.

use rusqlite::{Connection, OptionalExtension, Row, params};
use sluice_domain::id::{Epoch, KeeperNumber, LaneId};
use sluice_domain::lane::LaneFence;
use sluice_domain::time::Timestamp;

use super::SqliteLedger;
use super::failure::{Part, Step};
use super::value::{Instant, Natural};
use crate::LedgerError;
use crate::lanes::{LaneRow, LaneWrite, Lanes, LedgerIdentity};

/// The row of a lane.
pub(super) fn read(connection: &Connection, lane: LaneId) -> Part<LaneRow> {
    let row = connection
        .prepare_cached(
            "SELECT lane, epoch, opened, keeper, holder, until, halted, seq
             FROM lanes WHERE lane = ?1",
        )?
        .query_row(params![lane.0], decode)
        .optional()?;
    Ok(row.ok_or_else(|| LedgerError::corrupt(format!("there is no lane {lane}")))?)
}

/// Whether the lane is where a keeper believes it to be.
pub(super) fn holds(connection: &Connection, fence: LaneFence) -> Part<bool> {
    let row = read(connection, fence.lane)?;
    Ok(row.epoch == fence.epoch && row.keeper == fence.keeper)
}

/// Raises the lane's number and gives the new one.
pub(super) fn raise_seq(connection: &Connection, lane: LaneId) -> Part<u64> {
    let seq: Natural = connection
        .prepare_cached("UPDATE lanes SET seq = seq + 1 WHERE lane = ?1 RETURNING seq")?
        .query_row(params![lane.0], |row| row.get(0))?;
    Ok(seq.0)
}

/// The lane's number as it is.
pub(super) fn seq(connection: &Connection, lane: LaneId) -> Part<u64> {
    Ok(read(connection, lane)?.seq)
}

fn decode(row: &Row<'_>) -> rusqlite::Result<LaneRow> {
    let natural = |index: usize| row.get::<_, Natural>(index).map(|value| value.0);
    Ok(LaneRow {
        lane: LaneId(row.get(0)?),
        epoch: Epoch(natural(1)?),
        opened: Epoch(natural(2)?),
        keeper: KeeperNumber(natural(3)?),
        holder: row.get(4)?,
        until: row.get::<_, Instant>(5)?.0,
        halted: row.get(6)?,
        seq: natural(7)?,
    })
}

fn store(connection: &Connection, row: &LaneRow) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE lanes SET epoch = ?2, opened = ?3, keeper = ?4, holder = ?5, until = ?6,
                              halted = ?7, seq = ?8
             WHERE lane = ?1",
        )?
        .execute(params![
            row.lane.0,
            Natural(row.epoch.0),
            Natural(row.opened.0),
            Natural(row.keeper.0),
            row.holder,
            Instant(row.until),
            row.halted,
            Natural(row.seq),
        ])
        .map(drop)
}

fn held(row: &LaneRow, fence: LaneFence) -> bool {
    row.epoch == fence.epoch && row.keeper == fence.keeper
}

impl SqliteLedger {
    /// Changes a lane row where `condition` holds of it.
    async fn write_lane(
        &self,
        lane: LaneId,
        condition: impl FnOnce(&LaneRow) -> bool + Send + 'static,
        change: impl FnOnce(&mut LaneRow) + Send + 'static,
    ) -> Result<LaneWrite, LedgerError> {
        self.write(move |connection| -> Step<LaneWrite> {
            let mut row = read(connection, lane)?;
            if !condition(&row) {
                return Ok(LaneWrite::Refused(row));
            }
            change(&mut row);
            store(connection, &row)?;
            Ok(LaneWrite::Done(row))
        })
        .await
    }
}

#[async_trait::async_trait]
impl Lanes for SqliteLedger {
    fn identity(&self) -> &LedgerIdentity {
        &self.identity
    }

    async fn lane(&self, lane: LaneId) -> Result<LaneRow, LedgerError> {
        self.read(move |connection| Ok(read(connection, lane)?))
            .await
    }

    async fn take_lane(
        &self,
        seen: &LaneRow,
        holder: &str,
        until: Timestamp,
    ) -> Result<LaneWrite, LedgerError> {
        let (seen, holder) = (seen.clone(), holder.to_owned());
        let change = move |row: &mut LaneRow| {
            row.keeper = row.keeper.next();
            row.holder = holder;
            row.until = until;
        };
        self.write_lane(seen.lane, move |row| *row == seen, change)
            .await
    }

    async fn renew_lane(
        &self,
        fence: LaneFence,
        until: Timestamp,
    ) -> Result<LaneWrite, LedgerError> {
        let condition = move |row: &LaneRow| held(row, fence);
        self.write_lane(fence.lane, condition, move |row| row.until = until)
            .await
    }

    async fn raise_epoch(&self, fence: LaneFence) -> Result<LaneWrite, LedgerError> {
        let condition = move |row: &LaneRow| held(row, fence) && row.halted.is_none();
        self.write_lane(fence.lane, condition, |row| row.epoch = row.epoch.next())
            .await
    }

    async fn set_opened(&self, fence: LaneFence) -> Result<LaneWrite, LedgerError> {
        let condition = move |row: &LaneRow| held(row, fence) && row.halted.is_none();
        self.write_lane(fence.lane, condition, |row| row.opened = row.epoch)
            .await
    }

    async fn halt_lane(&self, fence: LaneFence, reason: &str) -> Result<LaneWrite, LedgerError> {
        let reason = reason.to_owned();
        let condition = move |row: &LaneRow| held(row, fence);
        self.write_lane(fence.lane, condition, |row| row.halted = Some(reason))
            .await
    }

    async fn accept_lane(
        &self,
        fence: LaneFence,
        epoch: Epoch,
        seq: u64,
    ) -> Result<LaneWrite, LedgerError> {
        let change = move |row: &mut LaneRow| {
            row.halted = None;
            row.epoch = row.epoch.max(epoch);
            row.seq = row.seq.max(seq);
        };
        let condition = move |row: &LaneRow| held(row, fence);
        self.write_lane(fence.lane, condition, change).await
    }
}
