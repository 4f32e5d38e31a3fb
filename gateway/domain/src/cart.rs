//! The cart: what a shopper is about to buy, as the checkout describes it.
//!
//! A value, validated when it is read: line ids are distinct, amounts are within
//! [`AMOUNT_MAX`](crate::money::AMOUNT_MAX) in all, and nothing here depends on the order of lines.

use serde::{Deserialize, Serialize};

use crate::terms::{Currency, MinorUnits};

/// Most lines of a cart.
pub const LINES_MAX: usize = 1_000;
/// Most pieces on one line.
pub const LINE_QUANTITY_MAX: u32 = 10_000;
/// Most pieces in a cart: every piece has a share of its own in the answer.
pub const UNITS_MAX: u64 = 20_000;

/// A cart. The stored form has amounts in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    /// The currency of all amounts.
    pub currency: Currency,
    /// Its lines, 1 to [`LINES_MAX`], in the caller's order.
    pub lines: Vec<CartLine>,
    /// The price of shipping, 0 where there is none.
    pub shipping: MinorUnits,
    /// The sales channel (`web`, `app` …), where the caller says it.
    pub channel: Option<String>,
}

/// One line: some pieces of one product at one price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartLine {
    /// Distinct within the cart, 1 to 64 characters.
    pub id: String,
    /// The product.
    pub sku: String,
    /// Pieces, 1 to [`LINE_QUANTITY_MAX`].
    pub quantity: u32,
    /// The price of one piece.
    pub unit_price: MinorUnits,
    /// The product's categories.
    pub categories: Vec<String>,
    /// The product's brand.
    pub brand: Option<String>,
    /// The product's tags.
    pub tags: Vec<String>,
    /// Below this a piece is never discounted, 0 to `unit_price`.
    pub floor_price: MinorUnits,
}

// === impl Cart ===

impl Cart {
    /// The sum of all lines, without shipping.
    #[must_use]
    pub fn subtotal(&self) -> MinorUnits {
        self.lines.iter().map(CartLine::amount).sum()
    }
}

// === impl CartLine ===

impl CartLine {
    /// What the line costs before discounts.
    #[must_use]
    pub fn amount(&self) -> MinorUnits {
        self.unit_price.saturating_mul(i64::from(self.quantity))
    }
}
