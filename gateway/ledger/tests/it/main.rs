//! The ledger on real files.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as it should be, in its helpers too"
)]

mod child;
mod conformance;
mod cost;
mod cql;
mod fault;
mod file;
mod migration;
mod orphans;
mod redeem;
mod story;
