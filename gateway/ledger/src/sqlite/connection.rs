//! Connections and their settings.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::OpenError;

/// How long a connection waits for another process. In this process nobody contends.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long a probe waits for another process that was waited for in vain before.
pub(super) const PROBE_WAIT: Duration = Duration::from_millis(250);
/// Prepared statements that a connection keeps: more than there are different ones.
const STATEMENTS_KEPT: usize = 160;
/// Page cache of the writer, in KiB: the hot pages of the claims' indexes.
const WRITER_CACHE_KIB: i64 = 64 * 1024;
/// Page cache of a reader, in KiB.
const READER_CACHE_KIB: i64 = 8 * 1024;

/// The one connection that writes. Makes the file where there is none.
pub(super) fn writer(path: &Path) -> Result<Connection, OpenError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // SQLite falls back to reading in silence; it would fail only later, and say less.
    if connection.is_readonly("main")? {
        return Err(OpenError::ReadOnly);
    }
    common(&connection, WRITER_CACHE_KIB)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL syncs the WAL at each commit: an acknowledged row survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The automatic checkpoint swallows errors; the writer makes its own.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    common(&connection, READER_CACHE_KIB)?;
    Ok(connection)
}

fn common(connection: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // Without this the planner looks at bound values, for tables with partial indexes too, and each
    // new value of a parameter makes a cached statement be prepared anew.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // Negative is KiB, positive would be pages.
    connection.pragma_update(None, "cache_size", -cache_kib)
}
