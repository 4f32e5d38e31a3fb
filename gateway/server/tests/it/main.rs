//! The whole binary: started, called, killed, and looked at from outside.

#![expect(
    clippy::unwrap_used,
    reason = "a process that cannot be started or called fails its test"
)]

mod backup;
mod canary;
mod checkout;
mod config;
mod cql;
mod defaults;
mod dev;
mod disk;
mod faults;
mod gateways;
mod grants;
mod halted;
mod http;
mod lanes;
mod matrix;
mod metrics;
mod ops;
mod process;
mod redis;
mod reminders;
mod shards;
mod stranger;
mod walk;
