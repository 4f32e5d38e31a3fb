//! Storms against the real binary.

mod mutants;
mod storm;
