//! The largest carts and wallets end, and say how good what they found is.

use sluice_domain::cart::{Cart, LINES_MAX};
use sluice_domain::pricing::{Candidate, Choose, OrderLimits, QuoteInput, quote};
use sluice_domain::terms::{Benefit, Currency, StackingBase, StackingGroup};

use super::worlds::{candidate, input, line, terms};

fn cart(lines: usize) -> Cart {
    let price = |index: usize| 1_000 + i64::try_from(index * 37 % 900).unwrap();
    Cart {
        currency: Currency(*b"USD"),
        lines: (0..lines)
            .map(|index| line(&format!("l{index:04}"), 2, price(index)))
            .collect(),
        shipping: 500,
        channel: None,
    }
}

/// Percentages on bases that depend on each other: bounds say little about them.
fn hard(count: u32, group: StackingGroup) -> Vec<Candidate> {
    (0..count)
        .map(|index| {
            let basis_points = 500 + u16::try_from(index * 131 % 700).unwrap();
            let mut terms = terms(Benefit::Percent {
                basis_points,
                max_off: None,
            });
            terms.stacking.group = group;
            terms.stacking.priority = u16::try_from(index * 7 % 13).unwrap();
            if index % 3 == 0 {
                terms.stacking.base = StackingBase::Initial;
            }
            candidate(index, 1, terms)
        })
        .collect()
}

#[test]
fn twelve_claims_on_the_largest_cart_are_proven() {
    let mut input = input(cart(LINES_MAX), hard(12, StackingGroup::Combinable));
    // Every subset is allowed: nothing but the search itself keeps it short.
    input.limits = OrderLimits {
        coupons: 12,
        combinable: 12,
        always: 12,
        per_coupon: 1,
    };
    let quote = quote(&input);
    assert!(quote.proven_optimal);
    assert_eq!(quote.applied.len(), 12);
}

#[test]
fn twenty_claims_on_thirty_lines_are_proven() {
    let quote = quote(&input(cart(30), hard(20, StackingGroup::Combinable)));
    assert!(quote.proven_optimal);
    assert_eq!(quote.applied.len(), 5);
}

#[test]
fn two_hundred_claims_on_a_thousand_lines_end_with_a_bound() {
    let mut claims = hard(100, StackingGroup::Combinable);
    claims.extend(
        hard(100, StackingGroup::Always)
            .into_iter()
            .map(|mut claim| {
                let other = candidate(1_000 + claim.facts.coupon.0, 1, (*claim.terms).clone());
                claim.facts = other.facts;
                claim
            }),
    );
    let input = input(cart(LINES_MAX), claims);
    let found = quote(&input);
    assert_eq!(found.applied.len(), 10);
    assert_eq!(found.applied.len() + found.rejected.len(), 200);
    match found.discount_bound {
        Some(bound) => {
            assert!(!found.proven_optimal);
            assert!(bound > found.discount && bound <= found.subtotal + found.shipping);
        }
        None => assert!(found.proven_optimal),
    }
    // The same again: steps are counted, not time.
    assert_eq!(found, quote(&input));
}

#[test]
fn ties_are_not_gone_through_one_by_one() {
    let voucher = |number| candidate(number, 1, terms(Benefit::Fixed { off: 500 }));
    let quote = quote(&input(cart(30), (0..200).map(voucher).collect()));
    assert!(quote.proven_optimal);
    assert_eq!(quote.discount, 2_500);
    let claims: Vec<u32> = quote.applied.iter().map(|one| one.coupon.0).collect();
    assert_eq!(claims, [0, 1, 2, 3, 4], "equal ones by claim id");
    let search = quote
        .trace
        .iter()
        .find(|step| step.step == "search")
        .unwrap();
    assert_eq!(
        search.detail,
        "5 combinations priced; none can take more off"
    );
}

#[test]
fn what_is_given_and_goes_together_is_not_searched() {
    let mut input = input(cart(30), hard(5, StackingGroup::Combinable));
    input.choose = Choose::Given;
    let quote = quote(&QuoteInput { ..input });
    assert_eq!(quote.applied.len(), 5);
    assert!(quote.trace.iter().all(|step| step.step != "search"));
}
