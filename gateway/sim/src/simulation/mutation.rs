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
    /// The keeper reports an append as done and makes it afterwards.
    MarkBeforeAppend,
    /// What the keeper sets aside is thrown away.
    NothingSetAside,
    /// The engine hears of marks, and not of the claims that they passed without a row.
    DeafToRefusals,
    /// The engine takes a refusal for one of the claim, whichever entry it was of.
    RefusedByClaim,
    /// Salvage takes every epoch for the last one that was opened.
    OpenedForgotten,
    /// A publisher does not read the epoch again after its install.
    EpochNotReadAfter,
    /// A gateway believes in "sold out" for ever.
    SoldOutForEver,
    /// A keeper does not compare the ledger's sequence with the one that hot state has.
    SeqUnchecked,
    /// An acknowledgement of class `ledger` does not wait for the mark.
    EarlyYes,
}
