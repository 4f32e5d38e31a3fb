//! The durable ledger: the only crate that knows SQL and CQL.
//!
//! [`Ledger`] is described in parts by use. There are three implementations, SQLite, CQL and an
//! in-memory model (test double and oracle), held together by one conformance suite.

pub mod api_keys;
pub mod audit_facts;
pub mod audit_log;
pub mod causes;
pub mod claims;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod coupons;
#[cfg(feature = "cql")]
pub mod cql;
pub mod error;
pub mod lanes;
pub mod leases;
pub mod model;
pub mod notifications;
pub mod redemptions;
pub mod sqlite;
#[cfg(all(feature = "cql", feature = "testing"))]
pub mod testing;

#[cfg(feature = "cql")]
pub use cql::CqlLedger;
pub use error::LedgerError;
pub use model::ModelLedger;
pub use sqlite::SqliteLedger;

/// The whole ledger, as `Arc<dyn Ledger>`.
pub trait Ledger:
    lanes::Lanes
    + leases::Leases
    + claims::Claims
    + coupons::Coupons
    + redemptions::Redemptions
    + causes::Causes
    + notifications::Notifications
    + api_keys::ApiKeys
    + audit_log::AuditLog
    + audit_facts::AuditFacts
{
}

impl<T> Ledger for T where
    T: lanes::Lanes
        + leases::Leases
        + claims::Claims
        + coupons::Coupons
        + redemptions::Redemptions
        + causes::Causes
        + notifications::Notifications
        + api_keys::ApiKeys
        + audit_log::AuditLog
        + audit_facts::AuditFacts
{
}
