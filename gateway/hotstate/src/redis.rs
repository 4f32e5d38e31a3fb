//! Hot state on Redis.
//!
//! - [`script`]: the scripts, rendered from `lua/`; each is one transition
//! - `key`: key names · `layout`: packed fields · `outbox`: the stream's entries
//! - `connection`: one multiplexed connection per link, replaced when it breaks
//! - `places`: on which server each lane lives · `cluster`: finding that out in a Redis Cluster
//! - `reply`: what an answer or an error means
//! - `claims`: hot state as claims see it · `lanes`, `hydration`: as the keeper sees it
//! - [`bus`]: what processes tell each other · [`relay`]: durable marks among it
//! - [`limits`]: the Redis of request limits, which is another one
//!
//! Lanes are spread over the servers, by number or as a cluster's slots lie, and on each server over
//! the connections. Keepers have a connection of their own, so that their bulk reads never stand in
//! front of a claim.

pub mod bus;
mod call;
mod claims;
mod cluster;
mod connection;
mod definition;
mod hydration;
mod key;
mod lanes;
mod layout;
pub mod limits;
mod outbox;
mod places;
pub mod relay;
mod reply;
pub mod script;
pub mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::id::{Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use tokio::sync::Mutex;

use key::EpochKeys;
use places::{Places, Purpose, Way};
use script::Handles;

/// How to reach Redis, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// The servers, `redis://` or `unix://`; at least one. Without [`cluster`](Self::cluster) lane
    /// `i` lives on number `i` modulo their count, so their order is part of the data: changing it
    /// costs each moved lane a recovery. With it they are some nodes of the cluster, which name
    /// the others.
    pub urls: Vec<String>,
    /// Whether the servers are nodes of one Redis Cluster: each lane is one slot of it, and lives
    /// where that slot does.
    pub cluster: bool,
    /// Connections per server for claims, from 1. Lanes are spread over them.
    pub connections: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a claim waits for its script. With the engine's own waits it has to stay below the
    /// 250 ms within which a claim is answered.
    pub claim_timeout: Duration,
    /// How long the keeper and other background work wait for a script.
    pub response_timeout: Duration,
    /// Most calls in flight on one connection; more are refused unsent.
    pub in_flight_max: usize,
    /// Most entries in a lane's outbox; at it nothing is granted.
    pub outbox_entries_max: u64,
    /// How long stock that came after "sold out" waits, and how long the first grant of an epoch
    /// waits after its fence: longer than any memory of "sold out" lives.
    pub opens_delay: Duration,
    /// How long a shared winner filter lives.
    pub filter_life: Duration,
}

/// Hot state on Redis. Connects when it is first used.
#[derive(Debug)]
pub struct RedisHotState {
    settings: RedisSettings,
    lanes: Vec<Lane>,
    places: Arc<Places>,
    handles: Handles,
}

/// What this process knows of a lane.
#[derive(Debug, Default)]
struct Lane {
    /// The epoch that calls carry; 0 while it is not known.
    epoch: AtomicU64,
    /// Where the sweep of an ended epoch stands.
    sweep: Mutex<lanes::Sweep>,
}

/// Why a [`RedisHotState`] cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No server was given, or a count is 0.
    #[error("hot state needs at least one server and one connection to it")]
    Empty,
    /// A URL cannot be used.
    #[error("a Redis URL cannot be used")]
    Url(#[source] redis::RedisError),
    /// The nodes of a cluster are reached over TCP.
    #[error("a node of a Redis Cluster needs a redis:// URL")]
    ClusterAddress,
}

// === impl RedisSettings ===

impl RedisSettings {
    /// The defaults, for these servers: those of `config/default.toml`, which a test compares.
    #[must_use]
    pub fn new(urls: Vec<String>) -> Self {
        Self {
            urls,
            cluster: false,
            connections: 4,
            connect_timeout: Duration::from_secs(1),
            claim_timeout: Duration::from_millis(150),
            response_timeout: Duration::from_millis(500),
            in_flight_max: 256,
            outbox_entries_max: 200_000,
            opens_delay: Duration::from_millis(1_200),
            filter_life: Duration::from_mins(10),
        }
    }
}

// === impl RedisHotState ===

impl RedisHotState {
    /// Hot state on these servers. Nothing is connected yet: a server that is down is no reason
    /// not to start. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// When no server or connection is asked for, or a URL cannot be used.
    pub fn connect(settings: RedisSettings, lanes: LaneCount) -> Result<Arc<Self>, ConnectError> {
        Self::with_handles(settings, lanes, Handles::new())
    }

    /// As [`connect`](Self::connect), with other scripts: each rendered text goes through `rewrite`
    /// first. For tests that break a script on purpose.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[cfg(feature = "testing")]
    pub fn connect_with_scripts(
        settings: RedisSettings,
        lanes: LaneCount,
        rewrite: &dyn Fn(script::Script, String) -> String,
    ) -> Result<Arc<Self>, ConnectError> {
        Self::with_handles(settings, lanes, Handles::rewritten(rewrite))
    }

    fn with_handles(
        settings: RedisSettings,
        lanes: LaneCount,
        handles: Handles,
    ) -> Result<Arc<Self>, ConnectError> {
        if settings.urls.is_empty() || settings.connections == 0 {
            return Err(ConnectError::Empty);
        }
        let places = Places::new(&settings, lanes)?;
        Ok(Arc::new(Self {
            lanes: lanes.iter().map(|_lane| Lane::default()).collect(),
            places,
            handles,
            settings,
        }))
    }

    /// The epoch that this process believes a lane is in.
    #[must_use]
    pub fn known_epoch(&self, lane: LaneId) -> Option<Epoch> {
        let epoch = self
            .lanes
            .get(usize::from(lane.0))?
            .epoch
            .load(Ordering::Acquire);
        (epoch > 0).then_some(Epoch(epoch))
    }

    /// Epochs only rise: a late word does not take the process back.
    fn learn(&self, lane: LaneId, epoch: Epoch) {
        if let Some(known) = self.lanes.get(usize::from(lane.0)) {
            known.epoch.fetch_max(epoch.0, Ordering::AcqRel);
        }
    }

    /// The keys of the epoch that this process believes in. Without one nobody is served.
    fn keys(&self, lane: LaneId) -> Result<(Epoch, EpochKeys), StoreError> {
        let epoch = self.known_epoch(lane).ok_or(StoreError::LaneNotReady {
            lane,
            epoch: Epoch(0),
            reason: NotReady::Recovering,
        })?;
        Ok((epoch, EpochKeys::new(lane, epoch)))
    }

    fn claim_way(&self, lane: LaneId) -> Way<'_> {
        self.places.way(lane, Purpose::Claims)
    }

    fn keeper_way(&self, lane: LaneId) -> Way<'_> {
        self.places.way(lane, Purpose::Keeper)
    }
}
