//! The ledger that the configuration names: SQLite in this process's data folder, or CQL.

use std::sync::Arc;

use anyhow::Context;
use sluice_ledger::cql::CqlOptions;
use sluice_ledger::sqlite::{OpenOptions, SqliteLedger};
use sluice_ledger::{CqlLedger, Ledger};

use crate::config::{Backend, Settings};
use crate::data_dir::DataDir;

/// An open ledger.
#[derive(Clone)]
pub(crate) enum LedgerStore {
    /// Embedded.
    Sqlite(Arc<SqliteLedger>),
    /// On ScyllaDB or Apache Cassandra.
    Cql(Arc<CqlLedger>),
}

// === impl LedgerStore ===

impl LedgerStore {
    /// Opens the ledger to read and write; an embedded one is made and migrated where it is not
    /// there. What it needs runs on the runtime that this is called in.
    pub(crate) async fn open(settings: &Settings, folder: &DataDir) -> anyhow::Result<Self> {
        if settings.ledger_backend() == Backend::Cql {
            return Self::open_cql(settings).await;
        }
        let path = settings.ledger_path(folder);
        let options = OpenOptions {
            readers: settings.ledger.readers,
            queue_max: settings.ledger.queue_max,
            ..OpenOptions::new(settings.lanes()?)
        };
        let opened = SqliteLedger::open(&path, options);
        let ledger = opened.with_context(|| format!("the ledger {}", path.display()))?;
        Ok(Self::Sqlite(Arc::new(ledger)))
    }

    /// Opens the ledger beside a process that serves it, for a command that only reads.
    pub(crate) async fn open_beside(settings: &Settings, folder: &DataDir) -> anyhow::Result<Self> {
        if settings.ledger_backend() == Backend::Cql {
            return Self::open_cql(settings).await;
        }
        let path = settings.ledger_path(folder);
        let opened = SqliteLedger::open_read_only(&path);
        let ledger = opened.with_context(|| format!("the ledger {}", path.display()))?;
        Ok(Self::Sqlite(Arc::new(ledger)))
    }

    async fn open_cql(settings: &Settings) -> anyhow::Result<Self> {
        let options = settings.cql_options()?;
        let opened = CqlLedger::open(&options).await;
        let ledger = opened.with_context(|| named(&options))?;
        Ok(Self::Cql(Arc::new(ledger)))
    }

    /// Brings the schema up to date, and gives the ledger's name.
    pub(crate) async fn migrate(settings: &Settings, folder: &DataDir) -> anyhow::Result<String> {
        if settings.ledger_backend() == Backend::Cql {
            let options = settings.cql_options()?;
            let migrated = CqlLedger::migrate(&options).await;
            migrated.with_context(|| named(&options))?;
            return Ok(named(&options));
        }
        Self::open(settings, folder).await?.close().await;
        Ok(settings.ledger_path(folder).display().to_string())
    }

    /// The ledger, for everyone who does not mind which.
    pub(crate) fn ledger(&self) -> Arc<dyn Ledger> {
        match self {
            Self::Sqlite(ledger) => Arc::clone(ledger) as Arc<dyn Ledger>,
            Self::Cql(ledger) => Arc::clone(ledger) as Arc<dyn Ledger>,
        }
    }

    /// Why writes do not go through, as far as is known. Never blocks.
    pub(crate) fn unwritable(&self) -> Option<String> {
        match self {
            Self::Sqlite(ledger) => ledger.unwritable().map(|why| why.to_string()),
            Self::Cql(ledger) => ledger.unwritable(),
        }
    }

    /// Carries out what is queued, where anything is.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(ledger) => ledger.close().await,
            // Nothing is queued: each call waits for its own answer.
            Self::Cql(_) => {}
        }
    }
}

fn named(options: &CqlOptions) -> String {
    let nodes = options.nodes.join(", ");
    format!("the ledger {} on {nodes}", options.keyspace)
}
