//! Quotes and matches: what is gathered, and what is said of what does not apply.

use sluice_checkout::{Answer, Refused};
use sluice_domain::coupon::Lifecycle;
use sluice_domain::id::{ClaimId, Version};
use sluice_domain::pricing::{Choose, Quote, Verdict};
use sluice_domain::reason::ReasonCode;
use sluice_domain::terms::{Benefit, Validity};
use sluice_ledger::claims::Revoked;

use super::shop::{HOLD_MS, NOW, OVER, Shop, ask, cart, shoes, shoes_order, user};

fn quoted(answer: Answer<Quote>) -> Quote {
    answer.unwrap().unwrap()
}

fn refused(answer: Answer<Quote>) -> Refused {
    *answer.unwrap().unwrap_err()
}

/// The codes of a quote's one rejected claim.
#[track_caller]
fn reasons(quote: &Quote, claim: ClaimId) -> Vec<ReasonCode> {
    let rejected = quote.rejected.iter().find(|one| one.claim_id == claim);
    let rejected = rejected.expect("it is rejected");
    assert_eq!(rejected.verdict, Verdict::NotApplicable);
    rejected.reasons.iter().map(|reason| reason.code).collect()
}

#[tokio::test]
async fn claims_keep_the_terms_they_were_granted_under() {
    for shop in Shop::both().await {
        let five = shop.coupon(Benefit::Fixed { off: 500 }, |_spec| {}).await;
        let tenth = Benefit::Percent {
            basis_points: 1_000,
            max_off: None,
        };
        let tenth = shop.coupon(tenth, |_spec| {}).await;
        let (ann, bob) = (user(1), user(2));
        let of_ann = shop.grant(five, ann).await;
        let also_of_ann = shop.grant(tenth, ann).await;
        shop.granting
            .change(five, |coupon| {
                coupon.spec.terms.benefit = Benefit::Fixed { off: 700 };
            })
            .await;
        let of_bob = shop.grant(five, bob).await;

        let both = ask(ann, shoes(), &[of_ann, also_of_ann]);
        let quote = quoted(shop.checkout.quote(&both, NOW).await);
        let applied: Vec<_> = quote
            .applied
            .iter()
            .map(|one| (one.claim_id, one.version, one.value))
            .collect();
        // The larger one first, then what is left of the order.
        let expected = [(also_of_ann, Version(1), 600), (of_ann, Version(1), 500)];
        assert_eq!(applied, expected);
        assert_eq!((quote.discount, quote.total), (1_100, 5_400));
        assert!(quote.rejected.is_empty());

        let quote = quoted(
            shop.checkout
                .quote(&ask(bob, shoes(), &[of_bob]), NOW)
                .await,
        );
        assert_eq!(quote.applied[0].version, Version(2));
        assert_eq!(quote.discount, 700);
    }
}

#[tokio::test]
async fn the_best_is_looked_for_in_the_whole_wallet() {
    for shop in Shop::both().await {
        let ann = user(1);
        let small = shop.fixed(300, ann).await;
        let large = shop.fixed(900, ann).await;
        let dear = shop
            .coupon(Benefit::Fixed { off: 5_000 }, |spec| {
                spec.terms.conditions.min_spend = Some(100_000);
            })
            .await;
        let dear = shop.grant(dear, ann).await;
        let _of_another = shop.fixed(2_000, user(2)).await;
        let mut wanted = ask(ann, shoes(), &[]);
        let nothing = quoted(shop.checkout.quote(&wanted, NOW).await);
        assert_eq!(nothing.discount, 0, "given is given");

        wanted.choose = Choose::Best;
        let best = quoted(shop.checkout.quote(&wanted, NOW).await);
        assert_eq!(best.discount, 1_200);
        assert_eq!(reasons(&best, dear), [ReasonCode::MinSpendNotMet]);

        let matched = shop
            .checkout
            .match_cart(&wanted, NOW)
            .await
            .unwrap()
            .unwrap();
        let told: Vec<_> = matched
            .claims
            .iter()
            .map(|one| (one.claim_id, one.verdict, one.value))
            .collect();
        let expected = [
            (large, Verdict::Applies, 900),
            (small, Verdict::Applies, 300),
            (dear, Verdict::NotApplicable, 0),
        ];
        assert_eq!(told, expected);
        assert!(matched.best.same_money(&best));
    }
}

#[tokio::test]
async fn foreign_claims_and_unknown_ones_are_refused_alike() {
    for shop in Shop::both().await {
        let foreign = shop.fixed(500, user(2)).await;
        let unknown = ClaimId::new(foreign.coupon(), [9; 12]);
        let mine = shop.fixed(500, user(1)).await;
        let of = |claim| ask(user(1), shoes(), &[mine, claim]);
        let expected = *Refused::of(ReasonCode::NotFound);
        assert_eq!(
            refused(shop.checkout.quote(&of(foreign), NOW).await),
            expected
        );
        assert_eq!(
            refused(shop.checkout.quote(&of(unknown), NOW).await),
            expected
        );
        // Also beside the whole wallet.
        let mut best = of(foreign);
        best.choose = Choose::Best;
        assert_eq!(refused(shop.checkout.quote(&best, NOW).await), expected);
        let held = shoes_order("o-1", user(1), &[mine, foreign]);
        assert_eq!(shop.try_hold(&held, NOW).await.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_said() {
    for shop in Shop::both().await {
        let ann = user(1);
        let held = shop.fixed(500, ann).await;
        let used = shop.fixed(500, ann).await;
        let revoked = shop.fixed(500, ann).await;
        let archived = shop.fixed(500, ann).await;
        let paused = shop.fixed(500, ann).await;
        let expired = shop
            .coupon(Benefit::Fixed { off: 500 }, |spec| {
                spec.terms.validity = Validity::Fixed {
                    starts_at: NOW.plus_millis(-1_000),
                    ends_at: NOW.plus_millis(HOLD_MS - 1),
                };
            })
            .await;
        let expired = shop.grant(expired, ann).await;
        shop.hold(&shoes_order("o-1", ann, &[held]), NOW).await;
        let paid = shop.hold(&shoes_order("o-2", ann, &[used]), NOW).await;
        shop.confirm(paid.redemption.id, NOW).await.unwrap();
        assert_eq!(shop.ledger.revoke(revoked).await.unwrap(), Revoked::Done);
        for (claim, lifecycle) in [(archived, Lifecycle::Archived), (paused, Lifecycle::Paused)] {
            shop.granting
                .change(claim.coupon(), |coupon| coupon.lifecycle = lifecycle)
                .await;
        }

        let all = [held, used, revoked, archived, expired, paused];
        // The last instant of the hold, and the first at which the other is over.
        let at = OVER.plus_millis(-1);
        let quote = quoted(shop.checkout.quote(&ask(ann, shoes(), &all), at).await);
        assert_eq!(reasons(&quote, held), [ReasonCode::HeldByOrder]);
        assert_eq!(reasons(&quote, used), [ReasonCode::AlreadyUsed]);
        assert_eq!(reasons(&quote, revoked), [ReasonCode::Archived]);
        assert_eq!(reasons(&quote, archived), [ReasonCode::Archived]);
        assert_eq!(reasons(&quote, expired), [ReasonCode::Expired]);
        let applied: Vec<ClaimId> = quote.applied.iter().map(|one| one.claim_id).collect();
        assert_eq!(applied, [paused], "a pause stops grants, not uses");

        // A hold that ran out holds nothing, swept or not.
        let quote = quoted(shop.checkout.quote(&ask(ann, shoes(), &[held]), OVER).await);
        assert_eq!(quote.discount, 500);
    }
}

#[tokio::test]
async fn a_claim_with_several_uses_is_free_until_the_last() {
    for shop in Shop::both().await {
        let ann = user(1);
        let twice = shop
            .coupon(Benefit::Fixed { off: 500 }, |spec| {
                spec.terms.uses_per_claim = 2;
            })
            .await;
        let claim = shop.grant(twice, ann).await;
        shop.hold(&shoes_order("o-1", ann, &[claim]), NOW).await;
        shop.hold(&shoes_order("o-2", ann, &[claim]), NOW).await;
        let third = shop.try_hold(&shoes_order("o-3", ann, &[claim]), NOW).await;
        assert_eq!(third.unwrap_err().code, ReasonCode::HeldByOrder);
        let wanted = ask(ann, cart(&[("B", 1, 900)]), &[claim]);
        assert_eq!(
            quoted(shop.checkout.quote(&wanted, OVER).await).discount,
            500
        );
    }
}
