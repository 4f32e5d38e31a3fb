//! Roles: which parts of the system a process runs.

use std::fmt;

use anyhow::bail;
use clap::ValueEnum;

use crate::config::{Backend, Settings};

/// A part of the system that can run in processes of its own, where the ledger allows several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    /// Claims and checkout over HTTP
    Data,
    /// The admin API
    Control,
    /// Lane keepers, the sweeper of holds, reminders
    Workers,
}

/// The roles of a process: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Serves claims and checkout.
    pub(crate) data: bool,
    /// Serves the admin API.
    pub(crate) control: bool,
    /// Keeps lanes and does what has a clock.
    pub(crate) workers: bool,
}

// === impl Roles ===

impl Roles {
    /// Everything in one process.
    pub(crate) const ALL: Self = Self {
        data: true,
        control: true,
        workers: true,
    };

    /// The roles that were asked for.
    ///
    /// # Errors
    /// Where there is none, or the ledger does not allow them apart.
    pub(crate) fn of(asked: &[Role], settings: &Settings) -> anyhow::Result<Self> {
        let roles = Self {
            data: asked.contains(&Role::Data),
            control: asked.contains(&Role::Control),
            workers: asked.contains(&Role::Workers),
        };
        if !(roles.data || roles.control || roles.workers) {
            bail!("--role: names no role; data, control and workers are accepted");
        }
        if settings.ledger_backend() == Backend::Sqlite && roles != Self::ALL {
            bail!(
                "--role: with the SQLite ledger one process runs all roles (data,control,workers); \
                 {roles} alone needs the CQL ledger (ledger.backend = \"cql\"), which several \
                 processes can share"
            );
        }
        Ok(roles)
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.data, "data"),
            (self.control, "control"),
            (self.workers, "workers"),
        ];
        let names: Vec<&str> = names
            .into_iter()
            .filter_map(|(has, name)| has.then_some(name))
            .collect();
        f.write_str(&names.join(","))
    }
}
