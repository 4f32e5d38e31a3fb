//! A checkout on a SQLite file, with claims to use.

use std::path::Path;
use std::sync::Arc;

use sluice_checkout::{Ask, Checkout, CheckoutSettings, HoldAsk, Holding, Operation};
use sluice_domain::cart::{Cart, CartLine};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, LaneId, OrderId, RedemptionId};
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::pricing::{Buyer, Choose};
use sluice_domain::reason::ReasonCode;
use sluice_domain::redemption::RefundLine;
use sluice_domain::refund::Wanted;
use sluice_domain::terms::{Currency, Period, UsesPerUser};
use sluice_domain::time::Timestamp;
use sluice_ledger::claims::{AppendFrom, Claims};
use sluice_ledger::conformance::sample;
use sluice_ledger::coupons::Coupons;
use sluice_ledger::lanes::{LaneWrite, Lanes};
use sluice_ledger::leases::{LeaseOpened, Leases};
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{Ledger, SqliteLedger};

/// The coupon that all claims are of: 5.00 off, once a user and day.
pub(crate) const COUPON: CouponId = CouponId(7);
/// Its budget.
pub(crate) const BUDGET: i64 = 1_000;
/// Claims, each of the user with its number.
const CLAIMS: u32 = 8;

/// A ledger's file with a checkout.
pub(crate) struct Shop {
    pub(crate) ledger: Arc<SqliteLedger>,
    checkout: Checkout,
}

impl Shop {
    /// A new file with a coupon and its claims.
    pub(crate) async fn open(path: &Path) -> Self {
        let options = OpenOptions {
            fatal: Arc::new(|error| panic!("fatal: {error}")),
            ..OpenOptions::new(LaneCount::new(1).unwrap())
        };
        let ledger = SqliteLedger::open(path, options).unwrap();
        let mut coupon = sample::coupon(COUPON, None);
        // Claim ids that follow from nothing: as of a coupon with several claims per user.
        coupon.spec.limits.per_user = 2;
        coupon.spec.terms.budget = Some(BUDGET);
        coupon.spec.terms.uses_per_user = Some(UsesPerUser {
            count: 1,
            period: Period::Day,
        });
        let entry = sample::entry("coupon.create", "shop");
        ledger.create_coupon(&coupon, entry).await.unwrap();
        let seen = ledger.lane(LaneId(0)).await.unwrap();
        let taken = ledger.take_lane(&seen, "shop", sample::NOW).await.unwrap();
        let LaneWrite::Done(row) = taken else {
            panic!("nobody else keeps the lane")
        };
        let fence = LaneFence {
            lane: row.lane,
            epoch: row.epoch,
            keeper: row.keeper,
        };
        let opened = ledger.open_lease(fence, COUPON, CLAIMS, false).await;
        let LeaseOpened::Opened(lease, _seq) = opened.unwrap() else {
            panic!("an unlimited coupon has leases")
        };
        let batches = [sample::batch(1, &lease, 0, 0..CLAIMS)];
        let appended = ledger.append(fence, AppendFrom::Current, &batches).await;
        appended.unwrap();
        let keys = HashKeys::derive(&ledger.identity().hash_key);
        let ledger = Arc::new(ledger);
        let shared = ledger.clone() as Arc<dyn Ledger>;
        let checkout = Checkout::new(shared, keys, CheckoutSettings::default());
        Self { ledger, checkout }
    }

    /// Holds a user's claim for an order, for a cart of two pieces at 30.00.
    pub(crate) async fn hold(
        &self,
        order: &str,
        user: u32,
        now: Timestamp,
    ) -> Result<RedemptionId, ReasonCode> {
        let ask = HoldAsk {
            order: order.parse::<OrderId>().unwrap(),
            ask: ask(user),
            expected_total: None,
            actor: "key:shop".to_owned(),
        };
        let held = self.checkout.hold(&ask, now).await.unwrap();
        match held {
            Ok(Holding::Settled(settled)) => Ok(settled.redemption.id),
            Ok(Holding::Unclaimed(codes)) => panic!("no code was given: {codes:?}"),
            Err(refused) => Err(refused.code),
        }
    }

    /// Confirms a redemption.
    pub(crate) async fn confirm(&self, id: RedemptionId, now: Timestamp) {
        let done = self.checkout.confirm(id, &anybody(), now).await;
        done.unwrap().unwrap();
    }

    /// Cancels a redemption.
    pub(crate) async fn cancel(&self, id: RedemptionId, now: Timestamp) {
        let done = self.checkout.cancel(id, &anybody(), now).await;
        done.unwrap().unwrap();
    }

    /// Gives one piece back, or everything.
    pub(crate) async fn refund(
        &self,
        id: RedemptionId,
        refund_id: &str,
        pieces: Option<u32>,
        now: Timestamp,
    ) {
        let wanted = pieces.map_or(Wanted::Everything, |quantity| {
            let id = "l1".to_owned();
            Wanted::Pieces(vec![RefundLine { id, quantity }])
        });
        let actor = anybody();
        let done = self.checkout.refund(id, refund_id, wanted, &actor, now);
        done.await.unwrap().unwrap();
    }

    /// Frees what ran out.
    pub(crate) async fn sweep(&self, now: Timestamp) -> usize {
        self.checkout.sweep(now, 100).await.unwrap()
    }
}

/// The n-th user's claim.
pub(crate) fn claim(user: u32) -> ClaimId {
    sample::claim_id(COUPON, user)
}

fn anybody() -> Operation {
    Operation {
        owner: None,
        actor: "key:shop".to_owned(),
        key: None,
    }
}

fn ask(user: u32) -> Ask {
    let line = CartLine {
        id: "l1".to_owned(),
        sku: "A-1".to_owned(),
        quantity: 2,
        unit_price: 3_000,
        categories: Vec::new(),
        brand: None,
        tags: Vec::new(),
        floor_price: 0,
    };
    Ask {
        cart: Cart {
            currency: Currency(*b"USD"),
            lines: vec![line],
            shipping: 500,
            channel: None,
        },
        buyer: Buyer {
            user: sample::user(user),
            groups: Vec::new(),
            is_new: None,
            verified: Vec::new(),
        },
        claims: vec![claim(user)],
        codes: Vec::new(),
        choose: Choose::Given,
    }
}
