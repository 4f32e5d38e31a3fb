//! Facts about checkout for the audit, from the model.

use sluice_domain::id::{CouponId, RedemptionId, UserId};
use sluice_domain::redemption::ClaimUse;

use super::super::State;
use crate::LedgerError;
use crate::audit_facts::{
    OFFENDERS_MAX, Offenders, RedemptionFacts, RedemptionOrphans, UsageFacts,
};

fn offenders<T>(all: impl Iterator<Item = T>) -> Offenders<T> {
    let mut first: Vec<T> = all.collect();
    let count = first.len() as u64;
    first.truncate(OFFENDERS_MAX);
    Offenders { count, first }
}

impl State {
    /// A page of redemptions with what belongs to them.
    pub(in crate::model) fn redemption_facts(
        &self,
        coupon: Option<CouponId>,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Vec<RedemptionFacts> {
        let all = self.redemptions.values();
        let rest = all.filter(|held| {
            let place = coupon.map(|coupon| (coupon, held.created_at, held.id));
            place.is_none_or(|place| self.listed.contains(&place))
                && after.is_none_or(|after| held.id > after)
        });
        let facts = rest.take(limit).map(|redemption| RedemptionFacts {
            redemption: redemption.clone(),
            events: self.events.get(&redemption.id).cloned().unwrap_or_default(),
            uses: self
                .uses
                .values()
                .filter(|(_user, held)| held.redemption == redemption.id)
                .map(|(_user, held)| held.clone())
                .collect(),
            found_by_its_own: true,
        });
        facts.collect()
    }

    /// The uses of a coupon. The model keeps no counters beside its rows.
    pub(in crate::model) fn usage_facts(
        &self,
        coupon: CouponId,
    ) -> Result<UsageFacts, LedgerError> {
        let counted = self.counted(coupon)?;
        Ok(UsageFacts {
            kept: counted,
            counted,
        })
    }

    /// Everything without what it belongs to.
    pub(in crate::model) fn orphans(&self) -> RedemptionOrphans {
        let uses_where = |lost: &dyn Fn(&UserId, &ClaimUse) -> bool| {
            let found = self.uses.values().filter(|(user, held)| lost(user, held));
            offenders(found.map(|(_user, held)| held.clone()))
        };
        let lost_events = self
            .events
            .iter()
            .filter(|(id, _events)| !self.redemptions.contains_key(id))
            .flat_map(|(id, events)| events.iter().map(|event| (*id, event.row_version)));
        let unexplained = self.redemptions.values().filter(|redemption| {
            let last = self.events.get(&redemption.id).and_then(|all| all.last());
            last.map(|event| (event.row_version, event.to))
                != Some((redemption.row_version, redemption.status))
        });
        RedemptionOrphans {
            events: offenders(lost_events),
            redemptions: offenders(unexplained.map(|redemption| redemption.id)),
            uses_without_redemption: uses_where(&|_user, held| {
                let redemption = self.redemptions.get(&held.redemption);
                redemption.is_none_or(|redemption| redemption.order != held.order)
            }),
            uses_without_claim: uses_where(&|user, held| {
                let claim = self.find(held.claim_id);
                claim.is_none_or(|claim| claim.revoked || claim.user != *user)
            }),
            uses_unlisted: uses_where(&|_user, held| {
                let redemption = self.redemptions.get(&held.redemption);
                let place = redemption.map(|redemption| {
                    (held.claim_id.coupon(), redemption.created_at, redemption.id)
                });
                place.is_none_or(|place| !self.listed.contains(&place))
            }),
            listed: offenders(
                self.listed
                    .iter()
                    .filter(|(_coupon, _at, id)| !self.redemptions.contains_key(id))
                    .map(|(coupon, _at, id)| (*coupon, *id)),
            ),
        }
    }
}
