//! Confirm and cancel, before and after the end of a hold.

use sluice_domain::id::ClaimId;
use sluice_domain::reason::ReasonCode;
use sluice_domain::redemption::RedemptionStatus::{self, Cancelled, Confirmed, Expired, Held};
use sluice_domain::terms::{Benefit, Validity};

use super::shop::{NOW, OVER, Shop, anybody, keyed, shoes_order, user};

async fn statuses(shop: &Shop, id: sluice_domain::id::RedemptionId) -> Vec<RedemptionStatus> {
    shop.events(id).await.iter().map(|event| event.to).collect()
}

#[tokio::test]
async fn a_repeat_is_answered_alike_and_the_other_end_with_what_won() {
    for shop in Shop::both().await {
        let (one, two) = (
            shop.fixed(500, user(1)).await,
            shop.fixed(500, user(1)).await,
        );
        let paid = shop.hold(&shoes_order("o-1", user(1), &[one]), NOW).await;
        let id = paid.redemption.id;
        let first = shop.confirm(id, NOW).await.unwrap();
        let again = shop.confirm(id, OVER).await.unwrap();
        assert!(!first.replayed && again.replayed);
        assert_eq!(again.redemption, first.redemption);
        assert_eq!(first.redemption.status, Confirmed);
        let refused = shop.cancel(id, NOW).await.unwrap_err();
        assert_eq!(refused.code, ReasonCode::Conflict);
        assert_eq!(refused.status, Some(Confirmed));

        let given_up = shop.hold(&shoes_order("o-2", user(1), &[two]), NOW).await;
        let id = given_up.redemption.id;
        let first = shop.cancel(id, NOW).await.unwrap();
        let again = shop.cancel(id, OVER).await.unwrap();
        assert!(!first.replayed && again.replayed);
        assert_eq!(again.redemption, first.redemption);
        let refused = shop.confirm(id, NOW).await.unwrap_err();
        assert_eq!(refused.status, Some(Cancelled));
        assert_eq!(shop.spent(two.coupon()).await, (0, 0), "it is free again");
        assert_eq!(statuses(&shop, id).await, [Held, Cancelled]);
    }
}

#[tokio::test]
async fn f18_a_key_belongs_to_one_operation() {
    for shop in Shop::both().await {
        let claim = shop.fixed(500, user(1)).await;
        let held = shop.hold(&shoes_order("o-1", user(1), &[claim]), NOW).await;
        let id = held.redemption.id;
        let (checkout, key) = (&shop.checkout, keyed("k-1"));
        let done = checkout.confirm(id, &key, NOW).await.unwrap().unwrap();
        assert!(!done.replayed);
        let again = checkout.confirm(id, &key, NOW).await.unwrap().unwrap();
        assert!(again.replayed);
        let other = checkout.cancel(id, &key, NOW).await.unwrap().unwrap_err();
        assert_eq!(other.code, ReasonCode::KeyReused);
        let other_key = checkout.confirm(id, &keyed("k-2"), NOW).await;
        assert!(
            other_key.unwrap().unwrap().replayed,
            "it is done, by whom ever"
        );
    }
}

#[tokio::test]
async fn only_its_owner_sees_a_redemption() {
    for shop in Shop::both().await {
        let claim = shop.fixed(500, user(1)).await;
        let held = shop.hold(&shoes_order("o-1", user(1), &[claim]), NOW).await;
        let id = held.redemption.id;
        let mut stranger = anybody();
        stranger.owner = Some(user(2));
        let checkout = &shop.checkout;
        let confirmed = checkout.confirm(id, &stranger, NOW).await.unwrap();
        let cancelled = checkout.cancel(id, &stranger, NOW).await.unwrap();
        let read = checkout.redemption(id, Some(&user(2))).await.unwrap();
        let unknown = sluice_domain::id::RedemptionId([7; 16]);
        let not_there = checkout.confirm(unknown, &anybody(), NOW).await.unwrap();
        let expected = not_there.unwrap_err();
        assert_eq!(expected.code, ReasonCode::NotFound);
        assert_eq!(confirmed.unwrap_err(), expected);
        assert_eq!(cancelled.unwrap_err(), expected);
        assert_eq!(read.unwrap_err(), expected);
        let (found, events) = checkout
            .redemption(id, Some(&user(1)))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((found.status, events.len()), (Held, 1));
    }
}

#[tokio::test]
async fn a_confirm_that_comes_late_takes_the_uses_again() {
    for shop in Shop::both().await {
        for (name, sweep) in [("o-1", false), ("o-2", true)] {
            let claim = shop.fixed(500, user(1)).await;
            let held = shop.hold(&shoes_order(name, user(1), &[claim]), NOW).await;
            if sweep {
                assert_eq!(shop.checkout.sweep(OVER, 10).await.unwrap(), 1);
                assert_eq!(shop.spent(claim.coupon()).await, (0, 0));
            }
            let paid = shop.confirm(held.redemption.id, OVER).await.unwrap();
            assert_eq!(paid.redemption.status, Confirmed);
            assert_eq!(paid.redemption.record, held.redemption.record, "frozen");
            assert_eq!(shop.spent(claim.coupon()).await, (1, 500));
            let expected = if sweep {
                vec![Held, Expired, Confirmed]
            } else {
                vec![Held, Confirmed]
            };
            assert_eq!(statuses(&shop, held.redemption.id).await, expected);
        }
    }
}

#[tokio::test]
async fn a_confirm_that_comes_too_late_is_told_so() {
    for shop in Shop::both().await {
        for (name, sweep) in [("o-1", false), ("o-2", true)] {
            let short = shop
                .coupon(Benefit::Fixed { off: 500 }, |spec| {
                    spec.terms.validity = Validity::Fixed {
                        starts_at: NOW,
                        ends_at: OVER,
                    };
                })
                .await;
            let claim = shop.grant(short, user(1)).await;
            let held = shop.hold(&shoes_order(name, user(1), &[claim]), NOW).await;
            if sweep {
                shop.checkout.sweep(OVER, 10).await.unwrap();
            }
            let id = held.redemption.id;
            let refused = shop.confirm(id, OVER).await.unwrap_err();
            assert_eq!(refused.code, ReasonCode::HoldExpired);
            assert_eq!(refused.until, Some(OVER));
            let ends_with = if sweep { Expired } else { Held };
            assert_eq!(statuses(&shop, id).await.last(), Some(&ends_with));
        }
    }
}

async fn taken_meanwhile(shop: &Shop, claim: ClaimId) -> sluice_domain::id::RedemptionId {
    let late = shop
        .hold(&shoes_order("o-late", user(1), &[claim]), NOW)
        .await;
    shop.hold(&shoes_order("o-next", user(1), &[claim]), OVER)
        .await;
    late.redemption.id
}

#[tokio::test]
async fn a_claim_that_another_order_took_meanwhile_is_not_taken_twice() {
    for shop in Shop::both().await {
        let claim = shop.fixed(500, user(1)).await;
        let id = taken_meanwhile(&shop, claim).await;
        let refused = shop.confirm(id, OVER).await.unwrap_err();
        assert_eq!(refused.code, ReasonCode::HoldExpired);
        assert_eq!(statuses(&shop, id).await, [Held, Expired]);
        assert_eq!(shop.spent(claim.coupon()).await, (1, 500));
    }
}

#[tokio::test]
async fn a_claim_that_another_order_let_run_out_is_taken_again() {
    for shop in Shop::both().await {
        let claim = shop.fixed(500, user(1)).await;
        let id = taken_meanwhile(&shop, claim).await;
        let later = OVER.plus_millis(super::shop::HOLD_MS);
        let paid = shop.confirm(id, later).await.unwrap();
        assert_eq!(paid.redemption.status, Confirmed);
        let next = shop.keys.redemption_id(&"o-next".parse().unwrap());
        assert_eq!(statuses(&shop, next).await, [Held, Expired]);
        assert_eq!(shop.spent(claim.coupon()).await, (1, 500));
    }
}

#[tokio::test]
async fn a_hold_in_its_time_is_a_promise() {
    for shop in Shop::both().await {
        let coupon = shop
            .coupon(Benefit::Fixed { off: 500 }, |spec| {
                spec.terms.budget = Some(500);
            })
            .await;
        let claim = shop.grant(coupon, user(1)).await;
        let held = shop.hold(&shoes_order("o-1", user(1), &[claim]), NOW).await;
        shop.granting
            .change(coupon, |coupon| {
                coupon.spec.terms.budget = Some(1);
                coupon.lifecycle = sluice_domain::coupon::Lifecycle::Archived;
            })
            .await;
        let paid = shop.confirm(held.redemption.id, OVER.plus_millis(-1)).await;
        assert_eq!(paid.unwrap().redemption.status, Confirmed);
    }
}
