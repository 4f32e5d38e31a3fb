//! What can go wrong with the ledger itself. Refusals are values of each call.

/// The ledger could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// No answer, or none in time, and nothing was written.
    #[error("the ledger is unavailable: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
    /// Disk full or read-only: no appends until that is mended. Nothing was written.
    #[error("the ledger cannot be written: {reason}")]
    Full {
        /// What happened.
        reason: String,
    },
    /// A write may or may not have been carried out.
    #[error("the outcome of a ledger write is unknown: {reason}")]
    Unknown {
        /// What happened.
        reason: String,
    },
    /// A row cannot be read, or a call contradicts what the ledger holds (a ticket outside its
    /// lease, a coupon in another lane): a defect or a corrupted file. Nothing was written.
    #[error("the ledger holds what cannot be read: {reason}")]
    Corrupt {
        /// Which row, and what is wrong with it.
        reason: String,
    },
}

impl LedgerError {
    /// A request or a row that breaks what the ledger is built on.
    pub(crate) fn corrupt(reason: impl Into<String>) -> Self {
        Self::Corrupt {
            reason: reason.into(),
        }
    }
}
