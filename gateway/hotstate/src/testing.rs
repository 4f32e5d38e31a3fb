//! A redis-server of one's own, for tests. Behind the feature `testing`.
//!
//! Each test starts its own server on a unix socket in a folder of its own, does to it what it
//! wants (kill, stop, pause, restart, set back), and the guard's end takes the server with it.

mod cluster;

pub use cluster::RedisCluster;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// How long a server may take to answer its first PING.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest path of a unix socket, less the terminating zero.
const SOCKET_BYTES_MAX: usize = 107;

/// A redis-server child. It is killed when this is dropped, and where `setpriv` exists also when
/// the thread that started it ends: start it from one that lives as long as the test.
#[derive(Debug)]
pub struct RedisServer {
    child: Option<Child>,
    dir: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl RedisServer {
    /// Starts a server with an append-only file in `dir`, and waits until it answers.
    ///
    /// # Errors
    /// When redis-server is missing, does not start, or the folder's path is too long for a socket.
    pub async fn start(dir: &Path) -> io::Result<Self> {
        Self::start_with(dir, &[]).await
    }

    /// As [`start`](Self::start), with further arguments (`--maxmemory 10mb` …).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(dir: &Path, arguments: &[&str]) -> io::Result<Self> {
        Self::start_in(dir, arguments, &[]).await
    }

    /// As [`start_with`](Self::start_with), with variables of the environment.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_in(
        dir: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> io::Result<Self> {
        let mut server = Self {
            child: None,
            dir: dir.to_owned(),
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            environment: environment.to_vec(),
        };
        if server.socket().as_os_str().len() > SOCKET_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the folder's path is too long for a unix socket",
            ));
        }
        server.spawn().await?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The folder with its files (`appendonlydir` among them).
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills it at once (SIGKILL) and waits for its end.
    ///
    /// # Errors
    /// When the process cannot be signalled.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Stops it in good order (SIGTERM) and waits for its end.
    ///
    /// # Errors
    /// When the process cannot be signalled.
    pub fn stop(&mut self) -> io::Result<()> {
        if self.child.is_some() {
            self.signal("TERM")?;
        }
        if let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        Ok(())
    }

    /// Freezes it (SIGSTOP): connections stay, nothing is answered.
    ///
    /// # Errors
    /// When it does not run or cannot be signalled.
    pub fn pause(&self) -> io::Result<()> {
        self.signal("STOP")
    }

    /// Lets a frozen server go on (SIGCONT).
    ///
    /// # Errors
    /// When it does not run or cannot be signalled.
    pub fn cont(&self) -> io::Result<()> {
        self.signal("CONT")
    }

    /// Kills it where it runs, and starts it again on the same files.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        self.spawn().await
    }

    /// Sends one command on a connection of its own.
    ///
    /// # Errors
    /// As Redis says.
    pub async fn command(&self, parts: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        for part in parts {
            command.arg(part);
        }
        command.query_async(&mut connection).await
    }

    async fn spawn(&mut self) -> io::Result<()> {
        // A socket left by a killed server would be taken for the new one's.
        match std::fs::remove_file(self.socket()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let tied = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "true"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        let mut command = if tied {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "redis-server"]);
            command
        } else {
            Command::new("redis-server")
        };
        let child = command
            .args(["--port", "0", "--save", "", "--appendonly", "yes"])
            // DEBUG DIGEST is how a test sees that nothing was written.
            .args(["--enable-debug-command", "local"])
            .args(["--maxmemory-policy", "noeviction", "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(&self.dir)
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        let begun = Instant::now();
        // LOADING is an error here, so this also waits for the append-only file.
        while self.command(&["PING"]).await.is_err() {
            if let Some(status) = self
                .child
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten()
            {
                return Err(io::Error::other(format!("redis-server ended: {status}")));
            }
            if begun.elapsed() > START_TIMEOUT {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "redis-server does not answer",
                ));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn signal(&self, name: &str) -> io::Result<()> {
        let pid = self
            .pid()
            .ok_or_else(|| io::Error::other("redis-server does not run"))?;
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(pid.to_string())
            .status()?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("kill -{name} {pid}: {status}")))
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // SIGKILL also ends a frozen server. Nothing can be done about a failure here.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
