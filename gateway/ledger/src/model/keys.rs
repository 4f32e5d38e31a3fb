//! API keys and the audit log of the model.

use sluice_domain::time::Timestamp;

use super::ModelLedger;
use crate::LedgerError;
use crate::api_keys::{ApiKey, ApiKeys};
use crate::audit_log::{AuditEntry, AuditLog, AuditRow, PAGE_ENTRIES_MAX};

#[async_trait::async_trait]
impl ApiKeys for ModelLedger {
    async fn create_key(&self, key: &ApiKey, entry: AuditEntry) -> Result<(), LedgerError> {
        self.call(|state| {
            if state.keys.contains_key(&key.prefix) {
                let text = format!("key {} exists already", key.prefix);
                return Err(LedgerError::corrupt(text));
            }
            state.keys.insert(key.prefix.clone(), key.clone());
            state.write_audit(entry);
            Ok(())
        })
    }

    async fn key(&self, prefix: &str) -> Result<Option<ApiKey>, LedgerError> {
        self.call(|state| Ok(state.keys.get(prefix).cloned()))
    }

    async fn list_keys(&self) -> Result<Vec<ApiKey>, LedgerError> {
        self.call(|state| {
            let mut keys: Vec<ApiKey> = state.keys.values().cloned().collect();
            keys.sort_by_key(|key| key.created_at);
            Ok(keys)
        })
    }

    async fn revoke_key(
        &self,
        prefix: &str,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<bool, LedgerError> {
        self.call(|state| {
            let Some(key) = state.keys.get_mut(prefix) else {
                return Ok(false);
            };
            if key.revoked_at.is_none() {
                key.revoked_at = Some(at);
                state.write_audit(entry);
            }
            Ok(true)
        })
    }
}

#[async_trait::async_trait]
impl AuditLog for ModelLedger {
    async fn append_audit(&self, entry: AuditEntry) -> Result<(), LedgerError> {
        self.call(|state| {
            state.write_audit(entry);
            Ok(())
        })
    }

    async fn audit_entries(
        &self,
        object: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, LedgerError> {
        self.call(|state| {
            let rows = state.audit.iter().filter(|row| row.sequence > after);
            let rows = rows.filter(|row| object.is_none_or(|object| row.entry.object == object));
            Ok(rows
                .take(limit.clamp(1, PAGE_ENTRIES_MAX))
                .cloned()
                .collect())
        })
    }
}
