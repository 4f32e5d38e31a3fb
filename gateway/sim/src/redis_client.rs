//! The least of a Redis client: one command, one answer.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// How long a replica may take to have its copy.
const LINK_WAIT: Duration = Duration::from_secs(20);

/// Where a Redis listens.
#[derive(Debug, Clone)]
pub enum RedisAddress {
    /// On this loopback port.
    Port(u16),
    /// On this unix socket.
    Socket(PathBuf),
}

impl RedisAddress {
    /// Sends one command and returns the raw answer; `None` where there is none within a second.
    pub async fn command(&self, words: &[&str]) -> Option<String> {
        let exchange = async {
            match self {
                Self::Port(port) => {
                    let address = SocketAddr::from(([127, 0, 0, 1], *port));
                    ask(TcpStream::connect(address).await.ok()?, words).await
                }
                Self::Socket(path) => ask(UnixStream::connect(path).await.ok()?, words).await,
            }
        };
        tokio::time::timeout(ANSWER_WAIT, exchange)
            .await
            .ok()
            .flatten()
    }

    /// A field of `INFO`; `None` where there is no answer or no such field.
    pub async fn info(&self, section: &str, field: &str) -> Option<String> {
        let info = self.command(&["INFO", section]).await?;
        let mut lines = info.lines();
        let value = lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
        Some(value.trim().to_owned())
    }

    /// Waits until this replica has the copy of its primary.
    ///
    /// # Errors
    /// When it does not get it in time.
    pub async fn wait_for_link(&self) -> io::Result<()> {
        let deadline = Instant::now() + LINK_WAIT;
        while self
            .info("replication", "master_link_status")
            .await
            .is_none_or(|status| status != "up")
        {
            if Instant::now() > deadline {
                return Err(io::Error::other("no copy was made"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, words: &[&str]) -> Option<String> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(text.as_bytes()).await.ok()?;
    let mut answer = vec![0; 64 * 1024];
    let length = stream.read(&mut answer).await.ok()?;
    answer.truncate(length);
    Some(String::from_utf8_lossy(&answer).into_owned())
}
