//! Coupons and people to make histories of.

use sluice_domain::claim::{ClaimForm, ClaimRow, Durability};
use sluice_domain::coupon::{ClaimLimits, ClaimWindow, Distribution, Lifecycle};
use sluice_domain::id::{
    ClaimId, CouponId, CouponNumber, LaneId, LeaseNumber, LedgerId, Revision, SubjectHash, Ticket,
    UserId, Version,
};
use sluice_domain::lane::LaneCount;
use sluice_domain::published::{PUBLISHED_FORMAT, Published, PublishedVersion};
use sluice_domain::terms::{
    Benefit, BudgetPartial, Conditions, Currency, Stacking, Terms, Validity,
};
use sluice_domain::time::Timestamp;

/// When every story begins: 2026-11-27T00:00:00Z.
pub(super) const BEGIN: Timestamp = Timestamp::from_millis(1_795_737_600_000);
/// The lane of every story. Hot state does not check that a coupon belongs to the lane named.
pub(super) const LANE: LaneId = LaneId(3);
/// The ledger of every story.
pub(super) const LEDGER: LedgerId = LedgerId([7; 16]);
/// The coupons: one claim per user, and several.
pub(super) const COUPONS: [CouponId; 2] = [CouponId(0x0102_0304), CouponId(0xf000_0001)];

pub(super) fn lanes() -> LaneCount {
    LaneCount::new(16).expect("16 is a count of lanes")
}

pub(super) fn user(number: u8) -> UserId {
    UserId::new(&format!("user-{number}")).expect("letters, a dash and digits are allowed")
}

pub(super) const fn subject(number: u8) -> SubjectHash {
    SubjectHash([number; 8])
}

/// The claim of a user; `key` tells several claims of one user apart.
pub(super) fn claim_id(coupon: CouponId, user: u8, key: u8) -> ClaimId {
    let mut hash = [0x5a; 12];
    (hash[0], hash[11]) = (user, key);
    ClaimId::new(coupon, hash)
}

pub(super) const fn limits(
    per_user: u16,
    per_device: Option<u16>,
    per_address: Option<u16>,
) -> ClaimLimits {
    ClaimLimits {
        total: Some(1_000),
        per_user,
        per_device,
        per_address,
    }
}

/// A live coupon of revision 1, open for ever.
pub(super) fn published(id: CouponId, limits: ClaimLimits) -> Published {
    let terms = Terms {
        name: "Five off".to_owned(),
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
    };
    Published {
        format: PUBLISHED_FORMAT,
        id,
        number: CouponNumber(id.0 ^ 0x5555),
        revision: Revision(1),
        terms_revision: Revision(1),
        version: Version(1),
        lifecycle: Lifecycle::Live,
        first_open_at: BEGIN,
        window: ClaimWindow::default(),
        limits,
        distribution: vec![Distribution::Public],
        shards: 1,
        form: if limits.per_user == 1 {
            ClaimForm::Single
        } else {
            ClaimForm::Keyed
        },
        durability: Durability::Ledger,
        versions: vec![PublishedVersion {
            version: Version(1),
            validity: terms.validity.clone(),
            durability: Durability::Ledger,
        }],
        terms,
    }
}

/// The claim of a user as a row of the ledger.
pub(super) fn row(coupon: CouponId, who: u8, key: u8) -> ClaimRow {
    ClaimRow {
        claim_id: claim_id(coupon, who, key),
        coupon,
        user: user(who),
        lease: LeaseNumber(1),
        ticket: Ticket(900_000 + u64::from(who) * 256 + u64::from(key)),
        revision: Revision(1),
        version: Version(1),
        granted_at: BEGIN.plus_millis(-86_400_000),
        durability: Durability::Ledger,
        device: None,
        address: None,
        revoked: false,
    }
}
