//! What people write instead, measured under the same load.
//!
//! nginx with Lua, and a gateway that checks out a connection for each claim. Both decide by one call of the same script
//! (`peers/claim-3.lua`) in a Redis that keeps nothing on disk.

pub mod nginx;
pub mod pool;
mod redis;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::bail;

use self::nginx::Nginx;
use self::pool::Pool;
use self::redis::PeerRedis;
use crate::cpu::{Meter, Part};

/// How long a server may take to come up.
const START_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// The peers, each with a Redis of its own.
#[derive(Debug)]
pub struct Peers {
    /// nginx with Lua.
    pub nginx: Peer<Nginx>,
    /// The gateway with a pool.
    pub pool: Peer<Pool>,
}

/// A gateway in front of its Redis.
#[derive(Debug)]
pub struct Peer<G> {
    gateway: G,
    redis: PeerRedis,
}

/// What a peer's gateway is asked for.
pub trait Gateway {
    /// Where it listens.
    fn address(&self) -> SocketAddr;
    /// Its processes.
    ///
    /// # Errors
    /// Where it is gone.
    fn processes(&self) -> anyhow::Result<Vec<u32>>;
}

impl Peers {
    /// Starts them; nginx with so many workers.
    ///
    /// # Errors
    /// Where one of them does not come up.
    pub async fn start(workers: usize) -> anyhow::Result<Self> {
        let redis = PeerRedis::start().await?;
        let pool = Pool::start(&redis)?;
        Ok(Self {
            nginx: Self::start_nginx(workers).await?,
            pool: Peer {
                gateway: pool,
                redis,
            },
        })
    }

    /// Starts nginx alone.
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn start_nginx(workers: usize) -> anyhow::Result<Peer<Nginx>> {
        let redis = PeerRedis::start().await?;
        let gateway = Nginx::start(&redis, workers).await?;
        Ok(Peer { gateway, redis })
    }
}

impl<G: Gateway> Peer<G> {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// What counts its CPU time.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn meter(&self) -> anyhow::Result<Meter> {
        let meter = Meter::default().process(self.redis.pid(), Part::Redis);
        let processes = self.gateway.processes()?;
        let add = |meter: Meter, pid| meter.process(pid, Part::Edge);
        Ok(processes.into_iter().fold(meter, add))
    }

    /// Puts a coupon in force: so many units, one for each user.
    ///
    /// # Errors
    /// Where Redis refuses.
    pub async fn publish(&self, coupon: &str, total: usize) -> anyhow::Result<()> {
        self.redis.publish(coupon, total).await
    }

    /// Checks that so many units were granted: in the stock, the journal and the users' counts.
    ///
    /// # Errors
    /// Where a unit was granted twice or is missing.
    pub async fn audit(&self, coupon: &str, total: usize, granted: usize) -> anyhow::Result<()> {
        let (left, written, users) = self.redis.count(coupon).await?;
        let expected = (total.saturating_sub(granted), granted, granted);
        if (left, written, users) != expected {
            bail!(
                "void: left, in the journal, winners: {left}, {written}, {users}, not {expected:?}"
            );
        }
        Ok(())
    }
}

/// A file of the peers' folder, as it was when this was built.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers")
}
