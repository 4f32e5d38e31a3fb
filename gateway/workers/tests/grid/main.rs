//! Coupons with shards on a real Redis Cluster and SQLite, claimed through the engine, while the
//! cluster is broken.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its stage is not as it must be"
)]

mod stage;
mod storm;
