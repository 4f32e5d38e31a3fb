//! The money of refunds: what is due when pieces of an order come back.
//!
//! # Pieces
//! A refund names lines and how many pieces of each come back. Which pieces those are is fixed: the
//! last ones of the line first. So the pieces that are back after any number of refunds, in any
//! order, follow from how many came back of each line, and everything below is a function of that
//! set R alone.
//!
//! # What is due for R
//! - [`RefundPolicy::KeepAllocation`]: what was paid for the pieces in R, each at its price less its
//!   share of every claim ([`spread`](crate::pricing::spread)). Shipping is given back with the last
//!   piece.
//! - [`RefundPolicy::Reevaluate`]: what was paid, less what the kept pieces and shipping cost with
//!   the same claims under the frozen terms, at the frozen instant; at least 0. A claim never takes
//!   off more of the kept pieces than it took off the whole order: a refund takes discounts back, it
//!   gives none, and a budget never pays for more than was reserved in it.
//!
//! Both give everything that was paid when everything is back, and never more.
//!
//! # What is paid out
//! A refund pays `max(0, due(R) - paid out so far)`. Where that difference is negative (a piece came
//! back, and the kept ones lost a discount worth more than the piece) it pays nothing, and what the
//! shopper owes is recorded and taken off later refunds. So `paid out - owed = due(R)`, however R
//! came about: refunds are path-independent, and their sum never exceeds what was paid.
//!
//! # What goes back to budgets
//! A claim's use counts in its coupon's budget with what it still takes off. That only ever falls:
//! money that went back may have been spent by somebody else, so no refund takes it again, even
//! where a claim gives more for fewer pieces (which takes two claims, of which one fell away).

use std::collections::{BTreeMap, BTreeSet};

use crate::cart::{Cart, CartLine};
use crate::input::FieldError;
use crate::pricing::{Applied, LineShare, Quote};
use crate::redemption::{ClaimValue, QuoteRecord, Refund, RefundLine, RefundPolicy};
use crate::terms::MinorUnits;

#[cfg(test)]
mod tests;

/// Most refunds of one redemption. The last of them has to give back everything that is left.
pub const REFUNDS_MAX: usize = 200;

/// What is asked to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Everything that is left, shipping included.
    Everything,
    /// Some pieces, by line.
    Pieces(Vec<RefundLine>),
}

/// Pieces that are back, by line id. Lines of which none is back may be left out.
pub type Returned = BTreeMap<String, u32>;

/// What is due for the pieces that are back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The money, from 0 to what was paid.
    pub amount: MinorUnits,
    /// What each applied claim takes off what is kept, in the order of application; never more than
    /// it took off the whole order.
    pub values: Vec<ClaimValue>,
}

/// A refund, decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The money to give back, 0 or more.
    pub amount: MinorUnits,
    /// What the shopper owes after it, 0 or more.
    pub owed: MinorUnits,
    /// Whether everything is back now.
    pub complete: bool,
    /// What each use counts in its coupon's budget from now on, in the order of application.
    pub values: Vec<ClaimValue>,
}

/// Why a refund is refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundRefusal {
    /// Everything is back already.
    NothingLeft,
    /// One below [`REFUNDS_MAX`] have been made: only a refund of all that is left is possible.
    TooMany,
    /// Lines that do not exist or have fewer pieces left; never empty.
    Lines(Vec<FieldError>),
}

/// The pieces that some refunds brought back.
#[must_use]
pub fn returned(cart: &Cart, refunds: &[Refund]) -> Returned {
    if refunds.iter().any(|refund| refund.full) {
        return everything(cart);
    }
    let mut pieces = Returned::new();
    for line in refunds.iter().flat_map(|refund| &refund.lines) {
        *pieces.entry(line.id.clone()).or_default() += line.quantity;
    }
    pieces
}

/// Whether nothing is left of the cart.
#[must_use]
pub fn is_everything(cart: &Cart, returned: &Returned) -> bool {
    cart.lines
        .iter()
        .all(|line| back(returned, line) == line.quantity)
}

/// What is due when these pieces are back. `returned` has no more pieces of a line than the cart.
///
/// `reprice` gives the quote of a smaller cart with the claims that were applied, under the frozen
/// terms at the frozen instant. It is called at most once, and only to re-evaluate a part.
pub fn due(
    record: &QuoteRecord,
    policy: RefundPolicy,
    returned: &Returned,
    reprice: impl Fn(&Cart) -> Quote,
) -> Due {
    let quote = &record.quote;
    let value_of = |of: &dyn Fn(&Applied) -> MinorUnits| {
        let values = quote.applied.iter().map(|applied| ClaimValue {
            claim_id: applied.claim_id,
            value: of(applied),
        });
        values.collect()
    };
    if is_everything(&record.cart, returned) {
        return Due {
            amount: quote.total,
            values: value_of(&|_applied| 0),
        };
    }
    match policy {
        RefundPolicy::KeepAllocation => Due {
            amount: paid_for(record, returned),
            values: value_of(&|applied| kept_value(applied, returned)),
        },
        RefundPolicy::Reevaluate => {
            let kept = kept(&record.cart, returned);
            let again = reprice(&kept);
            let values: Vec<ClaimValue> = value_of(&|applied| {
                let same = |other: &&Applied| other.claim_id == applied.claim_id;
                let now = again.applied.iter().find(same);
                now.map_or(0, |now| now.value.min(applied.value))
            });
            let off: MinorUnits = values.iter().map(|value| value.value).sum();
            let price = kept.subtotal() + kept.shipping - off;
            Due {
                amount: (quote.total - price).clamp(0, quote.total),
                values,
            }
        }
    }
}

/// Decides a refund after `earlier` ones (oldest first). `reprice` as for [`due`].
///
/// # Errors
/// With the refusal, where it cannot be made; see [`RefundRefusal`].
pub fn settle(
    record: &QuoteRecord,
    policy: RefundPolicy,
    earlier: &[Refund],
    wanted: &Wanted,
    reprice: impl Fn(&Cart) -> Quote,
) -> Result<Settlement, RefundRefusal> {
    let cart = &record.cart;
    let before = returned(cart, earlier);
    if is_everything(cart, &before) {
        return Err(RefundRefusal::NothingLeft);
    }
    let after = match wanted {
        Wanted::Everything => everything(cart),
        Wanted::Pieces(lines) => with(cart, before, lines).map_err(RefundRefusal::Lines)?,
    };
    let complete = is_everything(cart, &after);
    if !complete && earlier.len() + 1 >= REFUNDS_MAX {
        return Err(RefundRefusal::TooMany);
    }
    let due = due(record, policy, &after, reprice);
    let paid_out: MinorUnits = earlier.iter().map(|refund| refund.amount).sum();
    Ok(Settlement {
        amount: (due.amount - paid_out).max(0),
        owed: (paid_out - due.amount).max(0),
        complete,
        values: not_above(due.values, earlier.last()),
    })
}

/// The cart without the pieces that are back; shipping stays until the last piece.
#[must_use]
pub fn kept(cart: &Cart, returned: &Returned) -> Cart {
    let mut kept = cart.clone();
    for line in &mut kept.lines {
        line.quantity -= back(returned, line);
    }
    kept.lines.retain(|line| line.quantity > 0);
    kept
}

/// Adds the pieces asked for to those that are back, or says what is wrong with each line.
fn with(cart: &Cart, before: Returned, asked: &[RefundLine]) -> Result<Returned, Vec<FieldError>> {
    let lines: BTreeMap<&str, &CartLine> = cart
        .lines
        .iter()
        .map(|line| (line.id.as_str(), line))
        .collect();
    let mut errors = Vec::new();
    let mut refuse =
        |pointer: String, message: String| errors.push(FieldError { pointer, message });
    if asked.is_empty() {
        refuse(
            "/lines".to_owned(),
            "is empty; name at least one line".to_owned(),
        );
    }
    let mut named = BTreeSet::new();
    let mut after = before;
    for (index, line) in asked.iter().enumerate() {
        if !named.insert(&line.id) {
            refuse(
                format!("/lines/{index}/id"),
                format!("names line {} twice; say it once", line.id),
            );
            continue;
        }
        let Some(of_cart) = lines.get(line.id.as_str()) else {
            refuse(
                format!("/lines/{index}/id"),
                format!("is {}, and the order has no such line", line.id),
            );
            continue;
        };
        let pieces = after.entry(line.id.clone()).or_default();
        let left = of_cart.quantity.saturating_sub(*pieces);
        if (1..=left).contains(&line.quantity) {
            *pieces += line.quantity;
        } else {
            let accepted = if left == 0 {
                "nothing of the line is left".to_owned()
            } else {
                format!("1 to {left} pieces of line {} can come back", line.id)
            };
            refuse(
                format!("/lines/{index}/quantity"),
                format!("is {}; {accepted}", line.quantity),
            );
        }
    }
    if errors.is_empty() {
        Ok(after)
    } else {
        Err(errors)
    }
}

fn everything(cart: &Cart) -> Returned {
    cart.lines
        .iter()
        .map(|line| (line.id.clone(), line.quantity))
        .collect()
}

fn back(returned: &Returned, line: &CartLine) -> u32 {
    returned.get(&line.id).copied().unwrap_or(0)
}

/// What was paid for the pieces that are back, without shipping.
fn paid_for(record: &QuoteRecord, returned: &Returned) -> MinorUnits {
    let mut off: BTreeMap<&str, MinorUnits> = BTreeMap::new();
    for share in record
        .quote
        .applied
        .iter()
        .flat_map(|applied| &applied.lines)
    {
        *off.entry(share.id.as_str()).or_default() += share.off;
    }
    let mut sum = 0;
    for line in &record.cart.lines {
        let pieces = back(returned, line);
        let off = off.get(line.id.as_str()).copied().unwrap_or(0);
        sum += line.unit_price * i64::from(pieces) - on_last(off, line.quantity, pieces);
    }
    sum
}

/// What a claim takes off what is kept, by the frozen allocation.
fn kept_value(applied: &Applied, returned: &Returned) -> MinorUnits {
    let came_back = |share: &LineShare| {
        let pieces = returned.get(&share.id).copied().unwrap_or(0);
        on_last(share.off_before + share.off, share.quantity, pieces)
            - on_last(share.off_before, share.quantity, pieces)
    };
    applied.value - applied.lines.iter().map(came_back).sum::<MinorUnits>()
}

/// The part of `amount`, spread over `quantity` pieces, that falls on the last `pieces` of them:
/// the sum of [`spread`](crate::pricing::spread) over these, without going through them.
fn on_last(amount: MinorUnits, quantity: u32, pieces: u32) -> MinorUnits {
    let all = i64::from(quantity.max(1));
    let first = i64::from(quantity.saturating_sub(pieces));
    amount - (amount / all * first + (amount % all).min(first))
}

/// Values of uses only ever fall.
fn not_above(mut values: Vec<ClaimValue>, last: Option<&Refund>) -> Vec<ClaimValue> {
    for (value, before) in values
        .iter_mut()
        .zip(last.into_iter().flat_map(|last| &last.values))
    {
        debug_assert_eq!(
            value.claim_id, before.claim_id,
            "both in the order of application"
        );
        value.value = value.value.min(before.value);
    }
    values
}
