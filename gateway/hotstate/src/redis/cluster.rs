//! Finding out where a Redis Cluster has its slots.
//!
//! One task per client asks several nodes at once, when a call went wrong and every few seconds
//! besides, and believes the one that knows of the newest epoch. It need not be right for safety: a
//! call that arrives at the wrong server changes nothing, because every script asks first whether
//! this is still the server that was opened.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use redis::cluster_routing::Slot;
use redis::{ConnectionAddr, ErrorKind, RedisError, ServerErrorKind, Value};
use sluice_claim::port::StoreError;
use sluice_domain::id::LaneId;

use super::connection::Link;
use super::key;
use super::places::{ClusterPlaces, Places, Server, View};
use super::reply::{array, bytes, nonsense};

/// How often the slots are asked for where nothing seems wrong.
const EVERY: Duration = Duration::from_secs(5);
/// The shortest time between two rounds of asking.
const PAUSE: Duration = Duration::from_millis(50);
/// Nodes that are asked in one round.
const ASKED_MAX: usize = 16;
/// Slot ranges that are read from one answer: every slot by itself.
const RANGES_MAX: usize = 16_384;

/// A node, by the host and port that the cluster names it with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct NodeAddress(pub(super) String, pub(super) u16);

/// Who has which slots, as one node sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Topology {
    /// First slot, last slot, the primary.
    ranges: Vec<(u16, u16, NodeAddress)>,
    /// Whether the node believes that the cluster works, and the newest epoch it has heard of: which
    /// of two nodes to believe.
    standing: (bool, u64),
}

// === impl NodeAddress ===

impl NodeAddress {
    /// The address of a TCP server; an empty one for a unix socket.
    pub(super) fn of(address: &ConnectionAddr) -> Self {
        match address {
            ConnectionAddr::Tcp(host, port) => Self(host.clone(), *port),
            _ => Self(String::new(), 0),
        }
    }

    pub(super) fn to_connect(&self) -> ConnectionAddr {
        ConnectionAddr::Tcp(self.0.clone(), self.1)
    }

    /// Reads `host:port`, where an IPv6 host has colons too.
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return None;
        }
        Some(Self(host.to_owned(), port.parse().ok()?))
    }
}

// === impl Topology ===

impl Topology {
    /// Who has this slot.
    pub(super) fn owner(&self, slot: u16) -> Option<&NodeAddress> {
        self.ranges
            .iter()
            .find(|(first, last, _)| (*first..=*last).contains(&slot))
            .map(|(.., owner)| owner)
    }
}

/// The slot of a lane: all its keys share a hash tag.
pub(super) fn slot_of(lane: LaneId) -> u16 {
    let slot = Slot::for_key(key::lane(lane));
    // The library computes it and does not show it; it says only whether two are equal.
    (0..16_384)
        .find(|number| Slot::new(*number) == Some(slot))
        .unwrap_or(0)
}

/// Where a node says that the slot lives, if that is what it says.
pub(super) fn moved_to(error: &RedisError) -> Option<NodeAddress> {
    if error.kind() != ErrorKind::Server(ServerErrorKind::Moved) {
        return None;
    }
    error
        .redirect_node()
        .and_then(|(address, _slot)| NodeAddress::parse(address))
}

/// Whether an error says that the view may be old.
pub(super) fn is_misplaced(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some("MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "READONLY" | "MASTERDOWN" | "LOADING")
    )
}

/// Keeps the view of these places up to date until they are gone.
pub(super) async fn follow(places: Weak<Places>) {
    loop {
        let Some(held) = places.upgrade() else {
            return;
        };
        let Some(cluster) = &held.cluster else {
            return;
        };
        if let Some(topology) = ask(&held, cluster).await {
            held.adopt(&topology);
        }
        let doubt = Arc::clone(&cluster.doubt);
        // The wait must not keep alive what it waits for.
        drop(held);
        tokio::time::sleep(PAUSE).await;
        let _either = tokio::time::timeout(EVERY, doubt.notified()).await;
    }
}

/// What the best informed of some nodes says.
async fn ask(places: &Places, cluster: &ClusterPlaces) -> Option<Topology> {
    let view = places.current();
    let asked = asked(&view, cluster);
    let answers = join_all(asked.iter().map(|server| topology(server))).await;
    // Where none tells, calls find no node and say so.
    let heard = answers.into_iter().filter_map(Result::ok);
    heard.max_by_key(|topology| topology.standing)
}

/// The primaries that are known, then those that the configuration names.
fn asked(view: &View, cluster: &ClusterPlaces) -> Vec<Arc<Server>> {
    let mut seen = HashSet::new();
    view.servers
        .iter()
        .chain(&cluster.seeds)
        .filter(|server| seen.insert(server.address.clone()))
        .take(ASKED_MAX)
        .cloned()
        .collect()
}

async fn topology(server: &Server) -> Result<Topology, StoreError> {
    let standing = standing(&server.keeper).await?;
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("SLOTS");
    let answer = server.keeper.send(&slots).await?;
    Ok(Topology {
        ranges: ranges(answer, &server.address)?,
        standing,
    })
}

async fn standing(link: &Link) -> Result<(bool, u64), StoreError> {
    let mut info = redis::cmd("CLUSTER");
    info.arg("INFO");
    let text = match link.send(&info).await? {
        Value::VerbatimString { text, .. } => text,
        value => String::from_utf8_lossy(&bytes(value)?).into_owned(),
    };
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.parse().ok());
    let epoch = epoch.ok_or_else(|| nonsense("a node does not tell the cluster's epoch"))?;
    Ok((field("cluster_state") == Some("ok"), epoch))
}

/// Reads `CLUSTER SLOTS`. A node that does not know its own name leaves it empty: it is the one that
/// was asked.
fn ranges(answer: Value, asked: &NodeAddress) -> Result<Vec<(u16, u16, NodeAddress)>, StoreError> {
    let mut ranges = Vec::new();
    for item in array(answer)?.into_iter().take(RANGES_MAX) {
        let mut parts = array(item)?.into_iter();
        let (Some(first), Some(last), Some(primary)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(nonsense("a range of slots has no primary"));
        };
        let mut primary = array(primary)?.into_iter();
        let (Some(host), Some(port)) = (primary.next(), primary.next()) else {
            return Err(nonsense("a primary has no address"));
        };
        let host = match host {
            Value::Nil => String::new(),
            host => String::from_utf8_lossy(&bytes(host)?).into_owned(),
        };
        let host = match host.as_str() {
            "" => asked.0.clone(),
            // Nobody knows where that node is.
            "?" => continue,
            _ => host,
        };
        ranges.push((
            small(&first)?,
            small(&last)?,
            NodeAddress(host, small(&port)?),
        ));
    }
    Ok(ranges)
}

fn small(value: &Value) -> Result<u16, StoreError> {
    super::reply::number(value).and_then(super::reply::narrow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: i64) -> Value {
        Value::Array(vec![
            Value::BulkString(host.as_bytes().to_vec()),
            Value::Int(port),
            Value::BulkString(b"id".to_vec()),
        ])
    }

    fn range(first: i64, last: i64, nodes: Vec<Value>) -> Value {
        let mut parts = vec![Value::Int(first), Value::Int(last)];
        parts.extend(nodes);
        Value::Array(parts)
    }

    #[test]
    fn lanes_have_the_slots_of_their_hash_tags() {
        // As `CLUSTER KEYSLOT` of redis-server 7.0 says.
        assert_eq!(slot_of(LaneId(0)), 7_628);
        assert_eq!(slot_of(LaneId(7)), 11_563);
    }

    #[test]
    fn a_slot_belongs_to_the_primary_of_its_range_and_never_to_a_replica() {
        let asked = NodeAddress("10.0.0.9".to_owned(), 7_000);
        let answer = Value::Array(vec![
            range(
                0,
                99,
                vec![node("10.0.0.1", 7_001), node("10.0.0.2", 7_002)],
            ),
            range(100, 100, vec![node("", 7_000)]),
            range(200, 300, vec![node("?", 7_003)]),
        ]);
        let topology = Topology {
            ranges: ranges(answer, &asked).unwrap(),
            standing: (true, 1),
        };
        let owner = |slot| topology.owner(slot).cloned();
        assert_eq!(owner(99), Some(NodeAddress("10.0.0.1".to_owned(), 7_001)));
        assert_eq!(owner(100), Some(asked));
        assert_eq!(owner(101), None);
        assert_eq!(owner(250), None);
    }

    #[test]
    fn an_answer_that_makes_no_sense_is_none() {
        let asked = NodeAddress("h".to_owned(), 1);
        for answer in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(0, 1, vec![])]),
            Value::Array(vec![range(0, 1, vec![Value::Array(vec![])])]),
            Value::Array(vec![range(0, 70_000, vec![node("h", 1)])]),
        ] {
            assert!(ranges(answer, &asked).is_err());
        }
    }

    #[test]
    fn addresses_are_read_as_the_cluster_writes_them() {
        let read = |text| NodeAddress::parse(text).map(|NodeAddress(host, port)| (host, port));
        assert_eq!(
            read("127.0.0.1:7000"),
            Some(("127.0.0.1".to_owned(), 7_000))
        );
        assert_eq!(
            read("2001:db8::1:7000"),
            Some(("2001:db8::1".to_owned(), 7_000))
        );
        assert_eq!(read("[::1]:7000"), Some(("::1".to_owned(), 7_000)));
        for text in [":7000", "host", "host:70000", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
