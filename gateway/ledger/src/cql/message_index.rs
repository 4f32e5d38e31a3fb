//! Index rows of messages: by user, and by the end of the claims they are about. They are written
//! before the message that they lead to, and name the step that wrote it, so that a row which is
//! dropped is never needed again: what comes later is of another step.

use futures_util::{StreamExt, TryStreamExt};
use sluice_domain::id::{NotificationId, UserId};
use sluice_domain::notification::Notification;
use sluice_domain::time::Timestamp;

use super::CqlLedger;
use super::store::{Call, Reading};
use super::value::{Record, values};
use crate::LedgerError;

const LIST: &str = "INSERT INTO notifications_of_user (user_id, at, id, op) VALUES (?, ?, ?, ?) \
                    USING TIMESTAMP ?";
const LISTED: &str = "SELECT at, id, op FROM notifications_of_user \
                      WHERE user_id = ? AND (at, id, op) < (?, ?, ?)";
const UNLIST: &str = "DELETE FROM notifications_of_user USING TIMESTAMP ? \
                      WHERE user_id = ? AND at = ? AND id = ? AND op = ?";
const SLOT: &str = "INSERT INTO due_slots (name, slot) VALUES ('message', ?) USING TIMESTAMP ?";
const SLOTS: &str = "SELECT slot FROM due_slots WHERE name = 'message' AND slot <= ?";
const DROP_SLOT: &str =
    "DELETE FROM due_slots USING TIMESTAMP ? WHERE name = 'message' AND slot = ?";
const DUE: &str = "INSERT INTO notifications_due (slot, bucket, expires_at, id, op) \
                   VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
const OF_SLOT: &str = "SELECT expires_at, id, op FROM notifications_due \
                       WHERE slot = ? AND bucket = ? AND (expires_at, id, op) > (?, ?, ?)";
const DROP_DUE: &str = "DELETE FROM notifications_due USING TIMESTAMP ? \
                        WHERE slot = ? AND bucket = ? AND expires_at = ? AND id = ? AND op = ?";

pub(super) const STATEMENTS: &[&str] = &[
    LIST, LISTED, UNLIST, SLOT, SLOTS, DROP_SLOT, DUE, OF_SLOT, DROP_DUE,
];

const SLOT_MILLIS: i64 = 3_600_000;
/// Partitions of a slot: the claims of a coupon may all end at one instant.
const BUCKETS: u8 = 32;
/// How long rows that lead nowhere are kept: far longer than a message may be under way.
const KEPT_MILLIS: i64 = 86_400_000;
/// What these rows say never changes: they are written under one stamp, and dropped under the next.
const WRITTEN: i64 = 1;
const DROPPED: i64 = 2;

/// Where a message stands in an index: by user at the instant of its writing, or by the end of its
/// claim at that.
#[derive(Debug, Clone)]
pub(super) struct Place {
    user: Option<UserId>,
    at: Timestamp,
    expires_at: Timestamp,
    pub(super) id: NotificationId,
    /// The step that wrote it.
    pub(super) op: [u8; 16],
}

const fn slot_of(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(SLOT_MILLIS)
}

const fn bucket_of(id: NotificationId) -> u8 {
    id.0[0] % BUCKETS
}

fn decode(record: &Record, instant: &str) -> Result<Place, LedgerError> {
    let at = record.instant(instant)?;
    Ok(Place {
        user: None,
        at,
        expires_at: at,
        id: NotificationId(record.bytes("id")?),
        op: record.bytes("op")?,
    })
}

// === impl Place ===

impl Place {
    /// The places of a message that a step writes.
    pub(super) const fn of(one: &Notification, op: [u8; 16]) -> Self {
        Self {
            user: Some(one.user),
            at: one.at,
            expires_at: one.expires_at,
            id: one.id,
            op,
        }
    }

    /// Right before a page of a user's messages.
    pub(super) fn before(after: Option<(Timestamp, NotificationId)>) -> Self {
        let newest = (Timestamp::from_millis(i64::MAX), NotificationId([0xff; 16]));
        let op = after.map_or([0xff; 16], |_after| [0; 16]);
        let (at, id) = after.unwrap_or(newest);
        Self {
            user: None,
            at,
            expires_at: at,
            id,
            op,
        }
    }

    fn order(&self) -> (Timestamp, NotificationId, [u8; 16]) {
        (self.expires_at, self.id, self.op)
    }

    /// Writes the rows of a message.
    pub(super) fn insert_calls(&self) -> Vec<Call> {
        let (slot, bucket) = (slot_of(self.expires_at), bucket_of(self.id));
        let due = values![slot, bucket, self.expires_at, self.id.0, self.op, WRITTEN];
        let list = values![self.user, self.at, self.id.0, self.op, WRITTEN];
        vec![(SLOT, values![slot, WRITTEN]), (DUE, due), (LIST, list)]
    }

    /// Drops the rows of a message, but not the slot.
    pub(super) fn drop_calls(&self) -> Vec<Call> {
        let unlist = values![DROPPED, self.user, self.at, self.id.0, self.op];
        vec![(UNLIST, unlist), self.drop_due()]
    }

    fn drop_due(&self) -> Call {
        let (slot, bucket) = (slot_of(self.expires_at), bucket_of(self.id));
        let values = values![DROPPED, slot, bucket, self.expires_at, self.id.0, self.op];
        (DROP_DUE, values)
    }

    /// Drops the row of an end that leads nowhere, if nothing can be under way to it any more.
    pub(super) fn drop_due_if_old(&self, now: Timestamp) -> Option<Call> {
        let old = self.expires_at.as_millis() + KEPT_MILLIS < now.as_millis();
        old.then(|| self.drop_due())
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    /// A user's places after one, newest first, at most `limit`.
    pub(super) async fn places_of_user(
        &self,
        user: &UserId,
        after: &Place,
        limit: usize,
    ) -> Result<Vec<Place>, LedgerError> {
        let key = values![user, after.at, after.id.0, after.op];
        let rows = self.store.rows_at_most(LISTED, key, Reading::Quorum, limit);
        let rows = rows.await?;
        rows.iter().map(|record| decode(record, "at")).collect()
    }

    /// The slots in which ends before an instant may stand, oldest first.
    pub(super) async fn message_slots(&self, before: Timestamp) -> Result<Vec<i64>, LedgerError> {
        let last = values![slot_of(before)];
        let slots = self.store.rows(SLOTS, last, Reading::Quorum).await?;
        slots.iter().map(|record| record.number("slot")).collect()
    }

    /// The places of a slot whose ends are before an instant, after one, oldest first, at most
    /// `limit`.
    pub(super) async fn places_due(
        &self,
        slot: i64,
        before: Timestamp,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<Place>, LedgerError> {
        let first = (
            Timestamp::from_millis(i64::MIN),
            NotificationId([0; 16]),
            [0; 16],
        );
        let (at, id, op) = after.map_or(first, Place::order);
        let mut reads = Vec::with_capacity(usize::from(BUCKETS));
        for bucket in 0..BUCKETS {
            let key = values![slot, bucket, at, id.0, op];
            reads.push(
                self.store
                    .rows_at_most(OF_SLOT, key, Reading::Quorum, limit),
            );
        }
        let found = futures_util::stream::iter(reads).buffered(usize::from(BUCKETS));
        let found: Vec<Vec<Record>> = found.try_collect().await?;
        let places = found.iter().flatten();
        let places = places.map(|record| decode(record, "expires_at"));
        let mut places: Vec<Place> = places.collect::<Result<_, _>>()?;
        places.retain(|place| place.expires_at < before);
        places.sort_unstable_by_key(Place::order);
        places.truncate(limit);
        Ok(places)
    }

    /// Drops a slot that was gone through, once no message can be under way to it any more.
    pub(super) async fn drop_old_slot(&self, slot: i64, now: Timestamp) -> Result<(), LedgerError> {
        let end = slot.saturating_add(1).saturating_mul(SLOT_MILLIS);
        if end.saturating_add(KEPT_MILLIS) >= now.as_millis() {
            return Ok(());
        }
        let gone = vec![(DROP_SLOT, values![DROPPED, slot])];
        self.store.upserts(gone).await
    }
}
