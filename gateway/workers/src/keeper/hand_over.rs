//! Handing a lane over: what a keeper does at the end where another process can go on at once.
//!
//! The lane is left as it is, with its leases on the list: the next keeper takes it over as after a
//! death, in the same epoch, and needs not wait for the lease of this one to run out. So nobody who
//! claims meanwhile is told to come again; those of class `ledger` wait for the next keeper's first
//! mark. What was granted before the stop is drained first, so that a system whose last process
//! stops leaves nothing in the outbox.

use sluice_ledger::lanes::{LaneRow, LaneWrite};

use super::trouble::Trouble;
use super::{Keeper, Next, Phase};

impl Keeper {
    /// Drains what was granted before the stop, then gives the lane back.
    pub(super) async fn hand_over(&mut self) -> Result<Next, Trouble> {
        let until_entry = match self.hand_over_at {
            Some(entry) => entry,
            None => {
                let tail = self.current_facts().await?.tail;
                *self.hand_over_at.insert(tail)
            }
        };
        if self.outbox.handled < until_entry && self.outbox.stuck.is_none() {
            self.nudged = true;
            return Ok(Next::Now);
        }
        let given = self
            .parts
            .ledger
            .renew_lane(self.fence, LaneRow::GIVEN_BACK);
        match given.await? {
            LaneWrite::Done(_) => {}
            LaneWrite::Refused(row) => return Err(self.refused_by(row.halted)),
        }
        tracing::info!(lane = %self.lane, mark = %self.outbox.handled, "the lane was given back");
        self.phase = Phase::Stopped;
        Ok(Next::Stopped)
    }
}
