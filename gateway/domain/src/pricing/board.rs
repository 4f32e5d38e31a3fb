//! The cart as computations see it.

use crate::cart::{Cart, CartLine};
use crate::terms::{Currency, MinorUnits};

/// A cart with its lines in the order of their ids: so a smaller index is a smaller line id, and
/// the order in which the caller sent them is gone.
#[derive(Debug)]
pub(crate) struct Board<'i> {
    pub(crate) currency: Currency,
    pub(crate) lines: Vec<&'i CartLine>,
    /// What each line costs before discounts.
    pub(crate) amounts: Vec<MinorUnits>,
    /// Below this each line is never discounted.
    pub(crate) floors: Vec<MinorUnits>,
    pub(crate) shipping: MinorUnits,
}

/// What the claims applied so far left of each line and of the shipping.
#[derive(Debug, Clone, Default)]
pub(crate) struct Left {
    pub(crate) lines: Vec<MinorUnits>,
    pub(crate) shipping: MinorUnits,
}

impl<'i> Board<'i> {
    pub(crate) fn new(cart: &'i Cart) -> Self {
        let mut lines: Vec<&CartLine> = cart.lines.iter().collect();
        lines.sort_by(|one, other| one.id.cmp(&other.id));
        let floor = |line: &&CartLine| {
            let pieces = i64::from(line.quantity);
            line.floor_price.clamp(0, line.unit_price) * pieces
        };
        Self {
            currency: cart.currency,
            amounts: lines.iter().map(|line| line.amount()).collect(),
            floors: lines.iter().map(floor).collect(),
            lines,
            shipping: cart.shipping,
        }
    }

    /// Nothing taken off yet.
    pub(crate) fn untouched(&self) -> Left {
        Left {
            lines: self.amounts.clone(),
            shipping: self.shipping,
        }
    }

    /// What can be taken off in all: everything above the floors.
    pub(crate) fn room(&self) -> MinorUnits {
        let floors: MinorUnits = self.floors.iter().sum();
        self.subtotal() - floors + self.shipping
    }

    pub(crate) fn subtotal(&self) -> MinorUnits {
        self.amounts.iter().sum()
    }
}
