//! What an error of SQLite means for a call and for the process.

use rusqlite::ffi;

use crate::LedgerError;

/// Why a step stopped.
pub(super) enum Stop<T> {
    /// Take back what it wrote and answer this: a refusal that is known only after some writing.
    Undo(Box<T>),
    /// Take back what it wrote and answer this error.
    Ledger(LedgerError),
    /// SQLite failed.
    Sql(rusqlite::Error),
}

/// A step of a read or a write.
pub(super) type Step<T> = Result<T, Stop<T>>;

/// A part of a step that has no answer of its own to take back.
pub(super) type Part<T> = Result<T, Broken>;

/// Why a part of a step stopped.
pub(super) enum Broken {
    /// With this error.
    Ledger(LedgerError),
    /// SQLite failed.
    Sql(rusqlite::Error),
}

/// What an error of SQLite calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gravity {
    /// No room or read-only: refuse, say so, try again later.
    Full,
    /// The file or the disk cannot be trusted: the process has to end.
    Fatal,
    /// Another process held the write lock for as long as a write waits: as `Full`.
    Busy,
    /// Nothing was done; the caller may come again.
    Passing,
    /// A row or a statement is wrong: a defect.
    Defect,
}

/// Weighs an error.
pub(super) fn gravity(error: &rusqlite::Error) -> Gravity {
    let Some(error) = error.sqlite_error() else {
        return Gravity::Defect;
    };
    match error.extended_code & 0xff {
        ffi::SQLITE_FULL | ffi::SQLITE_READONLY => Gravity::Full,
        // The index of the WAL could not grow, and no frame was written: the disk is full.
        ffi::SQLITE_IOERR if error.extended_code == ffi::SQLITE_IOERR_SHMSIZE => Gravity::Full,
        ffi::SQLITE_IOERR | ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => Gravity::Fatal,
        ffi::SQLITE_BUSY => Gravity::Busy,
        ffi::SQLITE_LOCKED | ffi::SQLITE_NOMEM | ffi::SQLITE_INTERRUPT | ffi::SQLITE_CANTOPEN => {
            Gravity::Passing
        }
        _ => Gravity::Defect,
    }
}

/// The error that a caller sees. Nothing was written.
pub(super) fn answer(error: &rusqlite::Error) -> LedgerError {
    let reason = describe(error);
    match gravity(error) {
        Gravity::Full => LedgerError::Full { reason },
        Gravity::Busy | Gravity::Passing => LedgerError::Unavailable { reason },
        Gravity::Fatal | Gravity::Defect => LedgerError::Corrupt { reason },
    }
}

/// An error in words, with SQLite's own number for it.
pub(super) fn describe(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(code) => format!("{error} (SQLite result {})", code.extended_code),
        None => error.to_string(),
    }
}

// === impl Stop, Broken ===

impl<T> From<rusqlite::Error> for Stop<T> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl<T> From<LedgerError> for Stop<T> {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl<T> From<Broken> for Stop<T> {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Ledger(error) => Self::Ledger(error),
            Broken::Sql(error) => Self::Sql(error),
        }
    }
}

impl From<rusqlite::Error> for Broken {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<LedgerError> for Broken {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}
