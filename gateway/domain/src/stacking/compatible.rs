//! What goes together: pairs, and limits per order.

use super::Field;
use crate::id::CouponId;
use crate::terms::{StackingGroup, Terms};

/// Why a claim does not go together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// Terms of one side do not allow the other; the others by name.
    Pairs { with: Vec<String> },
    /// An order has enough of them.
    Limit { what: String, most: u16 },
}

/// Whether claims under two terms may be used on one order.
///
/// By group, `always` goes with everything, `combinable` with `combinable` and `always`,
/// `exclusive` only with `always`. A side that names partners additionally demands that the other
/// one is named there, by its coupon id or by one of its tags. Symmetric.
#[must_use]
pub fn compatible(one: (CouponId, &Terms), other: (CouponId, &Terms)) -> bool {
    use StackingGroup::{Always, Combinable, Exclusive};
    let groups = match (one.1.stacking.group, other.1.stacking.group) {
        (Always, Always | Combinable | Exclusive) | (Combinable | Exclusive, Always) => true,
        (Combinable, Combinable) => true,
        (Exclusive, Exclusive | Combinable) | (Combinable, Exclusive) => false,
    };
    groups && accepts(one.1, other) && accepts(other.1, one)
}

fn accepts(terms: &Terms, other: (CouponId, &Terms)) -> bool {
    let partners = &terms.stacking.combines_with;
    if partners.is_empty() {
        return true;
    }
    let (id, other) = (other.0.to_string(), other.1);
    partners
        .iter()
        .any(|partner| *partner == id || other.stacking.tags.contains(partner))
}

/// The limits per order that a claim beside these members would exceed.
pub(super) fn limit(field: &Field<'_>, place: usize, members: &[usize]) -> Vec<Conflict> {
    let limits = field.limits;
    let group = |place: usize| field.contenders[place].terms().stacking.group;
    let coupon = |place: usize| field.contenders[place].candidate.facts.coupon;
    let count = |fits: &dyn Fn(usize) -> bool| {
        let found = members.iter().filter(|&&member| fits(member)).count();
        u16::try_from(found).unwrap_or(u16::MAX)
    };
    let mut found = Vec::new();
    let mut check = |used: u16, most: u16, what: String| {
        if used >= most {
            found.push(Conflict::Limit { what, most });
        }
    };
    check(count(&|_member| true), limits.coupons, "coupons".to_owned());
    let mine = group(place);
    let used = count(&|member| group(member) == mine);
    match mine {
        // One by nature: two of them do not go together anyway.
        StackingGroup::Exclusive => {}
        StackingGroup::Combinable => {
            check(used, limits.combinable, "combinable coupons".to_owned());
        }
        StackingGroup::Always => check(
            used,
            limits.always,
            "coupons that always combine".to_owned(),
        ),
    }
    let same = coupon(place);
    check(
        count(&|member| coupon(member) == same),
        limits.per_coupon,
        format!("claims of coupon {same}"),
    );
    found
}
