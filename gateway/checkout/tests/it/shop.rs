//! A checkout with coupons and claims to try it on.

use std::sync::Arc;

use sluice_checkout::{
    Ask, Checkout, CheckoutSettings, HoldAsk, Holding, Operation, Refused, Settled,
};
use sluice_domain::cart::{Cart, CartLine};
use sluice_domain::coupon::CouponSpec;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, RedemptionId, UserId};
use sluice_domain::lane::LaneCount;
use sluice_domain::pricing::{Buyer, Choose};
use sluice_domain::redemption::{RedemptionStatus, TransitionEvent};
use sluice_domain::terms::{Benefit, Currency, MinorUnits};
use sluice_domain::time::Timestamp;
use sluice_ledger::conformance::granting::Granting;
use sluice_ledger::conformance::{sample, tamper};
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{Ledger, ModelLedger, SqliteLedger};

pub(crate) use sluice_ledger::conformance::sample::NOW;

/// How long a hold lasts in these tests, in milliseconds.
pub(crate) const HOLD_MS: i64 = 900_000;
/// The first instant at which a hold made at [`NOW`] is over.
pub(crate) const OVER: Timestamp = NOW.plus_millis(HOLD_MS);

pub(crate) struct Shop {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) granting: Granting,
    pub(crate) checkout: Checkout,
    pub(crate) keys: HashKeys,
    /// Where the ledger's file is; removed at the end.
    folder: Option<tempfile::TempDir>,
}

impl Shop {
    /// One on each ledger.
    pub(crate) async fn both() -> [Self; 2] {
        Self::both_with(CheckoutSettings::default()).await
    }

    pub(crate) async fn both_with(settings: CheckoutSettings) -> [Self; 2] {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            fatal: Arc::new(|error| panic!("fatal: {error}")),
            ..OpenOptions::new(LaneCount::new(1).unwrap())
        };
        let sqlite = SqliteLedger::open(folder.path().join("ledger.db"), options).unwrap();
        let (model, _ledger) = Self::on_model(settings).await;
        [
            model,
            Self::on(Arc::new(sqlite), settings, Some(folder)).await,
        ]
    }

    /// On a model whose faults can be asked for.
    pub(crate) async fn on_model(settings: CheckoutSettings) -> (Self, Arc<ModelLedger>) {
        let ledger = Arc::new(ModelLedger::new(LaneCount::new(1).unwrap()));
        let shop = Self::on(Arc::<ModelLedger>::clone(&ledger), settings, None).await;
        (shop, ledger)
    }

    async fn on(
        ledger: Arc<dyn Ledger>,
        settings: CheckoutSettings,
        folder: Option<tempfile::TempDir>,
    ) -> Self {
        let keys = HashKeys::derive(&ledger.identity().hash_key);
        Self {
            granting: Granting::start(Arc::clone(&ledger)).await,
            checkout: Checkout::new(Arc::clone(&ledger), keys.clone(), settings),
            keys,
            ledger,
            folder,
        }
    }

    /// Edits the ledger's file behind its back; false where it has none.
    pub(crate) fn tamper(&self, sql: &str) -> bool {
        let folder = self.folder.as_ref();
        folder.is_some_and(|folder| {
            tamper(&folder.path().join("ledger.db"), sql);
            true
        })
    }

    /// A coupon of this benefit.
    pub(crate) async fn coupon(
        &self,
        benefit: Benefit,
        change: impl FnOnce(&mut CouponSpec),
    ) -> CouponId {
        self.granting
            .coupon(|spec| {
                spec.terms.benefit = benefit;
                change(spec);
            })
            .await
    }

    pub(crate) async fn grant(&self, coupon: CouponId, user: UserId) -> ClaimId {
        self.granting.grant(coupon, &user, "k", NOW).await
    }

    /// A claim of a coupon that takes a fixed amount off.
    pub(crate) async fn fixed(&self, off: MinorUnits, user: UserId) -> ClaimId {
        let coupon = self.coupon(Benefit::Fixed { off }, |_spec| {}).await;
        self.grant(coupon, user).await
    }

    pub(crate) async fn try_hold(
        &self,
        asked: &HoldAsk,
        now: Timestamp,
    ) -> Result<Settled, Refused> {
        match self.checkout.hold(asked, now).await.unwrap() {
            Ok(Holding::Settled(settled)) => Ok(settled),
            Ok(Holding::Unclaimed(unclaimed)) => panic!("no codes in this test: {unclaimed:?}"),
            Err(refused) => Err(*refused),
        }
    }

    /// A hold that is carried out.
    pub(crate) async fn hold(&self, asked: &HoldAsk, now: Timestamp) -> Settled {
        let held = self.try_hold(asked, now).await.unwrap();
        assert!(!held.replayed);
        assert_eq!(held.redemption.status, RedemptionStatus::Held);
        held
    }

    pub(crate) async fn confirm(
        &self,
        id: RedemptionId,
        now: Timestamp,
    ) -> Result<Settled, Refused> {
        let confirmed = self.checkout.confirm(id, &anybody(), now).await.unwrap();
        confirmed.map_err(|refused| *refused)
    }

    pub(crate) async fn cancel(
        &self,
        id: RedemptionId,
        now: Timestamp,
    ) -> Result<Settled, Refused> {
        let cancelled = self.checkout.cancel(id, &anybody(), now).await.unwrap();
        cancelled.map_err(|refused| *refused)
    }

    pub(crate) async fn events(&self, id: RedemptionId) -> Vec<TransitionEvent> {
        self.ledger.events(id).await.unwrap()
    }

    /// What the uses of a coupon come to.
    pub(crate) async fn spent(&self, coupon: CouponId) -> (u64, MinorUnits) {
        let usage = self.ledger.coupon_usage(&[coupon]).await.unwrap()[0];
        (usage.uses, usage.value)
    }
}

pub(crate) fn user(n: u32) -> UserId {
    sample::user(n)
}

/// Lines of (sku, pieces, price of one), and 5.00 of shipping.
pub(crate) fn cart(lines: &[(&str, u32, MinorUnits)]) -> Cart {
    let lines = lines
        .iter()
        .zip(1..)
        .map(|((sku, quantity, price), n)| CartLine {
            id: format!("l{n}"),
            sku: (*sku).to_owned(),
            quantity: *quantity,
            unit_price: *price,
            categories: Vec::new(),
            brand: None,
            tags: Vec::new(),
            floor_price: 0,
        });
    Cart {
        currency: Currency(*b"USD"),
        lines: lines.collect(),
        shipping: 500,
        channel: None,
    }
}

/// Two pieces at 30.00.
pub(crate) fn shoes() -> Cart {
    cart(&[("A-1", 2, 3_000)])
}

pub(crate) fn ask(buyer: UserId, cart: Cart, claims: &[ClaimId]) -> Ask {
    Ask {
        cart,
        buyer: Buyer {
            user: buyer,
            groups: Vec::new(),
            is_new: None,
            verified: Vec::new(),
        },
        claims: claims.to_vec(),
        codes: Vec::new(),
        choose: Choose::Given,
    }
}

pub(crate) fn order(name: &str, ask: Ask) -> HoldAsk {
    HoldAsk {
        order: name.parse().unwrap(),
        expected_total: None,
        actor: format!("user:{}", ask.buyer.user),
        ask,
    }
}

/// Two pieces at 30.00 with these claims.
pub(crate) fn shoes_order(name: &str, buyer: UserId, claims: &[ClaimId]) -> HoldAsk {
    order(name, ask(buyer, shoes(), claims))
}

pub(crate) fn anybody() -> Operation {
    Operation {
        owner: None,
        actor: "key:test".to_owned(),
        key: None,
    }
}

pub(crate) fn keyed(key: &str) -> Operation {
    Operation {
        key: Some(key.to_owned()),
        ..anybody()
    }
}
