//! The real binary as a child process, to be killed and started again.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use serde::Deserialize;

use crate::http::Connection;

/// How long a start may take until every lane serves.
const READY_WAIT: Duration = Duration::from_secs(40);
/// How long a graceful stop may take before it counts as a failure.
const STOP_WAIT: Duration = Duration::from_secs(25);

/// What the server prints when it listens.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// The data plane.
    pub data: String,
    /// The control plane.
    pub control: String,
    /// The ops port.
    pub ops: String,
    /// `sluice dev` only: a key of its operator.
    #[serde(default)]
    pub admin_key: Option<String>,
    /// `sluice dev` only: where its Redis listens.
    #[serde(default)]
    pub redis_url: String,
}

/// A running (or killed) server with its configuration.
#[derive(Debug)]
pub struct SluiceProcess {
    binary: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
    /// Where it listens; the ports stay the same over restarts.
    pub ready: Ready,
}

impl SluiceProcess {
    /// Starts the binary and waits until it listens. What it logs is appended to `log`.
    ///
    /// # Errors
    /// When it ends before it listens; the message has the end of its log.
    pub fn start(binary: &Path, arguments: &[&str], log: &Path) -> io::Result<Self> {
        let mut process = Self {
            binary: binary.to_path_buf(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            log: log.to_path_buf(),
            child: None,
            ready: Ready {
                data: String::new(),
                control: String::new(),
                ops: String::new(),
                admin_key: None,
                redis_url: String::new(),
            },
        };
        process.restart()?;
        Ok(process)
    }

    /// Starts it again after [`kill`](Self::kill).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let mut child = Command::new(&self.binary)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no standard output"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        self.child = Some(child);
        self.ready = serde_json::from_str(&line)
            .map_err(|error| io::Error::other(format!("{error}: {line:?}\n{}", self.log_tail())))?;
        Ok(())
    }

    /// Waits until `/readyz` says yes.
    ///
    /// # Errors
    /// With the reasons given, when it does not within 40 s.
    pub async fn wait_until_ready(&self) -> io::Result<()> {
        let mut ops = Connection::new(address(&self.ready.ops)?, Duration::from_secs(2));
        let deadline = Instant::now() + READY_WAIT;
        loop {
            let said = match ops.call(Method::GET, "/readyz", &[], "").await {
                Ok(reply) if reply.status.is_success() => return Ok(()),
                Ok(reply) => String::from_utf8_lossy(&reply.body).into_owned(),
                Err(error) => error.to_string(),
            };
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "not ready: {said}\n{}",
                    self.log_tail()
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it, as a crash would.
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

    /// Asks it to stop and waits; true where it ended with 0 in time.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(&mut self) -> io::Result<bool> {
        let Some(mut child) = self.child.take() else {
            return Ok(true);
        };
        Command::new("kill")
            .arg("-TERM")
            .arg(child.id().to_string())
            .status()?;
        let deadline = Instant::now() + STOP_WAIT;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        child.kill()?;
        child.wait()?;
        Ok(false)
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for SluiceProcess {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!(%error, "a server could not be stopped");
        }
    }
}

/// The socket address in a URL like `http://127.0.0.1:8080`.
///
/// # Errors
/// When there is none.
pub fn address(url: &str) -> io::Result<SocketAddr> {
    let host = url
        .strip_prefix("http://")
        .unwrap_or(url)
        .trim_end_matches('/');
    host.parse()
        .map_err(|error| io::Error::other(format!("{url}: {error}")))
}
