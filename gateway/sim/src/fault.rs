//! The faults of the storm, each on real processes and real files.

use std::io;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::dev_redis::wait_until_gone;
use crate::hot_server::HotServer;
use crate::redis_server::cut_aof_tail;
use crate::sluice_process::SluiceProcess;
use crate::tally::{Tally, now};

/// Everything the storm does to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of the server, and a start again; a Redis that is its child has to end with it.
    KillServer,
    /// SIGKILL of Redis, and a start on its files.
    KillRedis,
    /// SIGSTOP of Redis for a while.
    PauseRedis,
    /// `FLUSHALL`.
    FlushAll,
    /// `SCRIPT FLUSH`.
    FlushScripts,
    /// SIGKILL of Redis, and the end of its append-only file cut off.
    CutAofTail,
    /// Redis steps down behind a replica that lags, and up again.
    LoseTailByReplication,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::KillServer,
        Self::KillRedis,
        Self::PauseRedis,
        Self::FlushAll,
        Self::FlushScripts,
        Self::CutAofTail,
        Self::LoseTailByReplication,
    ];

    /// Whether hot state may forget what it had answered.
    #[must_use]
    pub const fn loses(self) -> bool {
        matches!(
            self,
            Self::KillRedis | Self::FlushAll | Self::CutAofTail | Self::LoseTailByReplication
        )
    }
}

/// Does it; false where there was nothing to do it to, because the last fault is not over yet.
///
/// # Errors
/// When a process cannot be started again, or one outlives what it belongs to: that ends the round
/// as failed.
pub async fn inflict(
    fault: Fault,
    random: &mut SmallRng,
    redis: &mut HotServer,
    server: &mut SluiceProcess,
    tally: &Tally,
) -> io::Result<bool> {
    let inflicted = match fault {
        Fault::KillServer => {
            let child = child_of(redis).await;
            server.restart()?;
            if let Some(child) = child {
                wait_until_gone(child).await?;
            }
            true
        }
        Fault::KillRedis => redis.crash().await?,
        Fault::PauseRedis => {
            let pause = Duration::from_millis(random.random_range(50..700));
            redis.pause(pause).await?
        }
        // Without an answer it may be carried out all the same.
        Fault::FlushAll => {
            redis.command(&["FLUSHALL"]).await;
            true
        }
        Fault::FlushScripts => redis.command(&["SCRIPT", "FLUSH"]).await.is_some(),
        Fault::CutAofTail => cut_aof(random.random_range(1..60_000), redis, server).await?,
        Fault::LoseTailByReplication => {
            let tail = Duration::from_millis(random.random_range(20..300));
            redis.lose_tail_by_replication(tail).await?
        }
    };
    if inflicted && fault.loses() {
        tally.loss(now());
    }
    Ok(inflicted)
}

/// The process that is to end with the server.
async fn child_of(redis: &HotServer) -> Option<u32> {
    match redis {
        HotServer::Own(_) => None,
        HotServer::Child(child) => child.pid().await,
    }
}

/// Cuts the file of a Redis that is down. A child is down only with its server: a whole machine
/// lost its power.
async fn cut_aof(
    bytes: u64,
    redis: &mut HotServer,
    server: &mut SluiceProcess,
) -> io::Result<bool> {
    match redis {
        HotServer::Own(redis) => {
            redis.kill()?;
            cut_aof_tail(redis.folder(), bytes)?;
            redis.restart().await?;
        }
        HotServer::Child(child) => {
            let Some(pid) = child.pid().await else {
                return Ok(false);
            };
            server.kill()?;
            wait_until_gone(pid).await?;
            cut_aof_tail(&child.folder(), bytes)?;
            server.restart()?;
        }
    }
    Ok(true)
}
