//! A ring of three nodes, of which any may be killed.

use std::io;
use std::path::Path;
use std::time::Duration;

use sluice_domain::lane::LaneCount;
use tokio::time::Instant;

use super::cassandra::{CassandraServer, Place, free_port};
use crate::CqlLedger;
use crate::cql::{CqlOptions, OpenError};

/// One loopback address for each node: a driver finds a ring's nodes by their address, all of them at
/// one port.
const ADDRESSES: [&str; 3] = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
/// The ring in three equal parts.
const TOKENS: [i64; 3] = [
    -9_223_372_036_854_775_808,
    -3_074_457_345_618_258_603,
    3_074_457_345_618_258_602,
];

/// How long nodes may take to find each other, and the rest between looks.
const TOGETHER_WAIT: Duration = Duration::from_secs(120);
const TOGETHER_REST: Duration = Duration::from_millis(250);

/// Every row is on every node.
const COPIES: u32 = 3;

/// Three nodes. They are killed when it is dropped, and when the thread ends that started them.
#[derive(Debug)]
pub struct CassandraRing {
    nodes: Vec<CassandraServer>,
}

impl CassandraRing {
    /// How many nodes there are.
    pub const NODES: usize = ADDRESSES.len();

    /// Starts the nodes one after the other, each in a folder of its own under `folder`. Blocks for
    /// half a minute.
    ///
    /// # Errors
    /// When one does not start, with the end of its log.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let (port, storage_port) = (free_port(&ADDRESSES)?, free_port(&ADDRESSES)?);
        let mut nodes = Vec::new();
        for (number, (address, token)) in ADDRESSES.iter().zip(TOKENS).enumerate() {
            nodes.push(CassandraServer::start_at(Place {
                folder: folder.join(format!("node{number}")),
                address: (*address).to_owned(),
                port,
                storage_port,
                token,
                seed: ADDRESSES[0].to_owned(),
            })?);
        }
        Ok(Self { nodes })
    }

    /// Where the nodes listen, as `host:port`.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(CassandraServer::address).collect()
    }

    /// Makes the ledger's schema as soon as the nodes have found each other: they take connections
    /// a moment before.
    ///
    /// # Errors
    /// When they do not find each other within two minutes, and as [`CqlLedger::migrate`].
    pub async fn migrate(&self, options: &CqlOptions) -> Result<(), OpenError> {
        let begun = Instant::now();
        loop {
            match CqlLedger::migrate(options).await {
                Err(_alone) if begun.elapsed() < TOGETHER_WAIT => {
                    tokio::time::sleep(TOGETHER_REST).await;
                }
                told => return told,
            }
        }
    }

    /// One of the nodes.
    ///
    /// # Panics
    /// Where there is none of that number.
    pub fn node(&mut self, number: usize) -> &mut CassandraServer {
        &mut self.nodes[number]
    }

    /// A ledger of which every row is on all three nodes, to be migrated and opened. Timeouts are
    /// those of a machine that does much else.
    #[must_use]
    pub fn options(&self, keyspace: &str, lanes: LaneCount) -> CqlOptions {
        CqlOptions {
            replication: COPIES,
            lwt_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(20),
            ..CqlOptions::new(self.addresses(), keyspace, lanes)
        }
    }
}
