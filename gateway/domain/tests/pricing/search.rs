//! The best combination is that of trying all of them.

use proptest::prelude::*;
use proptest::test_runner::Config;

use sluice_domain::id::ClaimId;
use sluice_domain::pricing::{Candidate, Choose, Quote, QuoteInput, quote};

use super::worlds::world;

/// How a combination ranks: the smallest is the best.
type Rank = (i64, i64, usize, Vec<usize>);

/// Every subset as a quote of its own; it counts where all of it is applied.
fn exhaustive(input: &QuoteInput) -> Quote {
    let input = QuoteInput {
        choose: Choose::Given,
        ..input.clone()
    };
    let alone = |one: &Candidate| {
        quote(&QuoteInput {
            candidates: vec![one.clone()],
            ..input.clone()
        })
    };
    let mut order: Vec<(i64, Candidate)> = input
        .candidates
        .iter()
        .map(|one| (alone(one), one))
        .filter(|(quote, _one)| !quote.applied.is_empty())
        .map(|(quote, one)| (quote.discount, one.clone()))
        .collect();
    order.sort_by_key(|(discount, one)| {
        let stacking = &one.terms.stacking;
        let expires_at = one.facts.expires_at;
        (
            (stacking.stage, stacking.priority, -discount),
            (expires_at.is_none(), expires_at, one.facts.claim_id),
        )
    });
    let mut best: Option<(Rank, Quote)> = None;
    for subset in 0_u32..1 << order.len() {
        let places: Vec<usize> = (0..order.len())
            .filter(|place| subset >> place & 1 == 1)
            .collect();
        let candidates = places.iter().map(|&place| order[place].1.clone());
        let tried = quote(&QuoteInput {
            candidates: candidates.collect(),
            ..input.clone()
        });
        if tried.applied.len() != places.len() {
            continue;
        }
        let gifts = tried
            .applied
            .iter()
            .filter(|one| one.added.is_some())
            .count();
        let gifts = i64::try_from(gifts).unwrap();
        let rank = (-tried.discount, -gifts, places.len(), places);
        if best.as_ref().is_none_or(|(least, _quote)| rank < *least) {
            best = Some((rank, tried));
        }
    }
    best.unwrap().1
}

fn check(input: &QuoteInput) {
    let input = QuoteInput {
        choose: Choose::Best,
        ..input.clone()
    };
    let found = quote(&input);
    let tried = exhaustive(&input);
    let ids =
        |quote: &Quote| -> Vec<ClaimId> { quote.applied.iter().map(|one| one.claim_id).collect() };
    assert_eq!(
        ids(&found),
        ids(&tried),
        "{} against {}",
        found.discount,
        tried.discount
    );
    assert!(found.same_money(&tried));
    assert!(found.proven_optimal);
}

proptest! {
    #![proptest_config(Config::with_cases(3_000))]

    #[test]
    fn the_best_of_a_few_is_that_of_trying_all(input in world(1..=5, 6)) {
        check(&input);
    }
}

proptest! {
    #![proptest_config(Config::with_cases(1_000))]

    #[test]
    fn the_best_of_ten_is_that_of_trying_all(input in world(5..=9, 10)) {
        check(&input);
    }
}
