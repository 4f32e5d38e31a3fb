//! The vocabulary and the decisions of Sluice.
//!
//! Everything here is a value or a synchronous function over values. There is no I/O, no clock
//! (`now` is an argument), no randomness and no `async`: so every rule can be tested with tables
//! and properties, and the simulator runs the very code that production runs.

pub mod cart;
pub mod cause;
pub mod change;
pub mod claim;
pub mod coupon;
pub mod eligibility;
pub mod hash;
pub mod id;
pub mod input;
pub mod invariant;
pub mod lane;
pub mod lease;
pub mod money;
pub mod notification;
pub mod pricing;
pub mod published;
pub mod reason;
pub mod redemption;
pub mod refund;
pub mod reminder;
pub mod render;
pub mod stacking;
pub mod terms;
pub mod time;
pub mod validity;
pub mod weekly;
pub mod words;

#[cfg(test)]
mod sample;
