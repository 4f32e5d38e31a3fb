//! The wallet: every claim with its status of now.

use sluice_checkout::CheckoutSettings;
use sluice_domain::claim::ClaimStatus;
use sluice_domain::terms::{Benefit, Validity};

use super::shop::{NOW, OVER, Shop, shoes_order, user};

#[tokio::test]
async fn each_claim_says_where_it_stands() {
    for shop in Shop::both().await {
        let ann = user(1);
        let usable = shop.fixed(500, ann).await;
        let held = shop.fixed(500, ann).await;
        let used = shop.fixed(500, ann).await;
        let revoked = shop.fixed(500, ann).await;
        let short = shop
            .coupon(Benefit::Fixed { off: 500 }, |spec| {
                spec.terms.validity = Validity::Fixed {
                    starts_at: NOW,
                    ends_at: NOW.plus_millis(1),
                };
            })
            .await;
        let expired = shop.grant(short, ann).await;
        shop.fixed(500, user(2)).await;
        shop.hold(&shoes_order("o-1", ann, &[held]), NOW).await;
        let paid = shop.hold(&shoes_order("o-2", ann, &[used]), NOW).await;
        shop.confirm(paid.redemption.id, NOW).await.unwrap();
        shop.ledger.revoke(revoked).await.unwrap();

        let at = OVER.plus_millis(-1);
        let page = shop.checkout.wallet(&ann, None, at).await.unwrap();
        assert!(!page.more);
        assert_eq!(page.items.len(), 5);
        let by_status = [
            (usable, ClaimStatus::Usable),
            (held, ClaimStatus::Held),
            (used, ClaimStatus::Used),
            (revoked, ClaimStatus::Revoked),
            (expired, ClaimStatus::Expired),
        ];
        for (claim, status) in by_status {
            let wanted = shop.checkout.wallet(&ann, Some(status), at).await.unwrap();
            let ids: Vec<_> = wanted.items.iter().map(|item| item.row.claim_id).collect();
            assert_eq!(ids, [claim], "{status:?}");
            let item = shop.checkout.wallet_item(claim, &ann, at).await.unwrap();
            assert_eq!(item.as_ref(), wanted.items.first());
            let by = item.unwrap().held;
            let expected = (status == ClaimStatus::Held).then(|| ("o-1".parse().unwrap(), OVER));
            assert_eq!(by, expected);
            let foreign = shop
                .checkout
                .wallet_item(claim, &user(2), at)
                .await
                .unwrap();
            assert_eq!(foreign, None);
        }
        // A hold that ran out holds nothing.
        let item = shop
            .checkout
            .wallet_item(held, &ann, OVER)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((item.status, item.held), (ClaimStatus::Usable, None));
    }
}

#[tokio::test]
async fn a_long_wallet_is_cut_and_says_so() {
    let settings = CheckoutSettings {
        wallet_claims_max: 3,
        ..CheckoutSettings::default()
    };
    for shop in Shop::both_with(settings).await {
        for n in 0..4_i64 {
            let coupon = shop.coupon(Benefit::Fixed { off: 500 }, |_spec| {}).await;
            let at = NOW.plus_millis(n);
            shop.granting.grant(coupon, &user(1), "k", at).await;
            let page = shop.checkout.wallet(&user(1), None, OVER).await.unwrap();
            assert_eq!(page.more, n == 3);
            assert_eq!(
                page.items.first().unwrap().row.granted_at,
                at,
                "newest first"
            );
            assert_eq!(page.items.len(), usize::try_from(n + 1).unwrap().min(3));
        }
    }
}
