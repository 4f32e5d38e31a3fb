//! A real `redis-server` on a loopback port, to be killed, paused, flushed and set back.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::redis_client::RedisAddress;

/// How long a server may take to load its file and answer.
const UP_WAIT: Duration = Duration::from_secs(20);

/// A server with a folder of its own, stopped with the value.
#[derive(Debug)]
pub struct RedisServer {
    folder: PathBuf,
    port: u16,
    address: RedisAddress,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server with an append-only file under `folder`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let port = free_port()?;
        let mut server = Self {
            folder: folder.to_path_buf(),
            port,
            address: RedisAddress::Port(port),
            child: None,
        };
        server.restart().await?;
        Ok(server)
    }

    /// Where it listens, as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Starts the process again on the files that are there.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"])
            .args([
                "--appendfsync",
                "everysec",
                "--maxmemory-policy",
                "noeviction",
            ])
            .args(["--repl-diskless-sync-delay", "0", "--port"])
            .arg(self.port.to_string())
            .arg("--dir")
            .arg(&self.folder)
            .arg("--logfile")
            .arg(self.folder.join("redis.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        let deadline = Instant::now() + UP_WAIT;
        while self
            .command(&["PING"])
            .await
            .is_none_or(|answer| !answer.starts_with("+PONG"))
        {
            if Instant::now() > deadline {
                return Err(io::Error::other("redis-server did not come up"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Kills the process, as a crash would.
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

    /// Stops (or continues) the process without ending it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn pause(&self, paused: bool) -> io::Result<()> {
        let Some(child) = &self.child else {
            return Ok(());
        };
        let signal = if paused { "-STOP" } else { "-CONT" };
        Command::new("kill")
            .arg(signal)
            .arg(child.id().to_string())
            .status()
            .map(|_status| ())
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> &RedisAddress {
        &self.address
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Sends one command and returns the raw answer; `None` where there is none within a second.
    pub async fn command(&self, words: &[&str]) -> Option<String> {
        self.address.command(words).await
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!(%error, "a redis-server could not be stopped");
        }
    }
}

/// Cuts the last `bytes` off the append-only file in a server's folder; the server must be down.
///
/// # Errors
/// When the file cannot be cut.
pub fn cut_aof_tail(folder: &Path, bytes: u64) -> io::Result<()> {
    for entry in std::fs::read_dir(folder.join("appendonlydir"))? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".incr.aof") {
            let file = std::fs::OpenOptions::new().write(true).open(&path)?;
            let length = file.metadata()?.len();
            file.set_len(length.saturating_sub(bytes))?;
        }
    }
    Ok(())
}

/// A loopback port that nobody listens on now.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
