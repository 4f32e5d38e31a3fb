//! Test only: storms with faults against the real binary, judged by the invariant checker.
//!
//! A [`storm`] starts a real `redis-server` and the real `sluice`, lets many shoppers claim few
//! coupons and buyers use them on orders while an operator changes them and [`fault`]s are inflicted at random, then waits for
//! quiet, reads the ledger and asks [`sluice_domain::invariant`] for a verdict on the recorded
//! history. Every round prints its seed; the same seed makes the same choices (the operating system
//! decides the rest).

pub mod admin;
pub mod buyer;
pub mod dev_redis;
pub mod fault;
pub mod hot_cluster;
pub mod hot_server;
pub mod http;
pub mod ledger_facts;
pub mod ledger_ring;
pub mod operator;
pub mod redis_client;
pub mod redis_server;
pub mod shopper;
pub mod simulation;
pub mod sluice_process;
pub mod storm;
pub mod tally;
pub mod world;
