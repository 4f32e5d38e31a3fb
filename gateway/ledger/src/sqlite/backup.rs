//! A copy of the ledger's file, made beside the process that serves it.
//!
//! The copy is one state of the ledger: all of it is read in one transaction, while the writer goes
//! on. It is made under another name, checked, synced and only then given its own, so whatever
//! stops in between leaves no file that looks like a backup.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use sluice_domain::id::{Epoch, LaneId, LedgerId};

use super::{OpenError, SqliteLedger, connection};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// Bytes of the file.
    pub bytes: u64,
    /// The ledger that it is a copy of.
    pub ledger: LedgerId,
    /// Claims in it, revoked ones too.
    pub claims: u64,
    /// How far each lane had come: its epoch and its number, which hot state compares with when the
    /// copy is served.
    pub lanes: Vec<(LaneId, Epoch, u64)>,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is overwritten.
    #[error("{0} is there already; a backup overwrites nothing")]
    Exists(PathBuf),
    /// The ledger, or the copy of it, cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// SQLite could not copy or check it.
    #[error("the copy failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The copy is damaged, and so may be the ledger.
    #[error(
        "the copy is not sound and was thrown away ({0}): look at the ledger and its disk now, and \
         keep older backups"
    )]
    Damaged(String),
    /// The folder or its disk.
    #[error("the copy cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// Copies the ledger in the file `from` to the new file `to`, and checks the copy.
///
/// The copy is for its owner alone. Checked are its pages, its references, and that this program
/// reads it. Blocks as long as that takes; the process that serves `from` goes on, and its log grows
/// meanwhile.
///
/// # Errors
/// See [`BackupError`]; then `to` was not made.
pub fn backup(from: &Path, to: &Path) -> Result<BackupReport, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    // Says in its own words where it is no ledger, or one of another version.
    drop(SqliteLedger::open_read_only(from)?);
    let partial = partial_name(to);
    // One that was left by a backup that was cut off.
    remove(&partial)?;
    let done = copy(from, &partial)
        .and_then(|()| check(&partial))
        .and_then(|report| publish(&partial, to).map(|()| report));
    remove(&partial)?;
    done
}

fn partial_name(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _gone => Ok(()),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    // It holds the keys of the ledger: nobody else reads it, not for a moment.
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    let source = connection::reader(from)?;
    let mut target = Connection::open(to)?;
    // All pages in one step: one state. In several, each commit of the writer would start it over.
    let done = Backup::new(&source, &mut target)?.step(-1)?;
    if !matches!(done, StepResult::Done) {
        return Err(BackupError::Damaged(format!("it ended with {done:?}")));
    }
    // One file without a log beside it, that can be carried anywhere.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    drop(target);
    File::open(to)?.sync_all()?;
    Ok(())
}

fn check(copy: &Path) -> Result<BackupReport, BackupError> {
    let connection = connection::reader(copy)?;
    let sound: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(BackupError::Damaged(sound));
    }
    let stray: Option<String> = {
        let mut check = connection.prepare("PRAGMA foreign_key_check")?;
        let mut rows = check.query([])?;
        rows.next()?.map(|row| row.get(0)).transpose()?
    };
    if let Some(table) = stray {
        return Err(BackupError::Damaged(format!("{table} refers to nothing")));
    }
    let ledger = SqliteLedger::open_read_only(copy)?;
    let mut lanes = connection.prepare("SELECT lane, epoch, seq FROM lanes ORDER BY lane")?;
    let lanes = lanes.query_map([], |row| {
        Ok((
            LaneId(row.get(0)?),
            Epoch(row.get::<_, i64>(1)?.unsigned_abs()),
            row.get::<_, i64>(2)?.unsigned_abs(),
        ))
    })?;
    let claims: i64 = connection.query_row("SELECT count(*) FROM claims", [], |row| row.get(0))?;
    Ok(BackupReport {
        bytes: fs::metadata(copy)?.len(),
        ledger: ledger.identity.id,
        claims: claims.unsigned_abs(),
        lanes: lanes.collect::<Result<_, _>>()?,
    })
}

/// Gives the copy its name, unless somebody else took it meanwhile.
fn publish(partial: &Path, to: &Path) -> Result<(), BackupError> {
    match fs::hard_link(partial, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BackupError::Exists(to.to_owned()));
        }
        linked => linked?,
    }
    // The name is as durable as the file.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}
