//! The Redis of a round, however it is run, and what the storm does to it.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::dev_redis::DevRedis;
use crate::hot_cluster::HotCluster;
use crate::redis_client::RedisAddress;
use crate::redis_server::{RedisServer, free_port};

/// The hot state of a round.
#[derive(Debug)]
pub enum HotState {
    /// One Redis.
    One(HotServer),
    /// A Redis Cluster.
    Cluster(HotCluster),
}

/// A Redis to be killed, paused, flushed and set back.
#[derive(Debug)]
pub enum HotServer {
    /// One of the storm's own, beside `sluice serve`.
    Own(RedisServer),
    /// The child of a `sluice dev`.
    Child(DevRedis),
}

impl HotServer {
    /// Sends one command and returns the raw answer; `None` where there is none within a second.
    pub async fn command(&self, words: &[&str]) -> Option<String> {
        self.address().command(words).await
    }

    fn address(&self) -> &RedisAddress {
        match self {
            Self::Own(server) => server.address(),
            Self::Child(child) => child.address(),
        }
    }

    /// SIGKILL, and a start on the files that are there: by the storm, or by the one whose child
    /// it is. False where there is no process just now.
    ///
    /// # Errors
    /// When the system refuses, or it does not come up.
    pub async fn crash(&mut self) -> io::Result<bool> {
        match self {
            Self::Own(server) => server.restart().await.map(|()| true),
            Self::Child(child) => child.kill().await,
        }
    }

    /// Stops the process for a while. False where there is none just now.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn pause(&self, pause: Duration) -> io::Result<bool> {
        match self {
            Self::Own(server) => {
                server.pause(true)?;
                tokio::time::sleep(pause).await;
                server.pause(false)?;
                Ok(true)
            }
            Self::Child(child) => child.pause(pause).await,
        }
    }

    /// Loses everything written within `tail` and serves as a primary again: another server takes a
    /// copy, stays behind, and this one is stepped down to it and up again. Neither run id nor
    /// script cache change by that; only the replication id tells.
    ///
    /// # Errors
    /// When the second server does not come up, or cannot copy this one.
    pub async fn lose_tail_by_replication(&self, tail: Duration) -> io::Result<bool> {
        let port = match self {
            Self::Own(server) => server.port(),
            Self::Child(child) => {
                let port = free_port()?;
                // A child listens on its socket only; a copy is taken over a port.
                let opened = child.open_port(port).await;
                if !opened {
                    return Ok(false);
                }
                port
            }
        };
        let folder = match self {
            Self::Own(server) => server.folder().join("behind"),
            Self::Child(child) => child.beside("behind"),
        };
        self.fall_behind(port, &folder, tail).await?;
        Ok(true)
    }

    async fn fall_behind(&self, port: u16, folder: &Path, tail: Duration) -> io::Result<()> {
        let behind = RedisServer::start(folder).await?;
        let (mine, theirs) = (port.to_string(), behind.port().to_string());
        behind.command(&["REPLICAOF", "127.0.0.1", &mine]).await;
        behind.address().wait_for_link().await?;
        behind.command(&["REPLICAOF", "NO", "ONE"]).await;
        tokio::time::sleep(tail).await;
        self.command(&["REPLICAOF", "127.0.0.1", &theirs]).await;
        self.address().wait_for_link().await?;
        self.command(&["REPLICAOF", "NO", "ONE"]).await;
        drop(behind);
        std::fs::remove_dir_all(folder)
    }
}
