//! Lanes in the ledger: epochs, keepers and halts.

use sluice_domain::id::{Epoch, KeeperNumber, LaneId, LedgerId};
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::time::Timestamp;

use crate::LedgerError;

/// What was fixed when the ledger was made.
#[derive(Debug, Clone)]
pub struct LedgerIdentity {
    /// Random.
    pub id: LedgerId,
    /// How many lanes.
    pub lanes: LaneCount,
    /// The master key of [`sluice_domain::hash::HashKeys`].
    pub hash_key: [u8; 32],
}

/// A lane row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRow {
    /// The lane.
    pub lane: LaneId,
    /// Its epoch, from 0 (never opened).
    pub epoch: Epoch,
    /// The last epoch that was opened anywhere.
    pub opened: Epoch,
    /// The keeper's number.
    pub keeper: KeeperNumber,
    /// Who that is, for people.
    pub holder: String,
    /// Until when the keeper holds the lane, by the ledger's clock.
    pub until: Timestamp,
    /// Why it is halted.
    pub halted: Option<String>,
    /// Raised by each lease operation, and on SQLite by each append, before its effect reaches
    /// Redis: a ledger whose number is lower than Redis' was set back.
    pub seq: u64,
}

impl LaneRow {
    /// What `until` is in the row of a lane that its keeper has given back: anybody may take it at
    /// once.
    pub const GIVEN_BACK: Timestamp = Timestamp::MIN;

    /// Whether its keeper has given it back, or it never had one.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.keeper.0 == 0 || self.until == Self::GIVEN_BACK
    }
}

/// Whether a conditional write took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneWrite {
    /// It did; the row as it is now.
    Done(LaneRow),
    /// The condition did not hold; the row as it is.
    Refused(LaneRow),
}

/// The lanes.
#[async_trait::async_trait]
pub trait Lanes: Send + Sync + 'static {
    /// What was fixed when the ledger was made.
    fn identity(&self) -> &LedgerIdentity;

    /// Reads a lane row, as the last committed write left it.
    async fn lane(&self, lane: LaneId) -> Result<LaneRow, LedgerError>;

    /// Takes a lane: raises `keeper` by one if the row is still as `seen`.
    async fn take_lane(
        &self,
        seen: &LaneRow,
        holder: &str,
        until: Timestamp,
    ) -> Result<LaneWrite, LedgerError>;

    /// Prolongs the keeper's hold; with [`LaneRow::GIVEN_BACK`] it ends it.
    async fn renew_lane(
        &self,
        fence: LaneFence,
        until: Timestamp,
    ) -> Result<LaneWrite, LedgerError>;

    /// Raises the epoch by one: the first step of a recovery. One winner. Refused while halted.
    async fn raise_epoch(&self, fence: LaneFence) -> Result<LaneWrite, LedgerError>;

    /// Sets `opened` to the fence's epoch: the last step before the lane serves. Refused while
    /// halted.
    async fn set_opened(&self, fence: LaneFence) -> Result<LaneWrite, LedgerError>;

    /// Halts the lane with a reason.
    async fn halt_lane(&self, fence: LaneFence, reason: &str) -> Result<LaneWrite, LedgerError>;

    /// The operator's way out of a halt: clears it and raises epoch and `seq` to at least the given
    /// numbers (those that Redis had), so that this ledger is ahead again. Under keeper's fence.
    async fn accept_lane(
        &self,
        fence: LaneFence,
        epoch: Epoch,
        seq: u64,
    ) -> Result<LaneWrite, LedgerError>;
}
