//! The keeper on the in-memory models: what it does, and what holds when things go wrong.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its stage is not as it must be"
)]

mod classes;
mod crashes;
mod dice;
mod faults;
mod fixture;
mod gate;
mod random;
mod rush;
mod serving;
mod set_back;
mod world;
