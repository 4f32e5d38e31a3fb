//! The deterministic simulator: seeds of the whole system, and of the system broken on purpose.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says what it saw, and ends where the simulator itself cannot run"
)]

mod mutants;
mod seeds;
