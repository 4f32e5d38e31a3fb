//! The suite that every implementation of the ledger has to pass.
//!
//! [`scenario`] tells the protocol's stories one by one. [`history`] runs random histories on two
//! ledgers side by side and compares every answer, and all that can be read at the end; what
//! differs is shrunk by proptest.

pub mod granting;
pub mod history;
pub mod redeem;
pub mod sample;
pub mod scenario;
mod state;
mod tamper;

pub use state::read_all;
pub use tamper::tamper;
