//! Refunds: claims that return, uses that stay, money that goes back to budgets.

use super::*;

fn uses(shop: &Shop) -> Vec<(crate::id::ClaimId, MinorUnits)> {
    let uses = shop.store.uses.iter();
    uses.map(|held| (held.claim_id, held.value)).collect()
}

#[test]
fn a_part_lowers_what_the_use_costs_its_budget() {
    let mut shop = shop_in(RedemptionStatus::Confirmed);
    assert_eq!(uses(&shop), [(five_off().0, 500)]);
    done(shop.run("o-1", &refund("r-1", 1)));
    // 5.00 over three shoes: 1.67, 1.67, 1.66; the last one came back.
    assert_eq!(uses(&shop), [(five_off().0, 334)]);
    assert_sound(&shop);
}

#[test]
fn a_full_refund_gives_the_claim_back() {
    let mut shop = shop_in(RedemptionStatus::PartiallyRefunded);
    let answer = done(shop.run("o-1", &refund_all("r-1")));
    let Answer::Refund { refund, status, .. } = answer else {
        panic!("a refund is answered with the refund");
    };
    assert_eq!(refund.claims_returned, [five_off().0]);
    assert_eq!(status, RedemptionStatus::Refunded);
    assert!(shop.store.uses.is_empty());
    let again = shop.hold("o-2", &shoes(2), &[five_off()]);
    done(shop.run("o-2", &again));
    assert_sound(&shop);
}

#[test]
fn a_full_refund_piece_by_piece_gives_it_back_as_well() {
    let mut shop = shop_in(RedemptionStatus::PartiallyRefunded);
    let answer = done(shop.run("o-1", &refund("r-1", 2)));
    assert_eq!(status_of(&answer), RedemptionStatus::Refunded);
    assert!(shop.store.uses.is_empty());
    assert_eq!(shop.row("o-1").paid_out(), shop.row("o-1").paid());
    assert_sound(&shop);
}

#[test]
fn a_claim_that_is_over_or_withdrawn_or_by_policy_stays_used_and_costs_nothing() {
    let cases: [fn(&mut Shop); 3] = [
        |shop| shop.return_claims = false,
        |shop| {
            shop.withdrawn.insert(five_off().0);
        },
        |shop| shop.now = shop.now.plus_millis(86_400_000),
    ];
    for stays in cases {
        let mut shop = Shop::new();
        shop.expires_at = Some(shop.now.plus_millis(86_400_000));
        let hold = shop.hold("o-1", &shoes(3), &[five_off()]);
        done(shop.run("o-1", &hold));
        done(shop.run("o-1", &confirm()));
        stays(&mut shop);
        let answer = done(shop.run("o-1", &refund_all("r-1")));
        let Answer::Refund { refund, .. } = answer else {
            panic!("a refund is answered with the refund");
        };
        assert_eq!(refund.claims_returned, []);
        assert_eq!(uses(&shop), [(five_off().0, 0)]);
        assert_sound(&shop);
        let again = shop.hold("o-2", &shoes(2), &[five_off()]);
        assert_eq!(shop.run("o-2", &again), Reply::NotFree(five_off().0));
    }
}

#[test]
fn a_re_evaluated_part_gives_back_the_whole_discount() {
    let mut shop = Shop::new();
    shop.policy = RefundPolicy::Reevaluate;
    shop.budget = Some(500);
    let hold = shop.hold("o-1", &shoes(2), &[five_off()]);
    done(shop.run("o-1", &hold));
    done(shop.run("o-1", &confirm()));
    let answer = done(shop.run("o-1", &refund("r-1", 1)));
    let Answer::Refund { refund, .. } = answer else {
        panic!("a refund is answered with the refund");
    };
    assert_eq!(refund.amount, 2_500);
    assert_eq!(uses(&shop), [(five_off().0, 0)]);
    assert_sound(&shop);
}

#[test]
fn the_policy_is_that_of_the_hold() {
    let mut shop = shop_in(RedemptionStatus::Confirmed);
    shop.policy = RefundPolicy::Reevaluate;
    let answer = done(shop.run("o-1", &refund("r-1", 2)));
    let Answer::Refund { refund, .. } = answer else {
        panic!("a refund is answered with the refund");
    };
    assert_eq!(refund.amount, 6_000 - 333);
}

#[test]
fn lines_that_cannot_come_back_are_named_and_nothing_changes() {
    let mut shop = shop_in(RedemptionStatus::PartiallyRefunded);
    let before = shop.row("o-1").clone();
    let refusal = refused(shop.run("o-1", &refund("r-1", 3)));
    assert_eq!(refusal.code(), ReasonCode::InvalidRequest);
    let Refusal::InvalidRefund(errors) = refusal else {
        panic!("the lines are named");
    };
    assert_eq!(errors[0].pointer, "/lines/0/quantity");
    assert_eq!(*shop.row("o-1"), before);
    // The id is free: it was not carried out.
    done(shop.run("o-1", &refund("r-1", 2)));
}
