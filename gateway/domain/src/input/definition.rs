//! The whole coupon, and the rules that concern more than one field.

use super::reader::{Node, Object, Report};
use super::text::{self, Lines};
use super::{benefit, conditions, limits, validity};
use crate::claim::Durability;
use crate::coupon::{ClaimWindow, CouponSpec, Distribution};
use crate::lane::SHARDS_MAX;
use crate::terms::{Benefit, Conditions, Currency, Stacking, Stage, Terms, Users, Validity};

/// Every field of the API form.
const FIELDS: &[&str] = &[
    "name",
    "description",
    "code",
    "currency",
    "benefit",
    "conditions",
    "stacking",
    "limits",
    "distribution",
    "claim_window",
    "validity",
    "durability",
    "shards",
    "template",
    "notes",
];
const DISTRIBUTIONS: &[(&str, Distribution)] = &[
    ("public", Distribution::Public),
    ("targeted", Distribution::Targeted),
    ("code", Distribution::Code),
    ("auto", Distribution::Auto),
];
const DURABILITIES: &[(&str, Durability)] =
    &[("ledger", Durability::Ledger), ("hot", Durability::Hot)];

/// Reads the coupon; `None` where anything was reported.
pub(super) fn read(node: &Node<'_>, report: &mut Report) -> Option<CouponSpec> {
    let object = node.object(report, FIELDS)?;
    let terms_and_limits = read_terms(&object, report);
    let code = object.optional(report, "code", text::code_word);
    let distribution = object.or(
        report,
        "distribution",
        vec![Distribution::Public],
        read_distribution,
    );
    let window = object.or(
        report,
        "claim_window",
        ClaimWindow::default(),
        validity::read_window,
    );
    let durability = object.or(report, "durability", Durability::Ledger, |node, report| {
        node.word(report, DURABILITIES)
    });
    let shards = object.or(report, "shards", 1, read_shards);
    let template = object.optional(report, "template", text::name);
    let notes = object.or(report, "notes", String::new(), |node, report| {
        text::prose(node, report, 4_000, Lines::Many)
    });
    let (terms, limits) = terms_and_limits?;
    let spec = CouponSpec {
        terms,
        code: code?,
        limits: limits.claims,
        distribution: distribution?,
        window: window?,
        durability: durability?,
        shards: shards?,
        template: template?,
        notes: notes?,
    };
    check_together(&spec, &object, report).then_some(spec)
}

fn read_terms(object: &Object<'_>, report: &mut Report) -> Option<(Terms, limits::Limits)> {
    let name = object
        .require(report, "name", "a text of 1 to 200 characters")
        .and_then(|node| text::filled(&node, report, 200));
    let description = object.or(report, "description", String::new(), |node, report| {
        text::prose(node, report, 2_000, Lines::Many)
    });
    let currency = object
        .require(report, "currency", "an ISO 4217 code")
        .and_then(|node| match Currency::new(node.text(report)?) {
            Ok(currency) => Some(currency),
            Err(error) => node.refuse(report, error.to_string()),
        });
    let benefit = object
        .require(report, "benefit", "an object with a type")
        .and_then(|node| benefit::read(&node, report, currency));
    let conditions = object.or(
        report,
        "conditions",
        Conditions::default(),
        |node, report| conditions::read(node, report, currency),
    );
    let stacking = object.or(
        report,
        "stacking",
        Stacking {
            priority: conditions::PRIORITY_DEFAULT,
            ..Stacking::default()
        },
        conditions::read_stacking,
    );
    let limits = object
        .require(report, "limits", "an object with at least \"total\"")
        .and_then(|node| limits::read(&node, report, currency));
    let validity = object.or(report, "validity", Validity::Permanent, validity::read);
    let limits = limits?;
    let terms = Terms {
        name: name?,
        description: description?,
        currency: currency?,
        benefit: benefit?,
        conditions: conditions?,
        stacking: stacking?,
        uses_per_claim: limits.uses_per_claim,
        uses_per_user: limits.uses_per_user,
        budget: limits.budget,
        budget_partial: limits.budget_partial,
        validity: validity?,
    };
    Some((terms, limits))
}

fn read_distribution(node: &Node<'_>, report: &mut Report) -> Option<Vec<Distribution>> {
    let ways = text::set(node, report, DISTRIBUTIONS.len(), |node, report| {
        node.word(report, DISTRIBUTIONS)
    })?;
    let claimable = |way: &Distribution| !matches!(way, Distribution::Auto);
    if ways.is_empty() {
        return node.refuse(
            report,
            "is empty; at least one way is expected, as in [\"public\"]",
        );
    }
    if !ways.iter().any(claimable) {
        return node.refuse(
            report,
            "has only ways that are not available yet; add \"public\", \"targeted\" or \"code\"",
        );
    }
    Some(ways)
}

fn read_shards(node: &Node<'_>, report: &mut Report) -> Option<u16> {
    node.small(report, 1_u16, SHARDS_MAX)
}

/// What is counted in one place for all users and would be counted in each shard apart.
fn counted_per_shard(spec: &CouponSpec) -> Option<&'static str> {
    let (limits, ways) = (&spec.limits, &spec.distribution);
    [
        (limits.per_device.is_some(), "limits.per_device"),
        (limits.per_address.is_some(), "limits.per_ip"),
        (ways.contains(&Distribution::Code), "distribution \"code\""),
    ]
    .into_iter()
    .find_map(|(is_there, what)| is_there.then_some(what))
}

/// Rules between fields; each is reported at the field that would be changed.
fn check_together(spec: &CouponSpec, object: &Object<'_>, report: &mut Report) -> bool {
    let mut sound = true;
    let mut refuse = |name: &str, message: &str| {
        sound = false;
        report.say(object.at(name), message);
    };
    let listed = matches!(
        spec.terms.conditions.users,
        Users::Groups { .. } | Users::Ids { .. }
    );
    if spec.distribution.contains(&Distribution::Targeted) && !listed {
        refuse(
            "distribution",
            "is targeted at nobody; with \"targeted\", conditions.users.kind has to be \"groups\" or \"ids\"",
        );
    }
    let by_code_only = !spec
        .distribution
        .iter()
        .any(|way| matches!(way, Distribution::Public | Distribution::Targeted));
    if by_code_only && spec.code.is_none() {
        refuse(
            "code",
            "is missing; a coupon that is claimed by code only needs one public word (bulk codes are not available yet)",
        );
    }
    if spec.shards > 1
        && let Some(what) = counted_per_shard(spec)
    {
        let message = format!(
            "is above 1, but {what} would be counted in each shard apart; use 1, or leave that out"
        );
        refuse("shards", &message);
    }
    let of_a_product = matches!(spec.terms.benefit, Benefit::Product { .. });
    if of_a_product && spec.terms.stacking.stage == Stage::Shipping {
        refuse(
            "stacking",
            "has the stage \"shipping\", but a product is not taken off the shipping; use \"product\" or \"order\"",
        );
    }
    let by_code = spec.code.is_some() || spec.distribution.contains(&Distribution::Code);
    if by_code && spec.durability == Durability::Hot {
        refuse(
            "durability",
            "is \"hot\", but a coupon with codes has to be \"ledger\": a code that was used stays used",
        );
    }
    if let (Validity::Fixed { ends_at, .. }, Some(start)) =
        (&spec.terms.validity, spec.window.starts_at)
        && *ends_at <= start
    {
        refuse(
            "validity",
            "ends before the first claim could be made; it has to end after claim_window.starts_at",
        );
    }
    sound
}
