//! What one claim takes off at its place among others.
//!
//! # Amounts of one claim
//! `base` is the sum it is computed on: the eligible lines (at stage shipping a percentage has the
//! shipping as its base; tiers and the minimum spend look at lines all the same), untouched or as
//! earlier claims left them, by the terms' `base`. `computed` is the tier reached, the fixed
//! amount, the percentage (rounded once, half up) or the price of the pieces. `desired` is that
//! within the coupon's own cap. `fits` is what of it the lines can bear above their floors, or what
//! is left of the shipping. `value` is that within the budget.
//!
//! # Budget
//! Compared with `fits`, which is what would really be taken off: a voucher of 5.00 on a cart of
//! 3.00 needs a budget of 3.00.
//!
//! Product vouchers are in `pieces`.

mod addition;
mod pieces;

use crate::pricing::{Board, Contender, Left, Part, allocate};
use crate::terms::{Benefit, BudgetPartial, MinSpendBase, MinorUnits, StackingBase, Stage, Tier};

pub(crate) use addition::addition_for;

/// Where a claim is applied: after some others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'p> {
    pub(crate) board: &'p Board<'p>,
    /// What those left.
    pub(crate) left: &'p Left,
    /// Uses of the same coupon among them.
    pub(crate) uses: u32,
    /// What those uses take off.
    pub(crate) used_value: MinorUnits,
}

/// What a claim does at its place. See the module for the amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) base: MinorUnits,
    pub(crate) computed: MinorUnits,
    pub(crate) desired: MinorUnits,
    pub(crate) fits: MinorUnits,
    pub(crate) value: MinorUnits,
    /// The tier reached.
    pub(crate) tier: Option<Tier>,
    /// A free line is added.
    pub(crate) gift: bool,
}

/// Why a claim does nothing at its place. Numbers as a reason states them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    /// The coupon applies to no line, or to none with its product.
    NoItems,
    /// Too few pieces of its product.
    Quantity { found: u64, wanted: u32 },
    /// The minimum spend, before or after it is taken off.
    MinSpend {
        base: MinSpendBase,
        found: MinorUnits,
        wanted: MinorUnits,
    },
    /// The first tier.
    Tier {
        found: MinorUnits,
        wanted: MinorUnits,
    },
    /// The uses of this buyer.
    Uses { found: u32, most: u32 },
    /// The budget.
    Budget {
        left: MinorUnits,
        wanted: MinorUnits,
    },
    /// Nothing to take off.
    NoEffect,
}

/// What the claim does at its place, or the first thing that is in its way.
pub(crate) fn effect(claim: &Contender<'_>, place: &Place<'_>) -> Result<Effect, Miss> {
    uses(claim, place)?;
    min_spend_before(claim, place)?;
    let wanted = want(claim, place)?;
    let value = within_budget(claim, place, wanted.fits)?;
    let effect = Effect { value, ..wanted };
    min_spend_after(claim, place, &effect)?;
    if effect.value == 0 && !effect.gift {
        return Err(Miss::NoEffect);
    }
    Ok(effect)
}

/// The effect and the lines that it is taken from, each with its share, by line.
pub(crate) fn apply(
    claim: &Contender<'_>,
    place: &Place<'_>,
    effect: &Effect,
) -> Vec<(usize, MinorUnits)> {
    if effect.value == 0 || claim.terms().stacking.stage == Stage::Shipping {
        return Vec::new();
    }
    let lines: Vec<(usize, Part)> = parts(claim, place);
    let parts: Vec<Part> = lines.iter().map(|(_line, part)| *part).collect();
    let shares = allocate(effect.value, &parts);
    let lines = lines.iter().map(|(line, _part)| *line);
    lines.zip(shares).filter(|(_line, off)| *off > 0).collect()
}

/// More than this the claim takes off in no combination.
///
/// Earlier claims only make lines, shipping and budget smaller, and all that a benefit is computed
/// from rises with them; so the stand-alone value is a bound. One exception: a product voucher
/// takes the dearest pieces, and these may be others once lines were discounted. Its bound is
/// what any choice of pieces could yield.
pub(crate) fn bound(claim: &Contender<'_>, board: &Board<'_>, alone: Effect) -> MinorUnits {
    let Benefit::Product { .. } = claim.terms().benefit else {
        return alone.value;
    };
    let room = |&line: &usize| board.amounts[line] - board.floors[line];
    let room: MinorUnits = claim.scope.targets.iter().map(room).sum();
    let budget = claim.candidate.facts.budget_left.unwrap_or(MinorUnits::MAX);
    alone.desired.min(room).min(budget)
}

/// Uses of this buyer, those of the same coupon in this order included.
pub(crate) fn uses(claim: &Contender<'_>, place: &Place<'_>) -> Result<(), Miss> {
    let Some(limit) = claim.terms().uses_per_user else {
        return Ok(());
    };
    let before = claim.candidate.facts.user_uses.unwrap_or(0);
    let found = before.saturating_add(place.uses);
    if found < limit.count {
        return Ok(());
    }
    Err(Miss::Uses {
        found,
        most: limit.count,
    })
}

/// The minimum spend as far as it is known before the claim takes anything off.
pub(crate) fn min_spend_before(claim: &Contender<'_>, place: &Place<'_>) -> Result<(), Miss> {
    let conditions = &claim.terms().conditions;
    let Some(wanted) = conditions.min_spend else {
        return Ok(());
    };
    let base = conditions.min_spend_base;
    let found = match base {
        MinSpendBase::Initial => claim.scope.initial,
        MinSpendBase::BeforeThis => running(claim, place),
        MinSpendBase::AfterThis => return Ok(()),
    };
    if found >= wanted {
        return Ok(());
    }
    Err(Miss::MinSpend {
        base,
        found,
        wanted,
    })
}

/// The minimum spend that has to be left once the claim took off what it does.
pub(crate) fn min_spend_after(
    claim: &Contender<'_>,
    place: &Place<'_>,
    effect: &Effect,
) -> Result<(), Miss> {
    let conditions = &claim.terms().conditions;
    let (Some(wanted), MinSpendBase::AfterThis) = (conditions.min_spend, conditions.min_spend_base)
    else {
        return Ok(());
    };
    let off_lines = match claim.terms().stacking.stage {
        Stage::Product | Stage::Order => effect.value,
        Stage::Shipping => 0,
    };
    let found = running(claim, place) - off_lines;
    if found >= wanted {
        return Ok(());
    }
    Err(Miss::MinSpend {
        base: MinSpendBase::AfterThis,
        found,
        wanted,
    })
}

/// The part of `fits` that the budget allows.
pub(crate) fn within_budget(
    claim: &Contender<'_>,
    place: &Place<'_>,
    fits: MinorUnits,
) -> Result<MinorUnits, Miss> {
    let Some(budget) = claim.candidate.facts.budget_left else {
        return Ok(fits);
    };
    let left = (budget - place.used_value).max(0);
    if fits <= left {
        return Ok(fits);
    }
    match claim.terms().budget_partial {
        BudgetPartial::GrantRest if left > 0 => Ok(left),
        BudgetPartial::GrantRest | BudgetPartial::Refuse => {
            Err(Miss::Budget { left, wanted: fits })
        }
    }
}

/// What the claim would take off if the budget had no end; `value` is `fits`.
pub(crate) fn want(claim: &Contender<'_>, place: &Place<'_>) -> Result<Effect, Miss> {
    if claim.scope.lines.is_empty() {
        return Err(Miss::NoItems);
    }
    let base = base(claim, place);
    let (computed, most, tier) = match &claim.terms().benefit {
        Benefit::Product {
            quantity,
            max_value,
            ..
        } => return pieces::want(claim, place, *quantity, *max_value),
        Benefit::Threshold { tiers } => {
            let tier = tier(tiers, base)?;
            (tier.off, None, Some(tier))
        }
        Benefit::Percent {
            basis_points,
            max_off,
        } => (percentage(base, *basis_points), *max_off, None),
        Benefit::Fixed { off } => (*off, None, None),
    };
    let desired = computed.min(most.unwrap_or(MinorUnits::MAX));
    let fits = desired.min(room(claim, place));
    Ok(Effect {
        base,
        computed,
        desired,
        fits,
        value: fits,
        tier,
        gift: false,
    })
}

/// The best tier that the base reaches.
fn tier(tiers: &[Tier], base: MinorUnits) -> Result<Tier, Miss> {
    let reached = tiers.iter().rev().find(|tier| tier.spend <= base);
    reached.copied().ok_or(Miss::Tier {
        found: base,
        wanted: tiers.first().map_or(0, |tier| tier.spend),
    })
}

/// A share in basis points, half up. A base of 10^15 leaves it within 64 bits without a sign.
pub(crate) fn percentage(base: MinorUnits, basis_points: u16) -> MinorUnits {
    let base = u64::try_from(base).unwrap_or(0);
    let share = (base * u64::from(basis_points) + 5_000) / 10_000;
    MinorUnits::try_from(share).unwrap_or(MinorUnits::MAX)
}

/// What earlier claims left of the eligible lines.
fn running(claim: &Contender<'_>, place: &Place<'_>) -> MinorUnits {
    let lines = &claim.scope.lines;
    if lines.len() == place.left.lines.len() {
        return place.left.lines.iter().sum();
    }
    lines.iter().map(|&line| place.left.lines[line]).sum()
}

fn base(claim: &Contender<'_>, place: &Place<'_>) -> MinorUnits {
    let stacking = &claim.terms().stacking;
    let of_shipping = stacking.stage == Stage::Shipping
        && matches!(claim.terms().benefit, Benefit::Percent { .. });
    match (of_shipping, stacking.base) {
        (true, StackingBase::Initial) => place.board.shipping,
        (true, StackingBase::Running) => place.left.shipping,
        (false, StackingBase::Initial) => claim.scope.initial,
        (false, StackingBase::Running) => running(claim, place),
    }
}

/// What can be taken off in all at this place.
fn room(claim: &Contender<'_>, place: &Place<'_>) -> MinorUnits {
    match claim.terms().stacking.stage {
        Stage::Shipping => place.left.shipping,
        Stage::Product | Stage::Order => running(claim, place) - claim.scope.floors,
    }
}

/// What each line asks for and can take, by line.
fn parts(claim: &Contender<'_>, place: &Place<'_>) -> Vec<(usize, Part)> {
    let on_initial = claim.terms().stacking.base == StackingBase::Initial;
    if let Benefit::Product { quantity, .. } = claim.terms().benefit {
        return pieces::picked(claim, place, quantity, on_initial);
    }
    let part = |&line: &usize| {
        let left = place.left.lines[line];
        let weight = if on_initial {
            place.board.amounts[line]
        } else {
            left
        };
        let capacity = left - place.board.floors[line];
        (line, Part { weight, capacity })
    };
    claim.scope.targets.iter().map(part).collect()
}

#[cfg(test)]
mod tests;
