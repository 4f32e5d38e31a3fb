//! What is fixed when a ledger is made.

use rusqlite::{Connection, OptionalExtension, params};
use sluice_domain::id::LedgerId;
use sluice_domain::lane::LaneCount;

use super::OpenError;
use crate::lanes::LedgerIdentity;

/// Reads the identity, or gives the ledger one with its lanes.
pub(super) fn ensure(
    connection: &mut Connection,
    lanes: LaneCount,
) -> Result<LedgerIdentity, OpenError> {
    let transaction = connection.transaction()?;
    let made: Option<i64> = transaction
        .query_row("SELECT 1 FROM meta", [], |row| row.get(0))
        .optional()?;
    if made.is_none() {
        let (mut id, mut key) = ([0_u8; 16], [0_u8; 32]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut key)?;
        transaction.execute(
            "INSERT INTO meta (only_row, ledger_id, hash_key, lanes) VALUES (1, ?1, ?2, ?3)",
            params![id, key, lanes.get()],
        )?;
        for lane in lanes.iter() {
            transaction.execute("INSERT INTO lanes (lane) VALUES (?1)", params![lane.0])?;
        }
    }
    transaction.commit()?;
    read(connection)
}

/// Reads the identity of a ledger that was made.
pub(super) fn read(connection: &Connection) -> Result<LedgerIdentity, OpenError> {
    let (id, hash_key, lanes): ([u8; 16], [u8; 32], u16) =
        connection.query_row("SELECT ledger_id, hash_key, lanes FROM meta", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let lanes = LaneCount::new(lanes)
        .map_err(|count| OpenError::Identity(format!("it has {count} lanes")))?;
    Ok(LedgerIdentity {
        id: LedgerId(id),
        lanes,
        hash_key,
    })
}
