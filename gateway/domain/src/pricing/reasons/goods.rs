//! Reasons that lie with what is in the cart.

use super::Found;
use crate::reason::ReasonCode;
use crate::terms::{Benefit, Conditions, ProductSet};
use crate::words;

/// The coupon applies to no line.
pub(super) fn no_items(found: &mut Found<'_>) {
    let terms = found.claim.terms();
    let conditions = &terms.conditions;
    let scope = &found.claim.scope;
    if scope.lines.is_empty() && scope.included {
        let excluded = words::one_of(&conditions.exclude);
        found
            .add(
                ReasonCode::ExcludedItemPresent,
                "products.exclude",
                format!("something other than {excluded}"),
                "every product in the cart that counts is excluded",
            )
            .fix = Some(format!("Add {}.", wanted(conditions)));
        return;
    }
    let (condition, wanted) = match &terms.benefit {
        Benefit::Product { sku, quantity, .. } if !scope.lines.is_empty() => {
            ("benefit.sku", format!("{quantity} x {sku}"))
        }
        Benefit::Product { .. }
        | Benefit::Threshold { .. }
        | Benefit::Percent { .. }
        | Benefit::Fixed { .. } => ("products.include", wanted(conditions)),
    };
    let fix = format!("Add {wanted} to the cart.");
    found
        .add(
            ReasonCode::NoEligibleItems,
            condition,
            wanted,
            "nothing of it in the cart",
        )
        .fix = Some(fix);
}

/// Too few pieces of the product.
pub(super) fn quantity(found: &mut Found<'_>, pieces: u64, wanted: u32) {
    let Benefit::Product { sku, .. } = &found.claim.terms().benefit else {
        return;
    };
    let more = u64::from(wanted).saturating_sub(pieces);
    let reason = found.add(
        ReasonCode::QuantityNotMet,
        "benefit.quantity",
        format!("{wanted} x {sku}"),
        format!("{pieces} x {sku}"),
    );
    reason.gap = Some(more.to_string());
    reason.fix = Some(format!("Add {more} more of {sku}."));
}

/// What a shopper would have to add, in words: "shoes", "anything but S-9".
pub(super) fn wanted(conditions: &Conditions) -> String {
    let empty = ProductSet::default();
    match (conditions.include == empty, conditions.exclude == empty) {
        (true, true) => "any product".to_owned(),
        (true, false) => format!("any product but {}", words::one_of(&conditions.exclude)),
        (false, true) => words::one_of(&conditions.include),
        (false, false) => format!(
            "{} (not {})",
            words::one_of(&conditions.include),
            words::one_of(&conditions.exclude)
        ),
    }
}

/// " of shoes" where only some products count, else nothing.
pub(super) fn of_what(conditions: &Conditions) -> String {
    if conditions.include == ProductSet::default() && conditions.exclude == ProductSet::default() {
        String::new()
    } else {
        format!(" of {}", wanted(conditions))
    }
}
