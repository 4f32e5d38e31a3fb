//! The sweeper.

use sluice_domain::redemption::RedemptionStatus::{Confirmed, Expired, Held};

use super::shop::{NOW, OVER, Shop, shoes_order, user};

#[tokio::test]
async fn a_sweep_frees_what_ran_out_once() {
    for shop in Shop::both().await {
        let mut ids = Vec::new();
        let mut claims = Vec::new();
        for n in 0..5 {
            let claim = shop.fixed(500, user(n)).await;
            let asked = shoes_order(&format!("o-{n}"), user(n), &[claim]);
            let at = NOW.plus_millis(i64::from(n));
            ids.push(shop.hold(&asked, at).await.redemption.id);
            claims.push(claim);
        }
        shop.confirm(ids[0], NOW).await.unwrap();
        let sweep = |at, limit| shop.checkout.sweep(at, limit);
        assert_eq!(sweep(OVER, 10).await.unwrap(), 0, "the first is paid");
        assert_eq!(sweep(OVER.plus_millis(1), 10).await.unwrap(), 1);
        assert_eq!(sweep(OVER.plus_millis(1), 10).await.unwrap(), 0, "a rerun");
        assert_eq!(
            sweep(OVER.plus_millis(9), 2).await.unwrap(),
            2,
            "as many as asked"
        );
        assert_eq!(sweep(OVER.plus_millis(9), 2).await.unwrap(), 1);
        let uses = shop.ledger.claim_uses(&claims).await.unwrap();
        assert_eq!(uses.len(), 1, "the paid one");
        for (n, id) in ids.into_iter().enumerate() {
            let path: Vec<_> = shop.events(id).await.iter().map(|one| one.to).collect();
            let end = if n == 0 { Confirmed } else { Expired };
            assert_eq!(path, [Held, end]);
        }
    }
}

#[tokio::test]
async fn one_that_cannot_be_freed_does_not_keep_the_others() {
    for shop in Shop::both().await {
        let mut ids = Vec::new();
        for n in 0..4 {
            let claim = shop.fixed(500, user(n)).await;
            let asked = shoes_order(&format!("o-{n}"), user(n), &[claim]);
            let at = NOW.plus_millis(i64::from(n));
            ids.push(shop.hold(&asked, at).await.redemption.id);
        }
        if !shop.tamper("DELETE FROM claim_uses WHERE order_id IN ('o-0', 'o-1')") {
            continue;
        }
        let freed = shop.checkout.sweep(OVER.plus_millis(9), 2).await.unwrap();
        assert_eq!(freed, 2, "the two behind those that are stuck");
        for (n, id) in ids.into_iter().enumerate() {
            let last = shop.events(id).await.pop().map(|event| event.to);
            assert_eq!(last, Some(if n < 2 { Held } else { Expired }));
        }
    }
}
