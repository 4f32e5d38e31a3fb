//! The audit log on CQL: entries in buckets, each inserted on the condition that its number is
//! free, so that the chain grows by one row at a time whoever writes.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sluice_domain::time::Timestamp;

use super::failure::{self, Failure};
use super::store::{Cas, Reading, Store, back_off, fresh_op};
use super::value::{Record, values};
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::audit_log::{AuditEntry, AuditLog, AuditRow, PAGE_ENTRIES_MAX};

/// Entries of a bucket, which is one partition.
const BUCKET_ENTRIES: u64 = 4_096;
/// Numbers that a writer may lose to others.
const ROUNDS: u32 = 60;

const READ: &str = "SELECT sequence, at, actor, action, object, before, after, request_id, \
                    previous, hash, op FROM audit_log WHERE bucket = ? AND sequence > ?";
const INSERT: &str = "INSERT INTO audit_log (bucket, sequence, at, actor, action, object, before, \
                      after, request_id, previous, hash, op) \
                      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";

pub(super) const STATEMENTS: &[&str] = &[READ, INSERT];

/// An entry that is to be recorded once: `op` names it, and it is not among the first `from`
/// entries of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    op: [u8; 16],
    from: u64,
    at: i64,
    actor: String,
    action: String,
    object: String,
    before: String,
    after: String,
    request_id: String,
}

/// A number that the log is known to have reached.
#[derive(Debug, Default)]
pub(super) struct Head(AtomicU64);

const fn bucket_of(sequence: u64) -> u64 {
    sequence.saturating_sub(1) / BUCKET_ENTRIES
}

fn decode(record: &Record) -> Result<(AuditRow, [u8; 16]), LedgerError> {
    let text = |name| record.text(name).map(str::to_owned);
    let row = AuditRow {
        sequence: record.number("sequence")?,
        entry: AuditEntry {
            at: record.instant("at")?,
            actor: text("actor")?,
            action: text("action")?,
            object: text("object")?,
            before: text("before")?,
            after: text("after")?,
            request_id: text("request_id")?,
        },
        previous: record.bytes("previous")?,
        hash: record.bytes("hash")?,
    };
    Ok((row, record.bytes("op")?))
}

/// The last entry of the log, by walking its buckets.
pub(super) async fn find_head(store: &Store) -> Result<Head, LedgerError> {
    let mut last = 0;
    for bucket in 0_u64.. {
        let rows = store.rows(READ, values![bucket, 0_u64], Reading::Quorum);
        let rows = rows.await?;
        let Some(row) = rows.last() else { break };
        last = row.number("sequence")?;
    }
    Ok(Head(AtomicU64::new(last)))
}

// === impl Pending ===

impl Pending {
    fn entry(&self) -> AuditEntry {
        AuditEntry {
            at: Timestamp::from_millis(self.at),
            actor: self.actor.clone(),
            action: self.action.clone(),
            object: self.object.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            request_id: self.request_id.clone(),
        }
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    /// An entry that is to be recorded once.
    pub(super) fn pending(&self, entry: AuditEntry) -> Result<Pending, LedgerError> {
        Ok(Pending {
            op: fresh_op()?,
            from: self.audit_head.0.load(Ordering::Acquire),
            at: entry.at.as_millis(),
            actor: entry.actor,
            action: entry.action,
            object: entry.object,
            before: entry.before,
            after: entry.after,
            request_id: entry.request_id,
        })
    }

    /// Records an entry once, however often and by however many it is recorded: whoever does walks
    /// from the same place and finds it where it is there.
    pub(super) async fn record(&self, pending: &Pending) -> Result<(), LedgerError> {
        let (mut last, mut hash) = (pending.from, None);
        for round in 0..ROUNDS {
            // The entry walked from is read too, for its hash.
            let first = if hash.is_none() {
                last.saturating_sub(1)
            } else {
                last
            };
            for (row, op) in self.entries_after(first, Reading::Serial).await? {
                if op == pending.op {
                    self.audit_head.0.fetch_max(row.sequence, Ordering::AcqRel);
                    return Ok(());
                }
                (last, hash) = (row.sequence, Some(row.hash));
            }
            let row = AuditRow::after(hash.map(|hash| (last, hash)), pending.entry());
            match self.insert(&row, pending.op).await {
                Ok(Cas::Applied) => {
                    self.audit_head.0.fetch_max(row.sequence, Ordering::AcqRel);
                    return Ok(());
                }
                Ok(Cas::Refused) => {}
                Err(Failure::Refused(error)) => return Err(error),
                // The next round finds it, or inserts it where it is not.
                Err(Failure::Uncertain(reason)) => tracing::debug!(reason, "an audit entry again"),
            }
            back_off(round).await;
        }
        Err(crowded("the audit log", "of the ledger"))
    }

    async fn insert(&self, row: &AuditRow, op: [u8; 16]) -> Result<Cas, Failure> {
        let entry = &row.entry;
        let values = values![
            bucket_of(row.sequence),
            row.sequence,
            entry.at,
            entry.actor,
            entry.action,
            entry.object,
            entry.before,
            entry.after,
            entry.request_id,
            row.previous,
            row.hash,
            op
        ];
        self.store.cas(INSERT, values).await
    }

    /// The rest of the log after an entry: to the end of the first bucket that is not full.
    async fn entries_after(
        &self,
        after: u64,
        reading: Reading,
    ) -> Result<Vec<(AuditRow, [u8; 16])>, LedgerError> {
        let mut rows = Vec::new();
        for bucket in bucket_of(after + 1).. {
            let records = self
                .store
                .rows(READ, values![bucket, after], reading)
                .await?;
            for record in &records {
                rows.push(decode(record)?);
            }
            let full = rows.last().map(|(row, _op)| row.sequence);
            if full != Some((bucket + 1) * BUCKET_ENTRIES) {
                break;
            }
        }
        Ok(rows)
    }
}

#[async_trait::async_trait]
impl AuditLog for CqlLedger {
    async fn append_audit(&self, entry: AuditEntry) -> Result<(), LedgerError> {
        let recorded = self.record(&self.pending(entry)?).await;
        // Whether an entry of its own is in the log is not known after a failure half-way.
        recorded.map_err(|error| match error {
            LedgerError::Unavailable { reason } => failure::unknown(reason),
            other => other,
        })
    }

    async fn audit_entries(
        &self,
        object: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, LedgerError> {
        let limit = limit.clamp(1, PAGE_ENTRIES_MAX);
        let mut found = Vec::new();
        for bucket in bucket_of(after + 1).. {
            let key = values![bucket, after];
            let records = self.store.rows(READ, key, Reading::Quorum).await?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                let (row, _op) = decode(record)?;
                if object.is_none_or(|object| row.entry.object == object) {
                    found.push(row);
                }
                if found.len() == limit {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}
