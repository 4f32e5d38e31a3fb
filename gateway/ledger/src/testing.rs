//! Real CQL servers for tests: nodes of Apache Cassandra, private to a folder.

mod cassandra;
mod ring;

pub use cassandra::CassandraServer;
pub use ring::CassandraRing;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use sluice_domain::lane::LaneCount;

use crate::cql::CqlOptions;

/// The node that the tests of one binary share, and the keyspaces that they were given.
struct Shared {
    address: String,
    keyspaces: AtomicU32,
}

/// The node of this test binary, started at the first call.
///
/// # Panics
/// Where it cannot be started.
fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let (send, started) = channel();
        // The node dies with the thread that started it: one that lives as long as the process.
        std::thread::spawn(move || {
            let folder = tempfile::tempdir();
            let server = folder.and_then(|folder| {
                let server = CassandraServer::start(folder.path())?;
                Ok((server, folder))
            });
            let kept = match server {
                Ok((server, folder)) => {
                    let _heard = send.send(Ok(server.address()));
                    Some((server, folder))
                }
                Err(error) => {
                    let _heard = send.send(Err(error));
                    None
                }
            };
            while kept.is_some() {
                std::thread::park();
            }
        });
        match started.recv() {
            Ok(Ok(address)) => Shared {
                address,
                keyspaces: AtomicU32::new(0),
            },
            other => panic!("no Cassandra: {other:?}"),
        }
    })
}

/// Where the node of this test binary listens, as `host:port`; started at the first call.
///
/// # Panics
/// Where it cannot be started.
#[must_use]
pub fn cassandra() -> String {
    shared().address.clone()
}

/// A ledger of its own on the node of this test binary, to be migrated and opened. Timeouts are
/// those of a machine that does much else.
///
/// # Panics
/// Where the node cannot be started.
#[must_use]
pub fn cql_options(lanes: LaneCount) -> CqlOptions {
    let shared = shared();
    let number = shared.keyspaces.fetch_add(1, Ordering::Relaxed);
    let nodes = vec![shared.address.clone()];
    CqlOptions {
        lwt_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(20),
        ..CqlOptions::new(nodes, &format!("test{number}"), lanes)
    }
}
