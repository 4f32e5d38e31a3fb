//! A redemption: the use of claims on one order, from the hold to the last refund.
//!
//! ```text
//!            hold                 confirm                refund (in parts)      refund (the rest)
//!   (none) ───────► held ─────────────────► confirmed ───────► partially ─────────► refunded
//!                    │ ▲ re-hold              │                refunded                ▲
//!                    │ └──────┐               └────────────────────────────────────────┘
//!            cancel  ▼        │ hold again / confirm (re-acquires)
//!                cancelled  expired ◄── the hold ran out
//! ```
//!
//! Each arrow is one compare-and-set on the redemption's row in the ledger, with an operation id
//! and its stored result: repeating it gives the same answer, a conflicting one is told the
//! winning state. This module decides; the ledger carries out.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::cart::Cart;
use crate::id::{ClaimId, CouponId, OrderId, RedemptionId, UserId, Version};
use crate::pricing::{Buyer, CandidateFacts, Choose, OrderLimits, Quote};
use crate::terms::MinorUnits;
use crate::time::Timestamp;

pub mod decide;
mod path;

#[cfg(test)]
pub(crate) mod sample;

/// Where a redemption stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedemptionStatus {
    /// Claims, uses and budget are reserved until `held_until`.
    Held,
    /// Paid.
    Confirmed,
    /// Given up before it was paid.
    Cancelled,
    /// The hold ran out.
    Expired,
    /// Something was given back.
    PartiallyRefunded,
    /// Everything was given back.
    Refunded,
}

/// Counts the transitions of a redemption, from 1: what a compare-and-set compares.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RowVersion(pub u32);

/// A redemption as the ledger keeps it. The stored document says its format, `"format": "1"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename = "1")]
pub struct Redemption {
    /// Its id, derived from the order's.
    pub id: RedemptionId,
    /// The order.
    pub order: OrderId,
    /// Whose.
    pub user: UserId,
    /// Where it stands.
    pub status: RedemptionStatus,
    /// Rises by one with every transition.
    pub row_version: RowVersion,
    /// When the hold ends (or ended).
    pub held_until: Timestamp,
    /// A hash of what was asked for: the same order with other content is told apart by it.
    pub fingerprint: [u8; 32],
    /// The frozen computation.
    pub record: QuoteRecord,
    /// How refunds are computed, frozen with the hold.
    pub refund_policy: RefundPolicy,
    /// Refunds so far, oldest first.
    pub refunds: Vec<Refund>,
    /// When it was first held.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Everything that a quote was computed from, terms apart, and the quote. The terms are found by
/// coupon and version, and never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteRecord {
    /// The cart.
    pub cart: Cart,
    /// Who.
    pub buyer: Buyer,
    /// The claims considered.
    pub candidates: Vec<CandidateFacts>,
    /// Which of them were wanted.
    pub choose: Choose,
    /// Limits per order.
    pub limits: OrderLimits,
    /// The instant it was computed for.
    pub now: Timestamp,
    /// The outcome.
    pub quote: Quote,
}

/// How a partial refund is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundPolicy {
    /// What was paid for the pieces that come back, by the frozen allocation.
    #[default]
    KeepAllocation,
    /// What was paid, less what the kept pieces cost under the frozen terms: a discount whose
    /// condition they no longer meet is clawed back.
    Reevaluate,
}

/// One refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// The caller's id for it.
    pub refund_id: String,
    /// The pieces that come back, by line id; empty where nothing but the rest was asked for.
    pub lines: Vec<RefundLine>,
    /// Whether everything left was asked for.
    pub full: bool,
    /// The money to give back, 0 or more.
    pub amount: MinorUnits,
    /// What the shopper owes after it, because kept pieces lost a discount: taken off later
    /// refunds. 0 under `keep_allocation`.
    pub owed: MinorUnits,
    /// Claims that are free again.
    pub claims_returned: Vec<ClaimId>,
    /// What each applied claim's use counts against its coupon's budget from now on, in the order
    /// of application; 0 after a full refund.
    pub values: Vec<ClaimValue>,
    /// When.
    pub at: Timestamp,
}

/// An amount that belongs to one claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimValue {
    /// The claim.
    pub claim_id: ClaimId,
    /// The amount, 0 or more.
    pub value: MinorUnits,
}

/// Pieces of one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundLine {
    /// The line.
    pub id: String,
    /// How many come back.
    pub quantity: u32,
}

/// What a transition is about to write: the row as it will be, on the condition that it is as it
/// was seen, with what it does to the uses of claims, all in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The redemption after it; `row_version` is one above the seen one.
    pub redemption: Redemption,
    /// The row version it was decided on; `None`: the order must have no redemption yet.
    pub seen: Option<RowVersion>,
    /// The event that is stored with it.
    pub event: TransitionEvent,
    /// What happens to uses of claims, distinct by claim. Freed ones come first in effect: a
    /// re-hold may free and take the same claim.
    pub uses: Vec<UseChange>,
}

/// One transition, for ever in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionEvent {
    /// The redemption.
    pub redemption: RedemptionId,
    /// The row version it led to: distinct within the redemption, without a gap.
    pub row_version: RowVersion,
    /// When.
    pub at: Timestamp,
    /// From where; `None` for the first.
    pub from: Option<RedemptionStatus>,
    /// To where.
    pub to: RedemptionStatus,
    /// Distinct within the redemption: the same operation again finds its result by it.
    pub operation_id: String,
    /// A hash of what the operation asked for: the same id with other content is a misuse.
    pub fingerprint: [u8; 32],
    /// Who did it: `user:…`, `key:…` or `sluice` (the sweeper).
    pub actor: String,
    /// The answer that was given, as JSON: given again to a repeat.
    pub result: String,
}

/// What happens to one claim's use by this redemption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseChange {
    /// The claim.
    pub claim_id: ClaimId,
    /// The redemption's use of it after the transition.
    pub to: UseTarget,
}

/// A use after a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UseTarget {
    /// Free: its value goes back to the budget, the use to the user's period.
    Free,
    /// Reserved until an instant, or spent. Where this redemption has no use of the claim yet, one
    /// is taken, if all limits allow it.
    Taken(TakenUse),
}

/// A use that is reserved or spent, with the limits that are checked where it is taken or where its
/// value rises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenUse {
    /// Until when it is reserved; `None`: spent.
    pub held_until: Option<Timestamp>,
    /// What it takes off: counted against the budget.
    pub value: MinorUnits,
    /// Uses that one claim has, from 1.
    pub uses_per_claim: u32,
    /// Most uses of the coupon by this user in a period.
    pub user_limit: Option<UserLimit>,
    /// Most that all uses of the coupon may take off.
    pub budget: Option<MinorUnits>,
}

/// A limit of uses by one user, and the period that this use counts in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLimit {
    /// Uses, from 1.
    pub count: u32,
    /// The period, as `2026-11-27`, `2026-W48`, `2026-11` or `ever`.
    pub period: String,
}

/// A live use of a claim, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimUse {
    /// The claim.
    pub claim_id: ClaimId,
    /// Which of its uses, from 1 to the terms' `uses_per_claim`.
    pub use_number: u32,
    /// By which redemption.
    pub redemption: RedemptionId,
    /// Of which order.
    pub order: OrderId,
    /// Until when it is reserved; `None`: spent.
    pub held_until: Option<Timestamp>,
    /// What it takes off.
    pub value: MinorUnits,
    /// The period it counts in for its user, where uses are limited.
    pub period: Option<String>,
}

/// What a coupon's uses come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CouponUsage {
    /// Live uses, held and spent.
    pub uses: u64,
    /// What they take off in all.
    pub value: MinorUnits,
}

/// The key of a frozen version of terms.
pub type TermsKey = (CouponId, Version);

// === impl RowVersion ===

impl RowVersion {
    /// The version after this one. Saturates at the end of its range, which the bounds on holds and
    /// refunds keep far away.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

// === impl Redemption ===

impl Redemption {
    /// Where it stands at `now`: a hold that ran out is expired whether or not the sweeper has been
    /// there.
    #[must_use]
    pub fn status_at(&self, now: Timestamp) -> RedemptionStatus {
        if self.status == RedemptionStatus::Held && now >= self.held_until {
            RedemptionStatus::Expired
        } else {
            self.status
        }
    }

    /// What was, or is to be, paid for the order, shipping included.
    #[must_use]
    pub fn paid(&self) -> MinorUnits {
        self.record.quote.total
    }

    /// What all refunds so far gave back.
    #[must_use]
    pub fn paid_out(&self) -> MinorUnits {
        self.refunds.iter().map(|refund| refund.amount).sum()
    }

    /// What each applied claim's use counts against its coupon's budget, in the order of
    /// application: what it takes off, less what refunds gave back to the budget.
    #[must_use]
    pub fn values(&self) -> Vec<ClaimValue> {
        if let Some(last) = self.refunds.last() {
            return last.values.clone();
        }
        let applied = self.record.quote.applied.iter();
        applied
            .map(|applied| ClaimValue {
                claim_id: applied.claim_id,
                value: applied.value,
            })
            .collect()
    }

    /// The claims whose uses are this redemption's now, with what each counts; in the order of
    /// application. None where it is cancelled or expired; after a full refund those that did not
    /// return.
    #[must_use]
    pub fn live_values(&self) -> Vec<ClaimValue> {
        match self.status {
            RedemptionStatus::Cancelled | RedemptionStatus::Expired => Vec::new(),
            RedemptionStatus::Held
            | RedemptionStatus::Confirmed
            | RedemptionStatus::PartiallyRefunded
            | RedemptionStatus::Refunded => {
                let returned: BTreeSet<ClaimId> = self
                    .refunds
                    .iter()
                    .flat_map(|refund| refund.claims_returned.iter().copied())
                    .collect();
                let mut values = self.values();
                values.retain(|value| !returned.contains(&value.claim_id));
                values
            }
        }
    }
}
