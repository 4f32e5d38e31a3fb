//! Numbered migrations (see `migrations/sqlite/README.md`).

use rusqlite::{Connection, OptionalExtension, params};

use super::OpenError;

struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// All of them, in order: the first is number 1.
const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "first",
        sql: include_str!("../../migrations/sqlite/0001_first.sql"),
    },
    Migration {
        name: "redemptions",
        sql: include_str!("../../migrations/sqlite/0002_redemptions.sql"),
    },
    Migration {
        name: "shards",
        sql: include_str!("../../migrations/sqlite/0003_shards.sql"),
    },
    Migration {
        name: "causes",
        sql: include_str!("../../migrations/sqlite/0004_causes.sql"),
    },
    Migration {
        name: "notifications",
        sql: include_str!("../../migrations/sqlite/0005_notifications.sql"),
    },
];

/// The schema that this program knows.
pub(super) fn known() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// The schema of a file; 0 for an empty one.
pub(super) fn found(connection: &Connection) -> rusqlite::Result<u32> {
    let table: Option<i64> = connection
        .query_row(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    if table.is_none() {
        return Ok(0);
    }
    connection.query_row(
        "SELECT coalesce(max(version), 0) FROM schema_version",
        [],
        |row| row.get(0),
    )
}

/// Brings a file to the schema that this program knows.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let found = found(connection)?;
    check(found)?;
    let missing = MIGRATIONS
        .iter()
        .zip(1_u32..)
        .filter(|(_, number)| *number > found);
    for (migration, number) in missing {
        let transaction = connection.transaction()?;
        transaction.execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_version
               (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
        )?;
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO schema_version (version, name) VALUES (?1, ?2)",
            params![number, migration.name],
        )?;
        transaction.commit()?;
        tracing::info!(number, name = migration.name, "ledger schema migrated");
    }
    Ok(())
}

/// Refuses a schema that is newer than this program.
pub(super) fn check(found: u32) -> Result<(), OpenError> {
    let known = known();
    if found > known {
        return Err(OpenError::NewerSchema { found, known });
    }
    Ok(())
}
