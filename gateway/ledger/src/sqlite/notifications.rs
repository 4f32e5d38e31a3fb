//! Messages to shoppers on SQLite.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use sluice_domain::id::{ClaimId, CouponId, NotificationId, Ticket, UserId, Version};
use sluice_domain::notification::{Notification, NotificationKind};
use sluice_domain::time::Timestamp;

use super::SqliteLedger;
use super::failure::{Part, Step};
use super::value::{Instant, Natural};
use crate::LedgerError;
use crate::notifications::{
    Notifications, NotificationsPage, ReminderKey, check_count, page_notifications,
};

const COLUMNS: &str = "id, user, kind, coupon, hash, version, expires_at, lead_ms, at, read_at";

/// Stored for [`NotificationKind::ClaimExpiring`].
const CLAIM_EXPIRING: u8 = 0;

/// A value that no version of this program writes.
fn nonsense(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.into())
}

const fn kind_code(kind: NotificationKind) -> u8 {
    match kind {
        NotificationKind::ClaimExpiring => CLAIM_EXPIRING,
    }
}

fn notification(row: &Row<'_>) -> rusqlite::Result<Notification> {
    let user = row.get_ref(1)?.as_str()?;
    Ok(Notification {
        id: NotificationId(row.get(0)?),
        user: UserId::new(user).map_err(|_syntax| nonsense(1, "is no user id"))?,
        kind: match row.get(2)? {
            CLAIM_EXPIRING => NotificationKind::ClaimExpiring,
            _ => return Err(nonsense(2, "is no kind of message")),
        },
        claim_id: ClaimId::new(CouponId(row.get(3)?), row.get(4)?),
        version: Version(row.get(5)?),
        expires_at: row.get::<_, Instant>(6)?.0,
        lead_ms: row.get::<_, Natural>(7)?.0,
        at: row.get::<_, Instant>(8)?.0,
        read_at: row.get::<_, Option<Instant>>(9)?.map(|instant| instant.0),
    })
}

fn cursor(connection: &Connection, key: ReminderKey) -> Part<Option<Ticket>> {
    let found: Option<Natural> = connection
        .prepare_cached(
            "SELECT ticket FROM reminder_cursors
             WHERE coupon = ?1 AND version = ?2 AND lead_ms = ?3",
        )?
        .query_row(
            params![key.coupon.0, key.version.0, Natural(key.lead_ms)],
            |row| row.get(0),
        )
        .optional()?;
    Ok(found.map(|ticket| Ticket(ticket.0)))
}

fn insert(connection: &Connection, one: &Notification) -> Part<usize> {
    Ok(connection
        .prepare_cached(&format!(
            "INSERT INTO notifications ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING"
        ))?
        .execute(params![
            one.id.0,
            one.user.as_str(),
            kind_code(one.kind),
            one.claim_id.coupon().0,
            one.claim_id.hash(),
            one.version.0,
            Instant(one.expires_at),
            Natural(one.lead_ms),
            Instant(one.at),
            one.read_at.map(Instant),
        ])?)
}

fn remind(
    connection: &Connection,
    key: ReminderKey,
    passed: Ticket,
    notifications: &[Notification],
) -> Step<u64> {
    if cursor(connection, key)?.is_some_and(|at| at >= passed) {
        return Ok(0);
    }
    connection
        .prepare_cached(
            "INSERT INTO reminder_cursors (coupon, version, lead_ms, ticket)
             VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET ticket = ?4",
        )?
        .execute(params![
            key.coupon.0,
            key.version.0,
            Natural(key.lead_ms),
            Natural(passed.0)
        ])?;
    let mut written = 0;
    for one in notifications {
        written += insert(connection, one)? as u64;
    }
    Ok(written)
}

fn page(
    connection: &Connection,
    user: &UserId,
    page: NotificationsPage,
) -> Part<Vec<Notification>> {
    let (at, id) = match page.after {
        Some((at, id)) => (at.as_millis(), id.0),
        None => (i64::MAX, [0xff; 16]),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM notifications WHERE user = ?1 AND (at, id) < (?2, ?3)
         ORDER BY at DESC, id DESC LIMIT ?4"
    ))?;
    let limit = Natural(page_notifications(page.limit) as u64);
    let rows = statement.query_map(params![user.as_str(), at, id, limit], notification)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn mark_read(
    connection: &Connection,
    id: NotificationId,
    user: &UserId,
    at: Timestamp,
) -> Part<Option<Notification>> {
    connection
        .prepare_cached(
            "UPDATE notifications SET read_at = ?3 WHERE id = ?1 AND user = ?2 AND read_at IS NULL",
        )?
        .execute(params![id.0, user.as_str(), Instant(at)])?;
    Ok(connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM notifications WHERE id = ?1 AND user = ?2"
        ))?
        .query_row(params![id.0, user.as_str()], notification)
        .optional()?)
}

#[async_trait::async_trait]
impl Notifications for SqliteLedger {
    async fn reminder_cursor(&self, key: ReminderKey) -> Result<Option<Ticket>, LedgerError> {
        self.read(move |connection| Ok(cursor(connection, key)?))
            .await
    }

    async fn remind(
        &self,
        key: ReminderKey,
        passed: Ticket,
        notifications: &[Notification],
    ) -> Result<u64, LedgerError> {
        check_count(notifications)?;
        let owned = notifications.to_vec();
        self.write(move |connection| remind(connection, key, passed, &owned))
            .await
    }

    async fn notifications(
        &self,
        user: &UserId,
        place: NotificationsPage,
    ) -> Result<Vec<Notification>, LedgerError> {
        let user = *user;
        self.read(move |connection| Ok(page(connection, &user, place)?))
            .await
    }

    async fn mark_read(
        &self,
        id: NotificationId,
        user: &UserId,
        at: Timestamp,
    ) -> Result<Option<Notification>, LedgerError> {
        let user = *user;
        self.write(move |connection| Ok(mark_read(connection, id, &user, at)?))
            .await
    }

    async fn forget_notifications(
        &self,
        expired_before: Timestamp,
        limit: usize,
    ) -> Result<usize, LedgerError> {
        let limit = Natural(page_notifications(limit) as u64);
        self.write(move |connection| {
            Ok(connection
                .prepare_cached(
                    "DELETE FROM notifications WHERE id IN
                       (SELECT id FROM notifications WHERE expires_at < ?1
                        ORDER BY expires_at, id LIMIT ?2)",
                )?
                .execute(params![Instant(expired_before), limit])?)
        })
        .await
    }
}
