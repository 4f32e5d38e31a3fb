//! Why a claim is not applied: *all* reasons, in this order of precedence.
//!
//! 1. `archived` (the coupon was archived, or the claim taken back)
//! 2. `expired`
//! 3. `already_used`
//! 4. `held_by_order`
//! 5. `not_started`
//! 6. `outside_time_window`
//! 7. `not_eligible`
//! 8. `verification_required`
//! 9. `channel_mismatch`
//! 10. `currency_mismatch`
//! 11. `no_eligible_items` or `excluded_item_present`
//! 12. `quantity_not_met`
//! 13. `min_spend_not_met` (the minimum spend, then the first tier)
//! 14. `usage_limit_reached`
//! 15. `budget_exhausted`
//! 16. `no_effect`
//!
//! These are properties of the claim and the cart. Then come `not_combinable` and `overshadowed`,
//! which depend on the other claims.
//!
//! A paused or ended coupon's claims stay usable: pausing and ending stop grants. Amounts in a
//! currency are not compared with those in another: after `currency_mismatch` come only reasons
//! without an amount. `no_effect` is left out where a reason before it says why there is none.
//!
//! Every reason has what was expected and found; a gap where it is a number (money in the
//! currency's decimal form, time in whole seconds, pieces); and the smallest change that would do.

mod buyer;
mod goods;
mod spend;
mod stacked;
mod state;

use crate::pricing::{Board, Contender, Effect, Left, Miss, Place, QuoteInput, benefit};
use crate::reason::{Reason, ReasonCode};
use crate::terms::{Currency, MinorUnits};
use crate::time::Timestamp;
use crate::{money, words};

pub(crate) use stacked::{excluded, overshadowed};

/// What the claim does on the untouched cart, or every reason why it does not apply there.
pub(crate) fn alone(
    claim: &Contender<'_>,
    input: &QuoteInput,
    board: &Board<'_>,
    untouched: &Left,
) -> Result<Effect, Vec<Reason>> {
    let place = Place {
        board,
        left: untouched,
        uses: 0,
        used_value: 0,
    };
    let mut found = Found {
        claim,
        now: input.now,
        reasons: Vec::new(),
    };
    state::collect(&mut found);
    buyer::collect(&mut found, &input.buyer);
    found.channel(input.cart.channel.as_deref());
    if found.currency(board.currency) {
        spend::collect(&mut found, &place);
    } else {
        if claim.scope.lines.is_empty() {
            goods::no_items(&mut found);
        }
        if let Err(miss) = benefit::uses(claim, &place) {
            spend::add(&mut found, miss);
        }
    }
    if !found.reasons.is_empty() {
        return Err(found.reasons);
    }
    // What was collected above are the same conditions one by one.
    benefit::effect(claim, &place).map_err(|miss| {
        debug_assert_eq!(miss, Miss::NoEffect, "a condition has no reason");
        spend::add(&mut found, miss);
        found.reasons
    })
}

struct Found<'f> {
    claim: &'f Contender<'f>,
    now: Timestamp,
    reasons: Vec<Reason>,
}

impl Found<'_> {
    fn add(
        &mut self,
        code: ReasonCode,
        condition: &'static str,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> &mut Reason {
        let version = self.claim.candidate.facts.version;
        let reason = Reason::new(code, condition, expected, actual, version);
        reason.push_to(&mut self.reasons)
    }

    /// An amount in the coupon's currency, as in a gap.
    fn amount(&self, minor: MinorUnits) -> String {
        money::format(minor, self.claim.terms().currency)
    }

    /// An amount with its currency, as in a sentence.
    fn price(&self, minor: MinorUnits) -> String {
        words::amount(minor, self.claim.terms().currency)
    }

    fn channel(&mut self, channel: Option<&str>) {
        let wanted = &self.claim.terms().conditions.channels;
        if wanted.is_empty() || channel.is_some_and(|used| wanted.iter().any(|one| one == used)) {
            return;
        }
        let named = words::some(wanted.iter().map(String::as_str));
        let fix = format!("Order in {named}.");
        self.add(
            ReasonCode::ChannelMismatch,
            "channels",
            named,
            channel.unwrap_or("the cart names no channel"),
        )
        .fix = Some(fix);
    }

    /// Whether the currency is the coupon's.
    fn currency(&mut self, currency: Currency) -> bool {
        let wanted = self.claim.terms().currency;
        if wanted == currency {
            return true;
        }
        self.add(
            ReasonCode::CurrencyMismatch,
            "currency",
            wanted.as_str(),
            currency.as_str(),
        )
        .fix = Some(format!("Pay in {}.", wanted.as_str()));
        false
    }
}

/// Whole seconds until an instant, rounded up, so that the wait is over when they are.
fn seconds(from: Timestamp, until: Timestamp) -> String {
    ((until.millis_since(from) + 999) / 1_000).to_string()
}
