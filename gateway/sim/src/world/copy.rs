//! A copy of Redis that falls behind, and takes Redis back with it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::redis_server::RedisServer;

/// How long a copy may take to catch up.
const WAIT: Duration = Duration::from_secs(20);

/// A second server that follows the first until it is cut off.
#[derive(Debug)]
pub struct Copy(RedisServer);

impl Copy {
    /// Starts a server that follows `redis`. Before a lane is opened: the first follower changes
    /// the replication id of the one it follows.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn follow(redis: &RedisServer, folder: &Path) -> anyhow::Result<Self> {
        let copy = RedisServer::start(folder).await?;
        let port = redis.port().to_string();
        copy.command(&["REPLICAOF", "127.0.0.1", &port]).await;
        copy.address().wait_for_link().await?;
        Ok(Self(copy))
    }

    /// Waits until it has what `redis` has now, and cuts it off there.
    ///
    /// # Errors
    /// When it does not catch up.
    pub async fn cut_off(&self, redis: &RedisServer) -> anyhow::Result<()> {
        let wanted = offset(redis, "master_repl_offset").await?;
        let deadline = Instant::now() + WAIT;
        while offset(&self.0, "slave_repl_offset").await? < wanted {
            ensure!(Instant::now() < deadline, "the copy does not catch up");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.0.command(&["REPLICAOF", "NO", "ONE"]).await;
        Ok(())
    }

    /// Steps `redis` down to the copy and up again: what it was told since the cut is gone. Neither
    /// run id nor script cache change by that; only the replication id tells.
    ///
    /// # Errors
    /// When Redis does not take the copy over.
    pub async fn set_back(&self, redis: &RedisServer) -> anyhow::Result<()> {
        let port = self.0.port().to_string();
        redis.command(&["REPLICAOF", "127.0.0.1", &port]).await;
        redis.address().wait_for_link().await?;
        redis.command(&["REPLICAOF", "NO", "ONE"]).await;
        Ok(())
    }
}

async fn offset(server: &RedisServer, field: &str) -> anyhow::Result<u64> {
    let value = server.address().info("replication", field).await;
    let value = value.with_context(|| format!("redis-server does not tell {field}"))?;
    Ok(value.parse()?)
}
