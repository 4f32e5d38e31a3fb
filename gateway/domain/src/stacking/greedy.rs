//! A good combination to start from.

use super::{Combination, Field, run};

/// Claims by stand-alone discount, the largest first, each kept where the combination stays valid
/// and gets better by it. Then the same once more from each of the first few claims alone, since
/// one large exclusive claim may bar many small ones.
pub(super) fn combination(field: &Field<'_>) -> Combination {
    let mut order: Vec<usize> = (0..field.contenders.len()).collect();
    order.sort_by_key(|&place| {
        (
            std::cmp::Reverse(field.contenders[place].alone_value()),
            place,
        )
    });
    let grown = grow(field, &order);
    // Those that combine, without the ones that bar others.
    let sociable: Vec<usize> = order
        .iter()
        .copied()
        .filter(|&place| !bars_more_than_half(field, place))
        .collect();
    let other = grow(field, &sociable);
    if other.rank(&grown).is_lt() {
        other
    } else {
        grown
    }
}

fn bars_more_than_half(field: &Field<'_>, place: usize) -> bool {
    let barred = (0..field.contenders.len()).filter(|&other| field.conflicts[place].has(other));
    barred.count() * 2 > field.contenders.len()
}

fn grow(field: &Field<'_>, order: &[usize]) -> Combination {
    let mut best = Combination::default();
    for &place in order {
        if !field.conflicts_of(place, &best.members).is_empty() {
            continue;
        }
        let mut members = best.members.clone();
        let at = members.partition_point(|&member| member < place);
        members.insert(at, place);
        if let Some(grown) = priced(field, members)
            && grown.rank(&best).is_lt()
        {
            best = grown;
        }
    }
    best
}

/// A combination with what it is worth; `None` where it is not valid.
pub(super) fn priced(field: &Field<'_>, members: Vec<usize>) -> Option<Combination> {
    let applied = run(field, &members)?;
    Some(Combination {
        discount: applied.iter().map(|one| one.effect.value).sum(),
        gifts: applied.iter().map(|one| u32::from(one.effect.gift)).sum(),
        members,
    })
}
