//! Pricing from the outside: cases in words, properties over arbitrary carts and coupons, bounds.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets nothing but its own data"
)]

mod bounds;
mod cases;
mod parse;
mod properties;
mod search;
mod worlds;
