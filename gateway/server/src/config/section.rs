//! The sections, as they stand in the file. Each turns itself into the settings of its crate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use sluice_claim::settings::EngineSettings;
use sluice_control::ControlSettings;
use sluice_domain::lane::LaneCount;
use sluice_edge::identity::{IdentitySettings, TokenAlgorithm};
use sluice_edge::settings::{CodeFailureLimit, EdgeSettings, LimitSettings, Rate};
use sluice_ledger::cql::CqlOptions;
use sluice_workers::settings::KeeperSettings;

use crate::data_dir::DataDir;

mod check;
mod checkout;
mod reminders;

/// A refused value: its key, and what is wrong with it.
type Refused = (String, String);

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) data: Data,
    pub(crate) control: Control,
    pub(crate) ops: Ops,
    pub(crate) hotstate: HotState,
    pub(crate) ledger: Ledger,
    pub(crate) identity: Identity,
    pub(crate) limits: Limits,
    pub(crate) claim: Claim,
    pub(crate) checkout: checkout::Checkout,
    pub(crate) reminders: reminders::Reminders,
    pub(crate) keeper: Keeper,
    pub(crate) log: Log,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Data {
    pub(crate) listen: SocketAddr,
    pub(crate) threads: usize,
    trusted_proxies: Vec<IpNet>,
    cors_origins: Vec<String>,
    pub(crate) connections_max: usize,
    connections_per_address_max: usize,
    requests_per_connection_max: u32,
    in_flight_max: usize,
    first_byte_timeout_ms: u64,
    header_read_timeout_ms: u64,
    body_timeout_ms: u64,
    drain_wait_ms: u64,
    drain_deadline_ms: u64,
    access_log_one_in: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Control {
    pub(crate) listen: SocketAddr,
    pub(crate) threads: usize,
    connections_max: usize,
    header_read_timeout_ms: u64,
    publish_deadline_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ops {
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HotState {
    pub(crate) redis_urls: Vec<String>,
    pub(crate) cluster: bool,
    pub(crate) connections: usize,
    connect_timeout_ms: u64,
    response_timeout_ms: u64,
    pub(crate) in_flight_max: usize,
    pub(crate) outbox_entries_max: u64,
}

/// Which engine keeps the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Backend {
    /// Embedded: one process.
    Sqlite,
    /// ScyllaDB or Apache Cassandra.
    Cql,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ledger {
    backend: Backend,
    path: PathBuf,
    nodes: Vec<String>,
    keyspace: String,
    datacenter: String,
    replication: u32,
    lwt_timeout_ms: u64,
    request_timeout_ms: u64,
    lanes: u16,
    pub(crate) readers: usize,
    pub(crate) queue_max: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Identity {
    issuer: String,
    audience: String,
    algorithms: Vec<String>,
    jwks_file: PathBuf,
    pass_keys_file: PathBuf,
    leeway_s: u32,
    pass_ttl_s: u32,
    token_cache_max: usize,
    reload_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Limits {
    pub(crate) enabled: bool,
    pub(crate) redis_url: String,
    address_per_second: u32,
    address_burst: u32,
    user_per_second: u32,
    user_burst: u32,
    device_per_second: u32,
    device_burst: u32,
    code_failures_per_user: u32,
    code_failures_per_address: u32,
    code_failures_window_s: u32,
    keys_max: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claim {
    decide_within_ms: u64,
    durable_within_ms: u64,
    queue_wait_ms: u64,
    queue_claims_max: usize,
    batch_claims_max: usize,
    calls_in_flight_max: usize,
    call_within_ms: u64,
    definitions_max: u64,
    unknown_max: u64,
    filter_bytes_max: usize,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Keeper {
    keeper_lease_ms: u64,
    lane_lease_ms: u64,
    grace_ms: u64,
    renewal_ms: u64,
    retention_ms: u64,
    sweep_ms: u64,
    poll_ms_max: u64,
    lease_floor: u32,
    lease_floor_max: u32,
    stop_ms_max: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

// === impl Backend ===

impl TryFrom<String> for Backend {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "sqlite" => Ok(Self::Sqlite),
            "cql" => Ok(Self::Cql),
            _other => Err("\"sqlite\" or \"cql\" is accepted"),
        }
    }
}

// === impl LogFormat ===

impl TryFrom<String> for LogFormat {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        match name.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _other => Err("\"text\" or \"json\" is accepted"),
        }
    }
}

// === impl Settings ===

impl Settings {
    /// Settings of the data plane.
    pub(crate) fn edge(&self) -> EdgeSettings {
        let rate = |per_second, burst| Rate { per_second, burst };
        EdgeSettings {
            connections_max: self.data.connections_max,
            connections_per_address_max: self.data.connections_per_address_max,
            requests_per_connection_max: self.data.requests_per_connection_max,
            in_flight_max: self.data.in_flight_max,
            first_byte_timeout: Duration::from_millis(self.data.first_byte_timeout_ms),
            header_read_timeout: Duration::from_millis(self.data.header_read_timeout_ms),
            body_timeout: Duration::from_millis(self.data.body_timeout_ms),
            drain_deadline: Duration::from_millis(self.data.drain_deadline_ms),
            cors_origins: self.data.cors_origins.clone(),
            trusted_proxies: self.data.trusted_proxies.clone(),
            key_files_interval: Duration::from_millis(self.identity.reload_ms),
            access_log_one_in: self.data.access_log_one_in,
            limits: LimitSettings {
                enabled: self.limits.enabled,
                address: rate(self.limits.address_per_second, self.limits.address_burst),
                user: rate(self.limits.user_per_second, self.limits.user_burst),
                device: rate(self.limits.device_per_second, self.limits.device_burst),
                code_failures: CodeFailureLimit {
                    per_user: self.limits.code_failures_per_user,
                    per_address: self.limits.code_failures_per_address,
                    window: Duration::from_secs(u64::from(self.limits.code_failures_window_s)),
                },
                keys_max: self.limits.keys_max,
                ..LimitSettings::default()
            },
            ..EdgeSettings::default()
        }
    }

    /// How long a stopping gateway says "not ready" before it stops accepting.
    pub(crate) const fn drain_wait(&self) -> Duration {
        Duration::from_millis(self.data.drain_wait_ms)
    }

    /// Settings of the claim engine.
    pub(crate) fn engine(&self) -> EngineSettings {
        EngineSettings {
            decide_within: Duration::from_millis(self.claim.decide_within_ms),
            durable_within: Duration::from_millis(self.claim.durable_within_ms),
            queue_wait: Duration::from_millis(self.claim.queue_wait_ms),
            queue_claims_max: self.claim.queue_claims_max,
            batch_claims_max: self.claim.batch_claims_max,
            calls_in_flight_max: self.claim.calls_in_flight_max,
            call_within: Duration::from_millis(self.claim.call_within_ms),
            definitions_max: self.claim.definitions_max,
            unknown_max: self.claim.unknown_max,
            filter_bytes_max: self.claim.filter_bytes_max,
            ..EngineSettings::default()
        }
    }

    /// Settings of the lane keepers.
    pub(crate) fn keeper_settings(&self) -> KeeperSettings {
        KeeperSettings {
            keeper_lease_ms: self.keeper.keeper_lease_ms,
            lane_lease_ms: self.keeper.lane_lease_ms,
            grace_ms: self.keeper.grace_ms,
            renewal_ms: self.keeper.renewal_ms,
            retention_ms: self.keeper.retention_ms,
            sweep_ms: self.keeper.sweep_ms,
            poll_ms_max: self.keeper.poll_ms_max,
            lease_floor: self.keeper.lease_floor,
            lease_floor_max: self.keeper.lease_floor_max,
            stop_ms_max: self.keeper.stop_ms_max,
            exclusive: self.ledger.backend == Backend::Sqlite,
            ..KeeperSettings::default()
        }
    }

    /// Settings of the control plane.
    pub(crate) fn control_settings(&self) -> ControlSettings {
        ControlSettings {
            connections_max: self.control.connections_max,
            header_read_timeout: Duration::from_millis(self.control.header_read_timeout_ms),
            publish_deadline: Duration::from_millis(self.control.publish_deadline_ms),
            ..ControlSettings::default()
        }
    }

    /// Settings of identity; empty paths stand for the files in the data folder.
    pub(crate) fn identity_settings(&self, folder: &DataDir) -> IdentitySettings {
        let dev = sluice_edge::identity::sign::DevKeyFiles::in_folder(&folder.keys());
        let or = |path: &Path, otherwise: PathBuf| {
            if path.as_os_str().is_empty() {
                otherwise
            } else {
                path.to_path_buf()
            }
        };
        IdentitySettings {
            // They were read when the configuration was checked.
            algorithms: self.token_algorithms().unwrap_or_default(),
            ..self.identity_in(
                or(&self.identity.jwks_file, dev.jwks),
                or(&self.identity.pass_keys_file, dev.pass_keys),
            )
        }
    }

    fn identity_in(&self, jwks_file: PathBuf, pass_keys_file: PathBuf) -> IdentitySettings {
        IdentitySettings {
            leeway_s: self.identity.leeway_s,
            pass_ttl_s: self.identity.pass_ttl_s,
            token_cache_max: self.identity.token_cache_max,
            ..IdentitySettings::new(
                &self.identity.issuer,
                &self.identity.audience,
                jwks_file,
                pass_keys_file,
            )
        }
    }

    /// True where tokens are verified with the generated development key.
    pub(crate) fn uses_dev_keys(&self) -> bool {
        self.identity.jwks_file.as_os_str().is_empty()
    }

    /// True where passes are signed with the keys of the data folder.
    pub(crate) fn uses_own_pass_keys(&self) -> bool {
        self.identity.pass_keys_file.as_os_str().is_empty()
    }

    /// Who tokens are from and for.
    pub(crate) fn token_parties(&self) -> (&str, &str) {
        (&self.identity.issuer, &self.identity.audience)
    }

    /// The lanes of a ledger that is made now.
    pub(crate) fn lanes(&self) -> anyhow::Result<LaneCount> {
        LaneCount::new(self.ledger.lanes)
            .map_err(|count| anyhow::anyhow!("{count} lanes are not possible"))
    }

    /// Which engine keeps the ledger.
    pub(crate) const fn ledger_backend(&self) -> Backend {
        self.ledger.backend
    }

    /// How to reach a ledger on CQL.
    pub(crate) fn cql_options(&self) -> anyhow::Result<CqlOptions> {
        let ledger = &self.ledger;
        let datacenter = Some(ledger.datacenter.clone()).filter(|name| !name.is_empty());
        Ok(CqlOptions {
            datacenter,
            replication: ledger.replication,
            lwt_timeout: Duration::from_millis(ledger.lwt_timeout_ms),
            request_timeout: Duration::from_millis(ledger.request_timeout_ms),
            ..CqlOptions::new(ledger.nodes.clone(), &ledger.keyspace, self.lanes()?)
        })
    }

    /// The SQLite file.
    pub(crate) fn ledger_path(&self, folder: &DataDir) -> PathBuf {
        if self.ledger.path.as_os_str().is_empty() {
            folder.ledger()
        } else {
            self.ledger.path.clone()
        }
    }

    /// How long to wait for a connection to Redis, and for an answer.
    pub(crate) const fn redis_timeouts(&self) -> (Duration, Duration) {
        (
            Duration::from_millis(self.hotstate.connect_timeout_ms),
            Duration::from_millis(self.hotstate.response_timeout_ms),
        )
    }

    fn token_algorithms(&self) -> Result<Vec<TokenAlgorithm>, Refused> {
        let known = |name: &String| match name.as_str() {
            "EdDSA" => Ok(TokenAlgorithm::EdDsa),
            "ES256" => Ok(TokenAlgorithm::Es256),
            "HS256" => Ok(TokenAlgorithm::Hs256),
            other => Err(refused(
                "identity.algorithms",
                &format!("has `{other}`; EdDSA and ES256, or HS256 alone, are accepted"),
            )),
        };
        self.identity.algorithms.iter().map(known).collect()
    }
}

fn refused(key: &str, message: &str) -> Refused {
    (key.to_owned(), message.to_owned())
}
