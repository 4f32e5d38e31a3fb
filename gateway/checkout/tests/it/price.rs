//! Large carts take turns, and too many of them are told to come back.

use std::sync::Arc;

use sluice_checkout::{Ask, CheckoutSettings};
use sluice_domain::pricing::Choose;
use sluice_domain::reason::ReasonCode;
use sluice_domain::terms::{Benefit, Tier};
use tokio::task::JoinSet;

use super::shop::{NOW, Shop, ask, cart, user};

/// A wallet of 40 claims and a cart of 200 lines.
async fn large(shop: &Shop) -> Ask {
    for n in 0..40 {
        let tiers = vec![Tier {
            spend: 1_000 + n,
            off: 100 + n * 7,
        }];
        let coupon = shop.coupon(Benefit::Threshold { tiers }, |_spec| {}).await;
        shop.grant(coupon, user(1)).await;
    }
    let skus: Vec<String> = (0..200).map(|n| format!("S-{n}")).collect();
    let lines: Vec<_> = skus
        .iter()
        .zip(0..)
        .map(|(sku, n)| (sku.as_str(), 1, 500 + n))
        .collect();
    Ask {
        choose: Choose::Best,
        ..ask(user(1), cart(&lines), &[])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_quotes_are_answered_the_same_or_refused_as_overload() {
    let (shop, _ledger) = Shop::on_model(CheckoutSettings::default()).await;
    let asked = Arc::new(large(&shop).await);
    let alone = shop.checkout.quote(&asked, NOW).await.unwrap().unwrap();
    assert!(alone.discount > 0);
    let mut tasks = JoinSet::new();
    for _caller in 0..24 {
        let (checkout, asked) = (shop.checkout.clone(), Arc::clone(&asked));
        tasks.spawn(async move { checkout.quote(&asked, NOW).await.unwrap() });
    }
    let mut priced = 0;
    for answer in tasks.join_all().await {
        match answer {
            Ok(quote) => {
                assert_eq!(quote, alone);
                priced += 1;
            }
            Err(refused) => assert_eq!(refused.code, ReasonCode::Overloaded),
        }
    }
    assert!(priced >= 2, "there are two turns at least");
    // And when they are done, there are turns again.
    assert_eq!(
        shop.checkout.quote(&asked, NOW).await.unwrap().unwrap(),
        alone
    );
}
