//! Refunds: whole, in parts, too much.

use sluice_checkout::{CheckoutSettings, Refunded, Refused};
use sluice_domain::id::{ClaimId, RedemptionId};
use sluice_domain::reason::ReasonCode;
use sluice_domain::redemption::{RedemptionStatus, RefundLine, RefundPolicy};
use sluice_domain::refund::Wanted;
use sluice_domain::terms::{Benefit, Tier};

use super::shop::{NOW, OVER, Shop, anybody, ask, cart, order, shoes_order, user};

use RedemptionStatus::{PartiallyRefunded, Refunded as AllRefunded};

fn pieces(line: &str, quantity: u32) -> Wanted {
    Wanted::Pieces(vec![RefundLine {
        id: line.to_owned(),
        quantity,
    }])
}

async fn refund(
    shop: &Shop,
    id: RedemptionId,
    name: &str,
    wanted: Wanted,
) -> Result<Refunded, Refused> {
    let refunded = shop
        .checkout
        .refund(id, name, wanted, &anybody(), OVER)
        .await;
    refunded.unwrap().map_err(|refused| *refused)
}

/// Two pieces at 30.00 with 5.00 off and 5.00 of shipping: 60.00 paid.
async fn paid(shop: &Shop, name: &str) -> (RedemptionId, ClaimId) {
    let claim = shop.fixed(500, user(1)).await;
    let held = shop.hold(&shoes_order(name, user(1), &[claim]), NOW).await;
    shop.confirm(held.redemption.id, NOW).await.unwrap();
    (held.redemption.id, claim)
}

#[tokio::test]
async fn a_full_refund_gives_all_back_and_the_claim_with_it() {
    for shop in Shop::both().await {
        let (id, claim) = paid(&shop, "o-1").await;
        let all = refund(&shop, id, "r-1", Wanted::Everything).await.unwrap();
        assert_eq!((all.refund.amount, all.status), (6_000, AllRefunded));
        assert_eq!(all.refund.claims_returned, [claim]);
        assert_eq!(shop.spent(claim.coupon()).await, (0, 0));
        shop.hold(&shoes_order("o-2", user(1), &[claim]), OVER)
            .await;
        // Again: the same answer, although the claim is in use since.
        let again = refund(&shop, id, "r-1", Wanted::Everything).await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.refund, all.refund);
        let more = refund(&shop, id, "r-2", Wanted::Everything)
            .await
            .unwrap_err();
        assert_eq!(more.code, ReasonCode::Conflict);
        assert_eq!(more.status, Some(AllRefunded));
    }
}

#[tokio::test]
async fn pieces_come_back_one_by_one() {
    for shop in Shop::both().await {
        let (id, claim) = paid(&shop, "o-1").await;
        let first = refund(&shop, id, "r-1", pieces("l1", 1)).await.unwrap();
        assert_eq!(
            (first.refund.amount, first.status),
            (2_750, PartiallyRefunded)
        );
        assert_eq!(first.refund.claims_returned, []);
        assert_eq!(
            shop.spent(claim.coupon()).await,
            (1, 250),
            "the budget has it"
        );
        // Over what is left, and lines that are not there: each is named.
        let too_many = refund(&shop, id, "r-2", pieces("l1", 2)).await.unwrap_err();
        assert_eq!(too_many.code, ReasonCode::InvalidRequest);
        assert_eq!(too_many.errors.len(), 1);
        let unknown = refund(&shop, id, "r-2", pieces("l7", 1)).await.unwrap_err();
        assert_eq!(unknown.code, ReasonCode::InvalidRequest);
        let other = refund(&shop, id, "r-1", Wanted::Everything)
            .await
            .unwrap_err();
        assert_eq!(other.code, ReasonCode::KeyReused);
        // The last piece brings the shipping with it.
        let last = refund(&shop, id, "r-2", pieces("l1", 1)).await.unwrap();
        assert_eq!((last.refund.amount, last.status), (3_250, AllRefunded));
        assert_eq!(last.refund.claims_returned, [claim]);
        assert_eq!(shop.spent(claim.coupon()).await, (0, 0));
        // The first answer, as it was given.
        let again = refund(&shop, id, "r-1", pieces("l1", 1)).await.unwrap();
        assert_eq!((again.status, again.replayed), (PartiallyRefunded, true));
        assert_eq!(again.refund, first.refund);
    }
}

#[tokio::test]
async fn kept_pieces_may_be_priced_again() {
    let settings = CheckoutSettings {
        refund_policy: RefundPolicy::Reevaluate,
        ..CheckoutSettings::default()
    };
    for shop in Shop::both_with(settings).await {
        let tier = |spend, off| Tier { spend, off };
        let tiers = vec![tier(5_000, 300), tier(10_000, 1_500)];
        let coupon = shop.coupon(Benefit::Threshold { tiers }, |_spec| {}).await;
        let claim = shop.grant(coupon, user(1)).await;
        let cart = cart(&[("A-1", 2, 6_000)]);
        let held = shop
            .hold(&order("o-1", ask(user(1), cart, &[claim])), NOW)
            .await;
        let id = held.redemption.id;
        assert_eq!(held.redemption.record.quote.total, 11_000);
        shop.confirm(id, NOW).await.unwrap();
        // Other terms since then do not matter.
        shop.granting
            .change(coupon, |coupon| {
                coupon.spec.terms.benefit = Benefit::Fixed { off: 1 };
            })
            .await;
        // The kept piece at 60.00 has the lower tier: 57.00 and 5.00 of shipping stay paid.
        let first = refund(&shop, id, "r-1", pieces("l1", 1)).await.unwrap();
        assert_eq!(first.refund.amount, 11_000 - 6_200);
        assert_eq!(shop.spent(coupon).await, (1, 300));
        let rest = refund(&shop, id, "r-2", Wanted::Everything).await.unwrap();
        assert_eq!(rest.refund.amount, 6_200);
        assert_eq!(rest.status, AllRefunded);
    }
}

#[tokio::test]
async fn a_claim_that_does_not_return_stays_used() {
    let settings = CheckoutSettings {
        return_claims: false,
        ..CheckoutSettings::default()
    };
    for shop in Shop::both_with(settings).await {
        let (id, claim) = paid(&shop, "o-1").await;
        let all = refund(&shop, id, "r-1", Wanted::Everything).await.unwrap();
        assert_eq!(all.refund.claims_returned, []);
        assert_eq!(
            shop.spent(claim.coupon()).await,
            (1, 0),
            "the budget has it all"
        );
        let next = shop
            .try_hold(&shoes_order("o-2", user(1), &[claim]), OVER)
            .await;
        assert_eq!(next.unwrap_err().code, ReasonCode::AlreadyUsed);
    }
}

#[tokio::test]
async fn only_what_was_paid_is_refunded() {
    for shop in Shop::both().await {
        let claim = shop.fixed(500, user(1)).await;
        let held = shop.hold(&shoes_order("o-1", user(1), &[claim]), NOW).await;
        let id = held.redemption.id;
        let refused = refund(&shop, id, "r-1", Wanted::Everything)
            .await
            .unwrap_err();
        assert_eq!(refused.code, ReasonCode::Conflict);
        shop.cancel(id, NOW).await.unwrap();
        let refused = refund(&shop, id, "r-1", Wanted::Everything)
            .await
            .unwrap_err();
        assert_eq!(refused.status, Some(RedemptionStatus::Cancelled));
    }
}
