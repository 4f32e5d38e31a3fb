//! Facts for the audit, from the model.

use sluice_domain::id::{CouponId, RedemptionId};

use super::{ModelLedger, State};
use crate::LedgerError;
use crate::audit_facts::count::coupon_facts;
use crate::audit_facts::{
    AuditFacts, CouponLedgerFacts, OFFENDERS_MAX, RedemptionFacts, RedemptionOrphans, UsageFacts,
};
use crate::claims::page_rows;

impl State {
    fn facts(&self, id: CouponId, lane: usize) -> Option<CouponLedgerFacts> {
        let record = self.coupons.get(&id)?;
        let rows: Vec<_> = self.rows_of(id).collect();
        let lane = self.lanes.get(lane)?;
        let (coupon, leases) = (&record.coupon, &record.leases);
        Some(coupon_facts(coupon, lane, record.stock, leases, &rows))
    }
}

#[async_trait::async_trait]
impl AuditFacts for ModelLedger {
    async fn coupon_ids(
        &self,
        after: Option<CouponId>,
        limit: usize,
    ) -> Result<Vec<CouponId>, LedgerError> {
        self.call(|state| {
            let ids = state.coupons.keys().copied();
            let rest = ids.filter(|id| after.is_none_or(|after| *id > after));
            Ok(rest.take(page_rows(limit)).collect())
        })
    }

    async fn coupon_facts(
        &self,
        coupon: CouponId,
    ) -> Result<Option<CouponLedgerFacts>, LedgerError> {
        let lane = usize::from(self.identity.lanes.lane_of(coupon).0);
        self.call(|state| Ok(state.facts(coupon, lane)))
    }

    async fn redemption_facts(
        &self,
        coupon: Option<CouponId>,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionFacts>, LedgerError> {
        self.call(|state| Ok(state.redemption_facts(coupon, after, page_rows(limit))))
    }

    async fn usage_facts(&self, coupon: CouponId) -> Result<UsageFacts, LedgerError> {
        self.call(|state| state.usage_facts(coupon))
    }

    async fn redemption_orphans(&self) -> Result<RedemptionOrphans, LedgerError> {
        self.call(|state| Ok(state.orphans()))
    }

    async fn integrity_problems(&self) -> Result<Vec<String>, LedgerError> {
        self.call(|state| {
            let lost = |(id, ticket): (&sluice_domain::id::ClaimId, &_)| {
                let row = state.rows.get(&(id.coupon(), *ticket));
                row.is_none_or(|row| row.claim_id != *id)
                    .then(|| format!("claim {id} is indexed without its row"))
            };
            Ok(state
                .tickets
                .iter()
                .filter_map(lost)
                .take(OFFENDERS_MAX)
                .collect())
        })
    }
}
