//! The Redis that a `sluice dev` runs as its child. The storm does not start it, only its owner
//! does; so it asks the server itself who it is.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::redis_client::RedisAddress;

/// How long a child may outlive the process that it belongs to.
const END_WAIT: Duration = Duration::from_secs(10);

/// A child, over the socket that stays the same while processes come and go.
#[derive(Debug)]
pub struct DevRedis {
    address: RedisAddress,
    data_dir: PathBuf,
}

impl DevRedis {
    /// The child of the `sluice dev` that printed this URL and works in this folder.
    ///
    /// # Errors
    /// When the URL names no socket.
    pub fn new(url: &str, data_dir: &Path) -> io::Result<Self> {
        let socket = url
            .strip_prefix("unix://")
            .ok_or_else(|| io::Error::other(format!("{url} is no socket")))?;
        Ok(Self {
            address: RedisAddress::Socket(PathBuf::from(socket)),
            data_dir: data_dir.to_path_buf(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> &RedisAddress {
        &self.address
    }

    /// The folder of its files.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.data_dir.join("redis-claims")
    }

    /// A folder beside the data folder.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.data_dir.with_file_name(name)
    }

    /// The process that answers now; `None` between two lives.
    pub async fn pid(&self) -> Option<u32> {
        let pid = self.address.info("server", "process_id").await?;
        // 0 would be everybody.
        pid.parse().ok().filter(|&pid| pid > 1)
    }

    /// SIGKILL; false where there is no process just now.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn kill(&self) -> io::Result<bool> {
        let Some(pid) = self.pid().await else {
            return Ok(false);
        };
        signal(pid, "-KILL")?;
        Ok(true)
    }

    /// Stops the process for a while; false where there is none just now.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn pause(&self, pause: Duration) -> io::Result<bool> {
        let Some(pid) = self.pid().await else {
            return Ok(false);
        };
        signal(pid, "-STOP")?;
        tokio::time::sleep(pause).await;
        signal(pid, "-CONT")?;
        Ok(true)
    }

    /// Makes it listen on a loopback port too, until its next start; false where it does not.
    pub async fn open_port(&self, port: u16) -> bool {
        let port = port.to_string();
        // A copy is sent at once instead of waiting for more who want one.
        for (key, value) in [("repl-diskless-sync-delay", "0"), ("port", &port)] {
            let answer = self.address.command(&["CONFIG", "SET", key, value]).await;
            if answer.is_none_or(|answer| !answer.starts_with("+OK")) {
                return false;
            }
        }
        true
    }
}

/// Waits until a process is gone, or a zombie that nobody has buried.
///
/// # Errors
/// When it lives on.
pub async fn wait_until_gone(pid: u32) -> io::Result<()> {
    let deadline = Instant::now() + END_WAIT;
    while is_alive(pid) {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!(
                "process {pid} outlived the one that it belongs to"
            )));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in brackets and may hold some itself.
    let state = stat.rsplit_once(") ").map(|(_name, rest)| rest);
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

fn signal(pid: u32, signal: &str) -> io::Result<()> {
    // It may have ended meanwhile: then there is nobody to signal, which is no error.
    Command::new("kill")
        .arg(signal)
        .arg(pid.to_string())
        .stderr(std::process::Stdio::null())
        .status()?;
    Ok(())
}
