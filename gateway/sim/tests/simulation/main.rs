//! The deterministic simulator: seeds of the whole system, and of the system broken on purpose.

mod mutants;
mod seeds;
