//! The vocabulary and the decisions of Sluice.
//!
//! Everything here is a value or a synchronous function over values. There is no I/O, no clock
//! (`now` is an argument), no randomness and no `async`: so every rule can be tested with tables
//! and properties, and the simulator runs the very code that production runs.

pub mod claim;
pub mod coupon;
pub mod eligibility;
pub mod hash;
pub mod id;
pub mod lane;
pub mod lease;
pub mod published;
pub mod reason;
pub mod terms;
pub mod time;
