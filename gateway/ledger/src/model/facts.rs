//! Facts for the audit, from the model.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use sluice_domain::claim::ClaimRow;
use sluice_domain::id::{CouponId, RedemptionId};

use super::{ModelLedger, State};
use crate::LedgerError;
use crate::audit_facts::{
    AuditFacts, CouponLedgerFacts, LeaseFacts, OFFENDERS_MAX, Offenders, OverLimit,
    RedemptionFacts, RedemptionOrphans, SubjectFacts, UsageFacts,
};
use crate::claims::page_rows;

fn offenders<'a>(rows: impl Iterator<Item = &'a ClaimRow>) -> Offenders<ClaimRow> {
    let all: Vec<&ClaimRow> = rows.collect();
    Offenders {
        count: all.len() as u64,
        first: all.into_iter().take(OFFENDERS_MAX).cloned().collect(),
    }
}

fn subjects<K: Hash + Eq>(
    rows: &[&ClaimRow],
    limit: Option<u16>,
    key: impl Fn(&ClaimRow) -> Option<K>,
) -> SubjectFacts {
    let mut counted: HashMap<K, Vec<&ClaimRow>> = HashMap::new();
    for row in rows.iter().filter(|row| !row.revoked) {
        if let Some(key) = key(row) {
            counted.entry(key).or_default().push(row);
        }
    }
    let limit = limit.map_or(u64::MAX, u64::from);
    let claims = |of: &Vec<&ClaimRow>| of.len() as u64;
    let mut over: Vec<&Vec<&ClaimRow>> = counted.values().filter(|of| claims(of) > limit).collect();
    over.sort_by_key(|of| (std::cmp::Reverse(claims(of)), of[0].ticket));
    let first = over.iter().take(OFFENDERS_MAX).map(|of| OverLimit {
        user: of[0].user,
        claim_id: of[0].claim_id,
        claims: claims(of),
    });
    SubjectFacts {
        distinct: counted.len() as u64,
        most: counted.values().map(claims).max().unwrap_or(0),
        over: Offenders {
            count: over.len() as u64,
            first: first.collect(),
        },
    }
}

fn counts<K: Ord>(rows: &[&ClaimRow], key: impl Fn(&ClaimRow) -> K) -> BTreeMap<K, u64> {
    let mut counted = BTreeMap::new();
    for row in rows {
        *counted.entry(key(row)).or_default() += 1;
    }
    counted
}

impl State {
    fn facts(&self, id: CouponId, lane: usize) -> Option<CouponLedgerFacts> {
        let record = self.coupons.get(&id)?;
        let rows: Vec<&ClaimRow> = self.rows_of(id).collect();
        let lease_of = |row: &ClaimRow| {
            let mut all = record.leases.iter();
            all.find(|lease| lease.number == row.lease)
        };
        let leases = record.leases.iter().map(|lease| {
            let of_lease = rows.iter().filter(|row| row.lease == lease.number);
            LeaseFacts {
                lease: lease.clone(),
                rows: of_lease.clone().count() as u64,
                revoked: of_lease.filter(|row| row.revoked).count() as u64,
            }
        });
        let ids: HashSet<_> = rows.iter().map(|row| row.claim_id).collect();
        let limits = record.coupon.spec.limits;
        Some(CouponLedgerFacts {
            lane: self.lanes.get(lane)?.clone(),
            stock: record.stock,
            leases: leases.collect(),
            rows: rows.len() as u64,
            revoked: rows.iter().filter(|row| row.revoked).count() as u64,
            outside_range: offenders(
                rows.iter()
                    .copied()
                    .filter(|row| lease_of(row).is_none_or(|lease| !lease.contains(row.ticket))),
            ),
            foreign_ids: offenders(
                rows.iter()
                    .copied()
                    .filter(|row| row.claim_id.coupon() != id),
            ),
            repeated_claim_ids: (rows.len() - ids.len()) as u64,
            repeated_tickets: 0,
            users: subjects(&rows, Some(limits.per_user), |row| Some(row.user)),
            devices: subjects(&rows, limits.per_device, |row| row.device),
            addresses: subjects(&rows, limits.per_address, |row| row.address),
            revisions: counts(&rows, |row| row.revision),
            versions: counts(&rows, |row| row.version),
            coupon: record.coupon.clone(),
        })
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
