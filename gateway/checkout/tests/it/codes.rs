//! Public codes: for a claim that is there, for one that would be, and for none.

use sluice_checkout::{Ask, HoldAsk, Holding, Refused};
use sluice_domain::coupon::{CouponSpec, Distribution, Lifecycle};
use sluice_domain::id::{CouponId, UserId};
use sluice_domain::input::FieldError;
use sluice_domain::pricing::Choose;
use sluice_domain::reason::ReasonCode;
use sluice_domain::terms::{Benefit, StackingGroup, Users};

use super::shop::{NOW, OVER, Shop, ask, order, shoes, user};

async fn coded(shop: &Shop, code: &str, change: impl FnOnce(&mut CouponSpec)) -> CouponId {
    shop.coupon(Benefit::Fixed { off: 500 }, |spec| {
        spec.code = Some(code.to_owned());
        spec.distribution = vec![Distribution::Code];
        change(spec);
    })
    .await
}

fn with(buyer: UserId, code: &str) -> Ask {
    Ask {
        codes: vec![code.to_owned()],
        ..ask(buyer, shoes(), &[])
    }
}

async fn hold(shop: &Shop, asked: &HoldAsk) -> Result<Holding, Refused> {
    let held = shop.checkout.hold(asked, NOW).await.unwrap();
    held.map_err(|refused| *refused)
}

#[tokio::test]
async fn a_code_stands_for_the_claim_that_the_user_has() {
    for shop in Shop::both().await {
        let coupon = coded(&shop, "SUMMER20", |_spec| {}).await;
        let claim = shop.grant(coupon, user(1)).await;
        let quote = shop.checkout.quote(&with(user(1), "SUMMER20"), NOW).await;
        let quote = quote.unwrap().unwrap();
        assert_eq!(quote.applied[0].claim_id, claim);
        assert_eq!(quote.applied[0].code.as_deref(), Some("SUMMER20"));
        // Named and by its code: it is one claim.
        let twice = Ask {
            claims: vec![claim],
            ..with(user(1), "SUMMER20")
        };
        let quote = shop.checkout.quote(&twice, NOW).await.unwrap().unwrap();
        assert_eq!((quote.applied.len(), quote.rejected.len()), (1, 0));
        let held = hold(&shop, &order("o-1", with(user(1), "SUMMER20"))).await;
        assert!(matches!(held, Ok(Holding::Settled(_))), "{held:?}");
        // The claim stays good when the coupon is closed to newcomers.
        shop.granting
            .change(coupon, |coupon| coupon.lifecycle = Lifecycle::Ended)
            .await;
        let later = shop.checkout.quote(&with(user(1), "SUMMER20"), OVER).await;
        assert_eq!(later.unwrap().unwrap().discount, 500);
    }
}

#[tokio::test]
async fn a_code_that_is_not_claimed_yet_is_priced_and_then_claimed() {
    for shop in Shop::both().await {
        let coupon = coded(&shop, "SUMMER20", |_spec| {}).await;
        let asked = order("o-1", with(user(1), "SUMMER20"));
        let quote = shop.checkout.quote(&asked.ask, NOW).await.unwrap().unwrap();
        assert_eq!(quote.discount, 500);
        let unclaimed = match hold(&shop, &asked).await {
            Ok(Holding::Unclaimed(unclaimed)) => unclaimed,
            other => panic!("{other:?}"),
        };
        assert_eq!(unclaimed[0].coupon.id, coupon);
        assert_eq!(
            shop.ledger
                .redemption(shop.keys.redemption_id(&asked.order))
                .await
                .unwrap(),
            None
        );
        // The claim engine grants exactly that claim.
        let granted = shop.grant(coupon, user(1)).await;
        assert_eq!(granted, unclaimed[0].claim_id);
        let held = hold(&shop, &asked).await;
        assert!(matches!(held, Ok(Holding::Settled(_))), "{held:?}");
    }
}

#[tokio::test]
async fn a_code_that_the_best_combination_leaves_out_is_not_claimed() {
    for shop in Shop::both().await {
        shop.fixed(900, user(1)).await;
        coded(&shop, "SMALL", |spec| {
            spec.terms.stacking.group = StackingGroup::Exclusive;
        })
        .await;
        let mut asked = order("o-1", with(user(1), "SMALL"));
        asked.ask.choose = Choose::Best;
        let held = hold(&shop, &asked).await;
        let settled = match held {
            Ok(Holding::Settled(settled)) => settled,
            other => panic!("{other:?}"),
        };
        assert_eq!(settled.redemption.record.quote.discount, 900);
    }
}

#[tokio::test]
async fn nothing_is_claimed_for_a_hold_that_would_be_refused() {
    for shop in Shop::both().await {
        coded(&shop, "BIG", |spec| {
            spec.terms.conditions.min_spend = Some(100_000);
        })
        .await;
        coded(&shop, "SUMMER20", |_spec| {}).await;
        let refused = hold(&shop, &order("o-1", with(user(1), "BIG"))).await;
        assert_eq!(refused.unwrap_err().code, ReasonCode::MinSpendNotMet);
        let mut asked = order("o-1", with(user(1), "SUMMER20"));
        asked.expected_total = Some(1);
        let refused = hold(&shop, &asked).await.unwrap_err();
        assert_eq!(refused.code, ReasonCode::PriceChanged);
        assert_eq!(refused.price.unwrap().actual, 6_000);
    }
}

#[tokio::test]
async fn unknown_closed_and_foreign_codes_are_refused_alike() {
    for shop in Shop::both().await {
        let ended = coded(&shop, "ENDED", |_spec| {}).await;
        let archived = coded(&shop, "ARCHIVED", |_spec| {}).await;
        let paused = coded(&shop, "PAUSED", |_spec| {}).await;
        for (coupon, lifecycle) in [
            (ended, Lifecycle::Ended),
            (archived, Lifecycle::Archived),
            (paused, Lifecycle::Paused),
        ] {
            shop.granting
                .change(coupon, |coupon| coupon.lifecycle = lifecycle)
                .await;
        }
        coded(&shop, "FOREIGN", |spec| {
            spec.terms.conditions.users = Users::Ids { ids: vec![user(2)] };
        })
        .await;
        coded(&shop, "LATER", |spec| {
            spec.window.starts_at = Some(NOW.plus_millis(1));
        })
        .await;
        let mut expected = *Refused::of(ReasonCode::CodeNotAccepted);
        expected.errors = vec![FieldError {
            pointer: "/codes/0".to_owned(),
            message: "is not accepted".to_owned(),
        }];
        for code in ["NEVER", "ENDED", "ARCHIVED", "PAUSED", "FOREIGN", "LATER"] {
            let asked = with(user(1), code);
            let quote = shop.checkout.quote(&asked, NOW).await.unwrap();
            assert_eq!(*quote.unwrap_err(), expected, "{code}");
            let held = hold(&shop, &order("o-1", asked)).await;
            assert_eq!(held.unwrap_err(), expected, "{code}");
        }
        let whose = shop.checkout.quote(&with(user(2), "FOREIGN"), NOW).await;
        assert_eq!(whose.unwrap().unwrap().discount, 500);
    }
}

#[tokio::test]
async fn where_one_user_may_have_several_the_code_is_the_key() {
    for shop in Shop::both().await {
        let coupon = coded(&shop, "AGAIN", |spec| spec.limits.per_user = 3).await;
        let other = shop.granting.grant(coupon, &user(1), "mine", NOW).await;
        let by_code = shop.granting.grant(coupon, &user(1), "AGAIN", NOW).await;
        let document = shop.ledger.coupon(coupon).await.unwrap().unwrap();
        assert_eq!(shop.checkout.claim_of_code(&document, &user(1)), by_code);
        let shop = &shop;
        let quote = |claims| {
            let asked = Ask {
                claims,
                ..with(user(1), "AGAIN")
            };
            async move { shop.checkout.quote(&asked, NOW).await.unwrap().unwrap() }
        };
        assert_eq!(quote(vec![]).await.applied[0].claim_id, by_code);
        // A claim of the coupon that is named already is what the code stands for.
        let named = quote(vec![other]).await;
        assert_eq!(named.applied[0].claim_id, other);
        assert_eq!(named.rejected.len(), 0);
    }
}
