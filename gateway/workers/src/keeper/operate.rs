//! What an operator may ask of a lane.

use sluice_domain::id::{CouponId, EntryNumber, Epoch, KeeperNumber, LaneId};
use sluice_domain::lease::LeaseState;
use sluice_ledger::lanes::LaneWrite;

use super::trouble::{Cause, Trouble};
use super::{Keeper, Phase, decide};

/// Take-overs in a row that bring the keeper's number above the one that Redis knows.
const TAKES_MAX: u32 = 100_000;

/// How a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PhaseName {
    /// This process is not in charge.
    Watching,
    /// It is being recovered.
    Recovering,
    /// It is served.
    Open,
    /// It waits for an operator.
    Halted,
    /// It was given back.
    Stopped,
}

/// What `sluice lane status` shows of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatus {
    /// The lane.
    pub lane: LaneId,
    /// How it stands.
    pub phase: PhaseName,
    /// Its epoch.
    pub epoch: Epoch,
    /// The keeper's number.
    pub keeper: KeeperNumber,
    /// Every entry up to this one is durable.
    pub mark: EntryNumber,
    /// The newest entry.
    pub tail: EntryNumber,
    /// Why it is halted.
    pub halted: Option<String>,
    /// The entry that cannot be read and stops the mark. A recovery sets it aside.
    pub unreadable: Option<EntryNumber>,
    /// Coupons that are ready in hot state.
    pub coupons_ready: usize,
    /// Coupons that wait for hydration.
    pub coupons_waiting: usize,
    /// Leases that are being closed.
    pub closing: usize,
}

/// Why an operator's word was not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// The lane is not in the state that this needs.
    #[error("the lane is {0}, which does not allow this")]
    WrongPhase(&'static str),
    /// A store failed; nothing is lost by asking again.
    #[error("it could not be done now: {0}")]
    Failed(String),
}

// === impl PhaseName ===

impl PhaseName {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Watching,
        Self::Recovering,
        Self::Open,
        Self::Halted,
        Self::Stopped,
    ];

    /// The metric's label, and the word in `lane status`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Watching => "watching",
            Self::Recovering => "recovering",
            Self::Open => "open",
            Self::Halted => "halted",
            Self::Stopped => "stopped",
        }
    }
}

// === impl Keeper ===

impl Keeper {
    /// How the lane stands.
    #[must_use]
    pub fn status(&self) -> LaneStatus {
        LaneStatus {
            lane: self.lane,
            phase: self.phase_name(),
            epoch: self.fence.epoch,
            keeper: self.fence.keeper,
            mark: self.outbox.handled,
            tail: self.outbox.tail,
            halted: match &self.phase {
                Phase::Halting(reason) | Phase::Halted(reason) => Some(reason.clone()),
                Phase::Watching(_) | Phase::Recovering | Phase::Serving | Phase::Stopped => None,
            },
            unreadable: self.outbox.stuck,
            coupons_ready: self.coupons.len(),
            coupons_waiting: self.cold.len() + usize::from(self.hydration.is_some()),
            closing: self.closing.len(),
        }
    }

    pub(super) fn phase_name(&self) -> PhaseName {
        match &self.phase {
            Phase::Watching(_) => PhaseName::Watching,
            Phase::Recovering => PhaseName::Recovering,
            Phase::Serving => PhaseName::Open,
            Phase::Halting(_) | Phase::Halted(_) => PhaseName::Halted,
            Phase::Stopped => PhaseName::Stopped,
        }
    }

    /// The operator's way out of a halt: this ledger is right. Its numbers are raised above those
    /// of Redis, and the lane is recovered from it. What only Redis knew of is lost for good.
    ///
    /// # Errors
    /// Where the lane is not halted, or a store fails.
    pub async fn accept_ledger(&mut self) -> Result<(), OperateError> {
        if !matches!(self.phase, Phase::Halted(_)) {
            return Err(OperateError::WrongPhase(self.phase_name().label()));
        }
        self.accept().await.map_err(OperateError::of)
    }

    async fn accept(&mut self) -> Result<(), Trouble> {
        let facts = self.parts.store.facts(self.lane).await?;
        let (epoch, keeper, seq) = facts.map_or((Epoch(0), KeeperNumber(0), 0), |facts| {
            let newest = facts.unsalvaged.iter().copied().max().unwrap_or_default();
            (facts.epoch.max(newest), facts.keeper, facts.seq)
        });
        let row = match self
            .parts
            .ledger
            .accept_lane(self.fence, epoch, seq)
            .await?
        {
            LaneWrite::Done(row) => row,
            LaneWrite::Refused(_) => return Err(Trouble::Lost),
        };
        self.fence.epoch = row.epoch;
        self.hear_seq(row.seq);
        // From here on the halt is over. The lane becomes this ledger's when it opens: a process that
        // ends before that halts again at its next start, and is told again.
        self.accepted = true;
        self.begin_recovery(Cause::Operator);
        let mut row = row;
        for _take in 0..TAKES_MAX {
            if row.keeper > keeper {
                break;
            }
            let until = self.hold_until();
            match self
                .parts
                .ledger
                .take_lane(&row, &self.holder, until)
                .await?
            {
                LaneWrite::Done(taken) => row = taken,
                LaneWrite::Refused(_) => return Err(Trouble::Lost),
            }
            self.fence.keeper = row.keeper;
        }
        Ok(())
    }

    /// Ends the quarantine of a coupon's units before its time: only where it is certain that no
    /// cut-off server has granted from them. Answers how many units came free.
    ///
    /// # Errors
    /// Where the lane is not served, or a store fails.
    pub async fn release_quarantine(&mut self, coupon: CouponId) -> Result<u64, OperateError> {
        if !matches!(self.phase, Phase::Serving) {
            return Err(OperateError::WrongPhase(self.phase_name().label()));
        }
        self.release(coupon).await.map_err(OperateError::of)
    }

    async fn release(&mut self, coupon: CouponId) -> Result<u64, Trouble> {
        let leases = self.parts.ledger.leases(coupon).await?;
        let mut units = 0;
        for lease in self.own(&leases) {
            if lease.state == LeaseState::Quarantined {
                self.close_in_ledger(coupon, lease.number).await?;
                units += decide::unused(lease);
            }
        }
        tracing::warn!(lane = %self.lane, %coupon, units, "an operator ended a quarantine");
        self.touch(coupon);
        Ok(units)
    }
}

// === impl OperateError ===

impl OperateError {
    fn of(trouble: Trouble) -> Self {
        Self::Failed(match trouble {
            Trouble::Ledger(error) => error.to_string(),
            Trouble::Store(error) => error.to_string(),
            Trouble::Lost => "another keeper is in charge".to_owned(),
            Trouble::Recover(cause) => format!("the lane has to be recovered: {}", cause.label()),
            Trouble::Halt(reason) => reason,
        })
    }
}
