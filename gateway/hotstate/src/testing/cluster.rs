//! A Redis Cluster of one's own: masters and replicas on free loopback ports, each in a folder of
//! its own, and the hands to break it with.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use redis::{RedisResult, Value};
use tokio::time::Instant;

use super::RedisServer;

/// How long a change may take to be known to all nodes.
const AGREE_TIMEOUT: Duration = Duration::from_secs(30);
/// Slots of a Redis Cluster.
const SLOTS: u16 = 16_384;
/// Keys that are moved by one command.
const KEYS_AT_ONCE: &str = "1000";

/// The nodes: the masters first, then the replicas, of which number `i` follows master `i` modulo
/// the masters. All are killed when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Node>,
    masters: usize,
}

#[derive(Debug)]
struct Node {
    server: RedisServer,
    port: u16,
    bus: u16,
    id: String,
}

impl RedisCluster {
    /// Starts a cluster in `dir` and waits until all nodes agree and every replica has its master's
    /// data. Slots are spread evenly over the masters, in order.
    ///
    /// # Errors
    /// When redis-server does not start, or the nodes do not agree.
    pub async fn start(dir: &Path, masters: usize, replicas: usize) -> io::Result<Self> {
        let arguments = ["--cluster-node-timeout", "2000"];
        Self::start_in(dir, masters, replicas, &arguments, &[], &mut || ()).await
    }

    /// As [`start`](Self::start), with other arguments and an environment for each node; `tick` is
    /// called in every turn of waiting, for clocks that stand still otherwise.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_in(
        dir: &Path,
        masters: usize,
        replicas: usize,
        arguments: &[&str],
        environment: &[(String, String)],
        tick: &mut (dyn FnMut() + Send),
    ) -> io::Result<Self> {
        let mut nodes = Vec::new();
        for number in 0..masters + replicas {
            let folder = dir.join(format!("n{number}"));
            std::fs::create_dir_all(&folder)?;
            nodes.push(Node::start(&folder, arguments, environment).await?);
        }
        let cluster = Self { nodes, masters };
        cluster.form(tick).await?;
        Ok(cluster)
    }

    async fn form(&self, tick: &mut (dyn FnMut() + Send)) -> io::Result<()> {
        let (all, masters) = (self.nodes.len(), self.masters);
        for (number, node) in self.nodes.iter().enumerate() {
            let epoch = (number + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch])
                .await?;
            if number < masters {
                let first = number * usize::from(SLOTS) / masters;
                let last = (number + 1) * usize::from(SLOTS) / masters - 1;
                let (first, last) = (first.to_string(), last.to_string());
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])
                    .await?;
            }
            let (port, bus) = (node.port.to_string(), node.bus.to_string());
            self.nodes[0]
                .command(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
                .await?;
        }
        let met = format!("cluster_known_nodes:{all}\r");
        self.all_say(&[&met, "cluster_slots_assigned:16384\r"], tick)
            .await?;
        for (number, node) in self.nodes.iter().enumerate().skip(masters) {
            let master = &self.nodes[(number - masters) % masters].id;
            node.command(&["CLUSTER", "REPLICATE", master]).await?;
        }
        self.all_say(&["cluster_state:ok\r"], tick).await?;
        for node in &self.nodes[masters..] {
            until(tick, async || {
                let info = text(&node.command(&["INFO", "replication"]).await?);
                Ok(info.contains("master_link_status:up"))
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until `CLUSTER INFO` of every node has all of these lines.
    async fn all_say(&self, lines: &[&str], tick: &mut (dyn FnMut() + Send)) -> io::Result<()> {
        for node in &self.nodes {
            until(tick, async || {
                let info = text(&node.command(&["CLUSTER", "INFO"]).await?);
                Ok(lines.iter().all(|line| info.contains(line)))
            })
            .await?;
        }
        Ok(())
    }

    /// The URLs of the masters, as a configuration names them.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes[..self.masters]
            .iter()
            .map(|node| format!("redis://127.0.0.1:{}", node.port))
            .collect()
    }

    /// The server of a node, to kill, pause and restart it.
    pub fn server(&mut self, node: usize) -> &mut RedisServer {
        &mut self.nodes[node].server
    }

    /// Sends one command to a node.
    ///
    /// # Errors
    /// As Redis says.
    pub async fn command(&self, node: usize, parts: &[&str]) -> RedisResult<Value> {
        self.nodes[node].server.command(parts).await
    }

    /// The slot of a key.
    ///
    /// # Errors
    /// As Redis says.
    pub async fn slot(&self, key: &str) -> RedisResult<u16> {
        let answer = self.command(0, &["CLUSTER", "KEYSLOT", key]).await?;
        redis::from_redis_value(answer).map_err(redis::RedisError::from)
    }

    /// The node that has a slot, as `asked` sees it.
    ///
    /// # Errors
    /// As Redis says, or where nobody has it.
    pub async fn owner(&self, asked: usize, slot: u16) -> RedisResult<usize> {
        let answer = self.command(asked, &["CLUSTER", "SLOTS"]).await?;
        let ranges: Vec<(u16, u16, Value)> = match answer {
            Value::Array(items) => items
                .into_iter()
                .filter_map(|item| match item {
                    Value::Array(mut parts) if parts.len() > 2 => {
                        let first = redis::from_redis_value(parts[0].clone()).ok()?;
                        let last = redis::from_redis_value(parts[1].clone()).ok()?;
                        Some((first, last, parts.swap_remove(2)))
                    }
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        let found = ranges.iter().find_map(|(first, last, node)| {
            let Value::Array(node) = node else {
                return None;
            };
            let port: u16 = redis::from_redis_value(node.get(1)?.clone()).ok()?;
            (first..=last)
                .contains(&&slot)
                .then(|| self.nodes.iter().position(|node| node.port == port))?
        });
        found.ok_or_else(|| redis::RedisError::from(io::Error::other("nobody has the slot")))
    }

    /// Makes a replica the master of its master's slots, without asking anybody, and waits until
    /// the nodes of other slots know. The old one may be dead or frozen.
    ///
    /// # Errors
    /// As Redis says, or when the nodes do not agree.
    pub async fn promote(&self, replica: usize) -> io::Result<()> {
        self.nodes[replica]
            .command(&["CLUSTER", "FAILOVER", "TAKEOVER"])
            .await?;
        until(&mut || (), async || self.is_master(replica).await).await?;
        let pair = replica % self.masters;
        let first = pair * usize::from(SLOTS) / self.masters;
        let first = u16::try_from(first).map_err(io::Error::other)?;
        for other in (0..self.nodes.len()).filter(|other| other % self.masters != pair) {
            until(&mut || (), async || {
                let owner = self.owner(other, first).await;
                Ok(owner.map_err(io::Error::other)? == replica)
            })
            .await?;
        }
        Ok(())
    }

    /// Whether a node says that it is a master.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn is_master(&self, node: usize) -> io::Result<bool> {
        let info = self.nodes[node].command(&["INFO", "replication"]).await?;
        Ok(text(&info).contains("role:master"))
    }

    /// Gives a slot without keys to a node, everywhere at once.
    ///
    /// # Errors
    /// As Redis says: also where the slot has keys.
    pub async fn assign(&self, slot: u16, to: usize) -> io::Result<()> {
        let slot = slot.to_string();
        let id = &self.nodes[to].id;
        // The new owner first: the old one would otherwise claim that it still has it.
        self.nodes[to]
            .command(&["CLUSTER", "SETSLOT", &slot, "NODE", id])
            .await?;
        for node in 0..self.nodes.len() {
            if self.is_master(node).await? {
                let command = ["CLUSTER", "SETSLOT", &slot, "NODE", id];
                self.nodes[node].command(&command).await?;
            }
        }
        Ok(())
    }

    /// The first half of a slot's move: both nodes know of it, and some of the keys have gone.
    ///
    /// # Errors
    /// As Redis says.
    pub async fn begin_move(&self, slot: u16, from: usize, to: usize) -> io::Result<()> {
        let text = slot.to_string();
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        target
            .command(&["CLUSTER", "SETSLOT", &text, "IMPORTING", &source.id])
            .await?;
        source
            .command(&["CLUSTER", "SETSLOT", &text, "MIGRATING", &target.id])
            .await?;
        let keys = self.keys_of(slot, from).await?;
        self.migrate(from, to, &keys[..keys.len().div_ceil(2)])
            .await
    }

    /// The second half: the rest of the keys go, and the slot is the other node's.
    ///
    /// # Errors
    /// As Redis says.
    pub async fn end_move(&self, slot: u16, from: usize, to: usize) -> io::Result<()> {
        let keys = self.keys_of(slot, from).await?;
        self.migrate(from, to, &keys).await?;
        self.assign(slot, to).await
    }

    async fn keys_of(&self, slot: u16, node: usize) -> io::Result<Vec<String>> {
        let slot = slot.to_string();
        let ask = ["CLUSTER", "GETKEYSINSLOT", slot.as_str(), KEYS_AT_ONCE];
        let answer = self.nodes[node].command(&ask).await?;
        redis::from_redis_value(answer).map_err(io::Error::other)
    }

    async fn migrate(&self, from: usize, to: usize, keys: &[String]) -> io::Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let port = self.nodes[to].port.to_string();
        let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        command.extend(keys.iter().map(String::as_str));
        self.nodes[from].command(&command).await.map(|_moved| ())
    }
}

impl Node {
    async fn start(
        dir: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> io::Result<Self> {
        let (port, bus) = free_ports()?;
        let (port_text, bus_text) = (port.to_string(), bus.to_string());
        let mut all = vec!["--port", &port_text, "--bind", "127.0.0.1"];
        all.extend(["--cluster-enabled", "yes", "--cluster-port", &bus_text]);
        all.extend(["--cluster-announce-ip", "127.0.0.1"]);
        // One lost master stops its own lanes and no others.
        all.extend(["--cluster-require-full-coverage", "no"]);
        // Tests promote by hand, at the moment that they mean.
        all.extend(["--cluster-replica-no-failover", "yes"]);
        all.extend(arguments);
        let server = RedisServer::start_in(dir, &all, environment).await?;
        let id = text(
            &server
                .command(&["CLUSTER", "MYID"])
                .await
                .map_err(io::Error::other)?,
        );
        Ok(Self {
            server,
            port,
            bus,
            id,
        })
    }

    async fn command(&self, parts: &[&str]) -> io::Result<Value> {
        self.server.command(parts).await.map_err(io::Error::other)
    }
}

/// Two ports that nobody listens on. Another process may take one in between; then the start fails
/// and says so.
fn free_ports() -> io::Result<(u16, u16)> {
    let (first, second) = (
        TcpListener::bind(("127.0.0.1", 0))?,
        TcpListener::bind(("127.0.0.1", 0))?,
    );
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

async fn until(
    tick: &mut (dyn FnMut() + Send),
    holds: impl AsyncFn() -> io::Result<bool>,
) -> io::Result<()> {
    let begun = Instant::now();
    while !holds().await? {
        if begun.elapsed() > AGREE_TIMEOUT {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the nodes of the cluster do not agree",
            ));
        }
        tick();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } => text.clone(),
        Value::SimpleString(text) => text.clone(),
        other => format!("{other:?}"),
    }
}
