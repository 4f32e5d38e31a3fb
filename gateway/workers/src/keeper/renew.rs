//! Renewing the two leases: the keeper's in the ledger, then the lane's in Redis.

use sluice_claim::port::StoreError;
use sluice_hotstate::lane_store::{LaneFacts, LaneState};
use sluice_ledger::lanes::LaneWrite;

use super::trouble::{Cause, Trouble, settled};
use super::{Keeper, Phase};

impl Keeper {
    /// Renews both leases when that is due. The lane's is counted from a time that Redis told
    /// *before* the ledger confirmed the keeper's, so a renewal that is delayed prolongs nothing.
    pub(super) async fn renew_if_due(&mut self) -> Result<(), Trouble> {
        let now = self.now_ms();
        if now < self.renew_at_ms {
            return Ok(());
        }
        let before = self.current_facts().await?;
        let until = self.hold_until();
        match self.parts.ledger.renew_lane(self.fence, until).await? {
            LaneWrite::Done(row) => self.hear_seq(row.seq),
            LaneWrite::Refused(row) => return Err(self.refused_by(row.halted)),
        }
        let until = self.lane_lease_from(before.lane_time);
        match self.parts.store.renew(self.fence, until, self.seq).await {
            Ok(answer) => {
                let facts = settled(answer)?;
                self.hear_facts(&facts)?;
            }
            Err(StoreError::Backpressure { reason }) => {
                // Claims go on until the lane's lease is over; draining must go on too.
                tracing::error!(lane = %self.lane, reason, "the lane's lease cannot be renewed");
            }
            Err(error) => return Err(Trouble::from(error)),
        }
        self.renew_at_ms = now.saturating_add(self.settings.renewal_ms);
        Ok(())
    }

    /// The lane hash, checked against what this keeper knows.
    pub(super) async fn current_facts(&mut self) -> Result<LaneFacts, Trouble> {
        let facts = self.parts.store.facts(self.lane).await?;
        let Some(facts) = facts else {
            return Err(Trouble::Recover(Cause::Missing));
        };
        self.hear_facts(&facts)?;
        Ok(facts)
    }

    /// Whether the lane can still be what this keeper left there.
    pub(super) fn hear_facts(&mut self, facts: &LaneFacts) -> Result<(), Trouble> {
        if !facts.same_server {
            return Err(Trouble::Recover(Cause::ServerChanged));
        }
        if (facts.epoch, facts.keeper) != (self.fence.epoch, self.fence.keeper) {
            return Err(Trouble::Lost);
        }
        match facts.state {
            LaneState::Open => {}
            LaneState::Recovering => return Err(Trouble::Lost),
            LaneState::Halted => {
                return Err(Trouble::Halt(
                    "hot state says that the lane is halted".to_owned(),
                ));
            }
        }
        if facts.tail < self.outbox.tail {
            return Err(Trouble::Recover(Cause::TailFell));
        }
        if facts.mark.is_none_or(|mark| mark < self.outbox.marked) {
            return Err(Trouble::Recover(Cause::MarkMissing));
        }
        if facts.refused < self.outbox.refused.len() as u64 {
            return Err(Trouble::Recover(Cause::Loss));
        }
        self.hear_time(facts.lane_time);
        self.hear_tail(facts.tail);
        Ok(())
    }

    /// A refusal of the lane row: halted by an operator's hand, or another keeper.
    pub(super) fn refused_by(&mut self, halted: Option<String>) -> Trouble {
        match halted {
            Some(reason) => {
                self.phase = Phase::Halting(reason.clone());
                Trouble::Halt(reason)
            }
            None => Trouble::Lost,
        }
    }
}
