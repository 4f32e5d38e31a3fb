//! What is refused: values outside their range, and values that contradict each other.

use std::path::PathBuf;

use sluice_domain::lane::{LANES_MAX, LaneCount};
use sluice_edge::identity::{IdentityError, IdentitySettings};
use sluice_edge::settings::{EdgeSettings, Rate};

use super::{Backend, Refused, Settings, refused};

/// Most threads of one runtime; far above any machine, far below what a typing error asks for.
const THREADS_MAX: usize = 1_024;

impl Settings {
    /// Refuses what each crate refuses, and what contradicts across sections.
    pub(in crate::config) fn validate(&self) -> Result<(), Refused> {
        let edge = self.edge();
        edge.validate()
            .map_err(|error| (edge_key(error.field, &edge), error.problem.to_owned()))?;
        self.engine().validate().map_err(|error| match error.key {
            // The pause for a lease is no setting of the file; the wait that it must fit in is.
            "lease_pause" => refused("claim.queue_wait_ms", "must be at least 5 ms"),
            key => (
                format!("claim.{key}_ms").replace("_max_ms", "_max"),
                error.problem,
            ),
        })?;
        self.keeper_settings()
            .validate()
            .map_err(|error| (format!("keeper.{}", error.key), error.problem.to_owned()))?;
        self.checkout.validate()?;
        self.reminders.validate()?;
        self.validate_counts()?;
        self.validate_waits()?;
        self.validate_stores()?;
        self.validate_identity()?;
        tracing_subscriber::EnvFilter::try_new(&self.log.filter)
            .map(|_filter| ())
            .map_err(|error| refused("log.filter", &format!("is no filter: {error}")))
    }

    fn validate_counts(&self) -> Result<(), Refused> {
        let many = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        for (key, value, low, high) in [
            ("data.threads", self.data.threads, 0, THREADS_MAX),
            ("control.threads", self.control.threads, 1, THREADS_MAX),
            (
                "control.connections_max",
                self.control.connections_max,
                1,
                1_000_000,
            ),
            ("hotstate.connections", self.hotstate.connections, 1, 64),
            (
                "hotstate.in_flight_max",
                self.hotstate.in_flight_max,
                1,
                65_536,
            ),
            (
                "hotstate.outbox_entries_max",
                many(self.hotstate.outbox_entries_max),
                1,
                10_000_000,
            ),
            ("ledger.readers", self.ledger.readers, 1, 64),
            ("ledger.queue_max", self.ledger.queue_max, 1, 1 << 20),
        ] {
            if !(low..=high).contains(&value) {
                let message = format!("is {value}; {low} to {high} is accepted");
                return Err(refused(key, &message));
            }
        }
        if LaneCount::new(self.ledger.lanes).is_err() {
            let message = format!("is {}; 1 to {LANES_MAX} is accepted", self.ledger.lanes);
            return Err(refused("ledger.lanes", &message));
        }
        Ok(())
    }

    fn validate_waits(&self) -> Result<(), Refused> {
        for (key, value, low, high) in [
            ("data.drain_wait_ms", self.data.drain_wait_ms, 0, 60_000),
            (
                "control.header_read_timeout_ms",
                self.control.header_read_timeout_ms,
                10,
                600_000,
            ),
            (
                "control.publish_deadline_ms",
                self.control.publish_deadline_ms,
                1,
                30_000,
            ),
            (
                "hotstate.connect_timeout_ms",
                self.hotstate.connect_timeout_ms,
                1,
                60_000,
            ),
            (
                "hotstate.response_timeout_ms",
                self.hotstate.response_timeout_ms,
                1,
                60_000,
            ),
        ] {
            if !(low..=high).contains(&value) {
                let message = format!("is {value}; {low} to {high} is accepted");
                return Err(refused(key, &message));
            }
        }
        if self.hotstate.response_timeout_ms <= self.claim.call_within_ms {
            return Err(refused(
                "hotstate.response_timeout_ms",
                "must be longer than claim.call_within_ms, which gives up first",
            ));
        }
        Ok(())
    }

    fn validate_stores(&self) -> Result<(), Refused> {
        self.validate_cql()?;
        let urls = &self.hotstate.redis_urls;
        if urls.len() > 1 && !self.hotstate.cluster {
            return Err(refused(
                "hotstate.redis_urls",
                "has more than one entry; several are nodes of one Redis Cluster, which \
                 hotstate.cluster = true says",
            ));
        }
        if self.hotstate.cluster && urls.iter().any(|url| url.starts_with("unix://")) {
            return Err(refused(
                "hotstate.redis_urls",
                "has a unix socket; the nodes of a Redis Cluster are reached by redis://host:port",
            ));
        }
        for url in urls {
            is_redis_url(url).map_err(|why| refused("hotstate.redis_urls", &why))?;
        }
        if !self.limits.redis_url.is_empty() {
            is_redis_url(&self.limits.redis_url)
                .map_err(|why| refused("limits.redis_url", &why))?;
        }
        Ok(())
    }

    fn validate_cql(&self) -> Result<(), Refused> {
        let ledger = &self.ledger;
        if ledger.backend == Backend::Cql && ledger.nodes.is_empty() {
            let message = "is \"cql\", and `ledger.nodes` names no node of it (\"host:port\")";
            return Err(refused("ledger.backend", message));
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let name = &ledger.keyspace;
        if name.is_empty() || name.len() > 48 || !name.bytes().all(fits) {
            let message = "is no name for a keyspace: letters, digits and underscores, at most 48";
            return Err(refused("ledger.keyspace", message));
        }
        let datacenter = &ledger.datacenter;
        if !datacenter
            .bytes()
            .all(|byte| fits(byte) || b"-.".contains(&byte))
        {
            let message = "is no name for a datacenter: letters, digits, and _ - .";
            return Err(refused("ledger.datacenter", message));
        }
        if !(1..=9).contains(&ledger.replication) {
            let message = format!("is {}; 1 to 9 is accepted", ledger.replication);
            return Err(refused("ledger.replication", &message));
        }
        for (key, value) in [
            ("ledger.lwt_timeout_ms", ledger.lwt_timeout_ms),
            ("ledger.request_timeout_ms", ledger.request_timeout_ms),
        ] {
            if !(10..=60_000).contains(&value) {
                let message = format!("is {value}; 10 to 60000 is accepted");
                return Err(refused(key, &message));
            }
        }
        Ok(())
    }

    fn validate_identity(&self) -> Result<(), Refused> {
        let settings = IdentitySettings {
            algorithms: self.token_algorithms()?,
            ..self.identity_in(PathBuf::new(), PathBuf::new())
        };
        match settings.validate() {
            Err(IdentityError::Setting { field, problem }) => {
                Err(refused(&format!("identity.{field}"), problem))
            }
            Err(other) => Err(refused("identity", &other.to_string())),
            Ok(()) => Ok(()),
        }
    }
}

/// The text is not repeated in the message: it may hold a password.
fn is_redis_url(url: &str) -> Result<(), String> {
    let accepted = ["redis://", "unix://"];
    let rest = accepted.iter().find_map(|scheme| url.strip_prefix(scheme));
    if rest.is_some_and(|rest| !rest.is_empty()) {
        return Ok(());
    }
    Err("is no Redis address; redis://host:port or unix:///path is accepted".to_owned())
}

/// The configuration key behind a field of the edge's settings.
fn edge_key(field: &str, edge: &EdgeSettings) -> String {
    let limits = &edge.limits;
    match field {
        "limits.address" => rate_key(field, limits.address),
        "limits.user" => rate_key(field, limits.user),
        "limits.device" => rate_key(field, limits.device),
        "key_files_interval" => "identity.reload_ms".to_owned(),
        "limits.code_failures_window" => format!("{field}_s"),
        field if field.starts_with("limits.") => field.to_owned(),
        field if field.contains("timeout") || field.contains("deadline") => {
            format!("data.{field}_ms")
        }
        field => format!("data.{field}"),
    }
}

/// Which of a rate's two numbers was refused: the first, if it is outside the edge's range.
fn rate_key(field: &str, rate: Rate) -> String {
    let part = if (1..=1_000_000).contains(&rate.per_second) {
        "burst"
    } else {
        "per_second"
    };
    format!("{field}_{part}")
}
