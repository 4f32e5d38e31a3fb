//! Counting a coupon's rows: what the model and the CQL ledger, which cannot count by themselves,
//! make facts of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use sluice_domain::claim::ClaimRow;
use sluice_domain::coupon::Coupon;
use sluice_domain::lease::{Lease, Stock};

use super::{CouponLedgerFacts, LeaseFacts, OFFENDERS_MAX, Offenders, OverLimit, SubjectFacts};
use crate::lanes::LaneRow;

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

/// The facts of a coupon, from all of its rows.
pub(crate) fn coupon_facts(
    coupon: &Coupon,
    lane: &LaneRow,
    stock: Stock,
    leases: &[Lease],
    rows: &[&ClaimRow],
) -> CouponLedgerFacts {
    let lease_of = |row: &ClaimRow| leases.iter().find(|lease| lease.number == row.lease);
    let counted = leases.iter().map(|lease| {
        let of_lease = rows.iter().filter(|row| row.lease == lease.number);
        LeaseFacts {
            lease: lease.clone(),
            rows: of_lease.clone().count() as u64,
            revoked: of_lease.filter(|row| row.revoked).count() as u64,
        }
    });
    let ids: HashSet<_> = rows.iter().map(|row| row.claim_id).collect();
    let tickets: HashSet<_> = rows.iter().map(|row| row.ticket).collect();
    let limits = coupon.spec.limits;
    CouponLedgerFacts {
        lane: lane.clone(),
        stock,
        leases: counted.collect(),
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
                .filter(|row| row.claim_id.coupon() != coupon.id),
        ),
        repeated_claim_ids: (rows.len() - ids.len()) as u64,
        repeated_tickets: (rows.len() - tickets.len()) as u64,
        users: subjects(rows, Some(limits.per_user), |row| Some(row.user)),
        devices: subjects(rows, limits.per_device, |row| row.device),
        addresses: subjects(rows, limits.per_address, |row| row.address),
        revisions: counts(rows, |row| row.revision),
        versions: counts(rows, |row| row.version),
        coupon: coupon.clone(),
    }
}
