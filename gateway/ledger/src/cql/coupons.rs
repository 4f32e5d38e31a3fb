//! Coupons and their versions on CQL.

use futures_util::{StreamExt, TryStreamExt};
use sluice_domain::coupon::Coupon;
use sluice_domain::id::{CouponId, CouponNumber, LaneId, Revision};
use sluice_domain::lease::Stock;

use super::failure::{self, Failure};
use super::partition::{Part, version_call};
use super::store::{Cas, Reading, back_off, fresh_op};
use super::value::values;
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::audit_log::AuditEntry;
use crate::coupons::change::{
    check_revision, check_version, version_row, with_kept_total, word_in_use,
};
use crate::coupons::listing::list;
use crate::coupons::{CouponPage, CouponQuery, CouponWrite, Coupons, Operation, VersionRow};

const LIST: &str = "INSERT INTO coupons_of_lane (lane, coupon) VALUES (?, ?) USING TIMESTAMP ?";
const OF_LANE: &str = "SELECT coupon FROM coupons_of_lane WHERE lane = ?";
const OPERATION: &str =
    "SELECT fingerprint, status, body, at, op FROM operations WHERE scope = ? AND key = ?";
const RECORD: &str = "INSERT INTO operations (scope, key, fingerprint, status, body, at, op) \
                      VALUES (?, ?, ?, ?, ?, ?, ?) IF NOT EXISTS";

pub(super) const STATEMENTS: &[&str] = &[LIST, OF_LANE, OPERATION, RECORD];

/// Partitions that are read at once for a list.
const PARTS_AT_ONCE: usize = 32;
/// Writers of one coupon that may be lost against.
const ROUNDS: u32 = 20;
/// Attempts at a statement that may be repeated.
const ATTEMPTS: u32 = 4;

// === impl CqlLedger ===

impl CqlLedger {
    /// Lists a coupon in the lanes of its shards, before its document says that it has them: no
    /// coupon is without its places. What these rows say never changes: any constant stamp will do.
    async fn list_in_lanes(&self, coupon: &Coupon) -> Result<(), LedgerError> {
        let made = coupon.created_at.as_millis() * 1_000;
        let lanes = self.identity.lanes.lanes_of(coupon.id, coupon.spec.shards);
        let listed = lanes.map(|lane| (LIST, values![lane.0, coupon.id, made]));
        self.store.upserts(listed.collect()).await
    }

    /// The ids of coupons that may have a shard in a lane, ascending; some may never have come to
    /// be.
    pub(super) async fn listed_ids(&self, lane: LaneId) -> Result<Vec<CouponId>, LedgerError> {
        let key = values![lane.0];
        let records = self.store.rows(OF_LANE, key, Reading::Quorum).await?;
        records
            .iter()
            .map(|record| record.coupon("coupon"))
            .collect()
    }

    /// The coupons that have a shard in a lane, by id.
    pub(super) async fn parts_of_lane(
        &self,
        lane: LaneId,
        reading: Reading,
    ) -> Result<Vec<Part>, LedgerError> {
        let ids = self.listed_ids(lane).await?;
        let mut reads = Vec::with_capacity(ids.len());
        for id in ids {
            reads.push(self.read_part(id, reading));
        }
        let parts = futures_util::stream::iter(reads).buffered(PARTS_AT_ONCE);
        let mut parts: Vec<Part> = parts.try_collect().await?;
        parts.retain(|part| {
            let shards = part.coupon.as_ref().map(|coupon| coupon.spec.shards);
            shards.is_some_and(|shards| self.identity.lanes.keeps(lane, part.id, shards))
        });
        Ok(parts)
    }

    /// All coupons that there are, by id.
    pub(super) async fn all_parts(&self) -> Result<Vec<Part>, LedgerError> {
        let mut all = Vec::new();
        for lane in self.identity.lanes.iter() {
            let parts = self.parts_of_lane(lane, Reading::Quorum).await?.into_iter();
            // Each once: at its home.
            all.extend(parts.filter(|part| self.identity.lanes.lane_of(part.id) == lane));
        }
        all.sort_unstable_by_key(|part| part.id);
        Ok(all)
    }

    /// Records the audit entries that a process left pending when it ended.
    pub(super) async fn finish_audits(&self) -> Result<(), LedgerError> {
        for part in self.all_parts().await? {
            self.finish_audit(&part).await?;
        }
        Ok(())
    }

    /// Reserves the word that a coupon is about to have, if it is not its own already.
    async fn take_word(
        &self,
        before: Option<&Coupon>,
        after: &Coupon,
    ) -> Result<Option<CouponId>, LedgerError> {
        match word_in_use(after) {
            Some(word) if before.and_then(word_in_use) != Some(word) => {
                self.reserve_word(word, after.id, after.revision).await
            }
            _ => Ok(None),
        }
    }

    /// After a write that other partitions follow from: the audit entry, and a word that is free.
    async fn finish_write(
        &self,
        part: &Part,
        before: Option<&Coupon>,
    ) -> Result<CouponWrite, LedgerError> {
        if let Some(had) = before.and_then(word_in_use)
            && let Some(coupon) = part.coupon.as_ref()
            && word_in_use(coupon) != Some(had)
        {
            // Free all the same where this fails: no document uses it.
            if let Err(error) = self.free_word(had, coupon).await {
                tracing::debug!(%error, word = had, "a public word stays reserved");
            }
        }
        // Written either way: whoever comes next records what is pending.
        if let Err(error) = self.finish_audit(part).await {
            tracing::warn!(%error, coupon = %part.id, "an audit entry is recorded later");
        }
        Ok(CouponWrite::Done)
    }

    async fn try_create(
        &self,
        op: [u8; 16],
        coupon: &Coupon,
        entry: &AuditEntry,
    ) -> Result<Option<CouponWrite>, LedgerError> {
        let mut part = self.read_part(coupon.id, Reading::Serial).await?;
        if part.coupon.is_some() {
            let text = format!("coupon {} exists already", coupon.id);
            return Err(LedgerError::corrupt(text));
        }
        if let Some(holder) = self.take_word(None, coupon).await? {
            return Ok(Some(CouponWrite::CodeTaken { holder }));
        }
        let version = version_row(coupon, &entry.actor)?;
        let rows = version.iter().map(|row| version_call(coupon.id, row));
        let rows = rows.collect::<Result<_, _>>()?;
        part.coupon = Some(coupon.clone());
        part.stock = Stock {
            total: coupon.spec.limits.total,
            ..Stock::default()
        };
        part.pending = Some(self.pending(entry.clone())?);
        if !self.write_part_as(op, &part, rows).await? {
            return Ok(None);
        }
        self.finish_write(&part, None).await.map(Some)
    }

    async fn try_update(
        &self,
        seen: Revision,
        coupon: &Coupon,
        author: &str,
        entry: &AuditEntry,
        reading: Reading,
    ) -> Result<Option<CouponWrite>, LedgerError> {
        let mut part = self.read_part(coupon.id, reading).await?;
        let Some(held) = part.coupon.clone() else {
            return Ok(Some(CouponWrite::Unknown));
        };
        if held.revision != seen {
            return Ok(Some(CouponWrite::Stale(Box::new(held))));
        }
        if let Some(holder) = self.take_word(Some(&held), coupon).await? {
            return Ok(Some(CouponWrite::CodeTaken { holder }));
        }
        let mut rows = Vec::new();
        if let Some(new) = version_row(coupon, author)? {
            let known = self.read_version(coupon.id, new.version, reading).await?;
            match known {
                Some(known) => check_version(&known, &new)?,
                None => rows.push(version_call(coupon.id, &new)?),
            }
        }
        if coupon.spec.shards > held.spec.shards {
            self.list_in_lanes(coupon).await?;
        }
        self.finish_audit(&part).await?;
        let stored = with_kept_total(&part.stock, coupon);
        part.stock.total = stored.spec.limits.total;
        part.coupon = Some(stored);
        part.pending = Some(self.pending(entry.clone())?);
        // The stamp that was read covers `finish_audit`, which does not change it.
        if !self.write_part(&part, rows).await? {
            return Ok(None);
        }
        self.finish_write(&part, Some(&held)).await.map(Some)
    }
}

#[async_trait::async_trait]
impl Coupons for CqlLedger {
    async fn next_number(&self) -> Result<CouponNumber, LedgerError> {
        self.give_number().await
    }

    async fn create_coupon(
        &self,
        coupon: &Coupon,
        entry: AuditEntry,
    ) -> Result<CouponWrite, LedgerError> {
        self.list_in_lanes(coupon).await?;
        for round in 0..ROUNDS {
            if let Some(done) = self.try_create(fresh_op()?, coupon, &entry).await? {
                return Ok(done);
            }
            back_off(round).await;
        }
        Err(crowded("coupon", coupon.id))
    }

    async fn coupon(&self, id: CouponId) -> Result<Option<Coupon>, LedgerError> {
        Ok(self.read_part(id, Reading::Quorum).await?.coupon)
    }

    async fn update_coupon(
        &self,
        seen: Revision,
        coupon: &Coupon,
        author: &str,
        entry: AuditEntry,
    ) -> Result<CouponWrite, LedgerError> {
        check_revision(seen, coupon)?;
        let mut reading = Reading::Quorum;
        for round in 0..ROUNDS {
            let done = self.try_update(seen, coupon, author, &entry, reading);
            if let Some(done) = done.await? {
                return Ok(done);
            }
            reading = Reading::Serial;
            back_off(round).await;
        }
        Err(crowded("coupon", coupon.id))
    }

    async fn list_coupons(&self, query: &CouponQuery) -> Result<CouponPage, LedgerError> {
        let parts = self.all_parts().await?;
        list(parts.iter().filter_map(|part| part.coupon.as_ref()), query)
    }

    async fn versions(&self, id: CouponId) -> Result<Vec<VersionRow>, LedgerError> {
        self.read_versions(id, Reading::Quorum).await
    }

    async fn published_coupons(&self, lane: LaneId) -> Result<Vec<(CouponId, bool)>, LedgerError> {
        let parts = self.parts_of_lane(lane, Reading::Serial).await?;
        let published = |part: &Part| {
            let coupon = part.coupon.as_ref();
            coupon.is_some_and(|coupon| coupon.first_open_at.is_some())
        };
        let all = parts.iter().filter(|part| published(part));
        Ok(all.map(|part| (part.id, part.retired)).collect())
    }

    async fn set_retired(&self, id: CouponId, retired: bool) -> Result<(), LedgerError> {
        for round in 0..ROUNDS {
            let mut part = self.read_part(id, Reading::Serial).await?;
            part.known()?;
            part.retired = retired;
            if self.write_part(&part, Vec::new()).await? {
                return Ok(());
            }
            back_off(round).await;
        }
        Err(crowded("coupon", id))
    }

    async fn operation(&self, scope: &str, key: &str) -> Result<Option<Operation>, LedgerError> {
        let key = values![scope, key];
        let record = self.store.row(OPERATION, key, Reading::Serial).await?;
        let Some(record) = record else {
            return Ok(None);
        };
        Ok(Some(Operation {
            fingerprint: record.bytes("fingerprint")?,
            status: record.number("status")?,
            body: record.opt_blob("body")?.unwrap_or_default().to_vec(),
            at: record.instant("at")?,
        }))
    }

    async fn record_operation(
        &self,
        scope: &str,
        key: &str,
        operation: &Operation,
    ) -> Result<bool, LedgerError> {
        let op = fresh_op()?;
        let values = values![
            scope,
            key,
            operation.fingerprint,
            operation.status,
            operation.body,
            operation.at,
            op
        ];
        let mut reason = String::new();
        for attempt in 0..ATTEMPTS {
            match self.store.cas(RECORD, values.clone()).await {
                Ok(Cas::Applied) => return Ok(true),
                Ok(Cas::Refused) => {
                    let held = (OPERATION, values![scope, key]);
                    let held = self.store.row(held.0, held.1, Reading::Serial).await?;
                    let by = held.map(|row| row.bytes("op")).transpose()?;
                    return Ok(by == Some(op));
                }
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Uncertain(why)) => reason = why,
            }
            back_off(attempt).await;
        }
        Err(failure::unknown(reason))
    }
}
