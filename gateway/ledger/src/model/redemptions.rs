//! Redemptions of the model. Nothing is kept beside the rows: every limit is a count.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use sluice_domain::coupon::Coupon;
use sluice_domain::id::{ClaimId, CouponId, RedemptionId, UserId};
use sluice_domain::redemption::{
    ClaimUse, CouponUsage, Redemption, RedemptionStatus, TermsKey, Transition, TransitionEvent,
};
use sluice_domain::time::Timestamp;

use super::{ModelLedger, State};
use crate::LedgerError;
use crate::audit_facts::CountedUses;
use crate::claims::page_rows;
use crate::coupons::VersionRow;
use crate::coupons::change::word_in_use;
use crate::redemptions::check::folded;
use crate::redemptions::{Redemptions, RedemptionsPage, TransitionOutcome};

pub(super) mod facts;
mod transition;

impl State {
    /// The live uses of a claim, by use number.
    pub(super) fn uses_of(&self, claim_id: ClaimId) -> Vec<ClaimUse> {
        let range = (claim_id, 0)..=(claim_id, u32::MAX);
        let uses = self.uses.range(range);
        uses.map(|(_at, (_user, held))| held.clone()).collect()
    }

    fn in_period(&self, coupon: CouponId, user: &UserId, period: &str) -> u32 {
        let count = self
            .uses
            .values()
            .filter(|(owner, held)| {
                held.claim_id.coupon() == coupon
                    && owner == user
                    && held.period.as_deref() == Some(period)
            })
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn counted(&self, coupon: CouponId) -> Result<CountedUses, LedgerError> {
        let mut counted = CountedUses::default();
        for (_user, held) in self.uses.values() {
            if held.claim_id.coupon() == coupon {
                counted.enter(held)?;
            }
        }
        Ok(counted)
    }

    fn version(&self, (coupon, version): &TermsKey) -> Result<VersionRow, LedgerError> {
        let record = self.coupons.get(coupon);
        let mut versions = record.iter().flat_map(|record| &record.versions);
        let found = versions.find(|row| row.version == *version);
        let missing = || LedgerError::corrupt(format!("coupon {coupon} has no version {version}"));
        found.cloned().ok_or_else(missing)
    }
}

#[async_trait::async_trait]
impl Redemptions for ModelLedger {
    async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, LedgerError> {
        self.call(|state| Ok(state.redemptions.get(&id).cloned()))
    }

    async fn events(&self, id: RedemptionId) -> Result<Vec<TransitionEvent>, LedgerError> {
        self.call(|state| Ok(state.events.get(&id).cloned().unwrap_or_default()))
    }

    async fn redemption_operation(
        &self,
        id: RedemptionId,
        operation_id: &str,
    ) -> Result<Option<TransitionEvent>, LedgerError> {
        self.call(|state| Ok(state.operation_event(id, operation_id).cloned()))
    }

    async fn apply(&self, transition: &Transition) -> Result<TransitionOutcome, LedgerError> {
        self.call(|state| state.apply(transition))
    }

    async fn claim_uses(&self, claims: &[ClaimId]) -> Result<Vec<ClaimUse>, LedgerError> {
        let asked: BTreeSet<ClaimId> = claims.iter().copied().collect();
        self.call(|state| Ok(asked.iter().flat_map(|id| state.uses_of(*id)).collect()))
    }

    async fn uses_of_user(
        &self,
        periods: &[(CouponId, String)],
        user: &UserId,
    ) -> Result<Vec<u32>, LedgerError> {
        self.call(|state| {
            let counts = periods
                .iter()
                .map(|(coupon, period)| state.in_period(*coupon, user, period));
            Ok(counts.collect())
        })
    }

    async fn coupon_usage(&self, coupons: &[CouponId]) -> Result<Vec<CouponUsage>, LedgerError> {
        self.call(|state| {
            let usage = |coupon: &CouponId| Ok(state.counted(*coupon)?.usage);
            coupons.iter().map(usage).collect()
        })
    }

    async fn due(
        &self,
        now: Timestamp,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionId>, LedgerError> {
        self.call(|state| {
            let place = after.and_then(|id| state.redemptions.get(&id));
            let place = place.map(|held| (held.held_until, held.id));
            let all = state.redemptions.values();
            let mut over: Vec<(Timestamp, RedemptionId)> = all
                .filter(|held| held.status == RedemptionStatus::Held && held.held_until <= now)
                .map(|held| (held.held_until, held.id))
                .filter(|at| place.is_none_or(|place| *at > place))
                .collect();
            over.sort_unstable();
            over.truncate(page_rows(limit));
            Ok(over.into_iter().map(|(_until, id)| id).collect())
        })
    }

    async fn terms(&self, keys: &[TermsKey]) -> Result<Vec<VersionRow>, LedgerError> {
        self.call(|state| keys.iter().map(|key| state.version(key)).collect())
    }

    async fn coupon_by_code(&self, code: &str) -> Result<Option<Coupon>, LedgerError> {
        let word = folded(code);
        self.call(|state| {
            let mut all = state.coupons.values().map(|record| &record.coupon);
            let found = all.find(|coupon| word_in_use(coupon) == Some(word.as_str()));
            let published = found.filter(|coupon| coupon.first_open_at.is_some());
            Ok(published.cloned())
        })
    }

    async fn redemptions_of_coupon(
        &self,
        coupon: CouponId,
        page: RedemptionsPage,
    ) -> Result<Vec<Redemption>, LedgerError> {
        self.call(|state| {
            let mut listed: Vec<_> = state
                .listed
                .iter()
                .filter(|(of, at, id)| {
                    *of == coupon && page.after.is_none_or(|after| (*at, *id) < after)
                })
                .collect();
            listed.sort_by_key(|place| Reverse(**place));
            listed.truncate(page_rows(page.limit));
            let found = listed
                .iter()
                .map(|(_coupon, _at, id)| &state.redemptions[id]);
            Ok(found.cloned().collect())
        })
    }

    async fn redeemed(&self, coupon: CouponId) -> Result<u64, LedgerError> {
        self.call(|state| Ok(state.counted(coupon)?.spent))
    }
}
