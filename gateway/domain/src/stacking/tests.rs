use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;
use crate::id::{ClaimId, CouponId};
use crate::pricing::{Buyer, Candidate, CandidateFacts, Choose, ClaimStanding, QuoteInput};
use crate::sample::{at, spec, user};
use crate::terms::{StackingGroup, Terms};

const CART: &str = r#"{"cart": {"currency": "USD", "lines": [
  {"id": "l1", "sku": "A", "quantity": 3, "unit_price": "9.99"},
  {"id": "l2", "sku": "B", "quantity": 1, "unit_price": "40.00", "floor_price": "20.00"},
  {"id": "l3", "sku": "C", "quantity": 2, "unit_price": "0.07"}]}}"#;

fn terms(benefit: &str, stacking: &str) -> Terms {
    let json = format!(
        r#"{{"name": "a", "currency": "USD", "limits": {{"total": 1}},
          "benefit": {benefit}, "stacking": {stacking}}}"#
    );
    spec(&json).terms
}

fn candidate(number: u32, terms: Terms) -> Candidate {
    let coupon = CouponId(number);
    Candidate {
        terms: Arc::new(terms),
        facts: CandidateFacts {
            claim_id: ClaimId::new(coupon, [1; 12]),
            coupon,
            version: crate::id::Version(1),
            code: None,
            valid_from: at("2026-11-01T00:00:00Z"),
            expires_at: None,
            standing: ClaimStanding::Free,
            user_uses: None,
            budget_left: None,
            archived: false,
        },
    }
}

#[test]
fn groups_and_partners_are_symmetric() {
    use StackingGroup::{Always, Combinable, Exclusive};
    let of = |group, partners: &[&str], tags: &[&str]| {
        let mut terms = terms(r#"{"type": "fixed", "off": "1"}"#, "{}");
        terms.stacking.group = group;
        terms.stacking.combines_with = partners.iter().map(ToString::to_string).collect();
        terms.stacking.tags = tags.iter().map(ToString::to_string).collect();
        terms
    };
    let (first, second) = (CouponId(1), CouponId(2));
    let id = second.to_string();
    for (one, other, together) in [
        (of(Exclusive, &[], &[]), of(Exclusive, &[], &[]), false),
        (of(Exclusive, &[], &[]), of(Combinable, &[], &[]), false),
        (of(Exclusive, &[], &[]), of(Always, &[], &[]), true),
        (of(Combinable, &[], &[]), of(Combinable, &[], &[]), true),
        (of(Combinable, &[], &[]), of(Always, &[], &[]), true),
        (of(Always, &[], &[]), of(Always, &[], &[]), true),
        // A list of partners is a demand, and no permission beyond the groups.
        (
            of(Exclusive, &["t"], &[]),
            of(Combinable, &[], &["t"]),
            false,
        ),
        (
            of(Combinable, &["t"], &[]),
            of(Combinable, &[], &["t"]),
            true,
        ),
        (
            of(Combinable, &["t"], &[]),
            of(Combinable, &[], &["u"]),
            false,
        ),
        (of(Combinable, &[&id], &[]), of(Combinable, &[], &[]), true),
        (of(Always, &["t"], &[]), of(Combinable, &[], &[]), false),
        // Both sides have to agree.
        (
            of(Combinable, &["t"], &["u"]),
            of(Combinable, &["u"], &["t"]),
            true,
        ),
        (
            of(Combinable, &["t"], &["u"]),
            of(Combinable, &["v"], &["t"]),
            false,
        ),
    ] {
        assert_eq!(compatible((first, &one), (second, &other)), together);
        assert_eq!(compatible((second, &other), (first, &one)), together);
    }
}

/// Up to nine coupons of which many take off what others would.
fn wallets() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (1_u16..6_000, 1_i64..3_000, 0_u8..4, 0_u16..3, any::<bool>());
    vec(one, 3..10).prop_map(|kinds| {
        kinds
            .into_iter()
            .zip(1..)
            .map(|((basis_points, off, kind, priority, initial), number)| {
                let benefit = match kind {
                    0 | 1 => format!(r#"{{"type": "percent", "basis_points": {basis_points}}}"#),
                    _ => format!(
                        r#"{{"type": "fixed", "off": "{}"}}"#,
                        crate::money::format(off, crate::terms::Currency(*b"USD"))
                    ),
                };
                let base = if initial { "initial" } else { "running" };
                let stacking = format!(r#"{{"priority": {priority}, "base": "{base}"}}"#);
                let mut terms = terms(&benefit, &stacking);
                if kind == 3 {
                    terms.conditions.min_spend = Some(5_000);
                    terms.conditions.min_spend_base = crate::terms::MinSpendBase::BeforeThis;
                }
                candidate(number, terms)
            })
            .collect()
    })
}

fn input(candidates: Vec<Candidate>) -> QuoteInput {
    QuoteInput {
        cart: crate::input::quote(CART.as_bytes()).unwrap().cart,
        buyer: Buyer {
            user: user("u1"),
            groups: Vec::new(),
            is_new: None,
            verified: Vec::new(),
        },
        candidates,
        choose: Choose::Best,
        limits: OrderLimits::default(),
        now: at("2026-11-27T00:00:00Z"),
    }
}

proptest! {
    #![proptest_config(Config::with_cases(2_000))]

    #[test]
    fn out_of_steps_the_bound_holds_and_nothing_is_claimed(
        candidates in wallets(),
        steps in 0_u64..600,
    ) {
        let input = input(candidates);
        let board = Board::new(&input.cart);
        let contenders = Contender::all(&input, &board);
        let field = Field::new(&board, input.limits, &contenders);
        let whole = field.best();
        prop_assert_eq!(whole.bound, None);
        let short = search::best(&field, greedy::combination(&field), steps);
        prop_assert!(short.best.discount <= whole.best.discount);
        match short.bound {
            None => prop_assert_eq!(&short.best, &whole.best),
            Some(bound) => prop_assert!(bound >= whole.best.discount),
        }
        // What was found is a valid combination that is worth what was said.
        let again = greedy::priced(&field, short.best.members.clone());
        prop_assert_eq!(again, Some(short.best));
    }

    #[test]
    fn no_claim_takes_more_off_in_a_combination_than_its_bound(candidates in wallets()) {
        let input = input(candidates);
        let board = Board::new(&input.cart);
        let contenders = Contender::all(&input, &board);
        let field = Field::new(&board, OrderLimits { combinable: 10, ..input.limits }, &contenders);
        for subset in 0_u32..1 << field.contenders.len() {
            let members: Vec<usize> = (0..field.contenders.len())
                .filter(|place| subset >> place & 1 == 1)
                .collect();
            for applied in run(&field, &members).into_iter().flatten() {
                prop_assert!(applied.effect.value <= field.contenders[applied.place].bound);
            }
        }
    }
}
