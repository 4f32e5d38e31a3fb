//! The keeper on the in-memory models: what it does, and what holds when things go wrong.

mod crashes;
mod faults;
mod gate;
mod random;
mod serving;
mod world;
