//! What a server is like, for start-up and readiness.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use sluice_claim::port::StoreError;

use super::RedisHotState;
use super::connection::Link;
use super::places::View;
use super::reply::bytes;

/// The oldest version with what the scripts need: flags on their first line.
const VERSION_MIN: (u32, u32) = (7, 0);

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `redis_version`.
    pub version: String,
    /// Whether it is a primary.
    pub is_primary: bool,
    /// `maxmemory-policy`.
    pub maxmemory_policy: String,
    /// `maxmemory` in bytes; 0 is no limit.
    pub maxmemory_bytes: u64,
    /// `used_memory` in bytes.
    pub used_memory_bytes: u64,
    /// Whether it writes an append-only file.
    pub appendonly: bool,
    /// `appendfsync`; `None` where the server does not let its configuration be read.
    pub appendfsync: Option<String>,
    /// Whether it is taken for a node of a cluster, by the configuration.
    pub cluster_expected: bool,
    /// Whether it is one.
    pub cluster_enabled: bool,
    /// Whether it refuses everything while any slot of the cluster has no server; `None` where it
    /// does not let its configuration be read.
    pub needs_full_coverage: Option<bool>,
}

/// What is wrong with a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerProblem {
    /// Keys may vanish: limits and stock would be forgotten one by one.
    #[error("maxmemory-policy is {policy}; set it to noeviction")]
    Evicting {
        /// The policy.
        policy: String,
    },
    /// It refuses every write, as it should; nobody can claim until it has room.
    #[error("it is out of memory: {used_bytes} bytes used, maxmemory is {max_bytes}; raise it")]
    OutOfMemory {
        /// Bytes used.
        used_bytes: u64,
        /// Bytes allowed.
        max_bytes: u64,
    },
    /// It is too old for the scripts.
    #[error("redis {version} is too old; 7.0 or newer is needed")]
    TooOld {
        /// The version.
        version: String,
    },
    /// It is a replica.
    #[error("it is a replica; point at the primary")]
    Replica,
    /// A restart forgets everything. Nothing is sold twice, but every restart costs a recovery and
    /// the `hot` claims.
    #[error("appendonly is off; a restart would lose acknowledged claims of class hot")]
    NotAppending,
    /// Keys of most lanes are on other nodes.
    #[error("it is a node of a Redis Cluster; set hotstate.cluster = true")]
    IsClusterNode,
    /// It knows of no slots.
    #[error("it is no node of a Redis Cluster; set hotstate.cluster = false")]
    NoClusterNode,
    /// One primary without a replica would stop every lane, not only its own.
    #[error("cluster-require-full-coverage is yes: one lost primary stops all lanes; set it to no")]
    NeedsFullCoverage,
}

// === impl ServerFacts ===

impl ServerFacts {
    /// All that is wrong with it.
    #[must_use]
    pub fn problems(&self) -> Vec<ServerProblem> {
        let mut problems = Vec::new();
        if self.maxmemory_policy != "noeviction" {
            problems.push(ServerProblem::Evicting {
                policy: self.maxmemory_policy.clone(),
            });
        }
        if self.maxmemory_bytes > 0 && self.used_memory_bytes > self.maxmemory_bytes {
            problems.push(ServerProblem::OutOfMemory {
                used_bytes: self.used_memory_bytes,
                max_bytes: self.maxmemory_bytes,
            });
        }
        let mut parts = self
            .version
            .split('.')
            .map(|part| part.parse().unwrap_or(0));
        if (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < VERSION_MIN {
            problems.push(ServerProblem::TooOld {
                version: self.version.clone(),
            });
        }
        if !self.is_primary {
            problems.push(ServerProblem::Replica);
        }
        if !self.appendonly {
            problems.push(ServerProblem::NotAppending);
        }
        match (self.cluster_expected, self.cluster_enabled) {
            (false, true) => problems.push(ServerProblem::IsClusterNode),
            (true, false) => problems.push(ServerProblem::NoClusterNode),
            (true, true) if self.needs_full_coverage == Some(true) => {
                problems.push(ServerProblem::NeedsFullCoverage);
            }
            _ => {}
        }
        problems
    }
}

// === impl ServerProblem ===

impl ServerProblem {
    /// Whether nothing may be served while it lasts.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        !matches!(self, Self::NotAppending | Self::NeedsFullCoverage)
    }
}

// === impl RedisHotState ===

impl RedisHotState {
    /// Asks every server that has a lane what it is like, in the order of the settings' URLs. In a
    /// cluster a primary that does not answer is left out, as long as another one does: its lanes
    /// are not served, and their keepers say so.
    ///
    /// # Errors
    /// When one of them does not answer; in a cluster, when none does.
    pub async fn check_server(&self) -> Result<Vec<ServerFacts>, StoreError> {
        let expected = self.settings.cluster;
        let mut facts = Vec::new();
        let mut silent = None;
        for server in &self.known_servers().await?.servers {
            match ask(&server.keeper, expected).await {
                Ok(found) => facts.push(found),
                Err(error) if expected => silent = Some(error),
                Err(error) => return Err(error),
            }
        }
        match silent {
            Some(error) if facts.is_empty() => Err(error),
            _ => Ok(facts),
        }
    }

    /// How long the slowest server took to answer a PING: for readiness.
    ///
    /// # Errors
    /// When one of them does not answer.
    pub async fn ping(&self) -> Result<Duration, StoreError> {
        let mut slowest = Duration::ZERO;
        for server in &self.known_servers().await?.servers {
            let begun = tokio::time::Instant::now();
            server.keeper.send(&redis::cmd("PING")).await?;
            slowest = slowest.max(begun.elapsed());
        }
        Ok(slowest)
    }

    async fn known_servers(&self) -> Result<Arc<View>, StoreError> {
        let view = self.places.view().await;
        if view.servers.is_empty() {
            return Err(StoreError::Unavailable {
                reason: "no node of the cluster tells where its slots are".to_owned(),
            });
        }
        Ok(view)
    }
}

async fn ask(link: &Link, cluster_expected: bool) -> Result<ServerFacts, StoreError> {
    let mut text = String::new();
    for section in ["server", "memory", "replication", "persistence", "cluster"] {
        let mut info = redis::cmd("INFO");
        info.arg(section);
        text.push_str(&String::from_utf8_lossy(&info_text(
            link.send(&info).await?,
        )?));
    }
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap_or_default()
            .to_owned()
    };
    let cluster_enabled = field("cluster_enabled") == "1";
    let needs_full_coverage = if cluster_enabled {
        configured(link, "cluster-require-full-coverage").await
    } else {
        None
    };
    Ok(ServerFacts {
        version: field("redis_version"),
        is_primary: field("role") == "master",
        maxmemory_policy: field("maxmemory_policy"),
        // A server that does not say has no limit that we could warn of.
        maxmemory_bytes: field("maxmemory").parse().unwrap_or(0),
        used_memory_bytes: field("used_memory").parse().unwrap_or(0),
        appendonly: field("aof_enabled") == "1",
        appendfsync: configured(link, "appendfsync").await,
        cluster_expected,
        cluster_enabled,
        needs_full_coverage: needs_full_coverage.map(|value| value == "yes"),
    })
}

/// A value of the server's configuration. A managed server may refuse to tell; everything that
/// decides anything is in INFO.
async fn configured(link: &Link, name: &str) -> Option<String> {
    let mut config = redis::cmd("CONFIG");
    config.arg("GET").arg(name);
    match link.send(&config).await {
        Ok(Value::Array(pair)) => pair
            .into_iter()
            .nth(1)
            .and_then(|value| bytes(value).ok())
            .map(|value| String::from_utf8_lossy(&value).into_owned()),
        _ => None,
    }
}

fn info_text(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::VerbatimString { text, .. } => Ok(text.into_bytes()),
        value => bytes(value),
    }
}
