//! Reasons that lie with amounts and counts.

use super::{Found, goods, seconds};
use crate::pricing::{Miss, Place, benefit, period};
use crate::reason::ReasonCode;
use crate::terms::{Benefit, MinSpendBase, MinorUnits, Period};
use crate::words;

/// Goes through the same conditions as [`benefit::effect`], all of them.
pub(super) fn collect(found: &mut Found<'_>, place: &Place<'_>) {
    let claim = found.claim;
    let wanted = benefit::want(claim, place);
    // Products and pieces come before amounts, a tier after the minimum spend.
    if let Err(miss @ (Miss::NoItems | Miss::Quantity { .. })) = wanted {
        add(found, miss);
    }
    if !claim.scope.lines.is_empty() {
        note(found, benefit::min_spend_before(claim, place));
        if let Err(miss @ Miss::Tier { .. }) = wanted {
            add(found, miss);
        }
        let value = wanted.and_then(|wanted| benefit::within_budget(claim, place, wanted.fits));
        if let (Ok(wanted), Ok(value)) = (wanted, value) {
            let effect = benefit::Effect { value, ..wanted };
            note(found, benefit::min_spend_after(claim, place, &effect));
        }
    }
    note(found, benefit::uses(claim, place));
    if let Ok(wanted) = wanted {
        note(found, benefit::within_budget(claim, place, wanted.fits));
        if wanted.fits == 0 && !wanted.gift {
            add(found, Miss::NoEffect);
        }
    }
}

fn note<T>(found: &mut Found<'_>, outcome: Result<T, Miss>) {
    if let Err(miss) = outcome {
        add(found, miss);
    }
}

pub(super) fn add(found: &mut Found<'_>, miss: Miss) {
    match miss {
        Miss::NoItems => goods::no_items(found),
        Miss::Quantity {
            found: pieces,
            wanted,
        } => goods::quantity(found, pieces, wanted),
        Miss::MinSpend {
            base,
            found: sum,
            wanted,
        } => min_spend(found, base, sum, wanted),
        Miss::Tier { found: sum, wanted } => {
            let more = wanted - sum;
            short(found, "benefit.tiers", sum, wanted, Some(more));
        }
        Miss::Uses { found: uses, most } => usage(found, uses, most),
        Miss::Budget { left, wanted } => budget(found, left, wanted),
        Miss::NoEffect => no_effect(found),
    }
}

fn min_spend(found: &mut Found<'_>, base: MinSpendBase, sum: MinorUnits, wanted: MinorUnits) {
    let terms = found.claim.terms();
    let more = match base {
        MinSpendBase::Initial | MinSpendBase::BeforeThis => Some(wanted - sum),
        // What is added is discounted too.
        MinSpendBase::AfterThis => {
            let lines = found.claim.scope.initial;
            benefit::addition_for(&terms.benefit, lines, wanted)
        }
    };
    short(found, "min_spend", sum, wanted, more);
}

/// The sum of eligible lines is too small; `more` is the smallest addition that is enough.
fn short(
    found: &mut Found<'_>,
    condition: &'static str,
    sum: MinorUnits,
    wanted: MinorUnits,
    more: Option<MinorUnits>,
) {
    let what = goods::of_what(&found.claim.terms().conditions);
    let fix = more.map(|more| format!("Add {} more{what}.", found.price(more)));
    let (expected, actual) = (found.amount(wanted), found.amount(sum));
    let gap = found.amount(wanted - sum);
    let reason = found.add(ReasonCode::MinSpendNotMet, condition, expected, actual);
    reason.gap = Some(gap);
    reason.fix = fix;
}

fn usage(found: &mut Found<'_>, uses: u32, most: u32) {
    let terms = found.claim.terms();
    let now = found.now;
    let period = match terms.uses_per_user.map(|limit| limit.period) {
        Some(Period::Day) => " a day",
        Some(Period::Week) => " a week",
        Some(Period::Month) => " a month",
        Some(Period::Lifetime) | None => "",
    };
    let end = period::period_end(terms, now);
    let reason = found.add(
        ReasonCode::UsageLimitReached,
        "limits.uses_per_user",
        format!(
            "at most {most} {}{period}",
            words::plural(most, "use", "uses")
        ),
        format!("{uses} {}", words::plural(uses, "use", "uses")),
    );
    reason.gap = end.map(|end| seconds(now, end));
    reason.fix = end.map(|end| format!("Use it again from {end} on."));
}

fn budget(found: &mut Found<'_>, left: MinorUnits, wanted: MinorUnits) {
    let (expected, actual) = (found.amount(wanted), found.amount(left));
    let gap = found.amount(wanted - left);
    // A fixed amount stays what it is, whatever the cart.
    let fix = (left > 0 && !matches!(found.claim.terms().benefit, Benefit::Fixed { .. }))
        .then(|| "A smaller cart may still fit into what is left of the budget.".to_owned());
    let reason = found.add(
        ReasonCode::BudgetExhausted,
        "limits.budget",
        expected,
        actual,
    );
    reason.gap = Some(gap);
    reason.fix = fix;
}

fn no_effect(found: &mut Found<'_>) {
    let terms = found.claim.terms();
    let (actual, fix) = match terms.stacking.stage {
        crate::terms::Stage::Shipping => (
            "there is no price of shipping to take it off",
            "Use it on an order with a price of shipping.".to_owned(),
        ),
        crate::terms::Stage::Product | crate::terms::Stage::Order => (
            "the products it applies to are at their lowest price",
            format!("Add {}.", goods::wanted(&terms.conditions)),
        ),
    };
    found
        .add(
            ReasonCode::NoEffect,
            "benefit",
            "something to take off",
            actual,
        )
        .fix = Some(fix);
}
