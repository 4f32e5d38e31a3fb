//! The CQL ledger of a round: three nodes, of which one at a time may be away.

use std::io;
use std::path::Path;

use sluice_domain::lane::LaneCount;
use sluice_ledger::CqlLedger;
use sluice_ledger::cql::{CqlOptions, OpenError};
use sluice_ledger::testing::CassandraRing;

/// Three nodes of Apache Cassandra, with every row on each. They end with the thread that started
/// them.
#[derive(Debug)]
pub struct LedgerRing {
    ring: CassandraRing,
    options: CqlOptions,
    away: Option<usize>,
}

// === impl LedgerRing ===

impl LedgerRing {
    /// Nodes of it.
    pub const NODES: usize = CassandraRing::NODES;

    /// Starts it in `folder` and makes the ledger. Blocks for half a minute; so it takes a runtime
    /// with several threads.
    ///
    /// # Errors
    /// When a node does not start, or they do not find each other.
    pub async fn start(folder: &Path, keyspace: &str, lanes: LaneCount) -> anyhow::Result<Self> {
        let ring = tokio::task::block_in_place(|| CassandraRing::start(folder))?;
        let options = ring.options(keyspace, lanes);
        ring.migrate(&options).await?;
        Ok(Self {
            options,
            ring,
            away: None,
        })
    }

    /// How the ledger is opened.
    #[must_use]
    pub const fn options(&self) -> &CqlOptions {
        &self.options
    }

    /// SIGKILL of a node; where one is away already, that one comes back instead, since two of
    /// three have to be there. Blocks until it takes connections.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn kill_or_restart(&mut self, node: usize) -> io::Result<()> {
        if self.away.is_some() {
            return self.restore();
        }
        self.away = Some(node);
        self.ring.node(node).kill()
    }

    /// Brings the node back that is away.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restore(&mut self) -> io::Result<()> {
        match self.away.take() {
            Some(node) => tokio::task::block_in_place(|| self.ring.node(node).restart()),
            None => Ok(()),
        }
    }

    /// The ledger, as a process of its own sees it.
    ///
    /// # Errors
    /// When no majority of the nodes answers.
    pub async fn open(&self) -> Result<CqlLedger, OpenError> {
        CqlLedger::open(&self.options).await
    }
}
