//! The audit log: who did what, append-only, each entry bound to the one before it by a hash.

use sluice_domain::time::Timestamp;

use crate::LedgerError;

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: `key:<prefix>`, or `cli`, or `system`.
    pub actor: String,
    /// What: `coupon.publish`, `key.create` …
    pub action: String,
    /// On what: a coupon id, a key's prefix, a lane.
    pub object: String,
    /// The document before, as JSON; empty where there was none.
    pub before: String,
    /// The document after, as JSON; empty where there is none.
    pub after: String,
    /// The request it came with.
    pub request_id: String,
}

/// An entry as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Running number from 1, without a gap.
    pub sequence: u64,
    /// What was recorded.
    pub entry: AuditEntry,
    /// Hash of the entry before; zeros for the first.
    pub previous: [u8; 32],
    /// SHA-256 over `previous` and every field of the entry, each with its length.
    pub hash: [u8; 32],
}

/// The log.
#[async_trait::async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// Appends an entry of its own (changes write theirs in their own transaction).
    async fn append_audit(&self, entry: AuditEntry) -> Result<(), LedgerError>;

    /// Entries after a sequence number, oldest first, on one object where given.
    async fn audit_entries(
        &self,
        object: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, LedgerError>;
}
