//! Rules of the ledger that the model can break on purpose, for tests that have to notice it.

use super::{ModelLedger, locked};

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// A keeper's writes compare the epoch alone.
    KeeperUnchecked,
    /// A lease looks as if its claims could be `hot` exactly where the coupon's are now.
    ClassByDefinition,
    /// A lease that may have granted `hot` claims has no grace.
    NoGrace,
    /// A lease that is closed again gives its rest back again.
    ClosedTwice,
    /// A claim gets a row for every ticket that it was ever given.
    ClaimTwice,
    /// A redemption changes whatever version its maker saw.
    VersionUnchecked,
    /// A hold runs out whatever version the sweeper saw.
    ExpiryUnchecked,
    /// Budgets are not looked at.
    BudgetUnchecked,
    /// The uses of a user in a period are not counted.
    PeriodUnchecked,
    /// The uses of a claim are not counted.
    UsesUnchecked,
    /// A lease takes claims whatever its state.
    LeaseStateUnchecked,
}

impl ModelLedger {
    /// From here on this ledger breaks a rule, or (`None`) none.
    pub fn set_flaw(&self, flaw: Option<Flaw>) {
        locked(&self.state).flaw = flaw;
    }
}
