//! A Redis and a ledger on Cassandra, and processes that share them.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::faults::holds_exactly;
use crate::http::{Reply, call};
use crate::process::{Place, Running, run, sluice, text};
use crate::redis::RedisServer;

/// What the processes share.
pub(super) struct Stage {
    pub(super) place: Place,
    admin_key: String,
    config: String,
    _redis: RedisServer,
}

impl Stage {
    pub(super) fn lay() -> Self {
        Self::lay_with(|config| config)
    }

    /// With changes to the configuration.
    pub(super) fn lay_with(change: impl FnOnce(String) -> String) -> Self {
        let place = Place::new();
        let redis = RedisServer::start(&place.folder.path().join("redis"));
        let path = place.config(&change(crate::cql::config(&place, &redis)));
        let config = path.to_str().unwrap().to_owned();
        let migrated = run(&["migrate", "--config", &config]);
        assert!(migrated.status.success(), "{}", text(&migrated.stderr));
        let made = run(&["key", "create", "--config", &config, "--role", "admin"]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        Self {
            admin_key: text(&made.stdout).trim().to_owned(),
            place,
            config,
            _redis: redis,
        }
    }

    /// Starts a process with these roles.
    pub(super) fn start(&self, roles: &str) -> Running {
        self.start_at(roles, 0)
    }

    /// The same with its data plane on this port.
    pub(super) fn start_at(&self, roles: &str, port: u16) -> Running {
        let mut command = sluice(&["serve", "--config", &self.config, "--role", roles]);
        command.env("SLUICE__DATA__LISTEN", format!("127.0.0.1:{port}"));
        let mut running = self.place.spawn(command);
        running.ready["admin_key"] = json!(self.admin_key);
        running
    }

    /// A worker, a control process and two gateways, all of them ready.
    pub(super) fn roles_apart(&self) -> (Running, Running, [Running; 2]) {
        let worker = self.start("workers");
        let control = self.start("control");
        let gateways = [self.start("data"), self.start("data")];
        for process in [&worker, &control, &gateways[0], &gateways[1]] {
            process.wait_ready();
        }
        (worker, control, gateways)
    }

    /// A PATCH of whatever is there now.
    pub(super) fn patch(&self, control: &Running, path: &str, changes: &Value) -> Reply {
        let tag = control.admin("GET", path, &Value::Null);
        let key = format!("Bearer {}", self.admin_key);
        let headers = [
            ("authorization", &*key),
            ("content-type", "application/json"),
            ("if-match", tag.header("etag").unwrap()),
        ];
        let body = changes.to_string();
        call(control.url("control"), "PATCH", path, &headers, &body).unwrap()
    }

    /// Asserts that so many claims are granted, and that the audit finds every unit.
    #[track_caller]
    pub(super) fn is_exact(&self, control: &Running, coupon: &str, claims: u64) {
        holds_exactly(&self.place, control, coupon, claims);
    }
}

/// A port that nobody listens on.
pub(super) fn free_port() -> u16 {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    free.local_addr().unwrap().port()
}
