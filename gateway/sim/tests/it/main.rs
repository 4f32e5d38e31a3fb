//! Storms against the real binary.

mod storm;
