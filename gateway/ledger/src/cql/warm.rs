//! A conditional statement for each table that is written by them, before anybody needs one: some
//! servers make what such a table needs (`<table>$paxos` on ScyllaDB) at the first.

use super::failure::{self, Failure};
use super::store::Store;
use super::value::values;
use crate::LedgerError;

/// On conditions that never hold, of rows that are never there: they write nothing.
pub(super) const STATEMENTS: &[&str] = &[
    "UPDATE meta SET lanes = 0 WHERE name = '-' IF op = 0x00",
    "UPDATE lanes SET seq = 0 WHERE lane = -1 IF op = 0x00",
    "UPDATE coupons SET retired = false WHERE coupon = -1 IF op = 0x00",
    "UPDATE words SET revision = 0 WHERE word = '-' IF op = 0x00",
    "UPDATE lease_claims SET row_count = 0 WHERE coupon = -1 AND lease = -1 IF op = 0x00",
    "UPDATE dead_letters SET given = 0 WHERE lane = -1 IF op = 0x00",
    "UPDATE operations SET status = 0 WHERE scope = '-' AND key = '-' IF op = 0x00",
    "UPDATE api_keys SET document = '' WHERE prefix = '-' IF op = 0x00",
    "UPDATE audit_log SET at = 0 WHERE bucket = -1 AND sequence = -1 IF op = 0x00",
    "UPDATE redemptions SET finished = true WHERE id = 0x00 IF attempt = 0x00",
    "UPDATE cells SET version = 0 WHERE kind = '-' AND key = '-' IF owner = 0x00",
    "UPDATE order_causes SET cancelled_at = 0 WHERE order_id = '-' IF op = 0x00",
    "UPDATE reminder_cursors SET ticket = 0 \
     WHERE coupon = -1 AND version = -1 AND lead_ms = -1 IF op = 0x00",
    "UPDATE notifications SET read_at = 0 WHERE id = 0x00 IF op = 0x00",
];

/// Sends all of them.
pub(super) async fn warm(store: &Store) -> Result<(), LedgerError> {
    for text in STATEMENTS {
        match store.cas(text, values![]).await {
            Ok(_refused) => {}
            // The next one finds the table warm, or its own trouble.
            Err(Failure::Uncertain(reason)) => tracing::debug!(reason, text, "a table warms up"),
            Err(Failure::Refused(error)) => return Err(failure::unavailable(&error)),
        }
    }
    Ok(())
}
