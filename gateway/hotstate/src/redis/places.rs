//! Places: on which server each lane lives, and the way there.
//!
//! A [`View`] says it for all lanes at once. Without a cluster there is one view for ever. In a
//! Redis Cluster slots move and replicas are promoted, so [`super::cluster`] keeps finding the view
//! out, beside the calls: a call uses the view as it is and never waits for a new one, so a node
//! that died or hangs stops its own lanes and no others.
//!
//! The library's own cluster connection is not used, for two reasons, both read in its source. While
//! it asks for the slots it holds every call back, those of healthy nodes too, for as long as a dead
//! node takes to time out. And it sends a call again after a connection broke: whether the first
//! one was carried out is then nobody's knowledge, where the engine has to hear "unknown".

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redis::{Cmd, ConnectionInfo, IntoConnectionInfo, RedisError, Value};
use sluice_domain::id::LaneId;
use sluice_domain::lane::LaneCount;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::cluster::{self, NodeAddress, Topology};
use super::connection::{Link, LinkSettings, SendError};
use super::{ConnectError, RedisSettings};

/// Lanes and their servers.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) lanes: LaneCount,
    view: watch::Sender<Arc<View>>,
    /// What only a cluster has.
    pub(super) cluster: Option<ClusterPlaces>,
    connect_timeout: Duration,
}

/// What is known of a cluster beside the view.
#[derive(Debug)]
pub(super) struct ClusterPlaces {
    /// The nodes that the configuration names.
    pub(super) seeds: Vec<Arc<Server>>,
    /// The slot of each lane.
    pub(super) slots: Vec<u16>,
    /// How nodes are spoken to: the first seed, with another address.
    template: ConnectionInfo,
    bounds: Bounds,
    /// Something did not go where it was sent: look again.
    pub(super) doubt: Arc<Notify>,
    task: RwLock<Option<AbortHandle>>,
}

/// Times and counts of the links to a server.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    claims: LinkSettings,
    keeper: LinkSettings,
    connections: usize,
}

/// Where every lane lives.
#[derive(Debug, Default)]
pub(super) struct View {
    /// All servers that have a lane, each once; without a cluster all that are configured.
    pub(super) servers: Vec<Arc<Server>>,
    /// Per lane its server and which of the claim links it uses; `None` where nobody has its slot.
    lanes: Vec<Option<(Arc<Server>, usize)>>,
}

/// The links to one server.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it is, in a cluster.
    pub(super) address: NodeAddress,
    /// How it is spoken to, for a connection of another kind.
    pub(super) info: ConnectionInfo,
    claims: Vec<Link>,
    pub(super) keeper: Link,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A claim: many, short, and somebody waits.
    Claims,
    /// Everything else.
    Keeper,
}

/// The way of a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    /// To this server.
    Link(&'a Link),
    /// To wherever the lane lives.
    Lane {
        /// Who knows.
        places: &'a Places,
        /// The lane.
        lane: LaneId,
        /// Over which link.
        purpose: Purpose,
    },
}

// === impl Places ===

impl Places {
    /// The places of these settings. Connects to nobody; a cluster is asked from a task of its own.
    pub(super) fn new(
        settings: &RedisSettings,
        lanes: LaneCount,
    ) -> Result<Arc<Self>, ConnectError> {
        let within = |response_timeout| LinkSettings {
            connect_timeout: settings.connect_timeout,
            response_timeout,
            in_flight_max: settings.in_flight_max,
        };
        let bounds = Bounds {
            claims: within(settings.claim_timeout),
            keeper: within(settings.response_timeout),
            connections: settings.connections,
        };
        let infos = settings
            .urls
            .iter()
            .map(|url| url.as_str().into_connection_info())
            .collect::<Result<Vec<_>, _>>()
            .map_err(ConnectError::Url)?;
        let servers = infos
            .iter()
            .map(|info| Server::new(info, bounds).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()
            .map_err(ConnectError::Url)?;
        let template = infos.into_iter().next().ok_or(ConnectError::Empty)?;
        let connect_timeout = settings.connect_timeout;
        if !settings.cluster {
            let view = watch::Sender::new(Arc::new(View::by_number(servers, lanes)));
            let cluster = None;
            return Ok(Arc::new(Self {
                lanes,
                view,
                cluster,
                connect_timeout,
            }));
        }
        if servers.iter().any(|server| server.address.0.is_empty()) {
            return Err(ConnectError::ClusterAddress);
        }
        let places = Arc::new(Self {
            lanes,
            view: watch::Sender::new(Arc::default()),
            cluster: Some(ClusterPlaces {
                seeds: servers,
                slots: lanes.iter().map(cluster::slot_of).collect(),
                template,
                bounds,
                doubt: Arc::default(),
                task: RwLock::default(),
            }),
            connect_timeout,
        });
        let task = tokio::spawn(cluster::follow(Arc::downgrade(&places)));
        if let Some(cluster) = &places.cluster {
            *cluster.task.write().unwrap_or_else(PoisonError::into_inner) =
                Some(task.abort_handle());
        }
        Ok(places)
    }

    pub(super) fn way(&self, lane: LaneId, purpose: Purpose) -> Way<'_> {
        Way::Lane {
            places: self,
            lane,
            purpose,
        }
    }

    /// The view as it is.
    pub(super) fn current(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// The view as it is; in a cluster that was never heard of, waits for the first one.
    pub(super) async fn view(&self) -> Arc<View> {
        let view = self.current();
        if !view.lanes.is_empty() {
            return view;
        }
        let mut views = self.view.subscribe();
        let first = views.wait_for(|view| !view.lanes.is_empty());
        match tokio::time::timeout(self.connect_timeout, first).await {
            Ok(Ok(view)) => Arc::clone(&view),
            Ok(Err(_)) | Err(_) => view,
        }
    }

    /// Takes over what a cluster says of itself.
    pub(super) fn adopt(&self, topology: &Topology) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        let held = self.current();
        let owners = cluster.slots.iter().map(|slot| topology.owner(*slot));
        let view = View::by_owner(owners, |address| self.server_at(&held, address));
        if !view.is_same(&held) {
            self.view.send_replace(Arc::new(view));
        }
    }

    /// A node said that a lane's slot is elsewhere.
    fn moved(&self, lane: LaneId, to: &NodeAddress) {
        self.view.send_if_modified(|held| {
            let elsewhere = held.owner(lane).is_none_or(|server| server.address != *to);
            if elsewhere {
                let owners = self.lanes.iter().map(|other| {
                    if other == lane {
                        Some(to)
                    } else {
                        held.owner(other).map(|server| &server.address)
                    }
                });
                let view = View::by_owner(owners, |address| self.server_at(held, address));
                *held = Arc::new(view);
            }
            elsewhere
        });
    }

    /// The server at an address: one that is known already, or a new one.
    fn server_at(&self, held: &View, address: &NodeAddress) -> Option<Arc<Server>> {
        let cluster = self.cluster.as_ref()?;
        held.servers
            .iter()
            .chain(&cluster.seeds)
            .find(|server| server.address == *address)
            .cloned()
            .or_else(|| {
                let info = cluster.template.clone().set_addr(address.to_connect());
                Server::new(&info, cluster.bounds).ok().map(Arc::new)
            })
    }

    /// Something did not go where it was sent.
    fn doubt(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.doubt.notify_one();
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        let task = cluster.task.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.abort();
        }
    }
}

// === impl View ===

impl View {
    /// Lane `i` on server `i` modulo their count.
    fn by_number(servers: Vec<Arc<Server>>, lanes: LaneCount) -> Self {
        let count = servers.len();
        let lanes = lanes
            .iter()
            .map(|lane| {
                let number = usize::from(lane.0);
                // Lanes of one server are its count of servers apart.
                Some((Arc::clone(&servers[number % count]), number / count))
            })
            .collect();
        Self { servers, lanes }
    }

    /// Each lane on the server that has its slot.
    fn by_owner<'a>(
        owners: impl Iterator<Item = Option<&'a NodeAddress>>,
        server_at: impl Fn(&NodeAddress) -> Option<Arc<Server>>,
    ) -> Self {
        let mut servers: Vec<(Arc<Server>, AtomicUsize)> = Vec::new();
        let lanes = owners
            .map(|owner| {
                let address = owner?;
                let known = servers
                    .iter()
                    .position(|(server, _)| server.address == *address);
                let index = match known {
                    Some(index) => index,
                    None => {
                        servers.push((server_at(address)?, AtomicUsize::new(0)));
                        servers.len() - 1
                    }
                };
                let (server, lanes) = &servers[index];
                Some((Arc::clone(server), lanes.fetch_add(1, Ordering::Relaxed)))
            })
            .collect();
        Self {
            servers: servers.into_iter().map(|(server, _)| server).collect(),
            lanes,
        }
    }

    fn owner(&self, lane: LaneId) -> Option<&Arc<Server>> {
        let place = self.lanes.get(usize::from(lane.0))?.as_ref();
        place.map(|(server, _link)| server)
    }

    /// Whether every lane lives where the other says.
    fn is_same(&self, other: &Self) -> bool {
        let address = |place: &Option<(Arc<Server>, usize)>| {
            place.as_ref().map(|(server, _link)| server.address.clone())
        };
        self.lanes.len() == other.lanes.len()
            && self
                .lanes
                .iter()
                .map(address)
                .eq(other.lanes.iter().map(address))
    }

    /// The way to a lane: its server, and the number of the claim link.
    fn place(&self, lane: LaneId) -> Option<(Arc<Server>, usize)> {
        self.lanes.get(usize::from(lane.0)).cloned().flatten()
    }
}

// === impl Server ===

impl Server {
    fn new(info: &ConnectionInfo, bounds: Bounds) -> Result<Self, RedisError> {
        let claims = (0..bounds.connections)
            .map(|_number| Link::to(info, bounds.claims))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            address: NodeAddress::of(info.addr()),
            info: info.clone(),
            claims,
            keeper: Link::to(info, bounds.keeper)?,
        })
    }

    fn link(&self, purpose: Purpose, number: usize) -> &Link {
        match purpose {
            Purpose::Claims => &self.claims[number % self.claims.len()],
            Purpose::Keeper => &self.keeper,
        }
    }
}

// === impl Way ===

impl Way<'_> {
    /// Sends one command and waits for its answer. Where a node says that the slot lives elsewhere,
    /// which means that it did nothing, the command goes there once. A slot that is on the move
    /// (`ASK`, `TRYAGAIN`) is not followed: half of a lane's keys decide nothing, and the new
    /// server's id asks for a recovery anyway.
    pub(super) async fn send(self, command: &Cmd) -> Result<Value, SendError> {
        let (places, lane, purpose) = match self {
            Self::Link(link) => return link.send(command).await,
            Self::Lane {
                places,
                lane,
                purpose,
            } => (places, lane, purpose),
        };
        let answer = places.send_once(lane, purpose, command).await;
        let (Err(SendError::Failed(error)), Some(_)) = (&answer, &places.cluster) else {
            return answer;
        };
        let Some(to) = cluster::moved_to(error) else {
            return answer;
        };
        places.moved(lane, &to);
        places.send_once(lane, purpose, command).await
    }
}

impl Places {
    async fn send_once(
        &self,
        lane: LaneId,
        purpose: Purpose,
        command: &Cmd,
    ) -> Result<Value, SendError> {
        let Some((server, number)) = self.view().await.place(lane) else {
            self.doubt();
            return Err(SendError::NotSent(
                "no node of the cluster has this lane".to_owned(),
            ));
        };
        let answer = server.link(purpose, number).send(command).await;
        let misplaced = match &answer {
            Ok(_) => false,
            Err(SendError::NotSent(_)) => true,
            Err(SendError::Failed(error)) => error.is_io_error() || cluster::is_misplaced(error),
        };
        if misplaced {
            self.doubt();
        }
        answer
    }
}
