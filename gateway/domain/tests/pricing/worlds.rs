//! Arbitrary carts, coupons and buyers. Numbers are small and of few kinds on purpose: ties, full
//! lines and used-up budgets are where mistakes hide.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use sluice_domain::cart::{Cart, CartLine};
use sluice_domain::id::{ClaimId, CouponId, UserId, Version};
use sluice_domain::pricing::{
    Buyer, Candidate, CandidateFacts, Choose, ClaimStanding, OrderLimits, QuoteInput,
};
use sluice_domain::terms::{
    Benefit, BudgetPartial, Conditions, Currency, MinSpendBase, Period, ProductSet, Stacking,
    StackingBase, StackingGroup, Stage, Terms, Tier, UsesPerUser, Validity,
};
use sluice_domain::time::Timestamp;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_737_600_000);

/// Terms that give this, and ask for nothing.
pub(crate) fn terms(benefit: Benefit) -> Terms {
    Terms {
        name: "a coupon".to_owned(),
        description: String::new(),
        currency: Currency(*b"USD"),
        benefit,
        conditions: Conditions::default(),
        stacking: Stacking {
            priority: 100,
            ..Stacking::default()
        },
        uses_per_claim: 1,
        uses_per_user: None,
        budget: None,
        budget_partial: BudgetPartial::Refuse,
        validity: Validity::Permanent,
    }
}

/// A free claim of a coupon.
pub(crate) fn candidate(coupon: u32, serial: u8, terms: Terms) -> Candidate {
    Candidate {
        terms: Arc::new(terms),
        facts: CandidateFacts {
            claim_id: ClaimId::new(CouponId(coupon), [serial; 12]),
            coupon: CouponId(coupon),
            version: Version(1),
            code: None,
            valid_from: Timestamp::MIN,
            expires_at: None,
            standing: ClaimStanding::Free,
            user_uses: None,
            budget_left: None,
            archived: false,
        },
    }
}

pub(crate) fn buyer() -> Buyer {
    Buyer {
        user: UserId::new("u1").unwrap(),
        groups: Vec::new(),
        is_new: None,
        verified: Vec::new(),
    }
}

pub(crate) fn input(cart: Cart, candidates: Vec<Candidate>) -> QuoteInput {
    QuoteInput {
        cart,
        buyer: buyer(),
        candidates,
        choose: Choose::Best,
        limits: OrderLimits::default(),
        now: NOW,
    }
}

pub(crate) fn line(id: &str, quantity: u32, unit_price: i64) -> CartLine {
    CartLine {
        id: id.to_owned(),
        sku: id.to_owned(),
        quantity,
        unit_price,
        categories: Vec::new(),
        brand: None,
        tags: Vec::new(),
        floor_price: 0,
    }
}

fn cart_line(index: usize) -> impl Strategy<Value = CartLine> {
    let price = prop_oneof![
        0_i64..40,
        select(vec![1_i64, 100, 333, 999, 1_000, 2_500]),
        0_i64..100_000
    ];
    (
        1_u32..5,
        price,
        subsequence(vec!["shoes", "hats", "food"], 0..=2),
        select(vec!["P1", "P2", "P3"]),
        option::weighted(0.3, 0_i64..=100),
    )
        .prop_map(
            move |(quantity, unit_price, categories, sku, floor)| CartLine {
                id: format!("l{index}"),
                sku: sku.to_owned(),
                quantity,
                unit_price,
                categories: categories.into_iter().map(str::to_owned).collect(),
                brand: None,
                tags: Vec::new(),
                floor_price: floor.map_or(0, |percent| unit_price * percent / 100),
            },
        )
}

pub(crate) fn cart() -> impl Strategy<Value = Cart> {
    let lines = (1_usize..7).prop_flat_map(|count| (0..count).map(cart_line).collect::<Vec<_>>());
    (lines, select(vec![0_i64, 1, 500, 499])).prop_map(|(lines, shipping)| Cart {
        currency: Currency(*b"USD"),
        lines,
        shipping,
        channel: None,
    })
}

fn benefit() -> impl Strategy<Value = Benefit> {
    prop_oneof![
        3 => (1_i64..1_500).prop_map(|off| Benefit::Fixed { off }),
        3 => (1_u16..=10_000, option::of(1_i64..2_000)).prop_map(|(basis_points, max_off)| {
            Benefit::Percent { basis_points, max_off }
        }),
        2 => vec((1_i64..2_000, 1_i64..500), 1..4).prop_map(|steps| {
            let (mut spend, mut off) = (0, 0);
            let tiers = steps.into_iter().map(|(more, better)| {
                spend += more;
                off += better;
                Tier { spend, off }
            });
            Benefit::Threshold { tiers: tiers.collect() }
        }),
        2 => (select(vec!["P1", "P2", "P9"]), 1_u32..4, option::of(1_i64..3_000)).prop_map(
            |(sku, quantity, max_value)| Benefit::Product {
                sku: sku.to_owned(),
                quantity,
                max_value,
            }
        ),
    ]
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let set = |names: Vec<&'static str>| {
        subsequence(names, 0..=1).prop_map(|names| ProductSet {
            categories: names.into_iter().map(str::to_owned).collect(),
            ..ProductSet::default()
        })
    };
    (
        option::weighted(0.4, 1_i64..3_000),
        select(vec![
            MinSpendBase::Initial,
            MinSpendBase::BeforeThis,
            MinSpendBase::AfterThis,
        ]),
        set(vec!["shoes", "hats"]),
        set(vec!["food"]),
    )
        .prop_map(|(min_spend, min_spend_base, include, exclude)| Conditions {
            min_spend,
            min_spend_base,
            include,
            exclude,
            ..Conditions::default()
        })
}

fn stacking() -> impl Strategy<Value = Stacking> {
    (
        select(vec![
            Stage::Product,
            Stage::Order,
            Stage::Order,
            Stage::Shipping,
        ]),
        select(vec![100_u16, 100, 100, 1, 200]),
        prop_oneof![
            1 => Just(StackingGroup::Exclusive),
            5 => Just(StackingGroup::Combinable),
            2 => Just(StackingGroup::Always),
        ],
        select(vec![StackingBase::Running, StackingBase::Initial]),
        select(vec![vec![], vec![], vec![], vec!["summer".to_owned()]]),
        select(vec![vec![], vec!["summer".to_owned()]]),
    )
        .prop_map(
            |(stage, priority, group, base, combines_with, tags)| Stacking {
                stage,
                priority,
                group,
                combines_with,
                base,
                tags,
            },
        )
}

fn facts() -> impl Strategy<Value = (Option<i64>, BudgetPartial, Option<u32>, Option<Timestamp>)> {
    (
        option::weighted(0.3, 0_i64..2_000),
        select(vec![BudgetPartial::Refuse, BudgetPartial::GrantRest]),
        option::weighted(0.3, 0_u32..2),
        option::weighted(0.3, select(vec![NOW.plus_millis(1), NOW.plus_millis(9)])),
    )
}

/// Some claims of one coupon.
fn claims_of(coupon: u32) -> impl Strategy<Value = Vec<Candidate>> {
    (benefit(), conditions(), stacking(), facts(), 1_u8..3).prop_map(
        move |(benefit, conditions, mut stacking, facts, claims)| {
            if matches!(benefit, Benefit::Product { .. }) && stacking.stage == Stage::Shipping {
                stacking.stage = Stage::Product;
            }
            let (budget_left, budget_partial, user_uses, expires_at) = facts;
            let terms = Arc::new(Terms {
                conditions,
                stacking,
                uses_per_user: user_uses.map(|_uses| UsesPerUser {
                    count: 2,
                    period: Period::Day,
                }),
                budget: budget_left.map(|_left| 10_000),
                budget_partial,
                ..terms(benefit)
            });
            (0..claims)
                .map(|serial| {
                    let mut claim = candidate(coupon, serial, (*terms).clone());
                    claim.terms = Arc::clone(&terms);
                    claim.facts.budget_left = budget_left;
                    claim.facts.user_uses = user_uses;
                    claim.facts.expires_at = expires_at;
                    claim
                })
                .collect()
        },
    )
}

fn limits() -> impl Strategy<Value = OrderLimits> {
    prop_oneof![
        2 => Just(OrderLimits::default()),
        1 => (1_u16..6, 1_u16..4, 1_u16..3, 1_u16..3).prop_map(
            |(coupons, combinable, always, per_coupon)| OrderLimits {
                coupons, combinable, always, per_coupon,
            }
        ),
    ]
}

/// A cart, claims of up to `coupons` coupons (at most `most` claims), and limits.
pub(crate) fn world(
    coupons: std::ops::RangeInclusive<u32>,
    most: usize,
) -> impl Strategy<Value = QuoteInput> {
    let claims = coupons
        .prop_flat_map(|count| (0..count).map(claims_of).collect::<Vec<_>>())
        .prop_map(move |claims| claims.into_iter().flatten().take(most).collect());
    (cart(), claims, limits(), any::<bool>()).prop_map(
        |(cart, candidates, limits, best): (Cart, Vec<Candidate>, OrderLimits, bool)| QuoteInput {
            limits,
            choose: if best { Choose::Best } else { Choose::Given },
            ..input(cart, candidates)
        },
    )
}
