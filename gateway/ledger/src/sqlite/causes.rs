//! Causes on SQLite.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sluice_domain::cause::{CAUSES_PER_ORDER_MAX, Cause, CauseState};
use sluice_domain::id::{ClaimId, CouponId, OrderId, UserId};
use sluice_domain::time::Timestamp;

use super::SqliteLedger;
use super::failure::{Part, Step};
use super::keys::write_audit;
use super::value::Instant;
use crate::LedgerError;
use crate::audit_log::AuditEntry;
use crate::causes::{CauseSettled, Causes, Intended, OrderCauses, check_settlement};

const STATES: [CauseState; 5] = [
    CauseState::Intended,
    CauseState::Granted,
    CauseState::Refused,
    CauseState::Revoked,
    CauseState::Flagged,
];

/// A state as it is stored.
const fn state_code(state: CauseState) -> u8 {
    match state {
        CauseState::Intended => 0,
        CauseState::Granted => 1,
        CauseState::Refused => 2,
        CauseState::Revoked => 3,
        CauseState::Flagged => 4,
    }
}

/// A value that no version of this program writes.
fn nonsense(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}

fn state(column: usize, code: u8) -> rusqlite::Result<CauseState> {
    let mut all = STATES.into_iter();
    all.find(|state| state_code(*state) == code)
        .ok_or_else(|| nonsense(column, "is no state of a cause"))
}

fn cancelled_at(connection: &Connection, order: &OrderId) -> Part<Option<Timestamp>> {
    let found: Option<Instant> = connection
        .prepare_cached("SELECT at FROM cancelled_orders WHERE order_id = ?1")?
        .query_row(params![order.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.map(|instant| instant.0))
}

fn find_state(
    connection: &Connection,
    order: &OrderId,
    claim_id: ClaimId,
) -> Part<Option<CauseState>> {
    Ok(connection
        .prepare_cached(
            "SELECT state FROM causes WHERE order_id = ?1 AND coupon = ?2 AND hash = ?3",
        )?
        .query_row(
            params![order.as_str(), claim_id.coupon().0, claim_id.hash()],
            |row| state(0, row.get(0)?),
        )
        .optional()?)
}

fn cause(row: &Row<'_>, order: &OrderId) -> rusqlite::Result<Cause> {
    let user = row.get_ref(2)?.as_str()?;
    Ok(Cause {
        order: order.clone(),
        claim_id: ClaimId::new(CouponId(row.get(0)?), row.get(1)?),
        user: UserId::new(user).map_err(|_syntax| nonsense(2, "is no user id"))?,
        at: row.get::<_, Instant>(3)?.0,
        state: state(4, row.get(4)?)?,
    })
}

fn causes_of(connection: &Connection, order: &OrderId) -> Part<Vec<Cause>> {
    let mut statement = connection.prepare_cached(
        "SELECT coupon, hash, user, at, state FROM causes
         WHERE order_id = ?1 ORDER BY coupon, hash",
    )?;
    let rows = statement.query_map(params![order.as_str()], |row| cause(row, order))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn intend(connection: &Connection, cause: &Cause) -> Step<Intended> {
    if cancelled_at(connection, &cause.order)?.is_some() {
        return Ok(Intended::OrderCancelled);
    }
    match find_state(connection, &cause.order, cause.claim_id)? {
        None if causes_of(connection, &cause.order)?.len() >= CAUSES_PER_ORDER_MAX => {
            return Ok(Intended::TooMany);
        }
        None | Some(CauseState::Refused) => {}
        Some(_further) => return Ok(Intended::Done),
    }
    connection
        .prepare_cached(
            "INSERT INTO causes (order_id, coupon, hash, user, at, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET user = ?4, at = ?5, state = ?6",
        )?
        .execute(params![
            cause.order.as_str(),
            cause.claim_id.coupon().0,
            cause.claim_id.hash(),
            cause.user.as_str(),
            Instant(cause.at),
            state_code(cause.state),
        ])?;
    Ok(Intended::Done)
}

fn settle(
    connection: &Connection,
    order: &OrderId,
    claim_id: ClaimId,
    to: CauseState,
    entry: Option<AuditEntry>,
) -> Step<CauseSettled> {
    let is_cancelled = cancelled_at(connection, order)?.is_some();
    let held = find_state(connection, order, claim_id)?;
    let settled = check_settlement(held, to, is_cancelled, order)?;
    if settled != CauseSettled::Done {
        return Ok(settled);
    }
    connection
        .prepare_cached(
            "UPDATE causes SET state = ?4 WHERE order_id = ?1 AND coupon = ?2 AND hash = ?3",
        )?
        .execute(params![
            order.as_str(),
            claim_id.coupon().0,
            claim_id.hash(),
            state_code(to)
        ])?;
    if let Some(entry) = entry {
        write_audit(connection, entry)?;
    }
    Ok(settled)
}

#[async_trait::async_trait]
impl Causes for SqliteLedger {
    async fn order_causes(&self, order: &OrderId) -> Result<OrderCauses, LedgerError> {
        let order = order.clone();
        self.read(move |connection| {
            Ok(OrderCauses {
                cancelled_at: cancelled_at(connection, &order)?,
                causes: causes_of(connection, &order)?,
            })
        })
        .await
    }

    async fn intend(&self, cause: &Cause) -> Result<Intended, LedgerError> {
        let cause = cause.clone();
        self.write(move |connection| intend(connection, &cause))
            .await
    }

    async fn settle_cause(
        &self,
        order: &OrderId,
        claim_id: ClaimId,
        to: CauseState,
        entry: Option<AuditEntry>,
    ) -> Result<CauseSettled, LedgerError> {
        let order = order.clone();
        self.write(move |connection| settle(connection, &order, claim_id, to, entry))
            .await
    }

    async fn cancel_order(&self, order: &OrderId, at: Timestamp) -> Result<Timestamp, LedgerError> {
        let order = order.clone();
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO cancelled_orders (order_id, at) VALUES (?1, ?2)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![order.as_str(), Instant(at)])?;
            let first = cancelled_at(connection, &order)?;
            Ok(first.unwrap_or(at))
        })
        .await
    }
}
