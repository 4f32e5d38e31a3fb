//! The ledger on real files.

mod conformance;
