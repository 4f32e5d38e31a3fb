//! The Redis Cluster of a round, and what the storm does to it.

use std::io;
use std::path::Path;
use std::time::Duration;

use sluice_domain::id::LaneId;
use sluice_hotstate::testing::RedisCluster;

use crate::redis_server::cut_aof_tail;

/// Masters, each with one replica.
const MASTERS: usize = 3;
/// A replica that comes back copies its master's data first.
const AWAY_MILLIS: &str = "5000";
/// Attempts of a move that meets keys which were written meanwhile.
const MOVE_ATTEMPTS: u32 = 5;

/// Three masters with a replica each. The processes end with the thread that started them.
#[derive(Debug)]
pub struct HotCluster {
    cluster: RedisCluster,
    /// The node that has the slots of each pair.
    masters: [usize; MASTERS],
}

// === impl HotCluster ===

impl HotCluster {
    /// Starts it in `folder`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(folder: &Path) -> io::Result<Self> {
        let arguments = [
            "--cluster-node-timeout",
            AWAY_MILLIS,
            "--appendfsync",
            "everysec",
        ];
        let cluster =
            RedisCluster::start_in(folder, MASTERS, MASTERS, &arguments, &[], &mut || ()).await?;
        Ok(Self {
            cluster,
            masters: std::array::from_fn(|pair| pair),
        })
    }

    /// Where some of its nodes listen.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.cluster.urls()
    }

    /// SIGKILL of a master, and a start on its files.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn crash(&mut self, pair: usize) -> io::Result<()> {
        self.cluster.server(self.masters[pair]).restart().await
    }

    /// SIGKILL of a master, whose replica takes its slots; it comes back as the other's replica.
    /// With a `lag` the replica stands still for so long before, and has not seen the last writes.
    ///
    /// # Errors
    /// When the nodes do not agree.
    pub async fn fail_over(&mut self, pair: usize, lag: Duration) -> io::Result<bool> {
        let old = self.masters[pair];
        let new = (old + MASTERS) % (2 * MASTERS);
        if !self.follows(new).await {
            return Ok(false);
        }
        if !lag.is_zero() {
            self.cluster.server(new).pause()?;
            tokio::time::sleep(lag).await;
        }
        self.cluster.server(old).kill()?;
        if !lag.is_zero() {
            self.cluster.server(new).cont()?;
        }
        self.cluster.promote(new).await?;
        self.masters[pair] = new;
        self.cluster.server(old).restart().await?;
        Ok(true)
    }

    /// Whether a node is a replica that has its master's data. One that came back a moment ago
    /// may not have learnt yet that it is one.
    async fn follows(&self, node: usize) -> bool {
        let info = self.cluster.command(node, &["INFO", "replication"]).await;
        info.is_ok_and(|info| {
            let text = format!("{info:?}");
            text.contains("role:slave") && text.contains("master_link_status:up")
        })
    }

    /// SIGSTOP of a master for a while.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn pause(&mut self, pair: usize, pause: Duration) -> io::Result<()> {
        let server = self.cluster.server(self.masters[pair]);
        server.pause()?;
        tokio::time::sleep(pause).await;
        server.cont()
    }

    /// SIGKILL of a master, and the end of its append-only file cut off.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn cut_aof(&mut self, pair: usize, bytes: u64) -> io::Result<()> {
        let server = self.cluster.server(self.masters[pair]);
        server.kill()?;
        cut_aof_tail(server.dir(), bytes)?;
        server.restart().await
    }

    /// One command to a master; whether it was answered.
    pub async fn command(&self, pair: usize, words: &[&str]) -> bool {
        let told = self.cluster.command(self.masters[pair], words);
        matches!(
            tokio::time::timeout(Duration::from_secs(1), told).await,
            Ok(Ok(_))
        )
    }

    /// Moves a lane to another pair, key by key. False where a node does not answer just now.
    ///
    /// # Errors
    /// When the nodes refuse it over and over.
    pub async fn move_lane(&self, lane: LaneId, to: usize) -> io::Result<bool> {
        let to = self.masters[to];
        let key = format!("{{l{:02}}}:lane", lane.0);
        let Ok(slot) = self.cluster.slot(&key).await else {
            return Ok(false);
        };
        let Ok(from) = self.cluster.owner(to, slot).await else {
            return Ok(false);
        };
        if from == to || !self.cluster.is_master(from).await.unwrap_or(false) {
            return Ok(false);
        }
        self.cluster.begin_move(slot, from, to).await?;
        let mut attempt = 0;
        while let Err(error) = self.cluster.end_move(slot, from, to).await {
            attempt += 1;
            if attempt == MOVE_ATTEMPTS {
                return Err(error);
            }
        }
        Ok(true)
    }
}

/// How many pairs there are to choose from.
pub const PAIRS: usize = MASTERS;
