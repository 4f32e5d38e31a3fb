//! Coupons of the model.

use sluice_domain::coupon::Coupon;
use sluice_domain::id::{CouponId, CouponNumber, LaneId, Revision};
use sluice_domain::lease::Stock;

use super::{CouponRecord, ModelLedger, State};
use crate::LedgerError;
use crate::audit_log::AuditEntry;
use crate::coupons::change::{
    check_revision, check_version, version_row, with_kept_total, word_in_use,
};
use crate::coupons::listing::list;
use crate::coupons::{CouponPage, CouponQuery, CouponWrite, Coupons, Operation, VersionRow};

impl State {
    /// The other coupon that has a coupon's public word, if any.
    fn word_holder(&self, coupon: &Coupon) -> Option<CouponId> {
        let word = word_in_use(coupon)?;
        let mut others = self.coupons.values().map(|record| &record.coupon);
        let holder = others.find(|held| held.id != coupon.id && word_in_use(held) == Some(word));
        holder.map(|held| held.id)
    }
}

#[async_trait::async_trait]
impl Coupons for ModelLedger {
    async fn next_number(&self) -> Result<CouponNumber, LedgerError> {
        self.call(|state| {
            state.numbers_given += 1;
            Ok(CouponNumber(state.numbers_given))
        })
    }

    async fn create_coupon(
        &self,
        coupon: &Coupon,
        entry: AuditEntry,
    ) -> Result<CouponWrite, LedgerError> {
        self.call(|state| {
            if state.coupons.contains_key(&coupon.id) {
                let text = format!("coupon {} exists already", coupon.id);
                return Err(LedgerError::corrupt(text));
            }
            if let Some(holder) = state.word_holder(coupon) {
                return Ok(CouponWrite::CodeTaken { holder });
            }
            let version = version_row(coupon, &entry.actor)?;
            let record = CouponRecord {
                coupon: coupon.clone(),
                stock: Stock {
                    total: coupon.spec.limits.total,
                    ..Stock::default()
                },
                retired: false,
                versions: version.into_iter().collect(),
                leases: Vec::new(),
            };
            state.coupons.insert(coupon.id, record);
            state.write_audit(entry);
            Ok(CouponWrite::Done)
        })
    }

    async fn coupon(&self, id: CouponId) -> Result<Option<Coupon>, LedgerError> {
        self.call(|state| Ok(state.coupons.get(&id).map(|record| record.coupon.clone())))
    }

    async fn update_coupon(
        &self,
        seen: Revision,
        coupon: &Coupon,
        author: &str,
        entry: AuditEntry,
    ) -> Result<CouponWrite, LedgerError> {
        self.call(|state| {
            check_revision(seen, coupon)?;
            let word_holder = state.word_holder(coupon);
            let Some(record) = state.coupons.get_mut(&coupon.id) else {
                return Ok(CouponWrite::Unknown);
            };
            if record.coupon.revision != seen {
                return Ok(CouponWrite::Stale(Box::new(record.coupon.clone())));
            }
            if let Some(holder) = word_holder {
                return Ok(CouponWrite::CodeTaken { holder });
            }
            if let Some(new) = version_row(coupon, author)? {
                match record
                    .versions
                    .iter()
                    .find(|held| held.version == new.version)
                {
                    Some(held) => check_version(held, &new)?,
                    None => record.versions.push(new),
                }
            }
            record.coupon = with_kept_total(&record.stock, coupon);
            record.stock.total = record.coupon.spec.limits.total;
            state.write_audit(entry);
            Ok(CouponWrite::Done)
        })
    }

    async fn list_coupons(&self, query: &CouponQuery) -> Result<CouponPage, LedgerError> {
        self.call(|state| list(state.coupons.values().map(|record| &record.coupon), query))
    }

    async fn versions(&self, id: CouponId) -> Result<Vec<VersionRow>, LedgerError> {
        self.call(|state| {
            let record = state.coupons.get(&id);
            let mut rows = record.map_or(Vec::new(), |record| record.versions.clone());
            rows.sort_by_key(|row| row.version);
            Ok(rows)
        })
    }

    async fn published_coupons(&self, lane: LaneId) -> Result<Vec<(CouponId, bool)>, LedgerError> {
        let lanes = self.identity.lanes;
        self.call(|state| {
            let published = state
                .coupons
                .values()
                .filter(|record| record.coupon.first_open_at.is_some())
                .filter(|record| lanes.keeps(lane, record.coupon.id, record.coupon.spec.shards))
                .map(|record| (record.coupon.id, record.retired));
            Ok(published.collect())
        })
    }

    async fn set_retired(&self, id: CouponId, retired: bool) -> Result<(), LedgerError> {
        self.call(|state| {
            state.record_mut(id)?.retired = retired;
            Ok(())
        })
    }

    async fn operation(&self, scope: &str, key: &str) -> Result<Option<Operation>, LedgerError> {
        let key = (scope.to_owned(), key.to_owned());
        self.call(|state| Ok(state.operations.get(&key).cloned()))
    }

    async fn record_operation(
        &self,
        scope: &str,
        key: &str,
        operation: &Operation,
    ) -> Result<bool, LedgerError> {
        let key = (scope.to_owned(), key.to_owned());
        self.call(|state| {
            if state.operations.contains_key(&key) {
                return Ok(false);
            }
            state.operations.insert(key, operation.clone());
            Ok(true)
        })
    }
}
