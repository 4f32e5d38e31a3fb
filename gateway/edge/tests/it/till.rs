//! What checkout works on in these tests: a model ledger, and keys of services.

use std::sync::Arc;

use sluice_checkout::{Checkout, CheckoutSettings};
use sluice_claim::outcome::ClaimView;
use sluice_domain::claim::{ClaimForm, ClaimRow, ClaimStatus};
use sluice_domain::coupon::{CouponSpec, Distribution};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, UserId};
use sluice_domain::lane::LaneCount;
use sluice_domain::terms::{Benefit, MinorUnits};
use sluice_edge::service_key::{KeysUnavailable, ServiceKey, ServiceKeys};
use sluice_ledger::claims::Claims as _;
use sluice_ledger::conformance::granting::Granting;
use sluice_ledger::conformance::sample::NOW;
use sluice_ledger::lanes::Lanes as _;
use sluice_ledger::{Ledger, ModelLedger};

/// A key that may act in checkout.
pub(crate) const CHECKOUT_KEY: &str = "slk_checkout_secret";
/// A key that may not.
pub(crate) const EVENTS_KEY: &str = "slk_events_secret";
/// A key for which the store does not answer.
pub(crate) const SILENT_KEY: &str = "slk_silent_secret";

/// A checkout and its ledger.
#[derive(Clone)]
pub(crate) struct Till {
    pub(crate) ledger: Arc<ModelLedger>,
    pub(crate) granting: Arc<Granting>,
    pub(crate) checkout: Checkout,
}

impl Till {
    pub(crate) async fn start() -> Self {
        let ledger = Arc::new(ModelLedger::new(LaneCount::new(1).unwrap()));
        let all: Arc<dyn Ledger> = Arc::<ModelLedger>::clone(&ledger);
        let keys = HashKeys::derive(&ledger.identity().hash_key);
        Self {
            granting: Arc::new(Granting::start(Arc::clone(&all)).await),
            checkout: Checkout::new(all, keys, CheckoutSettings::default()),
            ledger,
        }
    }

    /// A claim of a coupon that takes a fixed amount off.
    pub(crate) async fn fixed(&self, off: MinorUnits, user: &str) -> ClaimId {
        self.claim(user, |spec| spec.terms.benefit = Benefit::Fixed { off })
            .await
    }

    /// A claim of a new coupon.
    pub(crate) async fn claim(&self, user: &str, change: impl FnOnce(&mut CouponSpec)) -> ClaimId {
        let coupon = self.granting.coupon(change).await;
        let user = UserId::new(user).unwrap();
        self.granting.grant(coupon, &user, "k", NOW).await
    }

    /// A coupon that is handed out by its code, 5.00 off.
    pub(crate) async fn coded(&self, code: &str, change: impl FnOnce(&mut CouponSpec)) -> CouponId {
        self.granting
            .coupon(|spec| {
                spec.code = Some(code.to_owned());
                spec.distribution = vec![Distribution::Code];
                change(spec);
            })
            .await
    }

    /// What the claim engine does with a code; whether the claim is new.
    pub(crate) async fn grant_by_code(
        &self,
        coupon: CouponId,
        user: UserId,
        key: &str,
    ) -> (ClaimView, bool) {
        let document = sluice_ledger::coupons::Coupons::coupon(&*self.ledger, coupon).await;
        let document = document.unwrap().unwrap();
        let claim_id = self.checkout.claim_of_code(&document, &user);
        let new = self.find(claim_id, &user).await.is_none();
        if new {
            self.granting.grant(coupon, &user, key, NOW).await;
        }
        (self.find(claim_id, &user).await.unwrap(), new)
    }

    /// What the claim engine does with a grant; whether the claim is new.
    pub(crate) async fn grant(
        &self,
        coupon: CouponId,
        user: UserId,
        key: &str,
    ) -> (ClaimView, bool) {
        let document = sluice_ledger::coupons::Coupons::coupon(&*self.ledger, coupon).await;
        let keys = HashKeys::derive(&self.ledger.identity().hash_key);
        let claim_id = match document.unwrap().unwrap().spec.limits.form() {
            ClaimForm::Single => keys.single_claim_id(coupon, &user),
            ClaimForm::Keyed => keys.keyed_claim_id(coupon, &user, key),
        };
        let new = self.find(claim_id, &user).await.is_none();
        if new {
            self.granting.grant(coupon, &user, key, NOW).await;
        }
        (self.find(claim_id, &user).await.unwrap(), new)
    }

    /// A claim as the claim engine sees it, which knows nothing of orders.
    pub(crate) async fn find(&self, claim: ClaimId, user: &UserId) -> Option<ClaimView> {
        let row = self.ledger.claim(claim).await.ok()??;
        (row.user == *user).then(|| view_of(&row))
    }
}

fn view_of(row: &ClaimRow) -> ClaimView {
    ClaimView {
        claim_id: row.claim_id,
        coupon: row.coupon,
        user: row.user,
        version: row.version,
        durability: row.durability,
        granted_at: row.granted_at,
        valid_from: row.granted_at,
        expires_at: None,
        status: if row.revoked {
            ClaimStatus::Revoked
        } else {
            ClaimStatus::Usable
        },
    }
}

/// The keys above, and no other.
pub(crate) struct FakeKeys;

#[async_trait::async_trait]
impl ServiceKeys for FakeKeys {
    async fn prove(&self, text: &str) -> Result<Option<ServiceKey>, KeysUnavailable> {
        let (prefix, checkout) = match text {
            CHECKOUT_KEY => ("slk_checkout", true),
            EVENTS_KEY => ("slk_events", false),
            SILENT_KEY => return Err(KeysUnavailable),
            _ => return Ok(None),
        };
        Ok(Some(ServiceKey {
            prefix: prefix.to_owned(),
            checkout,
            events: !checkout,
        }))
    }
}
