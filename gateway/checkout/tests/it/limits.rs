//! Limits that span claims, exact while many callers want the last of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluice_domain::reason::ReasonCode;
use sluice_domain::terms::{Benefit, BudgetPartial, Period, UsesPerUser};
use tokio::task::JoinSet;

use super::shop::{NOW, Shop, shoes_order, user};

const CALLERS: u32 = 64;

/// All of these holds at once; how often each end was met.
async fn all_at_once(
    shop: &Arc<Shop>,
    asks: Vec<sluice_checkout::HoldAsk>,
    now: sluice_domain::time::Timestamp,
) -> BTreeMap<&'static str, u32> {
    let mut tasks = JoinSet::new();
    for asked in asks {
        let shop = Arc::clone(shop);
        tasks.spawn(async move {
            match shop.try_hold(&asked, now).await {
                Ok(_held) => "held",
                Err(refused) => refused.code.as_str(),
            }
        });
    }
    let mut ends = BTreeMap::new();
    for end in tasks.join_all().await {
        *ends.entry(end).or_default() += 1;
    }
    ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_budget_is_spent_to_the_last_cent_and_not_beyond() {
    for partial in [BudgetPartial::Refuse, BudgetPartial::GrantRest] {
        for shop in Shop::both().await {
            let shop = Arc::new(shop);
            let coupon = shop
                .coupon(Benefit::Fixed { off: 500 }, |spec| {
                    spec.terms.budget = Some(5_200);
                    spec.terms.budget_partial = partial;
                })
                .await;
            let mut asks = Vec::new();
            for n in 0..CALLERS {
                let claim = shop.grant(coupon, user(n)).await;
                asks.push(shoes_order(&format!("o-{n}"), user(n), &[claim]));
            }
            let ends = all_at_once(&shop, asks, NOW).await;
            let (held, spent) = match partial {
                BudgetPartial::Refuse => (10, 5_000),
                BudgetPartial::GrantRest => (11, 5_200),
            };
            let exhausted = ReasonCode::BudgetExhausted.as_str();
            let expected = BTreeMap::from([("held", held), (exhausted, CALLERS - held)]);
            assert_eq!(ends, expected);
            assert_eq!(shop.spent(coupon).await, (u64::from(held), spent));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uses_per_user_and_day_are_counted_by_the_day() {
    for shop in Shop::both().await {
        let shop = Arc::new(shop);
        let ann = user(1);
        let coupon = shop
            .coupon(Benefit::Fixed { off: 500 }, |spec| {
                spec.limits.per_user = 100;
                spec.terms.uses_per_user = Some(UsesPerUser {
                    count: 3,
                    period: Period::Day,
                });
            })
            .await;
        let mut asks = Vec::new();
        for n in 0..CALLERS {
            let key = format!("k-{n}");
            let claim = shop.granting.grant(coupon, &ann, &key, NOW).await;
            asks.push(shoes_order(&format!("o-{n}"), ann, &[claim]));
        }
        let limit = ReasonCode::UsageLimitReached.as_str();
        let expected = BTreeMap::from([("held", 3), (limit, CALLERS - 3)]);
        assert_eq!(all_at_once(&shop, asks.clone(), NOW).await, expected);
        // Ended holds give their use back: paid ones do not.
        let mut paid = 0;
        for asked in &asks {
            let id = shop.keys.redemption_id(&asked.order);
            if shop.ledger.redemption(id).await.unwrap().is_some() {
                match paid {
                    0 => shop.confirm(id, NOW).await.unwrap(),
                    _ => shop.cancel(id, NOW).await.unwrap(),
                };
                paid += 1;
            }
        }
        let fresh: Vec<_> = asks
            .iter()
            .map(|asked| {
                let mut asked = asked.clone();
                asked.order = format!("again-{}", asked.order).parse().unwrap();
                asked
            })
            .collect();
        let ends = all_at_once(&shop, fresh.clone(), NOW).await;
        assert_eq!(ends.get("held"), Some(&2), "{ends:?}");
        // A day later three more, whatever was paid before.
        let tomorrow = NOW.plus_millis(86_400_000);
        let next: Vec<_> = fresh
            .into_iter()
            .map(|mut asked| {
                asked.order = format!("next-{}", asked.order).parse().unwrap();
                asked
            })
            .collect();
        let ends = all_at_once(&shop, next, tomorrow).await;
        assert_eq!(ends.get("held"), Some(&3), "{ends:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_claim_is_held_by_one_order() {
    for shop in Shop::both().await {
        let shop = Arc::new(shop);
        let claim = shop.fixed(500, user(1)).await;
        let asks = (0..CALLERS)
            .map(|n| shoes_order(&format!("o-{n}"), user(1), &[claim]))
            .collect();
        let ends = all_at_once(&shop, asks, NOW).await;
        let held = ReasonCode::HeldByOrder.as_str();
        assert_eq!(ends, BTreeMap::from([("held", 1), (held, CALLERS - 1)]));
    }
}
