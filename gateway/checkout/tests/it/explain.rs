//! A stored quote is computed again to the same cents.

use sluice_checkout::CheckoutSettings;
use sluice_checkout::explain::explain;
use sluice_domain::coupon::Lifecycle;
use sluice_domain::id::RedemptionId;
use sluice_domain::terms::Benefit;

use super::shop::{NOW, OVER, Shop, ask, cart, order, user};

#[tokio::test]
async fn years_later_it_is_the_same_to_the_last_cent() {
    for shop in Shop::both_with(CheckoutSettings::default()).await {
        let ann = user(1);
        let tenth = Benefit::Percent {
            basis_points: 1_250,
            max_off: Some(777),
        };
        let tenth = shop.coupon(tenth, |_spec| {}).await;
        let five = shop.coupon(Benefit::Fixed { off: 500 }, |_spec| {}).await;
        let claims = [shop.grant(tenth, ann).await, shop.grant(five, ann).await];
        let odd = cart(&[("A-1", 3, 1_999), ("B-2", 1, 333)]);
        let held = shop.hold(&order("o-1", ask(ann, odd, &claims)), NOW).await;
        let id = held.redemption.id;
        shop.confirm(id, OVER).await.unwrap();
        for coupon in [tenth, five] {
            shop.granting
                .change(coupon, |coupon| {
                    coupon.spec.terms.benefit = Benefit::Fixed { off: 1 };
                    coupon.spec.terms.budget = Some(1);
                })
                .await;
            shop.granting
                .change(coupon, |coupon| coupon.lifecycle = Lifecycle::Archived)
                .await;
        }
        let explained = explain(&*shop.ledger, id).await.unwrap().unwrap();
        assert!(explained.same());
        assert_eq!(explained.replayed, held.redemption.record.quote);
        assert_eq!(explained.replayed.discount, 500 + 777);
        let unknown = explain(&*shop.ledger, RedemptionId([7; 16])).await.unwrap();
        assert!(unknown.is_none());
    }
}

#[tokio::test]
async fn terms_that_were_changed_in_the_ledger_are_not_replayed() {
    for shop in Shop::both().await {
        let claim = shop.fixed(500, user(1)).await;
        let asked = order("o-1", ask(user(1), cart(&[("A", 1, 900)]), &[claim]));
        let id = shop.hold(&asked, NOW).await.redemption.id;
        if !shop.tamper("UPDATE coupon_versions SET terms = replace(terms, '500', '501')") {
            continue;
        }
        let refused = explain(&*shop.ledger, id).await.unwrap_err();
        let words = refused.to_string();
        assert!(words.contains("are not those that were stored"), "{words}");
    }
}

#[tokio::test]
async fn an_amount_that_was_changed_in_the_ledger_is_noticed() {
    let (shop, _ledger) = Shop::on_model(CheckoutSettings::default()).await;
    let claim = shop.fixed(500, user(1)).await;
    let asked = order("o-1", ask(user(1), cart(&[("A", 1, 900)]), &[claim]));
    let id = shop.hold(&asked, NOW).await.redemption.id;
    let mut explained = explain(&*shop.ledger, id).await.unwrap().unwrap();
    assert!(explained.same());
    explained.redemption.record.quote.applied[0].value -= 1;
    assert!(!explained.same());
}
