//! The faults of the storm, each on real processes and real files.

use std::io;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::redis_server::RedisServer;
use crate::sluice_process::SluiceProcess;
use crate::tally::{Tally, now};

/// Everything the storm does to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of the server, and a start again.
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

/// Does it.
///
/// # Errors
/// When a process cannot be started again: that ends the round as failed.
pub async fn inflict(
    fault: Fault,
    random: &mut SmallRng,
    redis: &mut RedisServer,
    server: &mut SluiceProcess,
    tally: &Tally,
) -> io::Result<()> {
    match fault {
        Fault::KillServer => server.restart()?,
        Fault::KillRedis => redis.restart().await?,
        Fault::PauseRedis => {
            redis.pause(true)?;
            tokio::time::sleep(Duration::from_millis(random.random_range(50..700))).await;
            redis.pause(false)?;
        }
        Fault::FlushAll => {
            redis.command(&["FLUSHALL"]).await;
        }
        Fault::FlushScripts => {
            redis.command(&["SCRIPT", "FLUSH"]).await;
        }
        Fault::CutAofTail => {
            redis.kill()?;
            redis.cut_aof_tail(random.random_range(1..60_000))?;
            redis.restart().await?;
        }
        Fault::LoseTailByReplication => {
            let tail = Duration::from_millis(random.random_range(20..300));
            redis.lose_tail_by_replication(tail).await?;
        }
    }
    if fault.loses() {
        tally.loss(now());
    }
    Ok(())
}
