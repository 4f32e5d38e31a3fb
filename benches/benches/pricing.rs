//! What a quote costs: the best combination of a few claims, of many, and the largest input.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use sluice_domain::cart::{Cart, CartLine};
use sluice_domain::id::{ClaimId, CouponId, UserId, Version};
use sluice_domain::pricing::{
    Buyer, Candidate, CandidateFacts, Choose, ClaimStanding, OrderLimits, QuoteInput, quote,
};
use sluice_domain::terms::{
    Benefit, Conditions, Currency, ProductSet, Stacking, StackingBase, StackingGroup, Terms, Tier,
    Validity,
};
use sluice_domain::time::Timestamp;

/// A cart of two categories with prices that divide badly.
fn cart(lines: u16) -> Cart {
    let line = |index: u16| CartLine {
        id: format!("l{index:04}"),
        sku: format!("S-{index}"),
        quantity: 1 + u32::from(index % 3),
        unit_price: 997 + i64::from(index * 37 % 900),
        categories: vec![
            if index.is_multiple_of(2) {
                "shoes"
            } else {
                "hats"
            }
            .to_owned(),
        ],
        brand: Some("x".to_owned()),
        tags: Vec::new(),
        floor_price: if index.is_multiple_of(5) { 700 } else { 0 },
    };
    Cart {
        currency: Currency(*b"USD"),
        lines: (0..lines).map(line).collect(),
        shipping: 500,
        channel: None,
    }
}

/// Percentages, tiers and fixed amounts on bases that depend on each other, a fifth of them
/// `always`: what makes a search work.
fn claim(number: u16) -> Candidate {
    let benefit = match number % 4 {
        0 => Benefit::Fixed {
            off: 300 + i64::from(number * 7),
        },
        1 => Benefit::Threshold {
            tiers: vec![
                Tier {
                    spend: 5_000,
                    off: 400,
                },
                Tier {
                    spend: 20_000,
                    off: 2_000,
                },
            ],
        },
        _ => Benefit::Percent {
            basis_points: 500 + number * 131 % 900,
            max_off: None,
        },
    };
    let mut conditions = Conditions::default();
    if number.is_multiple_of(3) {
        conditions.include = ProductSet {
            categories: vec!["shoes".to_owned()],
            ..ProductSet::default()
        };
    }
    let coupon = CouponId(u32::from(number));
    Candidate {
        terms: Arc::new(Terms {
            name: "bench".to_owned(),
            description: String::new(),
            currency: Currency(*b"USD"),
            benefit,
            conditions,
            stacking: Stacking {
                priority: number * 7 % 13,
                group: if number.is_multiple_of(5) {
                    StackingGroup::Always
                } else {
                    StackingGroup::Combinable
                },
                base: if number.is_multiple_of(6) {
                    StackingBase::Initial
                } else {
                    StackingBase::Running
                },
                ..Stacking::default()
            },
            uses_per_claim: 1,
            uses_per_user: None,
            budget: None,
            budget_partial: <_>::default(),
            validity: Validity::Permanent,
        }),
        facts: CandidateFacts {
            claim_id: ClaimId::new(coupon, [1; 12]),
            coupon,
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

fn input(claims: u16, lines: u16, choose: Choose) -> QuoteInput {
    QuoteInput {
        cart: cart(lines),
        buyer: Buyer {
            user: UserId::new("u1").unwrap_or_else(|error| panic!("{error}")),
            groups: Vec::new(),
            is_new: None,
            verified: Vec::new(),
        },
        candidates: (0..claims).map(claim).collect(),
        choose,
        limits: OrderLimits::default(),
        now: Timestamp::from_millis(1_795_737_600_000),
    }
}

fn quotes(criterion: &mut Criterion) {
    for (name, claims, lines, choose) in [
        ("3 given claims, 30 lines", 3, 30, Choose::Given),
        ("best of 12 claims, 30 lines", 12, 30, Choose::Best),
        ("best of 20 claims, 30 lines", 20, 30, Choose::Best),
        ("best of 200 claims, 1000 lines", 200, 1_000, Choose::Best),
    ] {
        let input = input(claims, lines, choose);
        let found = quote(&input);
        let steps = found.trace.iter().find(|step| step.step == "search");
        let what = steps.map_or("nothing to search", |step| step.detail.as_str());
        let mut group = criterion.benchmark_group("quote");
        group.sample_size(20);
        group.bench_function(format!("{name} ({what})"), |bench| {
            bench.iter(|| quote(black_box(&input)));
        });
        group.finish();
    }
}

criterion_group!(benches, quotes);
criterion_main!(benches);
