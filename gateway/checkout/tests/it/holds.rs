//! Holds: replayed, made anew, refused.

use sluice_checkout::Refused;
use sluice_domain::reason::ReasonCode;
use sluice_domain::redemption::RedemptionStatus;
use sluice_domain::terms::{Benefit, Period, UsesPerUser};

use super::shop::{HOLD_MS, NOW, OVER, Shop, ask, cart, order, shoes, shoes_order, user};

#[tokio::test]
async fn the_same_hold_again_is_replayed_and_not_prolonged() {
    for shop in Shop::both().await {
        let claim = shop.fixed(500, user(1)).await;
        let mut asked = shoes_order("o-1", user(1), &[claim]);
        asked.expected_total = Some(6_000);
        let first = shop.hold(&asked, NOW).await;
        assert_eq!(first.redemption.held_until, OVER);
        assert_eq!(first.redemption.record.quote.total, 6_000);
        let again = shop.try_hold(&asked, OVER.plus_millis(-1)).await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.redemption, first.redemption);
        assert_eq!(shop.events(first.redemption.id).await.len(), 1);
        // After its end it is a hold of the same order anew.
        let anew = shop.hold(&asked, OVER).await;
        assert_eq!(anew.redemption.id, first.redemption.id);
        assert_eq!(anew.redemption.held_until, OVER.plus_millis(HOLD_MS));
        assert_eq!(shop.spent(claim.coupon()).await, (1, 500));
    }
}

#[tokio::test]
async fn other_content_is_a_new_hold_of_the_same_order() {
    for shop in Shop::both().await {
        let ann = user(1);
        let (first, second) = (shop.fixed(500, ann).await, shop.fixed(700, ann).await);
        shop.hold(&shoes_order("o-1", ann, &[first]), NOW).await;
        // It frees the claim that is not wanted any more, and takes the other.
        let later = NOW.plus_millis(1_000);
        let held = shop.hold(&shoes_order("o-1", ann, &[second]), later).await;
        assert_eq!(held.redemption.held_until, later.plus_millis(HOLD_MS));
        assert_eq!(shop.spent(first.coupon()).await, (0, 0));
        assert_eq!(shop.spent(second.coupon()).await, (1, 700));
        shop.hold(&shoes_order("o-2", ann, &[first]), later).await;
        // The same claim with another cart: freed and taken in one step.
        let cheap = order("o-1", ask(ann, cart(&[("B", 1, 600)]), &[second]));
        let held = shop.hold(&cheap, later).await;
        assert_eq!(held.redemption.record.quote.applied[0].value, 600);
        assert_eq!(shop.spent(second.coupon()).await, (1, 600));
        // Back to the first content: a hold anew, not a replay of the first.
        let back = shoes_order("o-1", ann, &[second]);
        shop.hold(&back, later).await;
        assert_eq!(shop.events(held.redemption.id).await.len(), 4);
    }
}

#[tokio::test]
async fn what_a_new_hold_gives_up_is_free_for_it() {
    for shop in Shop::both().await {
        let ann = user(1);
        // One use a day and 5.00 in all: both are with the order's own first claim.
        let coupon = shop
            .coupon(Benefit::Fixed { off: 500 }, |spec| {
                spec.limits.per_user = 2;
                spec.terms.budget = Some(500);
                spec.terms.uses_per_user = Some(UsesPerUser {
                    count: 1,
                    period: Period::Day,
                });
            })
            .await;
        let first = shop.granting.grant(coupon, &ann, "a", NOW).await;
        let second = shop.granting.grant(coupon, &ann, "b", NOW).await;
        shop.hold(&shoes_order("o-1", ann, &[first]), NOW).await;
        let other = shop
            .try_hold(&shoes_order("o-2", ann, &[second]), NOW)
            .await;
        assert_eq!(other.unwrap_err().code, ReasonCode::UsageLimitReached);
        let held = shop.hold(&shoes_order("o-1", ann, &[second]), NOW).await;
        assert_eq!(held.redemption.record.quote.discount, 500);
        assert_eq!(shop.spent(coupon).await, (1, 500));
    }
}

#[tokio::test]
async fn a_budget_that_was_lowered_is_not_exceeded_by_a_new_hold() {
    for shop in Shop::both().await {
        let coupon = shop
            .coupon(Benefit::Fixed { off: 500 }, |spec| {
                spec.terms.budget = Some(1_500);
            })
            .await;
        for n in 1..=3 {
            let claim = shop.grant(coupon, user(n)).await;
            shop.hold(&shoes_order(&format!("o-{n}"), user(n), &[claim]), NOW)
                .await;
        }
        shop.granting
            .change(coupon, |coupon| coupon.spec.terms.budget = Some(800))
            .await;
        // The two others come to 10.00 already: nothing is left for this one.
        let claim = shop.keys.single_claim_id(coupon, &user(1));
        let more = order("o-1", ask(user(1), cart(&[("B", 1, 9_000)]), &[claim]));
        let refused = shop.try_hold(&more, NOW).await.unwrap_err();
        assert_eq!(refused.code, ReasonCode::BudgetExhausted);
        assert!(!refused.reasons.is_empty(), "it says more than the code");
        assert_eq!(shop.spent(coupon).await, (3, 1_500), "the old hold stands");
    }
}

#[tokio::test]
async fn a_hold_that_is_refused_changes_nothing() {
    for shop in Shop::both().await {
        let ann = user(1);
        let good = shop.fixed(500, ann).await;
        let dear = shop
            .coupon(Benefit::Fixed { off: 500 }, |spec| {
                spec.terms.conditions.min_spend = Some(10_000);
                spec.terms.conditions.channels = vec!["app".to_owned()];
            })
            .await;
        let dear = shop.grant(dear, ann).await;
        let held_elsewhere = shop.fixed(500, ann).await;
        shop.hold(&shoes_order("o-9", ann, &[held_elsewhere]), NOW)
            .await;

        // All reasons of the first that does not apply, in the order of the request.
        let asked = shoes_order("o-1", ann, &[good, dear, held_elsewhere]);
        let refused = shop.try_hold(&asked, NOW).await.unwrap_err();
        let codes: Vec<ReasonCode> = refused.reasons.iter().map(|one| one.code).collect();
        assert_eq!(
            codes,
            [ReasonCode::ChannelMismatch, ReasonCode::MinSpendNotMet]
        );
        assert_eq!(refused.code, ReasonCode::ChannelMismatch);
        let asked = shoes_order("o-1", ann, &[held_elsewhere, dear, good]);
        let refused = shop.try_hold(&asked, NOW).await.unwrap_err();
        assert_eq!(refused.code, ReasonCode::HeldByOrder);

        // A total that is not the expected one.
        let mut asked = shoes_order("o-1", ann, &[good]);
        asked.expected_total = Some(5_999);
        let refused = shop.try_hold(&asked, NOW).await.unwrap_err();
        assert_eq!(refused.code, ReasonCode::PriceChanged);
        let price = refused.price.unwrap();
        assert_eq!((price.expected, price.actual), (5_999, 6_000));

        let id = shop.keys.redemption_id(&asked.order);
        assert_eq!(shop.ledger.redemption(id).await.unwrap(), None);
        assert_eq!(shop.ledger.claim_uses(&[good, dear]).await.unwrap(), []);
        // Nor does it change a hold that stands.
        let standing = shop.hold(&shoes_order("o-1", ann, &[good]), NOW).await;
        let other = shoes_order("o-1", ann, &[good, dear]);
        shop.try_hold(&other, NOW).await.unwrap_err();
        let after = shop.ledger.redemption(id).await.unwrap();
        assert_eq!(after, Some(*standing.redemption));
    }
}

#[tokio::test]
async fn an_order_of_somebody_else_is_not_there() {
    for shop in Shop::both().await {
        let mine = shop.fixed(500, user(1)).await;
        let theirs = shop.fixed(500, user(2)).await;
        shop.hold(&shoes_order("o-1", user(2), &[theirs]), NOW)
            .await;
        let asked = shoes_order("o-1", user(1), &[mine]);
        let refused = shop.try_hold(&asked, NOW).await.unwrap_err();
        assert_eq!(refused, *Refused::of(ReasonCode::NotFound));
    }
}

#[tokio::test]
async fn holds_that_ran_out_free_themselves_at_the_next_hold() {
    for shop in Shop::both().await {
        let ann = user(1);
        let claim = shop.fixed(500, ann).await;
        let first = shop.hold(&shoes_order("o-1", ann, &[claim]), NOW).await;
        let next = shoes_order("o-2", ann, &[claim]);
        let early = shop.try_hold(&next, OVER.plus_millis(-1)).await;
        assert_eq!(early.unwrap_err().code, ReasonCode::HeldByOrder);
        shop.hold(&next, OVER).await;
        let events = shop.events(first.redemption.id).await;
        assert_eq!(events.last().unwrap().to, RedemptionStatus::Expired);

        // What a stranger's hold kept of the budget comes back as well.
        let coupon = shop
            .coupon(Benefit::Fixed { off: 500 }, |spec| {
                spec.terms.budget = Some(500);
            })
            .await;
        let (of_bob, of_cid) = (
            shop.grant(coupon, user(2)).await,
            shop.grant(coupon, user(3)).await,
        );
        shop.hold(&shoes_order("o-3", user(2), &[of_bob]), NOW)
            .await;
        let wanted = shoes_order("o-4", user(3), &[of_cid]);
        let refused = shop.try_hold(&wanted, OVER.plus_millis(-1)).await;
        assert_eq!(refused.unwrap_err().code, ReasonCode::BudgetExhausted);
        shop.hold(&wanted, OVER).await;
        assert_eq!(shop.spent(coupon).await, (1, 500));
    }
}

#[tokio::test]
async fn an_order_that_is_over_is_not_held_again() {
    for shop in Shop::both().await {
        let ann = user(1);
        for (name, status) in [
            ("o-1", RedemptionStatus::Confirmed),
            ("o-2", RedemptionStatus::Cancelled),
        ] {
            let claim = shop.fixed(500, ann).await;
            let asked = shoes_order(name, ann, &[claim]);
            let held = shop.hold(&asked, NOW).await;
            let id = held.redemption.id;
            match status {
                RedemptionStatus::Confirmed => shop.confirm(id, NOW).await.unwrap(),
                _ => shop.cancel(id, NOW).await.unwrap(),
            };
            // The same content again: where it stands now.
            let again = shop.try_hold(&asked, NOW).await.unwrap();
            assert!(again.replayed);
            assert_eq!(again.redemption.status, status);
            // Other content: what stands in the way.
            let other = order(name, ask(ann, cart(&[("B", 1, 900)]), &[]));
            let refused = shop.try_hold(&other, NOW).await.unwrap_err();
            assert_eq!(refused.code, ReasonCode::Conflict);
            assert_eq!(refused.status, Some(status));
        }
    }
}

#[tokio::test]
async fn an_order_may_be_held_without_any_claim() {
    for shop in Shop::both().await {
        let held = shop
            .hold(&order("o-1", ask(user(1), shoes(), &[])), NOW)
            .await;
        assert_eq!(held.redemption.record.quote.total, 6_500);
        shop.confirm(held.redemption.id, OVER).await.unwrap();
    }
}
