//! The faults of the storm, each on real processes and real files.

use std::io;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::SmallRng;
use sluice_domain::id::LaneId;

use crate::dev_redis::wait_until_gone;
use crate::hot_cluster::{HotCluster, PAIRS};
use crate::hot_server::{HotServer, HotState};
use crate::ledger_ring::LedgerRing;
use crate::redis_server::cut_aof_tail;
use crate::sluice_process::SluiceProcess;
use crate::tally::{Tally, now};

/// Lanes of a storm's ledger.
pub const LANES: u16 = 4;

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
    /// Redis steps down behind a replica that lags, and up again. In a cluster: a master is killed,
    /// and its replica, which lags, takes over.
    LoseTailByReplication,
    /// A master of the cluster is killed, and its replica takes over.
    FailOver,
    /// A lane moves to another master of the cluster.
    MoveLane,
    /// A node of the ledger is killed, or the one that was comes back.
    KillLedgerNode,
}

impl Fault {
    /// Those of one machine.
    pub const ONE_MACHINE: [Self; 7] = [
        Self::KillServer,
        Self::KillRedis,
        Self::PauseRedis,
        Self::FlushAll,
        Self::FlushScripts,
        Self::CutAofTail,
        Self::LoseTailByReplication,
    ];

    /// Those of a Redis Cluster and a ledger of several nodes.
    pub const DISTRIBUTED: [Self; 10] = [
        Self::KillServer,
        Self::KillRedis,
        Self::PauseRedis,
        Self::FlushAll,
        Self::FlushScripts,
        Self::CutAofTail,
        Self::LoseTailByReplication,
        Self::FailOver,
        Self::MoveLane,
        Self::KillLedgerNode,
    ];

    /// Whether hot state may forget what it had answered.
    #[must_use]
    pub const fn loses(self) -> bool {
        matches!(
            self,
            Self::KillRedis
                | Self::FlushAll
                | Self::CutAofTail
                | Self::LoseTailByReplication
                | Self::FailOver
                | Self::MoveLane
        )
    }
}

/// Does it; false where there was nothing to do it to, because the last fault is not over yet, or
/// because the system has no such part.
///
/// # Errors
/// When a process cannot be started again, or one outlives what it belongs to: that ends the round
/// as failed.
pub async fn inflict(
    fault: Fault,
    random: &mut SmallRng,
    system: System<'_>,
    tally: &Tally,
) -> io::Result<bool> {
    let System {
        redis,
        servers,
        ledger,
    } = system;
    let inflicted = match fault {
        Fault::KillServer => {
            let child = match redis {
                HotState::One(redis) => child_of(redis).await,
                HotState::Cluster(_) => None,
            };
            let server = random.random_range(0..servers.len());
            servers[server].restart()?;
            if let Some(child) = child {
                wait_until_gone(child).await?;
            }
            true
        }
        Fault::KillLedgerNode => match ledger {
            Some(ledger) => {
                ledger.kill_or_restart(random.random_range(0..LedgerRing::NODES))?;
                true
            }
            None => false,
        },
        of_hot_state => match redis {
            HotState::One(redis) => of_one_machine(of_hot_state, random, redis, servers).await?,
            HotState::Cluster(cluster) => of_cluster(of_hot_state, random, cluster).await?,
        },
    };
    if inflicted && fault.loses() {
        tally.loss(now());
    }
    Ok(inflicted)
}

/// What may be broken.
#[derive(Debug)]
pub struct System<'a> {
    /// The hot state.
    pub redis: &'a mut HotState,
    /// The gateways.
    pub servers: &'a mut [SluiceProcess],
    /// A ledger of processes of its own.
    pub ledger: Option<&'a mut LedgerRing>,
}

async fn of_one_machine(
    fault: Fault,
    random: &mut SmallRng,
    redis: &mut HotServer,
    servers: &mut [SluiceProcess],
) -> io::Result<bool> {
    match fault {
        Fault::KillRedis => redis.crash().await,
        Fault::PauseRedis => redis.pause(pause(random)).await,
        // Without an answer it may be carried out all the same.
        Fault::FlushAll => {
            redis.command(&["FLUSHALL"]).await;
            Ok(true)
        }
        Fault::FlushScripts => Ok(redis.command(&["SCRIPT", "FLUSH"]).await.is_some()),
        Fault::CutAofTail => cut_aof(tail(random), redis, &mut servers[0]).await,
        Fault::LoseTailByReplication => redis.lose_tail_by_replication(lag(random)).await,
        Fault::KillServer | Fault::KillLedgerNode | Fault::FailOver | Fault::MoveLane => Ok(false),
    }
}

async fn of_cluster(
    fault: Fault,
    random: &mut SmallRng,
    cluster: &mut HotCluster,
) -> io::Result<bool> {
    let pair = random.random_range(0..PAIRS);
    match fault {
        Fault::KillRedis => cluster.crash(pair).await.map(|()| true),
        Fault::PauseRedis => cluster.pause(pair, pause(random)).await.map(|()| true),
        Fault::FlushAll => {
            cluster.command(pair, &["FLUSHALL"]).await;
            Ok(true)
        }
        Fault::FlushScripts => Ok(cluster.command(pair, &["SCRIPT", "FLUSH"]).await),
        Fault::CutAofTail => cluster.cut_aof(pair, tail(random)).await.map(|()| true),
        Fault::LoseTailByReplication => cluster.fail_over(pair, lag(random)).await,
        Fault::FailOver => cluster.fail_over(pair, Duration::ZERO).await,
        Fault::MoveLane => {
            let lane = LaneId(random.random_range(0..LANES));
            cluster.move_lane(lane, pair).await
        }
        Fault::KillServer | Fault::KillLedgerNode => Ok(false),
    }
}

fn pause(random: &mut SmallRng) -> Duration {
    Duration::from_millis(random.random_range(50..700))
}

fn lag(random: &mut SmallRng) -> Duration {
    Duration::from_millis(random.random_range(20..300))
}

/// Bytes of the append-only file's end.
fn tail(random: &mut SmallRng) -> u64 {
    random.random_range(1..60_000)
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
