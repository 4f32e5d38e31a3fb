//! Values between Rust and SQLite.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sluice_domain::time::Timestamp;

/// A number without sign. SQLite's integers end at 2^63 - 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Natural(pub(super) u64);

/// An instant, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Instant(pub(super) Timestamp);

// === impl Natural ===

impl ToSql for Natural {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = i64::try_from(self.0)
            .map_err(|range| rusqlite::Error::ToSqlConversionFailure(Box::new(range)))?;
        Ok(ToSqlOutput::from(value))
    }
}

impl FromSql for Natural {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let value = value.as_i64()?;
        u64::try_from(value)
            .map(Self)
            .map_err(|_negative| FromSqlError::OutOfRange(value))
    }
}

// === impl Instant ===

impl ToSql for Instant {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.as_millis()))
    }
}

impl FromSql for Instant {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Timestamp::from_millis).map(Self)
    }
}
