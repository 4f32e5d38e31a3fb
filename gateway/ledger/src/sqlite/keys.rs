//! API keys and the audit log on SQLite.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sluice_domain::time::Timestamp;

use super::SqliteLedger;
use super::failure::Part;
use super::value::{Instant, Natural};
use crate::LedgerError;
use crate::api_keys::{ApiKey, ApiKeys};
use crate::audit_log::{AuditEntry, AuditLog, AuditRow, PAGE_ENTRIES_MAX};
use crate::coupons::change::to_json;

const KEY_COLUMNS: &str = "prefix, hash, label, role, scopes, created_at, expires_at, revoked_at";

/// Appends an entry to the log, in the caller's transaction.
pub(super) fn write_audit(connection: &Connection, entry: AuditEntry) -> Part<()> {
    let last = connection
        .prepare_cached("SELECT sequence, hash FROM audit_log ORDER BY sequence DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get::<_, Natural>(0)?.0, row.get(1)?)))
        .optional()?;
    let row = AuditRow::after(last, entry);
    connection
        .prepare_cached(
            "INSERT INTO audit_log (sequence, at, actor, action, object, before, after,
                                    request_id, previous, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            Natural(row.sequence),
            Instant(row.entry.at),
            row.entry.actor,
            row.entry.action,
            row.entry.object,
            row.entry.before,
            row.entry.after,
            row.entry.request_id,
            row.previous,
            row.hash,
        ])?;
    Ok(())
}

fn audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        sequence: row.get::<_, Natural>(0)?.0,
        entry: AuditEntry {
            at: row.get::<_, Instant>(1)?.0,
            actor: row.get(2)?,
            action: row.get(3)?,
            object: row.get(4)?,
            before: row.get(5)?,
            after: row.get(6)?,
            request_id: row.get(7)?,
        },
        previous: row.get(8)?,
        hash: row.get(9)?,
    })
}

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let unreadable = |column: usize, error: serde_json::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
    };
    let instant = |column: usize| -> rusqlite::Result<Option<Timestamp>> {
        Ok(row.get::<_, Option<Instant>>(column)?.map(|value| value.0))
    };
    Ok(ApiKey {
        prefix: row.get(0)?,
        hash: row.get(1)?,
        label: row.get(2)?,
        role: serde_json::from_str(row.get_ref(3)?.as_str()?)
            .map_err(|error| unreadable(3, error))?,
        scopes: serde_json::from_str(row.get_ref(4)?.as_str()?)
            .map_err(|error| unreadable(4, error))?,
        created_at: row.get::<_, Instant>(5)?.0,
        expires_at: instant(6)?,
        revoked_at: instant(7)?,
    })
}

fn find_key(connection: &Connection, prefix: &str) -> Part<Option<ApiKey>> {
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {KEY_COLUMNS} FROM api_keys WHERE prefix = ?1"
        ))?
        .query_row(params![prefix], api_key)
        .optional()?)
}

fn insert_key(connection: &Connection, key: &ApiKey) -> Part<()> {
    if find_key(connection, &key.prefix)?.is_some() {
        return Err(LedgerError::corrupt(format!("key {} exists already", key.prefix)).into());
    }
    connection
        .prepare_cached(&format!(
            "INSERT INTO api_keys ({KEY_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        ))?
        .execute(params![
            key.prefix,
            key.hash,
            key.label,
            to_json(&key.role)?,
            to_json(&key.scopes)?,
            Instant(key.created_at),
            key.expires_at.map(Instant),
            key.revoked_at.map(Instant),
        ])?;
    Ok(())
}

#[async_trait::async_trait]
impl ApiKeys for SqliteLedger {
    async fn create_key(&self, key: &ApiKey, entry: AuditEntry) -> Result<(), LedgerError> {
        let key = key.clone();
        self.write(move |connection| {
            insert_key(connection, &key)?;
            Ok(write_audit(connection, entry)?)
        })
        .await
    }

    async fn key(&self, prefix: &str) -> Result<Option<ApiKey>, LedgerError> {
        let prefix = prefix.to_owned();
        self.read(move |connection| Ok(find_key(connection, &prefix)?))
            .await
    }

    async fn list_keys(&self) -> Result<Vec<ApiKey>, LedgerError> {
        self.read(move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {KEY_COLUMNS} FROM api_keys ORDER BY created_at, prefix"
            ))?;
            let keys = statement.query_map([], api_key)?;
            Ok(keys.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }

    async fn revoke_key(
        &self,
        prefix: &str,
        at: Timestamp,
        entry: AuditEntry,
    ) -> Result<bool, LedgerError> {
        let prefix = prefix.to_owned();
        self.write(move |connection| {
            let Some(key) = find_key(connection, &prefix)? else {
                return Ok(false);
            };
            if key.revoked_at.is_none() {
                connection
                    .prepare_cached("UPDATE api_keys SET revoked_at = ?2 WHERE prefix = ?1")?
                    .execute(params![prefix, Instant(at)])?;
                write_audit(connection, entry)?;
            }
            Ok(true)
        })
        .await
    }
}

#[async_trait::async_trait]
impl AuditLog for SqliteLedger {
    async fn append_audit(&self, entry: AuditEntry) -> Result<(), LedgerError> {
        self.write(move |connection| Ok(write_audit(connection, entry)?))
            .await
    }

    async fn audit_entries(
        &self,
        object: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditRow>, LedgerError> {
        let object = object.map(str::to_owned);
        let limit = limit.clamp(1, PAGE_ENTRIES_MAX) as u64;
        self.read(move |connection| {
            let condition = object.as_ref().map_or("?2 IS NULL", |_| "object = ?2");
            let mut statement = connection.prepare_cached(&format!(
                "SELECT sequence, at, actor, action, object, before, after, request_id, previous,
                        hash
                 FROM audit_log WHERE sequence > ?1 AND {condition} ORDER BY sequence LIMIT ?3"
            ))?;
            let rows =
                statement.query_map(params![Natural(after), object, Natural(limit)], audit_row)?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
        .await
    }
}
