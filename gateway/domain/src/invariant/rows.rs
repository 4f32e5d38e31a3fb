//! Invariants 3, 4, 6 and part of 8, over the rows of one coupon as the ledger holds them at the end.

use std::collections::{BTreeMap, HashMap};

use super::Check;
use crate::claim::ClaimRow;
use crate::coupon::ClaimLimits;
use crate::id::{ClaimId, CouponId, LeaseNumber, Revision, SubjectHash, Ticket, UserId, Version};
use crate::lease::{Lease, LeaseState, Stock};

/// Everything about one coupon in the ledger.
#[derive(Debug, Clone)]
pub struct CouponRows {
    /// The coupon.
    pub coupon: CouponId,
    /// Its stock row.
    pub stock: Stock,
    /// Its leases.
    pub leases: Vec<Lease>,
    /// Its claims, revoked ones included.
    pub rows: Vec<ClaimRow>,
    /// The widest limits that were ever in force: a limit lowered later takes nothing back.
    pub limits: ClaimLimits,
}

impl CouponRows {
    /// Claims that count.
    pub fn granted(&self) -> impl Iterator<Item = &ClaimRow> {
        self.rows.iter().filter(|row| !row.revoked)
    }

    /// Units that nobody holds and nobody may have yet: of quarantined leases.
    #[must_use]
    pub fn quarantined(&self) -> u64 {
        let held = self
            .leases
            .iter()
            .filter(|lease| lease.state == LeaseState::Quarantined);
        held.map(|lease| u64::from(lease.size.saturating_sub(lease.rows)))
            .sum()
    }
}

/// Invariant 3: the arithmetic of leases and tickets.
#[must_use]
pub fn leases_and_tickets(facts: &CouponRows) -> Check {
    let mut check = Check::new(3, "leases, tickets and claim ids");
    let coupon = facts.coupon;
    let out = facts.stock.leased.saturating_sub(facts.stock.returned);
    check.expect(facts.stock.total.is_none_or(|total| out <= total), || {
        format!(
            "coupon {coupon}: {out} tickets are out, above the total {:?}",
            facts.stock.total
        )
    });
    let sizes: u64 = facts.leases.iter().map(|lease| u64::from(lease.size)).sum();
    check.expect(sizes == facts.stock.leased, || {
        format!(
            "coupon {coupon}: leases hold {sizes} tickets, the stock row says {}",
            facts.stock.leased
        )
    });
    let back: u64 = facts
        .leases
        .iter()
        .map(|lease| u64::from(lease.returned))
        .sum();
    check.expect(back == facts.stock.returned, || {
        format!(
            "coupon {coupon}: leases returned {back}, the stock row says {}",
            facts.stock.returned
        )
    });
    tickets_and_ids(facts, &mut check);
    check
}

/// Each row in its lease's range, no ticket and no id twice, no lease over its size.
fn tickets_and_ids(facts: &CouponRows, check: &mut Check) {
    let coupon = facts.coupon;
    let leases: BTreeMap<LeaseNumber, &Lease> = facts
        .leases
        .iter()
        .map(|lease| (lease.number, lease))
        .collect();
    let mut per_lease: HashMap<LeaseNumber, u32> = HashMap::new();
    let mut tickets: HashMap<Ticket, ClaimId> = HashMap::new();
    let mut ids: HashMap<ClaimId, Ticket> = HashMap::new();
    for row in &facts.rows {
        let in_range = leases
            .get(&row.lease)
            .is_some_and(|lease| lease.contains(row.ticket));
        check.expect(in_range, || {
            format!(
                "claim {}: ticket {} is not of lease {}",
                row.claim_id, row.ticket, row.lease
            )
        });
        *per_lease.entry(row.lease).or_default() += 1;
        if let Some(other) = tickets.insert(row.ticket, row.claim_id) {
            check.expect(false, || {
                format!(
                    "coupon {coupon}: ticket {} is held by {other} and {}",
                    row.ticket, row.claim_id
                )
            });
        }
        if let Some(other) = ids.insert(row.claim_id, row.ticket) {
            check.expect(false, || {
                format!(
                    "claim {} has two rows: tickets {other} and {}",
                    row.claim_id, row.ticket
                )
            });
        }
        check.expect(row.claim_id.coupon() == coupon, || {
            format!("claim {} does not belong to coupon {coupon}", row.claim_id)
        });
    }
    for lease in &facts.leases {
        let rows = per_lease.get(&lease.number).copied().unwrap_or(0);
        check.expect(
            rows <= lease.size && rows + lease.returned <= lease.size + revoked(facts, lease),
            || {
                format!(
                    "coupon {coupon} lease {}: {rows} rows and {} returned of {} tickets",
                    lease.number, lease.returned, lease.size
                )
            },
        );
    }
}

/// Invariant 4: rows per user, device and address.
#[must_use]
pub fn limits(facts: &CouponRows) -> Check {
    let mut check = Check::new(4, "limits per user, device and address");
    let mut users: HashMap<UserId, u64> = HashMap::new();
    let mut devices: HashMap<SubjectHash, u64> = HashMap::new();
    let mut addresses: HashMap<SubjectHash, u64> = HashMap::new();
    for row in facts.granted() {
        *users.entry(row.user).or_default() += 1;
        if let Some(device) = row.device {
            *devices.entry(device).or_default() += 1;
        }
        if let Some(address) = row.address {
            *addresses.entry(address).or_default() += 1;
        }
    }
    let coupon = facts.coupon;
    for (user, count) in &users {
        check.expect(*count <= u64::from(facts.limits.per_user), || {
            format!(
                "coupon {coupon}: user {user} holds {count} claims of {}",
                facts.limits.per_user
            )
        });
    }
    let mut subjects = |kind: &str, counts: &HashMap<SubjectHash, u64>, limit: Option<u16>| {
        let Some(limit) = limit else { return };
        for (subject, count) in counts {
            check.expect(*count <= u64::from(limit), || {
                format!("coupon {coupon}: {kind} {subject:?} holds {count} claims of {limit}")
            });
        }
    };
    subjects("device", &devices, facts.limits.per_device);
    subjects("address", &addresses, facts.limits.per_address);
    check
}

/// Invariant 6, for a coupon at rest that more people wanted than there were units: everything was
/// sold, except what is quarantined.
#[must_use]
pub fn sold_exactly(facts: &CouponRows) -> Check {
    let mut check = Check::new(6, "sold exactly the total");
    let Some(total) = facts.stock.total else {
        return check;
    };
    let sold = facts.granted().count() as u64;
    let quarantined = facts.quarantined();
    check.expect(sold + quarantined == total, || {
        format!(
            "coupon {}: sold {sold} and quarantined {quarantined}, together {}, of {total}",
            facts.coupon,
            sold + quarantined
        )
    });
    check
}

/// Invariant 6, for a coupon that ended before it was sold out, once its leases are closed: nothing
/// is out but what was granted.
#[must_use]
pub fn nothing_left_out(facts: &CouponRows) -> Check {
    let mut check = Check::new(6, "what was not granted came back");
    let out = facts.stock.leased.saturating_sub(facts.stock.returned);
    let granted = facts.granted().count() as u64;
    check.expect(out == granted, || {
        format!(
            "coupon {}: {out} tickets are out, {granted} claims were granted",
            facts.coupon
        )
    });
    check
}

/// Invariant 8, of terms: all rows of one revision are frozen under one version, and a later
/// revision has no earlier version.
#[must_use]
pub fn versions_follow_revisions(facts: &CouponRows) -> Check {
    let mut check = Check::new(8, "versions follow revisions");
    let mut spans: BTreeMap<Revision, (Version, Version)> = BTreeMap::new();
    for row in &facts.rows {
        let (least, most) = spans
            .entry(row.revision)
            .or_insert((row.version, row.version));
        *least = row.version.min(*least);
        *most = row.version.max(*most);
    }
    let mut before = None;
    for (revision, (least, most)) in spans {
        let rises = before.is_none_or(|before| before <= least);
        check.expect(least == most && rises, || {
            format!(
                "coupon {}: revision {revision} has versions {least} to {most}, the one before it \
                 {before:?}",
                facts.coupon
            )
        });
        before = Some(most);
    }
    check
}

fn revoked(facts: &CouponRows, lease: &Lease) -> u32 {
    let count = facts
        .rows
        .iter()
        .filter(|row| row.lease == lease.number && row.revoked)
        .count();
    u32::try_from(count).unwrap_or(u32::MAX)
}
