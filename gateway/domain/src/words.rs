//! Terms in plain English, for shoppers and operators.
//!
//! Amounts are written as in the API, with the code of their currency: no locale is guessed.

use std::fmt::Write as _;

use crate::money;
use crate::terms::{
    Benefit, Conditions, Currency, MinSpendBase, MinorUnits, Period, ProductSet, RelativeEnd,
    StackingGroup, Terms, Users, Validity, Verified, Weekday, WeeklyWindow,
};

/// Most entries of a list that are named; the rest is counted.
const NAMED_MAX: usize = 5;

/// The terms in sentences, the benefit first.
#[must_use]
pub fn sentences(terms: &Terms) -> Vec<String> {
    let mut out = vec![sentence(&benefit(&terms.benefit, terms.currency))];
    let conditions = &terms.conditions;
    if let Some(amount) = conditions.min_spend {
        out.push(min_spend(amount, conditions.min_spend_base, terms.currency));
    }
    out.extend(scope(conditions));
    out.extend(who(conditions));
    if !conditions.windows.is_empty() {
        out.push(format!("Open {}.", windows(&conditions.windows)));
    }
    if !conditions.channels.is_empty() {
        out.push(format!(
            "Only in {}.",
            some(conditions.channels.iter().map(String::as_str))
        ));
    }
    out.extend(uses(terms));
    match terms.stacking.group {
        StackingGroup::Exclusive => out.push("Cannot be combined with other coupons.".to_owned()),
        StackingGroup::Combinable | StackingGroup::Always => {}
    }
    out.push(validity(&terms.validity));
    out
}

/// The benefit in a few words, as in "15% off, at most 30.00 USD".
#[must_use]
pub fn benefit(benefit: &Benefit, currency: Currency) -> String {
    let amount = |minor: MinorUnits| amount(minor, currency);
    match benefit {
        Benefit::Threshold { tiers } => tiers
            .iter()
            .map(|tier| format!("spend {}, get {} off", amount(tier.spend), amount(tier.off)))
            .collect::<Vec<_>>()
            .join("; "),
        Benefit::Percent {
            basis_points,
            max_off,
        } => {
            let mut text = format!("{}% off", percent(*basis_points));
            if let Some(most) = max_off {
                let _infallible = write!(text, ", at most {}", amount(*most));
            }
            text
        }
        Benefit::Fixed { off } => format!("{} off", amount(*off)),
        Benefit::Product {
            sku,
            quantity,
            max_value,
        } => {
            let mut text = format!("{quantity} x {sku} free");
            if let Some(most) = max_value {
                let _infallible = write!(text, ", worth at most {}", amount(*most));
            }
            text
        }
    }
}

/// Weekly windows, as in "fri, sat 18:00-02:00 (Asia/Shanghai)".
#[must_use]
pub fn windows(windows: &[WeeklyWindow]) -> String {
    windows
        .iter()
        .map(|window| {
            let days: Vec<&str> = window.days.iter().map(|&day| day_name(day)).collect();
            format!(
                "{} {}-{} ({})",
                days.join(", "),
                clock(window.from_minute),
                clock(window.to_minute),
                window.zone
            )
        })
        .collect::<Vec<_>>()
        .join("; ")
}

/// A minute of the day as `HH:MM`.
#[must_use]
pub fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// The short name of a day, as in the API.
#[must_use]
pub const fn day_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "mon",
        Weekday::Tue => "tue",
        Weekday::Wed => "wed",
        Weekday::Thu => "thu",
        Weekday::Fri => "fri",
        Weekday::Sat => "sat",
        Weekday::Sun => "sun",
    }
}

/// What is verified, as in "a verified phone number".
pub(crate) const fn verified(attribute: Verified) -> &'static str {
    match attribute {
        Verified::Phone => "phone number",
        Verified::Email => "e-mail address",
        Verified::Identity => "identity",
    }
}

/// Products that a shopper may choose from, as in "shoes or brand x".
pub(crate) fn one_of(set: &ProductSet) -> String {
    let plain = |list: &[String], prefix: &str| {
        let entries = list.iter().map(|entry| format!("{prefix}{entry}"));
        entries.collect::<Vec<String>>()
    };
    let mut entries = plain(&set.categories, "");
    entries.extend(plain(&set.skus, ""));
    entries.extend(plain(&set.brands, "brand "));
    entries.extend(plain(&set.tags, "products tagged "));
    let more = entries.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        entries.truncate(NAMED_MAX);
        return format!("{} or {more} more", entries.join(", "));
    }
    match entries.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "any product".to_owned(),
    }
}

/// The first few of a list, and how many more there are.
pub(crate) fn some<'a>(entries: impl Iterator<Item = &'a str>) -> String {
    let entries: Vec<&str> = entries.collect();
    let named = &entries[..entries.len().min(NAMED_MAX)];
    match entries.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// An amount with the code of its currency.
pub(crate) fn amount(minor: MinorUnits, currency: Currency) -> String {
    format!("{} {}", money::format(minor, currency), currency.as_str())
}

/// Basis points as a percentage without needless zeros: 1,250 are "12.5".
fn percent(basis_points: u16) -> String {
    let (whole, rest) = (basis_points / 100, basis_points % 100);
    match rest {
        0 => whole.to_string(),
        _ if rest % 10 == 0 => format!("{whole}.{}", rest / 10),
        _ => format!("{whole}.{rest:02}"),
    }
}

/// Upper case at the start, a full stop at the end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}

fn min_spend(least: MinorUnits, base: MinSpendBase, currency: Currency) -> String {
    let least = amount(least, currency);
    match base {
        MinSpendBase::Initial => format!("Minimum spend {least} on eligible items."),
        MinSpendBase::BeforeThis => {
            format!("Minimum spend {least} on eligible items, before this coupon is taken off.")
        }
        MinSpendBase::AfterThis => {
            format!("Minimum spend {least} on eligible items, after this coupon is taken off.")
        }
    }
}

fn scope(conditions: &Conditions) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(text) = products(&conditions.include) {
        out.push(format!("Applies to {text}."));
    }
    if let Some(text) = products(&conditions.exclude) {
        out.push(format!("Does not apply to {text}."));
    }
    out
}

fn products(set: &ProductSet) -> Option<String> {
    let parts: Vec<String> = [
        ("products", &set.skus),
        ("categories", &set.categories),
        ("brands", &set.brands),
        ("products tagged", &set.tags),
    ]
    .into_iter()
    .filter(|(_name, entries)| !entries.is_empty())
    .map(|(name, entries)| format!("{name} {}", some(entries.iter().map(String::as_str))))
    .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Names no group and no user: who else was asked is nobody's business.
fn who(conditions: &Conditions) -> Vec<String> {
    let mut out = Vec::new();
    match &conditions.users {
        Users::All => {}
        Users::New => out.push("For new customers.".to_owned()),
        Users::Existing => out.push("For existing customers.".to_owned()),
        Users::Groups { .. } | Users::Ids { .. } => {
            out.push("For invited customers.".to_owned());
        }
    }
    if !conditions.verified.is_empty() {
        let names: Vec<&str> = conditions
            .verified
            .iter()
            .map(|&attribute| verified(attribute))
            .collect();
        out.push(format!("Requires a verified {}.", names.join(" and ")));
    }
    out
}

fn uses(terms: &Terms) -> Vec<String> {
    let mut out = Vec::new();
    if terms.uses_per_claim > 1 {
        out.push(format!("Can be used {} times.", terms.uses_per_claim));
    }
    if let Some(uses) = terms.uses_per_user {
        let period = match uses.period {
            Period::Day => " a day",
            Period::Week => " a week",
            Period::Month => " a month",
            Period::Lifetime => "",
        };
        out.push(format!(
            "At most {} {}{period} per customer.",
            uses.count,
            plural(uses.count, "use", "uses")
        ));
    }
    out
}

fn validity(validity: &Validity) -> String {
    match validity {
        Validity::Fixed { starts_at, ends_at } => {
            format!("Valid from {starts_at} until {ends_at}.")
        }
        Validity::Relative { days, until, zone } => {
            let days = format!("{days} {}", plural(u32::from(*days), "day", "days"));
            match until {
                RelativeEnd::Minute => format!("Valid for {days} after it is claimed."),
                RelativeEnd::EndOfDay => {
                    format!("Valid until the end of the day ({zone}), {days} after it is claimed.")
                }
            }
        }
        Validity::Permanent => "Valid without an end.".to_owned(),
    }
}

/// The word that goes with a count.
pub(crate) const fn plural(count: u32, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests;
