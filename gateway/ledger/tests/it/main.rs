//! The ledger on real files.

mod child;
mod conformance;
mod cost;
mod fault;
mod file;
mod story;
