//! Runs `cases.txt`.

use std::collections::BTreeSet;

use sluice_domain::money;
use sluice_domain::pricing::{Applied, Quote, Rejected, quote};
use sluice_domain::reason::ReasonCode;

use super::parse::{self, Case, cases};

const TEXT: &str = include_str!("cases.txt");

/// What the quote says of that which an `expect` line is about, in the words of the line.
fn found(case: &Case, quote: &Quote, expected: &str) -> String {
    let amount = |minor| money::format(minor, quote.currency);
    let Some((about, rest)) = expected.split_once(": ") else {
        let (discount, total) = (amount(quote.discount), amount(quote.total));
        return if expected.contains("total") {
            format!("discount {discount}, total {total}")
        } else {
            format!("discount {discount}")
        };
    };
    let claim = case.input.candidates[case.names[about]].facts.claim_id;
    let applied = quote.applied.iter().find(|one| one.claim_id == claim);
    let found = match applied {
        Some(applied) => off_in_words(case, applied, rest),
        None => {
            let rejected = quote.rejected.iter().find(|one| one.claim_id == claim);
            reasons_in_words(rejected.unwrap(), rest)
        }
    };
    format!("{about}: {found}")
}

/// `l1 2.50+2.50, shipping 5.00, of 8.00 wanted, adds 1 x GIFT`, each part only where it is so;
/// without lines where none are expected.
fn off_in_words(case: &Case, applied: &Applied, expected: &str) -> String {
    let amount = |minor| money::format(minor, case.input.cart.currency);
    if expected == format!("{} off", amount(applied.value)) {
        return expected.to_owned();
    }
    let mut parts: Vec<String> = applied
        .lines
        .iter()
        .map(|line| {
            let shares: Vec<String> = line.per_unit().map(amount).collect();
            format!("{} {}", line.id, shares.join("+"))
        })
        .collect();
    if applied.shipping_off > 0 {
        parts.push(format!("shipping {}", amount(applied.shipping_off)));
    }
    if let Some(added) = &applied.added {
        parts.push(format!("adds {} x {}", added.quantity, added.sku));
    }
    if applied.desired_value > applied.value {
        parts.push(format!("of {} wanted", amount(applied.desired_value)));
    }
    parts.join(", ")
}

/// `min_spend_not_met 80.00 60.00 gap 20.00 "Add …"` and more reasons after ` & `; each part only as
/// far as it is expected.
fn reasons_in_words(rejected: &Rejected, expected: &str) -> String {
    let wanted: Vec<&str> = expected.split(" & ").collect();
    let found: Vec<String> = rejected
        .reasons
        .iter()
        .enumerate()
        .map(|(index, reason)| {
            let wanted = wanted.get(index).copied().unwrap_or("");
            let mut text = reason.code.as_str().to_owned();
            if let Some(gap) = &reason.gap
                && wanted.contains(" gap ")
            {
                text = format!("{text} gap {gap}");
            }
            if let Some(fix) = &reason.fix
                && wanted.contains('"')
            {
                text = format!("{text} \"{fix}\"");
            }
            text
        })
        .collect();
    found.join(" & ")
}

#[test]
fn every_case_comes_out_as_written() {
    let cases = cases(TEXT);
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let titles: BTreeSet<&str> = cases.iter().map(|case| case.title.as_str()).collect();
    assert_eq!(titles.len(), cases.len(), "a title is there twice");
    let mut wrong = Vec::new();
    for case in &cases {
        assert!(!case.expected.is_empty(), "{} expects nothing", case.title);
        let quote = quote(&case.input);
        for expected in &case.expected {
            let found = found(case, &quote, expected);
            if found != *expected {
                let title = &case.title;
                wrong.push(format!(
                    "{title}\n  expected {expected}\n  found    {found}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_file_has_every_reason_of_use_and_three_kinds_of_money() {
    let used: BTreeSet<&str> = cases(TEXT)
        .iter()
        .flat_map(|case| quote(&case.input).rejected)
        .flat_map(|rejected| rejected.reasons)
        .map(|reason| reason.code.as_str())
        .collect();
    for code in [
        ReasonCode::Archived,
        ReasonCode::Expired,
        ReasonCode::AlreadyUsed,
        ReasonCode::HeldByOrder,
        ReasonCode::NotStarted,
        ReasonCode::OutsideTimeWindow,
        ReasonCode::NotEligible,
        ReasonCode::VerificationRequired,
        ReasonCode::ChannelMismatch,
        ReasonCode::CurrencyMismatch,
        ReasonCode::NoEligibleItems,
        ReasonCode::ExcludedItemPresent,
        ReasonCode::QuantityNotMet,
        ReasonCode::MinSpendNotMet,
        ReasonCode::UsageLimitReached,
        ReasonCode::BudgetExhausted,
        ReasonCode::NoEffect,
        ReasonCode::NotCombinable,
        ReasonCode::Overshadowed,
    ] {
        assert!(
            used.contains(code.as_str()),
            "no case for {}",
            code.as_str()
        );
    }
    for currency in ["USD", "JPY", "KWD"] {
        assert!(
            TEXT.contains(&format!("cart {currency}")),
            "no case in {currency}"
        );
    }
    assert!(
        TEXT.contains(&parse::default_now()),
        "the head says when it is"
    );
}
