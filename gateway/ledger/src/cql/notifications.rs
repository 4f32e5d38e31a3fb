//! Messages to shoppers on CQL. A reminder step is one write of its cursor, which carries the
//! messages as pending until each is a row of its own; whoever comes next finishes what is pending.
//! So the cursor says once for ever which messages there are to be.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use sluice_domain::id::{ClaimId, NotificationId, Ticket, UserId, Version};
use sluice_domain::notification::{Notification, NotificationKind};
use sluice_domain::time::Timestamp;

use super::failure::{self, Failure};
use super::message_index::Place;
use super::store::{Cas, Reading, back_off, fresh_op};
use super::value::{Record, from_json, values};
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::coupons::change::to_json;
use crate::notifications::{
    Notifications, NotificationsPage, ReminderKey, check_count, page_notifications,
};

const CURSOR: &str = "SELECT ticket, pending, op FROM reminder_cursors \
                      WHERE coupon = ? AND version = ? AND lead_ms = ?";
const PASS: &str = "UPDATE reminder_cursors SET ticket = ?, pending = ?, op = ? \
                    WHERE coupon = ? AND version = ? AND lead_ms = ? IF op = ?";
const DELIVERED: &str = "UPDATE reminder_cursors SET pending = null \
                         WHERE coupon = ? AND version = ? AND lead_ms = ? IF op = ?";
const READ: &str = "SELECT id, op, document, read_at FROM notifications WHERE id = ?";
const INSERT: &str = "INSERT INTO notifications (id, op, document, read_at) VALUES (?, ?, ?, ?) \
                      IF NOT EXISTS";
const MARK: &str = "UPDATE notifications SET read_at = ? WHERE id = ? IF op = ? AND read_at = null";
const REMOVE: &str = "DELETE FROM notifications WHERE id = ? IF op = ?";

pub(super) const STATEMENTS: &[&str] = &[CURSOR, PASS, DELIVERED, READ, INSERT, MARK, REMOVE];

/// Writers that may be lost against.
const ROUNDS: u32 = 20;
/// Messages that are written or read at once.
const AT_ONCE: usize = 32;
/// Pages of an index that one call looks at, most of which lead nowhere.
const PAGES_MAX: usize = 1_000;

/// A message as it is stored; `read_at` stands apart, as it changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    id: [u8; 16],
    user: UserId,
    kind: NotificationKind,
    claim_id: [u8; 16],
    version: u16,
    expires_at: Timestamp,
    lead_ms: u64,
    at: Timestamp,
    read_at: Option<Timestamp>,
}

/// A message with the step that wrote it.
struct Message {
    one: Notification,
    op: [u8; 16],
}

/// How far the reminders of a key came.
#[derive(Default)]
struct Cursor {
    ticket: Option<Ticket>,
    op: Option<[u8; 16]>,
    pending: Vec<Stored>,
}

fn decode(record: &Record) -> Result<Message, LedgerError> {
    let stored: Stored = record.json("document")?;
    Ok(Message {
        one: Notification {
            read_at: record.opt_instant("read_at")?,
            ..stored.into()
        },
        op: record.bytes("op")?,
    })
}

// === impl Stored ===

impl From<&Notification> for Stored {
    fn from(one: &Notification) -> Self {
        Self {
            id: one.id.0,
            user: one.user,
            kind: one.kind,
            claim_id: one.claim_id.0,
            version: one.version.0,
            expires_at: one.expires_at,
            lead_ms: one.lead_ms,
            at: one.at,
            read_at: one.read_at,
        }
    }
}

impl From<Stored> for Notification {
    fn from(stored: Stored) -> Self {
        Self {
            id: NotificationId(stored.id),
            user: stored.user,
            kind: stored.kind,
            claim_id: ClaimId(stored.claim_id),
            version: Version(stored.version),
            expires_at: stored.expires_at,
            lead_ms: stored.lead_ms,
            at: stored.at,
            read_at: stored.read_at,
        }
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    async fn read_cursor(&self, key: ReminderKey) -> Result<Cursor, LedgerError> {
        let place = values![key.coupon, key.version.0, key.lead_ms];
        let record = self.store.row(CURSOR, place, Reading::Serial).await?;
        let Some(record) = record else {
            return Ok(Cursor::default());
        };
        let pending = record.opt_text("pending")?;
        Ok(Cursor {
            ticket: record.opt_number("ticket")?.map(Ticket),
            op: record.opt_bytes("op")?,
            pending: pending.map_or(Ok(Vec::new()), from_json)?,
        })
    }

    /// Writes the messages of a step, each where there is none of its id; how many are of this
    /// step. May be done by many at once, and again.
    async fn deliver(
        &self,
        key: ReminderKey,
        op: [u8; 16],
        messages: Vec<Stored>,
    ) -> Result<u64, LedgerError> {
        if messages.is_empty() {
            return Ok(0);
        }
        let mut writes = Vec::with_capacity(messages.len());
        for stored in messages {
            writes.push(self.deliver_one(op, stored.into()));
        }
        let written = futures_util::stream::iter(writes).buffer_unordered(AT_ONCE);
        let written: Vec<bool> = written.try_collect().await?;
        let place = values![key.coupon, key.version.0, key.lead_ms, op];
        match self.store.cas(DELIVERED, place).await {
            // Delivered again where it stays pending: nothing changes by it.
            Ok(_) | Err(Failure::Uncertain(_)) => {}
            Err(Failure::Refused(error)) => return Err(error),
        }
        Ok(written.iter().filter(|written| **written).count() as u64)
    }

    /// False where another message has the id.
    async fn deliver_one(&self, op: [u8; 16], one: Notification) -> Result<bool, LedgerError> {
        let place = Place::of(&one, op);
        // Index first: no message is without its places.
        self.store.upserts(place.insert_calls()).await?;
        let document = to_json(&Stored::from(&one))?;
        let mut reason = String::new();
        for round in 0..ROUNDS {
            let insert = values![one.id.0, op, document, one.read_at];
            match self.store.cas(INSERT, insert).await {
                Ok(Cas::Applied) => return Ok(true),
                Ok(Cas::Refused) => {}
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Uncertain(why)) => reason = why,
            }
            match self.message(one.id, Reading::Serial).await? {
                Some(held) if held.op == op => return Ok(true),
                Some(_other) => {
                    self.store.upserts(place.drop_calls()).await?;
                    return Ok(false);
                }
                None => back_off(round).await,
            }
        }
        Err(failure::unknown(reason))
    }

    async fn message(
        &self,
        id: NotificationId,
        reading: Reading,
    ) -> Result<Option<Message>, LedgerError> {
        let record = self.store.row(READ, values![id.0], reading).await?;
        record.as_ref().map(decode).transpose()
    }

    /// The messages at places of an index, in order; `None` where a place leads nowhere.
    async fn messages_at(&self, places: &[Place]) -> Result<Vec<Option<Message>>, LedgerError> {
        let mut reads = Vec::with_capacity(places.len());
        for place in places {
            reads.push(async move {
                let found = self.message(place.id, Reading::Quorum).await?;
                Ok::<_, LedgerError>(found.filter(|found| found.op == place.op))
            });
        }
        let found = futures_util::stream::iter(reads).buffered(AT_ONCE);
        found.try_collect().await
    }

    /// Removes a message with its places; false where somebody else did.
    async fn remove_message(&self, message: &Message) -> Result<bool, LedgerError> {
        let (id, op) = (message.one.id, message.op);
        let place = Place::of(&message.one, op);
        let mut uncertain = None;
        for round in 0..ROUNDS {
            let removed = match self.store.cas(REMOVE, values![id.0, op]).await {
                Ok(Cas::Applied) => true,
                // By an attempt of this call, as far as can be known, or by another one.
                Ok(Cas::Refused) => uncertain.is_some(),
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Uncertain(reason)) => {
                    uncertain = Some(reason);
                    back_off(round).await;
                    continue;
                }
            };
            self.store.upserts(place.drop_calls()).await?;
            return Ok(removed);
        }
        Err(failure::unknown(uncertain.unwrap_or_default()))
    }
}

#[async_trait::async_trait]
impl Notifications for CqlLedger {
    async fn reminder_cursor(&self, key: ReminderKey) -> Result<Option<Ticket>, LedgerError> {
        let cursor = self.read_cursor(key).await?;
        if let Some(op) = cursor.op {
            self.deliver(key, op, cursor.pending).await?;
        }
        Ok(cursor.ticket)
    }

    async fn remind(
        &self,
        key: ReminderKey,
        passed: Ticket,
        notifications: &[Notification],
    ) -> Result<u64, LedgerError> {
        check_count(notifications)?;
        // Of two with one id in one step the first is it, whichever would be delivered first.
        let mut ids = HashSet::new();
        let firsts = notifications.iter().filter(|one| ids.insert(one.id.0));
        let messages: Vec<Stored> = firsts.map(Stored::from).collect();
        let (coupon, version, lead) = (key.coupon, key.version.0, key.lead_ms);
        for round in 0..ROUNDS {
            let cursor = self.read_cursor(key).await?;
            if let Some(op) = cursor.op {
                self.deliver(key, op, cursor.pending).await?;
            }
            if cursor.ticket.is_some_and(|ticket| ticket >= passed) {
                return Ok(0);
            }
            let (op, seen) = (fresh_op()?, cursor.op);
            let pending = match messages.is_empty() {
                true => None,
                false => Some(to_json(&messages)?),
            };
            let pass = values![passed.0, pending, op, coupon, version, lead, seen];
            let probe = (CURSOR, values![coupon, version, lead]);
            if self
                .store
                .write(vec![(PASS, pass)], probe, seen, op)
                .await?
            {
                // The step is written: whoever comes next finishes it where this fails.
                let unknown = |error: LedgerError| failure::unknown(error.to_string());
                return self.deliver(key, op, messages).await.map_err(unknown);
            }
            back_off(round).await;
        }
        Err(crowded("reminders of coupon", coupon))
    }

    async fn notifications(
        &self,
        user: &UserId,
        page: NotificationsPage,
    ) -> Result<Vec<Notification>, LedgerError> {
        let limit = page_notifications(page.limit);
        let (mut listed, mut from) = (Vec::new(), Place::before(page.after));
        for _page in 0..PAGES_MAX {
            let places = self.places_of_user(user, &from, limit).await?;
            let found = self.messages_at(&places).await?;
            listed.extend(found.into_iter().flatten().map(|message| message.one));
            match places.last() {
                Some(last) if places.len() == limit && listed.len() < limit => {
                    from = last.clone();
                }
                _end => break,
            }
        }
        listed.truncate(limit);
        Ok(listed)
    }

    async fn mark_read(
        &self,
        id: NotificationId,
        user: &UserId,
        at: Timestamp,
    ) -> Result<Option<Notification>, LedgerError> {
        for round in 0..ROUNDS {
            let found = self.message(id, Reading::Serial).await?;
            let Some(mut held) = found.filter(|held| held.one.user == *user) else {
                return Ok(None);
            };
            if held.one.read_at.is_some() {
                return Ok(Some(held.one));
            }
            match self.store.cas(MARK, values![at, id.0, held.op]).await {
                Ok(Cas::Applied) => {
                    held.one.read_at = Some(at);
                    return Ok(Some(held.one));
                }
                // The next round finds what became of it.
                Ok(Cas::Refused) | Err(Failure::Uncertain(_)) => back_off(round).await,
                Err(Failure::Refused(error)) => return Err(error),
            }
        }
        Err(crowded("a message of", user))
    }

    async fn forget_notifications(
        &self,
        expired_before: Timestamp,
        limit: usize,
    ) -> Result<usize, LedgerError> {
        let limit = page_notifications(limit);
        let mut removed = 0;
        for slot in self.message_slots(expired_before).await? {
            let mut from = None;
            for _page in 0..PAGES_MAX {
                let places = self
                    .places_due(slot, expired_before, from.as_ref(), limit)
                    .await?;
                let found = self.messages_at(&places).await?;
                let mut dead = Vec::new();
                for (place, message) in places.iter().zip(found) {
                    match message {
                        Some(message) => {
                            removed += usize::from(self.remove_message(&message).await?);
                        }
                        None => dead.extend(place.drop_due_if_old(expired_before)),
                    }
                    if removed == limit {
                        break;
                    }
                }
                self.store.upserts(dead).await?;
                if removed == limit {
                    return Ok(removed);
                }
                let Some(last) = places.last().filter(|_last| places.len() == limit) else {
                    break;
                };
                from = Some(last.clone());
            }
            self.drop_old_slot(slot, expired_before).await?;
        }
        Ok(removed)
    }
}
