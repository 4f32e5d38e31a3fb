//! The ledger on ScyllaDB or Apache Cassandra, for many processes.
//!
//! There are no transactions over partitions here; what SQLite does in one is kept by four rules.
//! *One partition, one conditional batch*: a coupon's document, stock, leases and versions are one
//! partition; a lease's claims with their counts are another; each is written on the condition of
//! the stamp (`op`) that was read. *Index first*: an index row is written before the row that it
//! leads to, and readers go by the row, so no row is without its index and nothing is to be mended
//! later. *Pending entries*: an audited change carries its audit entry in its own partition until
//! the entry is in the log; whoever comes next finishes it. *Locked cells*: a transition of a
//! redemption locks what it meets others at, and is one write of the redemption's own partition;
//! see [`transaction`].

use std::time::Duration;

use sluice_domain::lane::LaneCount;

use crate::LedgerError;
use crate::lanes::LedgerIdentity;
use store::Store;

mod append;
mod audit;
mod causes;
mod cells;
mod claims;
mod coupons;
mod decide;
mod facts;
mod failure;
mod identity;
mod index;
mod keys;
mod lanes;
mod lease_claims;
mod leases;
mod letters;
mod message_index;
mod migrate;
mod notifications;
mod partition;
mod redemptions;
mod store;
mod transaction;
mod value;
mod warm;
mod words;

/// How to reach a ledger on CQL.
#[derive(Debug, Clone)]
pub struct CqlOptions {
    /// Some nodes, each as `host:port`; the others are found through them.
    pub nodes: Vec<String>,
    /// The keyspace, letters, digits and underscores.
    pub keyspace: String,
    /// The datacenter to prefer, and to keep copies in; `None`: any.
    pub datacenter: Option<String>,
    /// Copies of each row, where the keyspace is made: 3, or 1 on one node.
    pub replication: u32,
    /// Lanes of a ledger that does not exist yet; an existing one keeps its own number.
    pub lanes: LaneCount,
    /// How long a conditional statement may take before its outcome is asked for by a read.
    pub lwt_timeout: Duration,
    /// How long one attempt of a read or a plain write may take.
    pub request_timeout: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
}

/// Why a ledger was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No node answered.
    #[error("no node of the ledger can be reached: {0}")]
    Connect(String),
    /// The schema could not be read or changed.
    #[error("the ledger's schema: {0}")]
    Schema(String),
    /// There is no ledger, or an older one, and this call does not migrate.
    #[error(
        "the keyspace {keyspace:?} has schema {found}, and this program needs {known}: run `sluice \
         migrate` once"
    )]
    OlderSchema {
        /// Which.
        keyspace: String,
        /// There; 0 where there is none.
        found: u32,
        /// In this program.
        known: u32,
    },
    /// A newer program wrote it.
    #[error(
        "the ledger has schema {found}, and this program knows {known}: it was written by a newer \
         version of sluice; run that one, or a newer one still"
    )]
    NewerSchema {
        /// There.
        found: u32,
        /// In this program.
        known: u32,
    },
    /// The keyspace's name cannot be used.
    #[error("{0:?} is no name for a keyspace: letters, digits and underscores, at most 48")]
    Keyspace(String),
    /// It was reached and did not answer as it should.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
}

/// The ledger on CQL.
#[derive(Debug)]
pub struct CqlLedger {
    store: Store,
    identity: LedgerIdentity,
    audit_head: audit::Head,
    user_orders: claims::UserOrders,
    queues: redemptions::Queues,
    append_seconds: metrics::Histogram,
    batch_rows: metrics::Histogram,
}

// === impl CqlOptions ===

impl CqlOptions {
    /// One copy, 1 s for a conditional statement and 2 s for others.
    #[must_use]
    pub fn new(nodes: Vec<String>, keyspace: &str, lanes: LaneCount) -> Self {
        Self {
            nodes,
            keyspace: keyspace.to_owned(),
            datacenter: None,
            replication: 1,
            lanes,
            lwt_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
        }
    }

    fn check(&self) -> Result<(), OpenError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let name = &self.keyspace;
        if name.is_empty() || name.len() > 48 || !name.bytes().all(fits) {
            return Err(OpenError::Keyspace(name.clone()));
        }
        Ok(())
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    /// Makes the keyspace and its tables where they are missing, and brings them up to date.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn migrate(options: &CqlOptions) -> Result<(), OpenError> {
        options.check()?;
        let session = store::connect(options, None).await;
        let session = session.map_err(|error| OpenError::Connect(error.to_string()))?;
        migrate::migrate(&session, options).await
    }

    /// Opens a ledger that was migrated, and gives it its identity and lanes where it is new.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: &CqlOptions) -> Result<Self, OpenError> {
        options.check()?;
        let session = store::connect(options, None).await;
        let session = session.map_err(|error| OpenError::Connect(error.to_string()))?;
        let found = migrate::found(&session, &options.keyspace)
            .await?
            .unwrap_or(0);
        let known = migrate::known();
        if found > known {
            return Err(OpenError::NewerSchema { found, known });
        }
        if found < known {
            let keyspace = options.keyspace.clone();
            return Err(OpenError::OlderSchema {
                keyspace,
                found,
                known,
            });
        }
        let used = session.use_keyspace(&options.keyspace, true).await;
        used.map_err(|error| OpenError::Connect(error.to_string()))?;
        let store = Store::prepare(session, options, statements()).await?;
        warm::warm(&store).await?;
        let identity = identity::ensure(&store, options.lanes).await?;
        let audit_head = audit::find_head(&store).await?;
        let ledger = Self {
            store,
            identity,
            audit_head,
            user_orders: claims::UserOrders::default(),
            queues: redemptions::Queues::new(),
            append_seconds: metrics::histogram!("sluice_ledger_append_duration_seconds"),
            batch_rows: metrics::histogram!("sluice_ledger_batch_rows"),
        };
        ledger.finish_audits().await?;
        ledger.finish_keys().await?;
        Ok(ledger)
    }
}

impl CqlLedger {
    /// Why writes do not go through, as far as the last one tells; `None` while they do. Keepers
    /// renew their lanes every few seconds, so it is never old. For readiness.
    #[must_use]
    pub fn unwritable(&self) -> Option<String> {
        self.store.trouble()
    }
}

/// The statements that write index rows of claims, for tests that let them fail.
#[cfg(feature = "testing")]
#[must_use]
pub fn index_writes() -> &'static [&'static str] {
    append::INDEX_WRITES
}

/// Every statement of this ledger, to be prepared before the first call.
fn statements() -> impl Iterator<Item = &'static str> {
    [
        append::STATEMENTS,
        audit::STATEMENTS,
        causes::STATEMENTS,
        cells::STATEMENTS,
        claims::STATEMENTS,
        coupons::STATEMENTS,
        facts::STATEMENTS,
        identity::STATEMENTS,
        index::STATEMENTS,
        keys::STATEMENTS,
        lanes::STATEMENTS,
        lease_claims::STATEMENTS,
        letters::STATEMENTS,
        message_index::STATEMENTS,
        notifications::STATEMENTS,
        partition::STATEMENTS,
        transaction::STATEMENTS,
        warm::STATEMENTS,
        words::STATEMENTS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// Others were faster, again and again.
fn crowded(what: &str, which: impl std::fmt::Display) -> LedgerError {
    LedgerError::Unavailable {
        reason: format!("too many writers at {what} {which}"),
    }
}
