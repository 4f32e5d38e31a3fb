//! The system, broken in one place.

use sluice_hotstate::model::flaw::Flaw as HotFlaw;
use sluice_ledger::model::flaw::Flaw as LedgerFlaw;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// A script of hot state breaks a rule.
    Hot(HotFlaw),
    /// A transaction of the ledger does.
    Ledger(LedgerFlaw),
    /// Both stores compare the epoch of a keeper alone.
    KeeperNumberIgnored,
    /// Salvage takes every epoch for the last one that was opened, and the ledger takes claims of
    /// closed leases. Each of the two guards is enough alone on a ledger with transactions.
    OldEpochApplied,
    /// A call of the claim script that broke off is no loss for the next one, and a claim gets a row
    /// for every ticket that it was ever given. Each of the two guards is enough for that alone.
    TornAndTwice,
    /// The keeper reports an append as done and makes it afterwards.
    MarkBeforeAppend,
    /// What the keeper sets aside is thrown away.
    NothingSetAside,
    /// The engine hears of marks, and not of the claims that they passed without a row.
    DeafToRefusals,
    /// The engine takes a refusal for one of the claim, whichever entry it was of.
    RefusedByClaim,
    /// A gateway believes in "sold out" for ever.
    SoldOutForEver,
    /// A keeper does not compare the ledger's sequence with the one that hot state has.
    SeqUnchecked,
    /// An acknowledgement of class `ledger` does not wait for the mark.
    EarlyYes,
}

// === impl Mutation ===

impl Mutation {
    /// The rule that hot state breaks.
    pub(super) const fn hot_flaw(self) -> Option<HotFlaw> {
        match self {
            Self::Hot(flaw) => Some(flaw),
            Self::KeeperNumberIgnored => Some(HotFlaw::KeeperUnchecked),
            Self::TornAndTwice => Some(HotFlaw::TornUnnoticed),
            _elsewhere => None,
        }
    }

    /// The rule that the ledger breaks.
    pub(super) const fn ledger_flaw(self) -> Option<LedgerFlaw> {
        match self {
            Self::Ledger(flaw) => Some(flaw),
            Self::KeeperNumberIgnored => Some(LedgerFlaw::KeeperUnchecked),
            Self::OldEpochApplied => Some(LedgerFlaw::LeaseStateUnchecked),
            Self::TornAndTwice => Some(LedgerFlaw::ClaimTwice),
            _elsewhere => None,
        }
    }
}
