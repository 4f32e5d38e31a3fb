//! Index rows of redemptions: written before the transition that they lead to is committed, and
//! read only to find redemptions, which say themselves whether they belong there.

use futures_util::{StreamExt, TryStreamExt};
use sluice_domain::id::{CouponId, RedemptionId};
use sluice_domain::redemption::{Redemption, RedemptionStatus};
use sluice_domain::time::Timestamp;

use super::CqlLedger;
use super::store::{Call, Reading};
use super::transaction::Held;
use super::value::{Bound, Record, values};
use crate::LedgerError;

const ID: &str = "INSERT INTO redemption_ids (bucket, id) VALUES (?, ?) USING TIMESTAMP ?";
const IDS: &str = "SELECT id FROM redemption_ids WHERE bucket = ? AND id > ?";
const DAY: &str = "INSERT INTO redemption_days (coupon, day) VALUES (?, ?) USING TIMESTAMP ?";
const DAYS: &str = "SELECT day FROM redemption_days WHERE coupon = ? AND day <= ?";
const LISTED: &str = "INSERT INTO redemptions_of_coupon (coupon, day, created_at, id) \
                      VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
const OF_DAY: &str =
    "SELECT created_at, id FROM redemptions_of_coupon WHERE coupon = ? AND day = ?";
const SLOT: &str = "INSERT INTO due_slots (name, slot) VALUES ('held', ?) USING TIMESTAMP ?";
const SLOTS: &str = "SELECT slot FROM due_slots WHERE name = 'held' AND slot >= ? AND slot <= ?";
const DROP_SLOT: &str = "DELETE FROM due_slots USING TIMESTAMP ? WHERE name = 'held' AND slot = ?";
const DUE: &str = "INSERT INTO holds_due (slot, held_until, id) VALUES (?, ?, ?) USING TIMESTAMP ?";
const OF_SLOT: &str = "SELECT held_until, id FROM holds_due WHERE slot = ? AND held_until <= ?";
const DROP_DUE: &str = "DELETE FROM holds_due USING TIMESTAMP ? \
                        WHERE slot = ? AND held_until = ? AND id = ?";

pub(super) const STATEMENTS: &[&str] = &[
    ID, IDS, DAY, DAYS, LISTED, OF_DAY, SLOT, SLOTS, DROP_SLOT, DUE, OF_SLOT, DROP_DUE,
];

/// Partitions that ids spread over.
const ID_BUCKETS: u8 = 16;
const DAY_MILLIS: i64 = 86_400_000;
const SLOT_MILLIS: i64 = 300_000;
/// How long the end of a hold is kept in the index after it is over: far longer than any write of
/// such a hold may be under way.
const KEPT_MILLIS: i64 = 3_600_000;
/// Redemptions that are read at once for a list.
const READS_AT_ONCE: usize = 32;

/// A redemption with its partition, where it is there.
type Found = Option<(Redemption, Held)>;

fn micros(at: i64) -> i64 {
    at.saturating_mul(1_000)
}

fn place(record: &Record, instant: &str) -> Result<(Timestamp, RedemptionId), LedgerError> {
    Ok((record.instant(instant)?, RedemptionId(record.bytes("id")?)))
}

// === impl CqlLedger ===

impl CqlLedger {
    /// Writes the index rows of a redemption that is about to be what `new` says, and to use claims
    /// of the coupons `joined` for the first time.
    pub(super) async fn index_redemption(
        &self,
        new: &Redemption,
        first: bool,
        joined: &[CouponId],
    ) -> Result<(), LedgerError> {
        let mut calls: Vec<Call> = Vec::new();
        // What these rows say never changes: the same stamp however often they are written.
        let made = micros(new.created_at.as_millis());
        if first {
            calls.push((ID, values![new.id.0[0] % ID_BUCKETS, new.id, made]));
        }
        let day = new.created_at.as_millis() / DAY_MILLIS;
        for coupon in joined {
            calls.push((DAY, values![coupon, day, made]));
            calls.push((LISTED, values![coupon, day, new.created_at, new.id, made]));
        }
        if new.status == RedemptionStatus::Held {
            let until = new.held_until.as_millis();
            let slot = until / SLOT_MILLIS;
            // Before the end of the hold, and so before any deletion.
            let written = micros(new.updated_at.as_millis().min(until));
            calls.push((SLOT, values![slot, micros(slot * SLOT_MILLIS)]));
            calls.push((DUE, values![slot, new.held_until, new.id, written]));
        }
        self.store.upserts(calls).await
    }

    /// Reads the redemptions at places of an index, in order.
    async fn redemptions_at(
        &self,
        ids: impl Iterator<Item = RedemptionId> + Send,
    ) -> Result<Vec<Found>, LedgerError> {
        let mut reads = Vec::new();
        for id in ids {
            reads.push(async move {
                let mut held = self.read_held(id, Reading::Quorum).await?;
                let redemption = held.redemption.take();
                Ok::<_, LedgerError>(redemption.map(|redemption| (redemption, held)))
            });
        }
        let found = futures_util::stream::iter(reads).buffered(READS_AT_ONCE);
        found.try_collect().await
    }

    /// Redemptions that ever used a claim of the coupon, newest first.
    pub(super) async fn listed_redemptions(
        &self,
        coupon: CouponId,
        after: Option<(Timestamp, RedemptionId)>,
        limit: usize,
    ) -> Result<Vec<Redemption>, LedgerError> {
        let from = after.map_or(i64::MAX, |(at, _id)| at.as_millis() / DAY_MILLIS);
        let days = self
            .store
            .rows(DAYS, values![coupon, from], Reading::Quorum);
        let mut listed = Vec::new();
        for day in days.await? {
            let day: i64 = day.number("day")?;
            let rows = self
                .store
                .rows(OF_DAY, values![coupon, day], Reading::Quorum);
            let places = rows.await?;
            let places = places.iter().map(|record| place(record, "created_at"));
            let mut places: Vec<_> = places.collect::<Result<_, _>>()?;
            places.retain(|place| after.is_none_or(|after| *place < after));
            // Some at a time: a page may need only the first of a day's many.
            for some in places.chunks(limit.max(READS_AT_ONCE)) {
                let ids = some.iter().map(|(_at, id)| *id);
                for (redemption, held) in self.redemptions_at(ids).await?.into_iter().flatten() {
                    if held.coupons.contains(&coupon) {
                        listed.push(redemption);
                    }
                }
                if listed.len() >= limit {
                    listed.truncate(limit);
                    return Ok(listed);
                }
            }
        }
        Ok(listed)
    }

    /// Ids of redemptions after `after`, ascending; some may never have come to be.
    pub(super) async fn redemption_ids(
        &self,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionId>, LedgerError> {
        let from: Bound = super::value::Bind::bound(&after.map_or(Vec::new(), |id| id.0.to_vec()));
        let mut ids = Vec::new();
        for bucket in 0..ID_BUCKETS {
            let mut key = values![bucket];
            key.push(from.clone());
            let some = self.store.rows_at_most(IDS, key, Reading::Quorum, limit);
            for record in some.await? {
                ids.push(RedemptionId(record.bytes("id")?));
            }
        }
        ids.sort_unstable();
        ids.truncate(limit);
        Ok(ids)
    }

    /// Holds that are over at `now`, the longest over first.
    pub(super) async fn due_holds(
        &self,
        now: Timestamp,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionId>, LedgerError> {
        let mut from = None;
        if let Some(id) = after {
            let held = self.read_held(id, Reading::Quorum).await?.redemption;
            from = held.map(|held| (held.held_until, held.id));
        }
        let first = from.map_or(0, |(until, _id)| until.as_millis() / SLOT_MILLIS);
        let last = now.as_millis() / SLOT_MILLIS;
        let slots = self
            .store
            .rows(SLOTS, values![first, last], Reading::Quorum);
        let mut due = Vec::new();
        for slot in slots.await? {
            let slot: i64 = slot.number("slot")?;
            due.extend(self.due_of_slot(slot, now, from).await?);
            if due.len() >= limit {
                break;
            }
        }
        due.truncate(limit);
        Ok(due)
    }

    async fn due_of_slot(
        &self,
        slot: i64,
        now: Timestamp,
        after: Option<(Timestamp, RedemptionId)>,
    ) -> Result<Vec<RedemptionId>, LedgerError> {
        let records = self
            .store
            .rows(OF_SLOT, values![slot, now], Reading::Quorum);
        let records = records.await?;
        let places = records.iter().map(|record| place(record, "held_until"));
        let mut places: Vec<_> = places.collect::<Result<_, _>>()?;
        let all = places.len();
        places.retain(|place| after.is_none_or(|after| *place > after));
        let ids = places.iter().map(|(_until, id)| *id);
        let found = self.redemptions_at(ids).await?;
        let (mut due, mut gone) = (Vec::new(), Vec::new());
        for ((until, id), found) in places.iter().zip(found) {
            let holds = |held: &Redemption| {
                held.status == RedemptionStatus::Held && held.held_until == *until
            };
            if found.is_some_and(|(held, _partition)| holds(&held)) {
                due.push(*id);
            } else if until.as_millis() + KEPT_MILLIS < now.as_millis() {
                let at = micros(until.as_millis());
                gone.push((DROP_DUE, values![at, slot, until, id]));
            }
        }
        let end = (slot + 1) * SLOT_MILLIS;
        if gone.len() == all && end + KEPT_MILLIS < now.as_millis() {
            gone.push((DROP_SLOT, values![micros(end), slot]));
        }
        self.store.upserts(gone).await?;
        Ok(due)
    }
}
