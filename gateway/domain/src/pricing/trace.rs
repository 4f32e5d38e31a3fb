//! The trace: each step of a computation, for people and for a later comparison.
//!
//! The closed list of steps, in the order in which they may come:
//!
//! | step | of | `base` | `amount` |
//! | --- | --- | --- | --- |
//! | `candidates` | the whole | | |
//! | `search` | the whole; left out where all given are applied | | bound, where not proven |
//! | `base` | a claim | the sum it is computed on | |
//! | `tier`, `fixed`, `percent`, `product`, `gift` | a claim | that sum | what it comes to |
//! | `cap` | a claim whose own maximum cut it | before | after |
//! | `fit` | a claim that floors and prices cut | before | after |
//! | `budget` | a claim that the budget cut | before | after |
//! | `allocate` | a claim on lines | | taken off in all |
//! | `shipping` | a claim on shipping | left before | taken off |
//! | `skip` | a claim that is not applied | | |
//! | `total` | the whole | before discounts | to pay |

use super::outcome::Chosen;
use crate::pricing::{Contender, Quote, TraceStep};
use crate::stacking::{Applied, Field};
use crate::terms::{Benefit, Currency, MinorUnits, StackingBase, Stage};
use crate::words;

/// Lines that a step names; the shares of all lines are in the quote itself.
const LINES_NAMED_MAX: usize = 5;

pub(crate) fn write(
    field: &Field<'_>,
    contenders: &[Contender<'_>],
    chosen: &Chosen,
    quote: &Quote,
) -> Vec<TraceStep> {
    let mut steps = vec![whole(
        "candidates",
        None,
        None,
        format!(
            "{} considered, {} apply alone",
            contenders.len(),
            field.contenders.len()
        ),
    )];
    steps.extend(search(chosen, quote));
    let mut left_shipping = quote.shipping;
    for applied in &chosen.applied {
        claim(field, applied, left_shipping, &mut steps);
        left_shipping -= applied.shipping_off;
    }
    for rejected in &quote.rejected {
        let codes = rejected.reasons.iter().map(|reason| reason.code.as_str());
        steps.push(TraceStep {
            claim_id: Some(rejected.claim_id),
            step: "skip".to_owned(),
            base: None,
            amount: None,
            detail: codes.collect::<Vec<_>>().join(", "),
        });
    }
    let before = quote.subtotal + quote.shipping;
    let currency = quote.currency;
    steps.push(whole(
        "total",
        Some(before),
        Some(quote.total),
        format!(
            "{} less {}",
            words::amount(before, currency),
            words::amount(quote.discount, currency)
        ),
    ));
    steps
}

fn whole(
    step: &str,
    base: Option<MinorUnits>,
    amount: Option<MinorUnits>,
    detail: String,
) -> TraceStep {
    TraceStep {
        claim_id: None,
        step: step.to_owned(),
        base,
        amount,
        detail,
    }
}

fn search(chosen: &Chosen, quote: &Quote) -> Option<TraceStep> {
    let found = chosen.found.as_ref()?;
    let proof = match quote.discount_bound {
        None => "none can take more off".to_owned(),
        Some(bound) => format!(
            "not proven to be the best; none can take more than {} off",
            words::amount(bound, quote.currency)
        ),
    };
    Some(whole(
        "search",
        None,
        quote.discount_bound,
        format!("{} combinations priced; {proof}", found.priced),
    ))
}

/// The steps of one claim that is applied.
fn claim(
    field: &Field<'_>,
    applied: &Applied,
    left_shipping: MinorUnits,
    steps: &mut Vec<TraceStep>,
) {
    let contender = field.contenders[applied.place];
    let terms = contender.terms();
    let currency = terms.currency;
    let effect = &applied.effect;
    let claim_id = Some(contender.candidate.facts.claim_id);
    let mut say = |step: &str, base, amount, detail: String| {
        steps.push(TraceStep {
            claim_id,
            step: step.to_owned(),
            base,
            amount,
            detail,
        });
    };
    say("base", Some(effect.base), None, base_in_words(contender));
    let step = match terms.benefit {
        Benefit::Product { .. } if effect.gift => "gift",
        Benefit::Product { .. } => "product",
        Benefit::Threshold { .. } => "tier",
        Benefit::Percent { .. } => "percent",
        Benefit::Fixed { .. } => "fixed",
    };
    let benefit = match effect.tier {
        Some(tier) => format!(
            "spend {}, get {} off",
            words::amount(tier.spend, currency),
            words::amount(tier.off, currency)
        ),
        None => words::benefit(&terms.benefit, currency),
    };
    say(step, Some(effect.base), Some(effect.computed), benefit);
    for (step, before, after, why) in [
        (
            "cap",
            effect.computed,
            effect.desired,
            "the most that the coupon takes off",
        ),
        (
            "fit",
            effect.desired,
            effect.fits,
            "what prices and floors leave room for; the rest is not granted",
        ),
        (
            "budget",
            effect.fits,
            effect.value,
            "what is left of the coupon's budget; the rest is not granted",
        ),
    ] {
        if after < before {
            say(step, Some(before), Some(after), why.to_owned());
        }
    }
    if terms.stacking.stage == Stage::Shipping {
        let detail = "taken off the shipping".to_owned();
        say(
            "shipping",
            Some(left_shipping),
            Some(applied.shipping_off),
            detail,
        );
    } else if effect.value > 0 {
        let detail = shares_in_words(field, applied, currency);
        say("allocate", None, Some(effect.value), detail);
    }
}

fn base_in_words(contender: &Contender<'_>) -> String {
    let terms = contender.terms();
    let when = match terms.stacking.base {
        StackingBase::Initial => "before discounts",
        StackingBase::Running => "after the claims before",
    };
    match (terms.stacking.stage, &terms.benefit) {
        (Stage::Shipping, Benefit::Percent { .. }) => format!("the price of shipping, {when}"),
        (Stage::Product | Stage::Order | Stage::Shipping, _) => {
            let lines = contender.scope.lines.len();
            let noun = if lines == 1 { "line" } else { "lines" };
            format!("{lines} eligible {noun}, {when}")
        }
    }
}

fn shares_in_words(field: &Field<'_>, applied: &Applied, currency: Currency) -> String {
    let named: Vec<String> = applied
        .shares
        .iter()
        .take(LINES_NAMED_MAX)
        .map(|&(line, off)| {
            format!(
                "{} {}",
                field.board.lines[line].id,
                words::amount(off, currency)
            )
        })
        .collect();
    match applied.shares.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more lines", named.join(", ")),
    }
}
