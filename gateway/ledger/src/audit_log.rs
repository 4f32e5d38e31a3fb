//! The audit log: who did what, append-only, each entry bound to the one before it by a hash.

use sha2::{Digest, Sha256};
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

/// Most entries on a page.
pub const PAGE_ENTRIES_MAX: usize = 1_000;

/// The log.
#[async_trait::async_trait]
pub trait AuditLog: Send + Sync + 'static {
    /// Appends an entry of its own (changes write theirs in their own transaction).
    async fn append_audit(&self, entry: AuditEntry) -> Result<(), LedgerError>;

    /// Entries after a sequence number, oldest first, on one object where given, at most `limit`
    /// (1 to 1,000).
    async fn audit_entries(
        &self,
        object: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, LedgerError>;
}

/// Where a chain stops being one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {sequence} of the audit log {problem}")]
pub struct BrokenChain {
    /// The first entry that does not fit.
    pub sequence: u64,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The hash of an entry: SHA-256 over the hash before it, its number and every field, each with
/// its length, so that no two different entries read the same.
#[must_use]
pub fn chain_hash(previous: &[u8; 32], sequence: u64, entry: &AuditEntry) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(sequence.to_be_bytes());
    hasher.update(entry.at.as_millis().to_be_bytes());
    let fields = [
        &entry.actor,
        &entry.action,
        &entry.object,
        &entry.before,
        &entry.after,
        &entry.request_id,
    ];
    for field in fields {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize().into()
}

/// Whether rows, in order and without a gap, form a chain that follows `previous` (zeros where the
/// first row is number 1).
///
/// # Errors
/// With the first row that was altered, removed or put in between.
pub fn verify_chain(previous: [u8; 32], rows: &[AuditRow]) -> Result<(), BrokenChain> {
    let mut previous = previous;
    let first = rows.first().map_or(1, |row| row.sequence);
    for (expected, row) in (first..).zip(rows) {
        let broken = |problem| BrokenChain {
            sequence: row.sequence,
            problem,
        };
        if row.sequence != expected {
            return Err(broken("does not follow the number before it"));
        }
        if row.previous != previous {
            return Err(broken("does not name the hash of the entry before it"));
        }
        if row.hash != chain_hash(&previous, row.sequence, &row.entry) {
            return Err(broken("was altered: its hash is not that of its fields"));
        }
        previous = row.hash;
    }
    Ok(())
}

impl AuditRow {
    /// The row that follows the last one of a log (`None` for an empty log).
    pub(crate) fn after(last: Option<(u64, [u8; 32])>, entry: AuditEntry) -> Self {
        let (sequence, previous) = last.map_or((1, [0; 32]), |(number, hash)| (number + 1, hash));
        Self {
            sequence,
            previous,
            hash: chain_hash(&previous, sequence, &entry),
            entry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AuditEntry, AuditRow, verify_chain};
    use sluice_domain::time::Timestamp;

    fn chain() -> Vec<AuditRow> {
        let mut rows: Vec<AuditRow> = Vec::new();
        for action in ["coupon.create", "coupon.publish", "coupon.pause"] {
            let last = rows.last().map(|row| (row.sequence, row.hash));
            let entry = AuditEntry {
                at: Timestamp::MIN,
                actor: "cli".to_owned(),
                action: action.to_owned(),
                object: "c".to_owned(),
                before: String::new(),
                after: "{}".to_owned(),
                request_id: String::new(),
            };
            rows.push(AuditRow::after(last, entry));
        }
        rows
    }

    #[test]
    fn a_chain_verifies_until_a_row_is_touched() {
        assert_eq!(verify_chain([0; 32], &chain()), Ok(()));
        let mut moved = chain();
        // The same bytes, cut elsewhere: lengths are part of the hash.
        moved[1].entry.action = "coupon.publishc".to_owned();
        moved[1].entry.object = String::new();
        let mut removed = chain();
        removed.remove(1);
        let mut swapped = chain();
        swapped.swap(0, 1);
        for (broken, sequence) in [(moved, 2), (removed, 3), (swapped, 2)] {
            let found = verify_chain([0; 32], &broken).map_err(|broken| broken.sequence);
            assert_eq!(found, Err(sequence));
        }
    }
}
