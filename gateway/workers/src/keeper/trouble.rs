//! Why a keeper stops what it is doing.

use sluice_claim::port::{NotReady, StoreError};
use sluice_hotstate::lane_store::Fenced;
use sluice_ledger::LedgerError;

/// Why a lane is recovered. The label of `sluice_recoveries_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The lane was never opened.
    FirstOpening,
    /// An earlier recovery did not come to its end.
    Unfinished,
    /// The lane hash is gone.
    Missing,
    /// The server restarted or changed its role.
    ServerChanged,
    /// A count differs, or a hydrated coupon is gone.
    Loss,
    /// The lane's number of entries fell.
    TailFell,
    /// Entries are missing between the mark and the tail.
    Gap,
    /// The mark is gone.
    MarkMissing,
    /// The ledger refused a lease although the keeper is in charge.
    LeaseRefused,
    /// A write that may not be repeated had no answer.
    InDoubt,
    /// An operator asked for it.
    Operator,
}

/// What ends a step before its time. [`Keeper::step`](super::Keeper::step) decides what follows.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The ledger's fault: wait and try again.
    Ledger(LedgerError),
    /// Hot state's fault: wait and try again.
    Store(StoreError),
    /// Another keeper or epoch is in charge: read the lane row again.
    Lost,
    /// What Redis holds cannot be relied upon.
    Recover(Cause),
    /// The ledger was set back: an operator decides.
    Halt(String),
}

// === impl Cause ===

impl Cause {
    /// The metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::FirstOpening => "first_opening",
            Self::Unfinished => "unfinished",
            Self::Missing => "missing",
            Self::ServerChanged => "server_changed",
            Self::Loss => "loss",
            Self::TailFell => "tail_fell",
            Self::Gap => "gap",
            Self::MarkMissing => "mark_missing",
            Self::LeaseRefused => "lease_refused",
            Self::InDoubt => "in_doubt",
            Self::Operator => "operator",
        }
    }

    /// The cause behind a reason that is a loss; `None` for the others.
    #[must_use]
    pub const fn of_loss(reason: NotReady) -> Option<Self> {
        match reason {
            NotReady::Missing => Some(Self::Missing),
            NotReady::ServerChanged => Some(Self::ServerChanged),
            NotReady::Loss => Some(Self::Loss),
            NotReady::Epoch(_) | NotReady::Recovering | NotReady::Halted | NotReady::LeaseOver => {
                None
            }
        }
    }
}

// === impl Trouble ===

impl From<LedgerError> for Trouble {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LaneNotReady { reason, .. } => Self::from(reason),
            other @ (StoreError::CouponNotReady { .. }
            | StoreError::Backpressure { .. }
            | StoreError::Unavailable { .. }
            | StoreError::Unknown { .. }
            | StoreError::Protocol { .. }) => Self::Store(other),
        }
    }
}

impl From<NotReady> for Trouble {
    fn from(reason: NotReady) -> Self {
        match Cause::of_loss(reason) {
            Some(cause) => Self::Recover(cause),
            None if reason == NotReady::Halted => {
                Self::Halt("hot state says that the lane is halted".to_owned())
            }
            None => Self::Lost,
        }
    }
}

/// The value of a fenced write, or what its refusal means for a keeper that believed itself in
/// charge.
pub(super) fn settled<T>(answer: Fenced<T>) -> Result<T, Trouble> {
    match answer {
        Fenced::Done(value) => Ok(value),
        Fenced::Deposed { .. } => Err(Trouble::Lost),
        Fenced::NotReady(reason) => Err(Trouble::from(reason)),
    }
}
