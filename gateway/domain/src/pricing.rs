//! Pricing: what a cart costs with some claims applied, and why.
//!
//! Everything is in whole minor units. One percentage is rounded once (half up) on its base, then
//! capped, then allocated to lines by largest remainder; a line never goes below its floor, a total
//! never below zero, and the order of the input never matters.
//!
//! A quote is made in four steps, each a module:
//!
//! 1. `board`, `eligible_lines`: the cart with its lines in the order of their ids, and per coupon
//!    version the lines that it applies to.
//! 2. `reasons`: each claim on the untouched cart. Either it applies there and takes something off
//!    (its *stand-alone* discount), or all its reasons are collected, in order of precedence. A
//!    claim that does not apply alone is never combined.
//! 3. [`crate::stacking`]: which of those that apply are used together.
//! 4. `outcome`, `trace`: the combination is applied in order, and everything is written down.
//!
//! `benefit` says what one claim takes off at its place, `allocation` from which lines.
//!
//! # Choice
//! With [`Choose::Given`], if all given claims that apply alone go together, all are applied,
//! even where a part of them would take off more: it is what was asked for, and
//! [`Quote::proven_optimal`] is true since nothing was left to choose. Else, and with
//! [`Choose::Best`], the best combination is applied.

mod allocation;
mod benefit;
mod board;
mod contender;
mod eligible_lines;
mod matching;
mod outcome;
mod period;
mod reasons;
mod replay;
mod trace;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::cart::Cart;
use crate::eligibility::Shopper;
use crate::id::{ClaimId, CouponId, OrderId, Version};
use crate::reason::Reason;
use crate::terms::{Currency, MinorUnits, Terms, Verified};
use crate::time::Timestamp;

pub(crate) use allocation::{Part, allocate};
pub(crate) use benefit::{Effect, Miss, Place, apply, effect};
pub(crate) use board::{Board, Left};
pub(crate) use contender::Contender;
pub use matching::{MatchAnswer, Matched, match_wallet};
pub use outcome::quote;
pub use period::{period_end, period_key};
pub use replay::{ReplayError, replay};

/// Everything that a quote is computed from. The same input gives the same quote, for ever.
#[derive(Debug, Clone)]
pub struct QuoteInput {
    /// The cart.
    pub cart: Cart,
    /// Who buys, as far as conditions ask.
    pub buyer: Buyer,
    /// The claims that may be used, in any order, distinct.
    pub candidates: Vec<Candidate>,
    /// Which of them are wanted.
    pub choose: Choose,
    /// How many may be used on one order.
    pub limits: OrderLimits,
    /// The instant it is computed for.
    pub now: Timestamp,
}

/// What conditions ask of a buyer. `None` and empty are "not said", which meets no condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buyer {
    /// Who.
    pub user: crate::id::UserId,
    /// Groups they are in; sorted.
    pub groups: Vec<String>,
    /// Without a paid order (`true`), with one (`false`), or not said.
    pub is_new: Option<bool>,
    /// What they had verified; sorted.
    pub verified: Vec<Verified>,
}

/// Which claims a caller wants used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// The given ones, all of them where they go together.
    #[default]
    Given,
    /// The best combination of the whole wallet.
    Best,
}

/// How many coupons one order may use. Every number is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLimits {
    /// In all.
    pub coupons: u16,
    /// Of the stacking group `combinable`.
    pub combinable: u16,
    /// Of the stacking group `always`.
    pub always: u16,
    /// Claims of one coupon.
    pub per_coupon: u16,
}

/// A claim that may be used, with its frozen terms and the facts that its limits need.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The frozen terms.
    pub terms: Arc<Terms>,
    /// Everything else.
    pub facts: CandidateFacts,
}

/// What is known of a claim when a quote is made. Stored with a redemption, so that the quote can
/// be computed again from the frozen terms alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateFacts {
    /// The claim.
    pub claim_id: ClaimId,
    /// Its coupon.
    pub coupon: CouponId,
    /// The version of its terms.
    pub version: Version,
    /// The public code it was asked for by, where it was.
    pub code: Option<String>,
    /// First instant at which it may be used.
    pub valid_from: Timestamp,
    /// First instant at which it may not be used any more.
    pub expires_at: Option<Timestamp>,
    /// Whether it is free.
    pub standing: ClaimStanding,
    /// Uses of this buyer in the limit's present period, where the terms limit them.
    pub user_uses: Option<u32>,
    /// What is left of the coupon's budget, where it has one.
    pub budget_left: Option<MinorUnits>,
    /// The coupon was archived: nothing of it is used any more.
    pub archived: bool,
}

/// Whether a claim is free for this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimStanding {
    /// It has a use left.
    Free,
    /// Its last use is reserved by another order.
    Held {
        /// By which.
        order: OrderId,
        /// Until when.
        until: Timestamp,
    },
    /// All its uses are spent.
    Used,
    /// It was taken back.
    Revoked,
}

/// A priced cart. The stored form has amounts in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The currency of all amounts.
    pub currency: Currency,
    /// The sum of the lines before discounts.
    pub subtotal: MinorUnits,
    /// The price of shipping before discounts.
    pub shipping: MinorUnits,
    /// What is taken off in all, shipping included.
    pub discount: MinorUnits,
    /// `subtotal + shipping - discount`, never negative.
    pub total: MinorUnits,
    /// Whether no other combination can take off more.
    pub proven_optimal: bool,
    /// Where that is not proven: no combination can take off more than this.
    pub discount_bound: Option<MinorUnits>,
    /// What is applied, in the order in which it is.
    pub applied: Vec<Applied>,
    /// What is not, with all reasons, by claim id.
    pub rejected: Vec<Rejected>,
    /// Each step of the computation.
    pub trace: Vec<TraceStep>,
}

/// One claim applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The claim.
    pub claim_id: ClaimId,
    /// Its coupon.
    pub coupon: CouponId,
    /// The version of its terms.
    pub version: Version,
    /// The public code, where it came by one.
    pub code: Option<String>,
    /// What it takes off: the lines' shares and the shipping's.
    pub value: MinorUnits,
    /// What it would take off without floors, prices and budget in the way.
    pub desired_value: MinorUnits,
    /// Per line, only lines with a share, by line id.
    pub lines: Vec<LineShare>,
    /// Off the shipping.
    pub shipping_off: MinorUnits,
    /// A free line that it adds.
    pub added: Option<AddedLine>,
}

/// What one claim takes off one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineShare {
    /// The line.
    pub id: String,
    /// In all, above 0.
    pub off: MinorUnits,
    /// Off the line by the claims applied before this one: from both follow the shares of single
    /// pieces (`per_unit`), which always add up and never exceed a piece's price.
    pub off_before: MinorUnits,
    /// The line's pieces.
    pub quantity: u32,
}

/// A product given for free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedLine {
    /// The product.
    pub sku: String,
    /// Pieces.
    pub quantity: u32,
}

/// One claim not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The claim.
    pub claim_id: ClaimId,
    /// Its coupon.
    pub coupon: CouponId,
    /// The public code, where it came by one.
    pub code: Option<String>,
    /// In one word.
    pub verdict: Verdict,
    /// All reasons, in order of precedence; never empty.
    pub reasons: Vec<Reason>,
}

/// What a quote says of a claim in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is applied.
    Applies,
    /// A condition of its own does not hold.
    NotApplicable,
    /// It may not be combined with one that is applied.
    Excluded,
    /// It could be applied, and the combination without it takes off more.
    Overshadowed,
}

/// A step of the computation, for people and for a later replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceStep {
    /// The claim it is about; none for steps about the whole.
    pub claim_id: Option<ClaimId>,
    /// What was done: one of a closed list, documented in the module `trace`.
    pub step: String,
    /// The amount it started from.
    pub base: Option<MinorUnits>,
    /// The amount it ended with.
    pub amount: Option<MinorUnits>,
    /// In words.
    pub detail: String,
}

// === impl Buyer ===

impl From<&Buyer> for Shopper {
    /// The buyer as a claimant. What is known of a buyer says nothing of their device.
    fn from(buyer: &Buyer) -> Self {
        let groups = buyer.groups.iter().map(|group| group.as_str().into());
        Self {
            user: buyer.user,
            groups: groups.collect(),
            is_new: buyer.is_new,
            verified: buyer.verified.clone().into(),
            device: None,
        }
    }
}

// === impl OrderLimits ===

impl Default for OrderLimits {
    /// Ten coupons, five of each group that has more than one, one claim of each coupon.
    fn default() -> Self {
        Self {
            coupons: 10,
            combinable: 5,
            always: 5,
            per_coupon: 1,
        }
    }
}

// === impl LineShare ===

impl LineShare {
    /// What this claim takes off each piece of the line.
    ///
    /// All that is off a line after some claims is spread over its pieces as evenly as whole minor
    /// units allow, earlier pieces first. A claim's share of a piece is the difference that it
    /// makes to that spread: so the shares of one claim add up to its `off`, those of one piece
    /// never exceed its price, and no share is negative.
    pub fn per_unit(&self) -> impl Iterator<Item = MinorUnits> + '_ {
        let after = self.off_before + self.off;
        (0..self.quantity).map(move |piece| {
            spread(after, self.quantity, piece) - spread(self.off_before, self.quantity, piece)
        })
    }
}

/// The part of `amount` that falls on one of `quantity` equal pieces, the first pieces first.
#[must_use]
pub fn spread(amount: MinorUnits, quantity: u32, piece: u32) -> MinorUnits {
    let pieces = i64::from(quantity.max(1));
    amount / pieces + i64::from(i64::from(piece) < amount % pieces)
}
