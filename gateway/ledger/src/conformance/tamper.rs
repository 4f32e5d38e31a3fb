//! Editing a ledger's file by hand, for tests of what finds it.

use std::path::Path;

/// Runs SQL on a SQLite ledger's file that nobody has open, past every reference between tables.
pub fn tamper(path: &Path, sql: &str) {
    let edit = || {
        let raw = rusqlite::Connection::open(path)?;
        raw.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}"))
    };
    edit().unwrap_or_else(|error| panic!("{sql}: {error}"));
}
