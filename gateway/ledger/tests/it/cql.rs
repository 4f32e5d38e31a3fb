//! The ledger on a real CQL server: one node of Apache Cassandra, shared by these tests.

mod fault;
mod meeting;

use sluice_domain::lane::LaneCount;
use sluice_ledger::{CqlLedger, testing};

/// A new ledger on the shared node.
pub(crate) async fn fresh(lanes: LaneCount) -> CqlLedger {
    let options = testing::cql_options(lanes);
    CqlLedger::migrate(&options).await.unwrap();
    CqlLedger::open(&options).await.unwrap()
}
