//! Small valid values to build tests from.

use sluice_domain::claim::{Durability, Grant, GrantBatch};
use sluice_domain::coupon::{
    ClaimLimits, ClaimWindow, Coupon, CouponSpec, Distribution, Lifecycle,
};
use sluice_domain::id::{
    ClaimId, CouponId, CouponNumber, EntryNumber, Revision, SubjectHash, UserId, Version,
};
use sluice_domain::lease::Lease;
use sluice_domain::terms::{
    Benefit, BudgetPartial, Conditions, Currency, Stacking, Terms, Validity,
};
use sluice_domain::time::Timestamp;

use crate::audit_log::AuditEntry;

/// The instant that all samples count from.
pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A published coupon with this id and total.
#[must_use]
pub fn coupon(id: CouponId, total: Option<u64>) -> Coupon {
    Coupon {
        id,
        number: CouponNumber(id.0),
        revision: Revision(1),
        terms_revision: Revision(1),
        version: Version(1),
        lifecycle: Lifecycle::Live,
        spec: CouponSpec {
            terms: terms(&format!("Coupon {}", id.0)),
            code: None,
            limits: ClaimLimits {
                total,
                per_user: 1,
                per_device: Some(2),
                per_address: Some(3),
            },
            distribution: vec![Distribution::Public],
            window: ClaimWindow::default(),
            durability: Durability::Ledger,
            shards: 1,
            template: None,
            notes: String::new(),
        },
        first_open_at: Some(NOW),
        created_at: NOW,
        updated_at: NOW,
    }
}

/// Terms with this name.
#[must_use]
pub fn terms(name: &str) -> Terms {
    Terms {
        name: name.to_owned(),
        description: String::new(),
        currency: Currency(*b"USD"),
        benefit: Benefit::Fixed { off: 500 },
        conditions: Conditions::default(),
        stacking: Stacking::default(),
        uses_per_claim: 1,
        uses_per_user: None,
        budget: None,
        budget_partial: BudgetPartial::Refuse,
        validity: Validity::Permanent,
    }
}

/// An audit entry about this.
#[must_use]
pub fn entry(action: &str, object: &str) -> AuditEntry {
    AuditEntry {
        at: NOW,
        actor: "key:sample".to_owned(),
        action: action.to_owned(),
        object: object.to_owned(),
        before: String::new(),
        after: "{}".to_owned(),
        request_id: "r-1".to_owned(),
    }
}

/// The n-th claim id of a coupon.
#[must_use]
pub fn claim_id(coupon: CouponId, n: u32) -> ClaimId {
    let mut hash = [0; 12];
    // The low bytes first, so that ids do not come in the order of tickets.
    hash[..4].copy_from_slice(&n.to_le_bytes());
    ClaimId::new(coupon, hash)
}

/// The n-th user.
#[must_use]
pub fn user(n: u32) -> UserId {
    UserId::new(&format!("u{n:07}")).unwrap_or_else(|error| panic!("a sample user id {error}"))
}

/// A device or an address.
#[must_use]
pub fn subject(n: u8) -> SubjectHash {
    SubjectHash([n; 8])
}

/// Claims `from` to `until` (not included) of as many users, on the lease's tickets from
/// `offset` on.
#[must_use]
pub fn batch(entry: u64, lease: &Lease, offset: u64, claims: std::ops::Range<u32>) -> GrantBatch {
    let first = lease.first.0 + offset;
    let grants = claims.enumerate().map(|(index, n)| Grant {
        ticket: sluice_domain::id::Ticket(first + index as u64),
        claim_id: claim_id(lease.coupon, n),
        user: user(n),
        device: None,
        address: None,
    });
    GrantBatch {
        entry: EntryNumber(entry),
        coupon: lease.coupon,
        lease: lease.number,
        revision: Revision(1),
        version: Version(1),
        granted_at: NOW,
        durability: Durability::Ledger,
        grants: grants.collect(),
    }
}
