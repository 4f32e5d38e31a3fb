//! The claim engine: definition cache, batcher, sold-out proof, durability wait.
//!
//! The crate names no store. What it needs from the outside it declares as ports in [`port`];
//! hot state implements [`port::ClaimStore`], the server wires the rest.

mod batcher;
mod clock;
mod definitions;
pub mod durability;
pub mod engine;
mod failure;
mod metrics;
pub mod outcome;
pub mod port;
pub mod settings;
mod shared;
mod sold_out;
