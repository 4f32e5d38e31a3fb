//! Limits on claiming and on use, and the budget.

use super::TOTAL_MAX;
use super::reader::{Node, Object, Report};
use crate::coupon::ClaimLimits;
use crate::terms::{BudgetPartial, Currency, MinorUnits, Period, UsesPerUser};

const PERIODS: &[(&str, Period)] = &[
    ("day", Period::Day),
    ("week", Period::Week),
    ("month", Period::Month),
    ("lifetime", Period::Lifetime),
];
const BUDGET_PARTIALS: &[(&str, BudgetPartial)] = &[
    ("refuse", BudgetPartial::Refuse),
    ("grant_rest", BudgetPartial::GrantRest),
];

/// All that stands under `limits`: limits on claims belong to the coupon, the others to its terms.
pub(super) struct Limits {
    pub(super) claims: ClaimLimits,
    pub(super) uses_per_claim: u32,
    pub(super) uses_per_user: Option<UsesPerUser>,
    pub(super) budget: Option<MinorUnits>,
    pub(super) budget_partial: BudgetPartial,
}

pub(super) fn read(
    node: &Node<'_>,
    report: &mut Report,
    currency: Option<Currency>,
) -> Option<Limits> {
    let object = node.object(
        report,
        &[
            "total",
            "per_user",
            "per_device",
            "per_ip",
            "uses_per_claim",
            "uses_per_user",
            "budget",
            "budget_partial",
        ],
    )?;
    let total = total(&object, report);
    let per_user = object.or(report, "per_user", 1, |node, report| {
        node.small(report, 1_u16, 100)
    });
    let per_device = object.optional(report, "per_device", |node, report| {
        node.small(report, 1_u16, 1_000)
    });
    let per_address = object.optional(report, "per_ip", |node, report| {
        node.small(report, 1_u16, 10_000)
    });
    let uses_per_claim = object.or(report, "uses_per_claim", 1, |node, report| {
        node.small(report, 1_u32, 10_000)
    });
    let uses_per_user = object.optional(report, "uses_per_user", read_uses);
    let budget = object.optional(report, "budget", |node, report| {
        node.positive_amount(report, currency)
    });
    let budget_partial = object.or(
        report,
        "budget_partial",
        BudgetPartial::Refuse,
        |node, report| node.word(report, BUDGET_PARTIALS),
    );
    Some(Limits {
        claims: ClaimLimits {
            total: total?,
            per_user: per_user?,
            per_device: per_device?,
            per_address: per_address?,
        },
        uses_per_claim: uses_per_claim?,
        uses_per_user: uses_per_user?,
        budget: budget?,
        budget_partial: budget_partial?,
    })
}

/// `total` has to be said, also where it is unlimited: nobody should give away without end by
/// leaving a field out.
pub(super) fn total(object: &Object<'_>, report: &mut Report) -> Option<Option<u64>> {
    match object.get_or_null("total") {
        Some(node) if node.is_null() => Some(None),
        Some(node) => node.integer(report, 0, TOTAL_MAX).map(Some),
        None => {
            report.say(
                object.at("total"),
                format!("is missing; a whole number from 0 to {TOTAL_MAX}, or null for unlimited, is expected"),
            );
            None
        }
    }
}

fn read_uses(node: &Node<'_>, report: &mut Report) -> Option<UsesPerUser> {
    let object = node.object(report, &["count", "period"])?;
    let count = object
        .require(report, "count", "a whole number from 1 to 10000")
        .and_then(|node| node.small(report, 1_u32, 10_000));
    let period = object
        .require(report, "period", "day, week, month or lifetime")
        .and_then(|node| node.word(report, PERIODS));
    Some(UsesPerUser {
        count: count?,
        period: period?,
    })
}
