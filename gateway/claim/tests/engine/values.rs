//! What the tests claim, and who claims it.

use std::sync::Arc;

use sluice_domain::claim::{ClaimForm, ClaimRow, Durability};
use sluice_domain::coupon::{ClaimLimits, ClaimWindow, Distribution, Lifecycle};
use sluice_domain::eligibility::Shopper;
use sluice_domain::id::{ClaimId, CouponNumber, Revision, Ticket, UserId, Version};
use sluice_domain::published::{Published, PublishedVersion};
use sluice_domain::terms::{
    Benefit, BudgetPartial, Conditions, Currency, Stacking, Terms, Validity,
};

use crate::fake::{BEGIN, COUPON};

pub(crate) fn user(n: usize) -> UserId {
    UserId::new(&format!("u{n:07}")).unwrap()
}

pub(crate) fn shopper(n: usize) -> Shopper {
    Shopper {
        user: user(n),
        groups: Arc::new([]),
        is_new: None,
        verified: Arc::new([]),
        device: None,
    }
}

pub(crate) fn published(durability: Durability) -> Published {
    let validity = Validity::Permanent;
    Published {
        format: 1,
        id: COUPON,
        number: CouponNumber(1),
        revision: Revision(1),
        terms_revision: Revision(1),
        version: Version(1),
        lifecycle: Lifecycle::Live,
        first_open_at: BEGIN.plus_millis(-60_000),
        window: ClaimWindow::default(),
        limits: ClaimLimits {
            total: Some(1_000),
            per_user: 1,
            per_device: None,
            per_address: None,
        },
        distribution: vec![Distribution::Public],
        shards: 1,
        form: ClaimForm::Single,
        durability,
        terms: Terms {
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
            validity: validity.clone(),
        },
        versions: vec![PublishedVersion {
            version: Version(1),
            validity,
            durability,
        }],
    }
}

pub(crate) fn row(user: UserId, claim_id: ClaimId) -> ClaimRow {
    ClaimRow {
        claim_id,
        coupon: COUPON,
        user,
        lease: sluice_domain::id::LeaseNumber(1),
        ticket: Ticket(1),
        revision: Revision(1),
        version: Version(1),
        granted_at: BEGIN,
        durability: Durability::Ledger,
        device: None,
        address: None,
        revoked: false,
    }
}
