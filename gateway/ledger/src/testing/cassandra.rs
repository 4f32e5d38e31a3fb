//! One node of Apache Cassandra as a child process.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a node may take to start, on a busy machine too.
const START_WAIT: Duration = Duration::from_secs(300);
/// Bytes of the log that a failure shows.
const LOG_TAIL: usize = 4_000;

/// One node. Killed when it is dropped, and when the thread ends that started it.
#[derive(Debug)]
pub struct CassandraServer {
    place: Place,
    child: Option<Child>,
}

/// Where a node lives, and which part of the ring is its own.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    /// An address of the loopback network.
    pub(super) address: String,
    pub(super) port: u16,
    /// The same for all nodes of a ring.
    pub(super) storage_port: u16,
    /// Where its range begins.
    pub(super) token: i64,
    /// The address of the node that it asks for the others.
    pub(super) seed: String,
}

impl CassandraServer {
    /// Starts a node with its files in `folder`, and waits until it takes connections. Blocks.
    ///
    /// # Errors
    /// When it is not installed (`deploy/bootstrap.sh cassandra`) or does not start, with the end of
    /// its log.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let address = "127.0.0.1";
        Self::start_at(Place {
            folder: folder.to_owned(),
            address: address.to_owned(),
            port: free_port(&[address])?,
            storage_port: free_port(&[address])?,
            token: i64::MIN,
            seed: address.to_owned(),
        })
    }

    /// Starts a node of a ring.
    pub(super) fn start_at(place: Place) -> io::Result<Self> {
        let mut server = Self { place, child: None };
        server.restart()?;
        Ok(server)
    }

    /// Starts it on the files that are there, after an end of the process that was there. Blocks
    /// until it takes connections.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        let place = &self.place;
        std::fs::create_dir_all(&place.folder)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(place.folder.join("log"))?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/cassandra/start.sh");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(script)
            .arg(&place.folder)
            .arg(&place.address)
            .args([place.port.to_string(), place.storage_port.to_string()])
            .args([place.token.to_string(), place.seed.clone()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        self.wait()
    }

    /// SIGKILL; nothing where it does not run.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Where it listens, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.place.address, self.place.port)
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "called from threads of tests, of which no runtime waits"
    )]
    fn wait(&mut self) -> io::Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_WAIT {
            let ended = match &mut self.child {
                Some(child) => child.try_wait()?,
                None => return Err(self.failed("the node was not started")),
            };
            if let Some(status) = ended {
                return Err(self.failed(&format!("the node ended: {status}")));
            }
            if std::net::TcpStream::connect((self.place.address.as_str(), self.place.port)).is_ok()
            {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(self.failed("the node does not take connections"))
    }

    fn failed(&self, what: &str) -> io::Error {
        let log = std::fs::read(self.place.folder.join("log")).unwrap_or_default();
        let tail = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_TAIL)..]).into_owned();
        io::Error::other(format!("{what}; the end of its log:\n{tail}"))
    }
}

impl Drop for CassandraServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.kill();
    }
}

/// A port that nobody listens on, at any of these addresses.
pub(super) fn free_port(addresses: &[&str]) -> io::Result<u16> {
    loop {
        let first = TcpListener::bind((addresses[0], 0))?;
        let port = first.local_addr()?.port();
        let free = |address: &str| TcpListener::bind((address, port)).is_ok();
        if addresses[1..].iter().all(|address| free(address)) {
            return Ok(port);
        }
    }
}
