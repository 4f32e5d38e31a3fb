//! Applies a combination from its beginning.

use super::Field;
use crate::pricing::{Effect, Left, Place, apply, effect};
use crate::terms::{MinorUnits, Stage};

/// One claim applied at its place.
#[derive(Debug)]
pub(crate) struct Applied {
    /// Its place in application order.
    pub(crate) place: usize,
    pub(crate) effect: Effect,
    /// Lines of the board and what is taken off them.
    pub(crate) shares: Vec<(usize, MinorUnits)>,
    pub(crate) shipping_off: MinorUnits,
}

/// Applies these members in order; `None` where they are no valid combination.
pub(crate) fn run(field: &Field<'_>, members: &[usize]) -> Option<Vec<Applied>> {
    let mut left = field.untouched.clone();
    let mut applied: Vec<Applied> = Vec::with_capacity(members.len());
    for (index, &place) in members.iter().enumerate() {
        let before = &members[..index];
        if !field.conflicts_of(place, before).is_empty() {
            return None;
        }
        let of_coupon = applied
            .iter()
            .filter(|one| same_coupon(field, one.place, place))
            .map(|one| one.effect.value);
        let found = at(field, place, &left, of_coupon)?;
        take_off(&mut left, &found);
        applied.push(found);
    }
    Some(applied)
}

pub(super) fn same_coupon(field: &Field<'_>, one: usize, other: usize) -> bool {
    let coupon = |place: usize| field.contenders[place].candidate.facts.coupon;
    coupon(one) == coupon(other)
}

fn at(
    field: &Field<'_>,
    place: usize,
    left: &Left,
    of_coupon: impl Iterator<Item = MinorUnits>,
) -> Option<Applied> {
    let (mut uses, mut used_value) = (0, 0);
    for value in of_coupon {
        uses += 1;
        used_value += value;
    }
    let spot = Place {
        board: field.board,
        left,
        uses,
        used_value,
    };
    let claim = field.contenders[place];
    let effect = effect(claim, &spot).ok()?;
    let shipping_off = match claim.terms().stacking.stage {
        Stage::Shipping => effect.value,
        Stage::Product | Stage::Order => 0,
    };
    Some(Applied {
        place,
        effect,
        shares: apply(claim, &spot, &effect),
        shipping_off,
    })
}

fn take_off(left: &mut Left, applied: &Applied) {
    for &(line, off) in &applied.shares {
        left.lines[line] -= off;
    }
    left.shipping -= applied.shipping_off;
}
