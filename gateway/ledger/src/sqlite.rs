//! The embedded ledger: one SQLite file, written by one thread, read by a few connections.
//!
//! What a call answers is committed and synced (WAL, `synchronous=FULL`): that is what class
//! `ledger` promises. The file belongs to one process; the server holds the lock that sees to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use rusqlite::Connection;
use sluice_domain::lane::LaneCount;

use crate::LedgerError;
use crate::lanes::LedgerIdentity;
use checkpoint::Checkpoints;
use failure::Step;
use health::Health;
use readers::Readers;
use writer::{Writer, WriterLoop};

pub use backup::{BackupError, BackupReport, backup};
pub use health::Unwritable;

mod append;
mod backup;
mod causes;
mod checkpoint;
mod claims;
mod codes;
mod connection;
mod coupons;
mod facts;
mod failure;
mod health;
mod identity;
mod keys;
mod lanes;
mod leases;
mod listing;
mod migrate;
mod notifications;
mod readers;
mod redemptions;
mod row;
mod value;
mod writer;

/// The exit code of a process whose ledger cannot be trusted any more (`EX_IOERR`).
pub const EXIT_IO_ERROR: i32 = 74;

/// What is done about an error after which the file cannot be trusted: called once with the error
/// in words, from the thread that met it.
pub type FatalHook = Arc<dyn Fn(&str) + Send + Sync>;

/// How to open a ledger.
#[derive(Clone)]
pub struct OpenOptions {
    /// Lanes of a ledger that does not exist yet; an existing one keeps its own number.
    pub lanes: LaneCount,
    /// Reading connections, 1 to 64.
    pub readers: usize,
    /// Most writes that wait, and most reads; more are refused as unavailable. From 1.
    pub queue_max: usize,
    /// What to do about a fatal error; [`exit_process`] unless a test wants to look.
    pub fatal: FatalHook,
}

/// Why a ledger was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite refused.
    #[error("the ledger cannot be opened (are its folder and file there and writable?): {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file, its folder or its disk is read-only.
    #[error("the ledger's file cannot be written: it is read-only, or its disk is")]
    ReadOnly,
    /// A newer program wrote it.
    #[error(
        "the ledger has schema {found}, and this program knows {known}: it was written by a newer \
         version of sluice; run that one, or a newer one still"
    )]
    NewerSchema {
        /// In the file.
        found: u32,
        /// In this program.
        known: u32,
    },
    /// Opened only to read, and it is older than this program or not a ledger.
    #[error(
        "the ledger has schema {found}, and this program reads {known}: start the program on it \
         once (or run `sluice migrate`), then read it"
    )]
    OlderSchema {
        /// In the file.
        found: u32,
        /// In this program.
        known: u32,
    },
    /// There was no randomness for its id and key.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// Its thread was not started.
    #[error("the writer cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// What was fixed when it was made cannot be read.
    #[error("the ledger's identity cannot be read: {0}")]
    Identity(String),
}

/// The embedded ledger.
pub struct SqliteLedger {
    path: PathBuf,
    identity: LedgerIdentity,
    readers: Readers,
    /// `None` where it was opened only to read.
    writer: Option<Writer>,
    health: Arc<Health>,
    append_seconds: metrics::Histogram,
    batch_rows: metrics::Histogram,
}

// === impl OpenOptions ===

impl OpenOptions {
    /// Four readers, queues of 1,024, and the end of the process at a fatal error.
    #[must_use]
    pub fn new(lanes: LaneCount) -> Self {
        Self {
            lanes,
            readers: 4,
            queue_max: 1_024,
            fatal: Arc::new(exit_process),
        }
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("lanes", &self.lanes)
            .field("readers", &self.readers)
            .field("queue_max", &self.queue_max)
            .finish_non_exhaustive()
    }
}

/// Says what happened and ends the process: what was acknowledged is on disk, and a new process
/// reads what the disk really has.
pub fn exit_process(error: &str) {
    tracing::error!(
        error,
        "the ledger's file failed and cannot be trusted any more; the process ends: check the disk, then start again"
    );
    std::process::exit(EXIT_IO_ERROR);
}

// === impl SqliteLedger ===

impl SqliteLedger {
    /// Opens the ledger in this file, makes it where there is none, and brings its schema up to
    /// date. Blocks for as long as that takes.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let mut connection = connection::writer(path)?;
        migrate::migrate(&mut connection)?;
        let identity = identity::ensure(&mut connection, options.lanes)?;
        let queue_max = options.queue_max.max(1);
        let health = Arc::new(Health::new());
        let (queue, requests) = sync_channel(queue_max);
        let readers = Readers::open(
            path,
            options.readers.clamp(1, 64),
            queue_max,
            Arc::clone(&options.fatal),
        )?;
        let checkpoints = Checkpoints::watch(&mut connection)?;
        let writer_loop = WriterLoop {
            connection,
            queue: requests,
            health: Arc::clone(&health),
            checkpoints,
            fatal: options.fatal,
            asked: None,
        };
        // The thread ends by itself: at `close`, when the ledger is dropped, at a fatal error.
        let _thread = std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || writer_loop.run())?;
        let writer = Some(Writer::new(queue, Arc::clone(&health)));
        Ok(Self::assemble(path, identity, readers, writer, health))
    }

    /// Opens an existing ledger only to read, beside a process that serves it or not. Writes are
    /// refused as [`LedgerError::Full`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        const READERS: usize = 2;
        const WAITING_MAX: usize = 64;
        let path = path.as_ref();
        let connection = connection::reader(path)?;
        let (found, known) = (migrate::found(&connection)?, migrate::known());
        migrate::check(found)?;
        if found < known {
            return Err(OpenError::OlderSchema { found, known });
        }
        let identity = identity::read(&connection)?;
        drop(connection);
        let readers = Readers::open(path, READERS, WAITING_MAX, Arc::new(report_only))?;
        let health = Arc::new(Health::new());
        health.set(Some(Unwritable::ReadOnly));
        Ok(Self::assemble(path, identity, readers, None, health))
    }

    fn assemble(
        path: &Path,
        identity: LedgerIdentity,
        readers: Readers,
        writer: Option<Writer>,
        health: Arc<Health>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            identity,
            readers,
            writer,
            health,
            append_seconds: metrics::histogram!("sluice_ledger_append_duration_seconds"),
            batch_rows: metrics::histogram!("sluice_ledger_batch_rows"),
        }
    }

    /// Why writes do not go through, as far as is known; `None` while they do. Set by the first
    /// write that found the disk full or the file locked by another process (for longer than the
    /// five seconds that a write waits); gone about a second after they could go through again,
    /// whether anybody writes or not. For readiness.
    #[must_use]
    pub fn unwritable(&self) -> Option<Unwritable> {
        self.health.unwritable()
    }

    /// Whether writes go through: there is no [`unwritable`](Self::unwritable).
    #[must_use]
    pub fn writable(&self) -> bool {
        self.unwritable().is_none()
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Carries out what is queued, moves the WAL into the file and ends the writer. Later calls
    /// are refused as unavailable.
    pub async fn close(&self) {
        self.readers.close();
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }

    async fn write<T, F>(&self, step: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Step<T> + Send + 'static,
    {
        match &self.writer {
            Some(writer) => writer.run(step).await,
            None => Err(LedgerError::Full {
                reason: "it was opened only to read".to_owned(),
            }),
        }
    }

    async fn read<T, F>(&self, step: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Step<T> + Send + 'static,
    {
        self.readers.run(step).await
    }
}

impl std::fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLedger")
            .field("path", &self.path)
            .field("writable", &self.writable())
            .finish_non_exhaustive()
    }
}

/// A reader beside a serving process ends nothing: its caller gets the error.
fn report_only(error: &str) {
    tracing::error!(error, "the ledger's file cannot be read");
}
