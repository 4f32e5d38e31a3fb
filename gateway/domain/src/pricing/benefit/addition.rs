//! What a shopper would have to add, where a minimum has to be left after the discount.

use super::{percentage, tier};
use crate::terms::{Benefit, MinorUnits};

/// The smallest amount by which lines of this sum have to grow so that at least `wanted` is left
/// of them after the benefit; `None` where no amount is enough.
pub(crate) fn addition_for(
    benefit: &Benefit,
    sum: MinorUnits,
    wanted: MinorUnits,
) -> Option<MinorUnits> {
    match benefit {
        Benefit::Fixed { off } => Some(wanted + off - sum),
        Benefit::Product { .. } => Some(wanted - sum),
        Benefit::Percent {
            basis_points,
            max_off,
        } => {
            let capped = max_off.map(|most| wanted + most - sum);
            let shared = before_percentage(wanted, *basis_points).map(|before| before - sum);
            [capped, shared].into_iter().flatten().min()
        }
        Benefit::Threshold { tiers } => {
            // What is missing may lead to a tier that takes more off: then more is missing.
            let mut grown = sum;
            for _tier in 0..=tiers.len() {
                let off = tier(tiers, grown).map_or(0, |tier| tier.off);
                let missing = wanted - (grown - off);
                if missing <= 0 {
                    break;
                }
                grown += missing;
            }
            Some(grown - sum)
        }
    }
}

/// The smallest sum of which at least `wanted` is left after a percentage.
fn before_percentage(wanted: MinorUnits, basis_points: u16) -> Option<MinorUnits> {
    let kept = 10_000_i128 - i128::from(basis_points);
    if kept == 0 {
        return None;
    }
    // Exact without rounding; half a unit of rounding moves it by one step at most either way.
    let about = i128::from(wanted) * 10_000 / kept;
    let about = MinorUnits::try_from(about).ok()?;
    let step = MinorUnits::try_from(10_000 / kept + 1).ok()?;
    (about - step..=about + step)
        .find(|&sum| sum >= 0 && sum - percentage(sum, basis_points) >= wanted)
}
