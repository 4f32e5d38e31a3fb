//! A real CQL server for tests: one node of Apache Cassandra, private to a folder.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use sluice_domain::lane::LaneCount;

use crate::cql::CqlOptions;

/// How long a node may take to start, on a busy machine too.
const START_WAIT: Duration = Duration::from_secs(300);
/// Bytes of the log that a failure shows.
const LOG_TAIL: usize = 4_000;

/// One node. Killed when it is dropped, and when the process ends.
#[derive(Debug)]
pub struct CassandraServer {
    child: Child,
    folder: PathBuf,
    port: u16,
}

/// The node that the tests of one binary share, and the keyspaces that they were given.
struct Shared {
    address: String,
    keyspaces: AtomicU32,
}

impl CassandraServer {
    /// Starts a node with its files in `folder`, and waits until it takes connections. Blocks.
    ///
    /// # Errors
    /// When it is not installed (`deploy/bootstrap.sh cassandra`) or does not start, with the end of
    /// its log.
    pub fn start(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (port, storage_port) = (free_port()?, free_port()?);
        let log = File::create(folder.join("log"))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/cassandra/start.sh");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(script)
            .arg(folder)
            .args(["127.0.0.1", &port.to_string(), &storage_port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self {
            child,
            folder: folder.to_owned(),
            port,
        };
        server.wait()?;
        Ok(server)
    }

    /// Where it listens, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "called from threads of tests, of which no runtime waits"
    )]
    fn wait(&mut self) -> io::Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_WAIT {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failed(&format!("the node ended: {status}")));
            }
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(self.failed("the node does not take connections"))
    }

    fn failed(&self, what: &str) -> io::Error {
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned();
        io::Error::other(format!("{what}; the end of its log:\n{tail}"))
    }
}

impl Drop for CassandraServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A port that nobody listens on.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
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
