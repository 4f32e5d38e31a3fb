//! Allocation: which part of a discount falls on which line.
//!
//! Largest remainder: each line gets the whole units of its exact share by weight, and the units
//! that are left over go one each to the lines with the largest remainders; ties go to the larger
//! weight, then to the smaller line id. A line that cannot take its exact share takes what it can,
//! and the rest is shared out among the others by the same rule.
//!
//! Which lines are full is found at once, not by trial: they are the first ones in the order of
//! capacity per weight. Once a line can take its exact share of what is left, so can all behind it.

use crate::terms::MinorUnits;

/// What a line asks for and what it can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its weight, 0 or more; a line with capacity has one.
    pub(crate) weight: MinorUnits,
    /// Most that it can take, 0 or more.
    pub(crate) capacity: MinorUnits,
}

/// Shares `amount` out to parts in the order of their line ids. The shares add up to `amount`
/// exactly, and none is above its capacity.
///
/// `amount` must not exceed the sum of capacities.
pub(crate) fn allocate(amount: MinorUnits, parts: &[Part]) -> Vec<MinorUnits> {
    let capacity: MinorUnits = parts.iter().map(|part| part.capacity).sum();
    debug_assert!(amount <= capacity, "{amount} do not fit into {capacity}");
    if amount >= capacity {
        return parts.iter().map(|part| part.capacity).collect();
    }
    let mut shares = vec![0; parts.len()];
    let total: MinorUnits = parts.iter().map(|part| part.weight).sum();
    let fits = |part: &Part| part.weight == 0 || !is_full(part, amount, total);
    if parts.iter().all(fits) {
        let open: Vec<usize> = (0..parts.len()).collect();
        share_out(amount, total, &open, parts, &mut shares);
        return shares;
    }
    let mut order: Vec<usize> = (0..parts.len())
        .filter(|&index| parts[index].capacity > 0)
        .collect();
    order.sort_unstable_by(|&one, &other| by_capacity(&parts[one], &parts[other]));
    let mut rest = amount;
    // Weight without capacity takes no part.
    let mut weight: MinorUnits = order.iter().map(|&index| parts[index].weight).sum();
    let mut full = 0;
    for &index in &order {
        if !is_full(&parts[index], rest, weight) {
            break;
        }
        shares[index] = parts[index].capacity;
        rest -= parts[index].capacity;
        weight -= parts[index].weight;
        full += 1;
    }
    share_out(rest, weight, &order[full..], parts, &mut shares);
    shares
}

/// Whether the exact share is at least the capacity.
fn is_full(part: &Part, amount: MinorUnits, total: MinorUnits) -> bool {
    i128::from(amount) * i128::from(part.weight) >= i128::from(part.capacity) * i128::from(total)
}

/// Less capacity per weight first. Lines that compare equal are full together or not at all.
fn by_capacity(one: &Part, other: &Part) -> std::cmp::Ordering {
    let left = i128::from(one.capacity) * i128::from(other.weight);
    let right = i128::from(other.capacity) * i128::from(one.weight);
    left.cmp(&right)
}

/// Largest remainder among lines none of which is full.
fn share_out(
    amount: MinorUnits,
    total: MinorUnits,
    open: &[usize],
    parts: &[Part],
    shares: &mut [MinorUnits],
) {
    if amount == 0 || total == 0 {
        return;
    }
    let mut given = 0;
    let mut remainders: Vec<(MinorUnits, usize)> = Vec::with_capacity(open.len());
    for &index in open {
        let (share, remainder) = divide(amount, parts[index].weight, total);
        shares[index] = share;
        given += share;
        remainders.push((remainder, index));
    }
    let left_over = usize::try_from(amount - given).unwrap_or(0);
    debug_assert!(
        left_over <= open.len(),
        "fewer units are left over than lines"
    );
    if left_over == 0 {
        return;
    }
    // Only who gets a unit matters, not the order among them.
    remainders.select_nth_unstable_by(left_over - 1, |one, other| {
        let weights = parts[other.1].weight.cmp(&parts[one.1].weight);
        let remainders = other.0.cmp(&one.0);
        remainders.then(weights).then(one.1.cmp(&other.1))
    });
    for &(_remainder, index) in remainders.iter().take(left_over) {
        shares[index] += 1;
    }
}

/// `amount * weight / total` and what remains. Amounts of daily life fit 64 bits, where a division
/// is several times faster.
fn divide(amount: MinorUnits, weight: MinorUnits, total: MinorUnits) -> (MinorUnits, MinorUnits) {
    if let Some(product) = amount.checked_mul(weight) {
        return (product / total, product % total);
    }
    let product = i128::from(amount) * i128::from(weight);
    let total = i128::from(total);
    let narrow = |wide: i128| MinorUnits::try_from(wide).unwrap_or(MinorUnits::MAX);
    (narrow(product / total), narrow(product % total))
}

#[cfg(test)]
mod tests;
