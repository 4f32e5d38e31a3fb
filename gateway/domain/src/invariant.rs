//! The invariant checker: pure, over facts that others read.
//!
//! `sluice audit`, the audit over HTTP, the storm and the simulator each gather facts in their own
//! way and share the verdict. The numbers are those of the list in ARCHITECTURE.md:
//!
//! | # | what holds |
//! | --- | --- |
//! | 1 | a claim acknowledged as `ledger` is in the ledger |
//! | 2 | at every moment, acknowledged claims never exceed the highest total so far |
//! | 3 | leased - returned <= total; rows of a lease <= its size; tickets once and in range; a claim id has one row |
//! | 4 | rows per user, device and address stay within the limits |
//! | 5 | one (user, key): one claim id and one body |
//! | 6 | once quiet: sold, plus what is left, plus what is quarantined, is the total |
//! | 7 | a refused request left no claim; an unknown one left none or one |
//! | 8 | no durable grant under a revision or state that was not current |
//! | 9 | redemptions take legal paths, one event per transition; uses follow them and stay within their limits |
//! | 10 | discounts add up and stay within budgets; refunds never exceed what was paid |
//! | 11 | what left the outbox is in the ledger or was set aside |
//! | 12 | epochs and keeper numbers rise |
//! | 13 | every index row has its primary, and the other way round |
//! | 14 | the audit log's hash chain verifies |
//! | 15 | belongs to a search through the logs |

pub mod checkout;
pub mod history;
pub mod redemptions;
pub mod rows;

#[cfg(test)]
mod tests;

use serde::Serialize;

/// Most violations listed per check; the count goes on.
pub const VIOLATIONS_LISTED_MAX: usize = 50;

/// What an audit says in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything was checked and holds.
    Exact,
    /// Something does not hold.
    Violated,
    /// Nothing is known to be wrong, but not everything could be checked.
    Unchecked,
}

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// It holds.
    Held,
    /// It does not.
    Violated,
    /// It could not be checked.
    Unchecked,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The invariant's number.
    pub invariant: u8,
    /// Its name, in a few words.
    pub name: &'static str,
    /// How it ended.
    pub status: CheckStatus,
    /// How many things were looked at.
    pub examined: u64,
    /// How many of them are wrong; `violations` lists the first of these.
    pub violated: u64,
    /// Each names the rows it is about. Where `status` is `unchecked`, it says why.
    pub violations: Vec<String>,
}

impl Check {
    /// A check that has looked at nothing yet.
    #[must_use]
    pub const fn new(invariant: u8, name: &'static str) -> Self {
        Self {
            invariant,
            name,
            status: CheckStatus::Held,
            examined: 0,
            violated: 0,
            violations: Vec::new(),
        }
    }

    /// A check that cannot be made.
    #[must_use]
    pub fn unchecked(invariant: u8, name: &'static str, why: String) -> Self {
        Self {
            status: CheckStatus::Unchecked,
            violations: vec![why],
            ..Self::new(invariant, name)
        }
    }

    /// Looks at one thing; `violation` is called only where it is wrong.
    pub fn expect(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        self.examined += 1;
        if !holds {
            self.status = CheckStatus::Violated;
            self.violated += 1;
            if self.violations.len() < VIOLATIONS_LISTED_MAX {
                self.violations.push(violation());
            }
        }
    }
}

/// The verdict over some checks.
#[must_use]
pub fn verdict(checks: &[Check]) -> Verdict {
    let any = |status| checks.iter().any(|check| check.status == status);
    if any(CheckStatus::Violated) {
        Verdict::Violated
    } else if any(CheckStatus::Unchecked) {
        Verdict::Unchecked
    } else {
        Verdict::Exact
    }
}
