//! API keys on CQL, each a document of its own with the audit entry that may be pending.

use serde::{Deserialize, Serialize};
use sluice_domain::time::Timestamp;

use super::audit::Pending;
use super::store::{Reading, back_off, fresh_op};
use super::value::{Record, from_json, values};
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::api_keys::{ApiKey, ApiKeys, Role, Scope};
use crate::audit_log::AuditEntry;
use crate::coupons::change::to_json;

const READ: &str = "SELECT prefix, document, pending_audit, op FROM api_keys WHERE prefix = ?";
const LIST: &str = "SELECT prefix, document, pending_audit, op FROM api_keys";
const MAKE: &str = "INSERT INTO api_keys (prefix, document, pending_audit, op) \
                    VALUES (?, ?, ?, ?) IF NOT EXISTS";
const WRITE: &str =
    "UPDATE api_keys SET document = ?, pending_audit = ?, op = ? WHERE prefix = ? IF op = ?";
const CLEAR: &str = "UPDATE api_keys SET pending_audit = null WHERE prefix = ? \
                     IF pending_audit = ?";

pub(super) const STATEMENTS: &[&str] = &[READ, LIST, MAKE, WRITE, CLEAR];

/// Writers of a key that may be lost against.
const ROUNDS: u32 = 20;

/// A key as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    hash: [u8; 32],
    label: String,
    role: Option<Role>,
    scopes: Vec<Scope>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

fn write(key: &ApiKey) -> Result<String, LedgerError> {
    to_json(&Stored {
        hash: key.hash,
        label: key.label.clone(),
        role: key.role,
        scopes: key.scopes.clone(),
        created_at: key.created_at,
        expires_at: key.expires_at,
        revoked_at: key.revoked_at,
    })
}

fn decode(record: &Record) -> Result<ApiKey, LedgerError> {
    let stored: Stored = record.json("document")?;
    Ok(ApiKey {
        prefix: record.text("prefix")?.to_owned(),
        hash: stored.hash,
        label: stored.label,
        role: stored.role,
        scopes: stored.scopes,
        created_at: stored.created_at,
        expires_at: stored.expires_at,
        revoked_at: stored.revoked_at,
    })
}

// === impl CqlLedger ===

impl CqlLedger {
    /// Records the entry of a key's change; where that fails it stays pending and the next start
    /// records it.
    async fn finish_key(&self, prefix: &str, pending: &Pending) -> Result<(), LedgerError> {
        let recorded = match self.record(pending).await {
            Ok(()) => {
                let clear = values![prefix, to_json(pending)?];
                self.store.cas(CLEAR, clear).await.map(|_cas| ())
            }
            Err(error) => Err(super::failure::Failure::Refused(error)),
        };
        if let Err(error) = recorded {
            tracing::warn!(?error, prefix, "an audit entry is recorded later");
        }
        Ok(())
    }

    /// Records the entries that a process left pending when it ended.
    pub(super) async fn finish_keys(&self) -> Result<(), LedgerError> {
        for record in self.store.rows(LIST, values![], Reading::Quorum).await? {
            if let Some(pending) = record.opt_text("pending_audit")? {
                self.finish_key(record.text("prefix")?, &from_json(pending)?)
                    .await?;
            }
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl ApiKeys for CqlLedger {
    async fn create_key(&self, key: &ApiKey, entry: AuditEntry) -> Result<(), LedgerError> {
        let pending = self.pending(entry)?;
        let op = fresh_op()?;
        let values = values![key.prefix, write(key)?, to_json(&pending)?, op];
        let probe = (READ, values![key.prefix]);
        if !self
            .store
            .write(vec![(MAKE, values)], probe, None, op)
            .await?
        {
            let text = format!("key {} exists already", key.prefix);
            return Err(LedgerError::corrupt(text));
        }
        self.finish_key(&key.prefix, &pending).await
    }

    async fn key(&self, prefix: &str) -> Result<Option<ApiKey>, LedgerError> {
        let record = self
            .store
            .row(READ, values![prefix], Reading::Quorum)
            .await?;
        record.as_ref().map(decode).transpose()
    }

    async fn list_keys(&self) -> Result<Vec<ApiKey>, LedgerError> {
        let records = self.store.rows(LIST, values![], Reading::Quorum).await?;
        let mut keys: Vec<ApiKey> = records.iter().map(decode).collect::<Result<_, _>>()?;
        keys.sort_by(|left, right| {
            let ages = left.created_at.cmp(&right.created_at);
            ages.then_with(|| left.prefix.cmp(&right.prefix))
        });
        Ok(keys)
    }

    async fn revoke_key(
        &self,
        prefix: &str,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<bool, LedgerError> {
        for round in 0..ROUNDS {
            let record = self
                .store
                .row(READ, values![prefix], Reading::Serial)
                .await?;
            let Some(record) = record else {
                return Ok(false);
            };
            if let Some(pending) = record.opt_text("pending_audit")? {
                self.record(&from_json(pending)?).await?;
            }
            let mut key = decode(&record)?;
            if key.revoked_at.is_some() {
                return Ok(true);
            }
            key.revoked_at = Some(at);
            let pending = self.pending(entry.clone())?;
            let (seen, op): ([u8; 16], _) = (record.bytes("op")?, fresh_op()?);
            let values = values![write(&key)?, to_json(&pending)?, op, prefix, seen];
            let probe = (READ, values![prefix]);
            let calls = vec![(WRITE, values)];
            if self.store.write(calls, probe, Some(seen), op).await? {
                self.finish_key(prefix, &pending).await?;
                return Ok(true);
            }
            back_off(round).await;
        }
        Err(crowded("key", prefix))
    }
}
