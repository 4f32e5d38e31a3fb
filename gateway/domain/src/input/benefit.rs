//! What the coupon gives.

use super::reader::{Node, Object, Report};
use super::text;
use crate::terms::{Benefit, Currency, Tier};

/// Most tiers of a threshold.
const TIERS_MAX: usize = 20;
/// Most pieces of a product.
const QUANTITY_MAX: u32 = 10_000;

#[derive(Clone, Copy)]
enum Type {
    Threshold,
    Percent,
    Fixed,
    Product,
}

const TYPES: &[(&str, Type)] = &[
    ("threshold", Type::Threshold),
    ("percent", Type::Percent),
    ("fixed", Type::Fixed),
    ("product", Type::Product),
];

pub(super) fn read(
    node: &Node<'_>,
    report: &mut Report,
    currency: Option<Currency>,
) -> Option<Benefit> {
    let object = node.open_object(report)?;
    let kind = object
        .require(report, "type", "threshold, percent, fixed or product")?
        .word(report, TYPES)?;
    match kind {
        Type::Threshold => {
            object.only(report, &["type", "tiers"]);
            let tiers = object.require(report, "tiers", "a list of tiers")?;
            Some(Benefit::Threshold {
                tiers: read_tiers(&tiers, report, currency)?,
            })
        }
        Type::Percent => read_percent(&object, report, currency),
        Type::Fixed => {
            object.only(report, &["type", "off"]);
            let off = object.require(report, "off", "an amount above 0")?;
            Some(Benefit::Fixed {
                off: off.positive_amount(report, currency)?,
            })
        }
        Type::Product => read_product(&object, report, currency),
    }
}

fn read_percent(
    object: &Object<'_>,
    report: &mut Report,
    currency: Option<Currency>,
) -> Option<Benefit> {
    object.only(report, &["type", "basis_points", "max_off"]);
    let basis_points = object
        .require(report, "basis_points", "a whole number from 1 to 10000")
        .and_then(|node| node.small(report, 1_u16, 10_000));
    let max_off = object.optional(report, "max_off", |node, report| {
        node.positive_amount(report, currency)
    });
    Some(Benefit::Percent {
        basis_points: basis_points?,
        max_off: max_off?,
    })
}

fn read_product(
    object: &Object<'_>,
    report: &mut Report,
    currency: Option<Currency>,
) -> Option<Benefit> {
    object.only(report, &["type", "sku", "quantity", "max_value"]);
    let sku = object
        .require(report, "sku", "the SKU of a product")
        .and_then(|node| text::label(&node, report));
    let quantity = object.or(report, "quantity", 1, |node, report| {
        node.small(report, 1_u32, QUANTITY_MAX)
    });
    let max_value = object.optional(report, "max_value", |node, report| {
        node.positive_amount(report, currency)
    });
    Some(Benefit::Product {
        sku: sku?,
        quantity: quantity?,
        max_value: max_value?,
    })
}

/// Both numbers must rise from tier to tier: else one tier could never be the best.
fn read_tiers(
    node: &Node<'_>,
    report: &mut Report,
    currency: Option<Currency>,
) -> Option<Vec<Tier>> {
    let nodes = node.list(report, TIERS_MAX)?;
    if nodes.is_empty() {
        return node.refuse(
            report,
            format!("is empty; 1 to {TIERS_MAX} tiers are expected"),
        );
    }
    let tiers: Vec<Option<Tier>> = nodes
        .iter()
        .map(|node| read_tier(node, report, currency))
        .collect();
    let tiers: Vec<Tier> = tiers.into_iter().collect::<Option<_>>()?;
    let mut rising = true;
    for (pair, node) in tiers.windows(2).zip(&nodes[1..]) {
        if let [lower, higher] = pair
            && (higher.spend <= lower.spend || higher.off <= lower.off)
        {
            rising = false;
            node.refuse::<()>(
                report,
                "does not rise; \"spend\" and \"off\" both have to be above those of the tier before",
            );
        }
    }
    rising.then_some(tiers)
}

fn read_tier(node: &Node<'_>, report: &mut Report, currency: Option<Currency>) -> Option<Tier> {
    let object = node.object(report, &["spend", "off"])?;
    let spend = object
        .require(report, "spend", "an amount")
        .and_then(|node| node.amount(report, currency));
    let off = object
        .require(report, "off", "an amount above 0")
        .and_then(|node| node.positive_amount(report, currency));
    Some(Tier {
        spend: spend?,
        off: off?,
    })
}
