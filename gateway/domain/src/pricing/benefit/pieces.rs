//! Product vouchers: the dearest pieces of the product first, ties by line id. On a running base a
//! piece costs what earlier claims left of it.

use std::collections::BTreeMap;

use super::{Effect, Miss, Place, base, parts};
use crate::pricing::{Contender, Part};
use crate::terms::MinorUnits;

pub(super) fn want(
    claim: &Contender<'_>,
    place: &Place<'_>,
    quantity: u32,
    max_value: Option<MinorUnits>,
) -> Result<Effect, Miss> {
    let found = claim.scope.pieces;
    if found == 0 {
        // Without a stated value the product itself is the value: it comes for free.
        return if max_value.is_some() {
            Err(Miss::NoItems)
        } else {
            Ok(Effect {
                base: 0,
                computed: 0,
                desired: 0,
                fits: 0,
                value: 0,
                tier: None,
                gift: true,
            })
        };
    }
    if found < u64::from(quantity) {
        return Err(Miss::Quantity {
            found,
            wanted: quantity,
        });
    }
    let parts = parts(claim, place);
    let computed: MinorUnits = parts.iter().map(|(_line, part)| part.weight).sum();
    let desired = computed.min(max_value.unwrap_or(MinorUnits::MAX));
    let room: MinorUnits = parts.iter().map(|(_line, part)| part.capacity).sum();
    let fits = desired.min(room);
    Ok(Effect {
        base: base(claim, place),
        computed,
        desired,
        fits,
        value: fits,
        tier: None,
        gift: false,
    })
}

/// The dearest pieces of a product voucher: per line, what they cost and what can be taken off.
pub(super) fn picked(
    claim: &Contender<'_>,
    place: &Place<'_>,
    quantity: u32,
    on_initial: bool,
) -> Vec<(usize, Part)> {
    let mut stacks: Vec<(MinorUnits, usize, i64)> = Vec::new();
    for &line in &claim.scope.targets {
        let pieces = i64::from(place.board.lines[line].quantity.max(1));
        let amount = if on_initial {
            place.board.amounts[line]
        } else {
            place.left.lines[line]
        };
        let (price, dearer) = (amount / pieces, amount % pieces);
        stacks.push((price + 1, line, dearer));
        stacks.push((price, line, pieces - dearer));
    }
    stacks.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
    let mut wanted = i64::from(quantity);
    let mut costs: BTreeMap<usize, MinorUnits> = <_>::default();
    for (price, line, pieces) in stacks {
        let taken = pieces.min(wanted);
        if taken > 0 {
            *costs.entry(line).or_default() += price * taken;
            wanted -= taken;
        }
    }
    let part = |(line, cost): (usize, MinorUnits)| {
        let room = place.left.lines[line] - place.board.floors[line];
        (
            line,
            Part {
                weight: cost,
                capacity: room.min(cost),
            },
        )
    };
    costs.into_iter().map(part).collect()
}
