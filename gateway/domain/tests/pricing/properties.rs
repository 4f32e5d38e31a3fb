//! What holds for every quote.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::Config;

use sluice_domain::pricing::{Choose, Quote, QuoteInput, Verdict, match_wallet, quote, replay};
use sluice_domain::redemption::QuoteRecord;
use sluice_domain::terms::Benefit;

use super::worlds::{candidate, terms, world};

/// Everything adds up, and nothing is below its floor.
fn check_sums(input: &QuoteInput, quote: &Quote) {
    let cart = &input.cart;
    assert_eq!(quote.subtotal, cart.subtotal());
    assert_eq!(
        quote.total,
        quote.subtotal + quote.shipping - quote.discount
    );
    assert!(quote.total >= 0);
    let values: i64 = quote.applied.iter().map(|applied| applied.value).sum();
    assert_eq!(values, quote.discount);
    let shipping: i64 = quote
        .applied
        .iter()
        .map(|applied| applied.shipping_off)
        .sum();
    assert!(shipping <= quote.shipping);
    let mut off: BTreeMap<&str, i64> = BTreeMap::new();
    let mut pieces: BTreeMap<(&str, usize), i64> = BTreeMap::new();
    for applied in &quote.applied {
        let lines: i64 = applied.lines.iter().map(|line| line.off).sum();
        assert_eq!(lines + applied.shipping_off, applied.value);
        assert!(applied.value <= applied.desired_value);
        assert!(applied.value > 0 || applied.added.is_some());
        for line in &applied.lines {
            assert!(line.off > 0);
            let before = off.entry(&line.id).or_default();
            assert_eq!(line.off_before, *before);
            *before += line.off;
            let shares: Vec<i64> = line.per_unit().collect();
            assert_eq!(shares.len(), usize::try_from(line.quantity).unwrap());
            assert_eq!(shares.iter().sum::<i64>(), line.off);
            for (piece, share) in shares.into_iter().enumerate() {
                assert!(share >= 0);
                *pieces.entry((&line.id, piece)).or_default() += share;
            }
        }
    }
    for line in &cart.lines {
        let quantity = i64::from(line.quantity);
        let off = off.get(line.id.as_str()).copied().unwrap_or(0);
        assert!(off <= line.amount() - line.floor_price * quantity);
        for piece in 0..usize::try_from(line.quantity).unwrap() {
            let off = pieces.get(&(line.id.as_str(), piece)).copied().unwrap_or(0);
            assert!(off <= line.unit_price, "a piece is paid for");
        }
    }
}

/// No limit is exceeded: budgets and uses of a coupon, claims per order.
fn check_limits(input: &QuoteInput, quote: &Quote) {
    let mut of_coupon: BTreeMap<_, (u32, i64)> = BTreeMap::new();
    for applied in &quote.applied {
        let (uses, value) = of_coupon.entry(applied.coupon).or_default();
        *uses += 1;
        *value += applied.value;
    }
    for candidate in &input.candidates {
        let facts = &candidate.facts;
        let Some(&(uses, value)) = of_coupon.get(&facts.coupon) else {
            continue;
        };
        assert!(uses <= u32::from(input.limits.per_coupon));
        assert!(value <= facts.budget_left.unwrap_or(i64::MAX));
        if let Some(limit) = candidate.terms.uses_per_user {
            assert!(facts.user_uses.unwrap() + uses <= limit.count);
        }
    }
    assert!(quote.applied.len() <= usize::from(input.limits.coupons));
}

/// Every candidate is said something about, once.
fn check_verdicts(input: &QuoteInput, quote: &Quote) {
    let mut ids: Vec<_> = quote.applied.iter().map(|one| one.claim_id).collect();
    ids.extend(quote.rejected.iter().map(|one| one.claim_id));
    ids.sort_unstable();
    let mut given: Vec<_> = input
        .candidates
        .iter()
        .map(|one| one.facts.claim_id)
        .collect();
    given.sort_unstable();
    assert_eq!(ids, given);
    for rejected in &quote.rejected {
        assert!(!rejected.reasons.is_empty());
        assert_ne!(rejected.verdict, Verdict::Applies);
    }
    assert!(quote.proven_optimal == quote.discount_bound.is_none());
}

fn record(input: &QuoteInput, quote: Quote) -> QuoteRecord {
    QuoteRecord {
        cart: input.cart.clone(),
        buyer: input.buyer.clone(),
        candidates: input
            .candidates
            .iter()
            .map(|one| one.facts.clone())
            .collect(),
        choose: input.choose,
        limits: input.limits,
        now: input.now,
        quote,
    }
}

proptest! {
    #![proptest_config(Config::with_cases(4_000))]

    #[test]
    fn sums_are_exact_and_never_below_a_floor(input in world(0..=6, 10)) {
        let quote = quote(&input);
        check_sums(&input, &quote);
        check_limits(&input, &quote);
        check_verdicts(&input, &quote);
    }

    #[test]
    fn the_order_of_the_input_is_irrelevant(
        input in world(1..=6, 10),
        lines in any::<prop::sample::Index>(),
        claims in any::<prop::sample::Index>(),
        reversed in any::<bool>(),
    ) {
        let mut other = input.clone();
        let turn = lines.index(other.cart.lines.len());
        other.cart.lines.rotate_left(turn);
        let turn = claims.index(other.candidates.len());
        other.candidates.rotate_left(turn);
        if reversed {
            other.cart.lines.reverse();
            other.candidates.reverse();
        }
        // A claim that is given twice is one claim.
        other.candidates.push(other.candidates[0].clone());
        prop_assert_eq!(quote(&input), quote(&other));
    }

    #[test]
    fn an_irrelevant_coupon_changes_nothing(input in world(0..=6, 10)) {
        let before = quote(&input);
        let mut more = input.clone();
        let mut irrelevant = terms(Benefit::Fixed { off: 100_000 });
        irrelevant.conditions.min_spend = Some(i64::MAX / 4);
        more.candidates.push(candidate(900, 1, irrelevant));
        let mut expired = candidate(901, 1, terms(Benefit::Fixed { off: 100_000 }));
        expired.facts.expires_at = Some(input.now);
        more.candidates.insert(0, expired);
        let after = quote(&more);
        prop_assert!(before.same_money(&after));
        prop_assert_eq!(before.proven_optimal, after.proven_optimal);
        prop_assert_eq!(after.rejected.len(), before.rejected.len() + 2);
    }

    #[test]
    fn a_larger_discount_is_never_chosen_away(input in world(1..=6, 10)) {
        let best = quote(&QuoteInput { choose: Choose::Best, ..input.clone() });
        prop_assert!(best.proven_optimal);
        // Not what was asked for, not any one claim, not all but one.
        let given = quote(&QuoteInput { choose: Choose::Given, ..input.clone() });
        prop_assert!(given.discount <= best.discount);
        for index in 0..input.candidates.len() {
            let mut one = input.clone();
            one.choose = Choose::Given;
            one.candidates = vec![input.candidates[index].clone()];
            prop_assert!(quote(&one).discount <= best.discount);
            let mut others = input.clone();
            others.candidates.remove(index);
            prop_assert!(quote(&others).discount <= best.discount);
        }
    }

    #[test]
    fn given_claims_that_go_together_are_all_applied(input in world(1..=4, 6)) {
        let input = QuoteInput { choose: Choose::Given, ..input };
        let given = quote(&input);
        let applies_alone = |one: &&sluice_domain::pricing::Candidate| {
            let alone = QuoteInput { candidates: vec![(**one).clone()], ..input.clone() };
            !quote(&alone).applied.is_empty()
        };
        let alone = input.candidates.iter().filter(applies_alone).count();
        let best = quote(&QuoteInput { choose: Choose::Best, ..input.clone() });
        // Either all that apply alone, or the best of them.
        prop_assert!(given.applied.len() == alone || given.same_money(&best));
    }

    #[test]
    fn a_match_agrees_with_quotes(input in world(1..=6, 10)) {
        let answer = match_wallet(&input);
        let best = quote(&QuoteInput { choose: Choose::Best, ..input.clone() });
        prop_assert_eq!(&answer.best, &best);
        prop_assert_eq!(answer.claims.len(), input.candidates.len());
        for claim in &answer.claims {
            let applied = best.applied.iter().any(|one| one.claim_id == claim.claim_id);
            prop_assert_eq!(applied, claim.verdict == Verdict::Applies);
            prop_assert_eq!(applied, claim.reasons.is_empty());
            let candidate = input.candidates.iter().find(|one| one.facts.claim_id == claim.claim_id);
            let alone = quote(&QuoteInput {
                candidates: vec![candidate.unwrap().clone()],
                ..input.clone()
            });
            prop_assert_eq!(alone.discount, claim.value);
            if claim.verdict == Verdict::NotApplicable {
                prop_assert_eq!(&alone.rejected[0].reasons, &claim.reasons);
            }
        }
    }

    #[test]
    fn a_stored_record_gives_the_same_cents(input in world(0..=6, 10)) {
        let first = quote(&input);
        let stored = serde_json::to_string(&record(&input, first)).unwrap();
        let record: QuoteRecord = serde_json::from_str(&stored).unwrap();
        let frozen: HashMap<_, _> = input
            .candidates
            .iter()
            .map(|one| {
                let terms = serde_json::to_string(&*one.terms).unwrap();
                let terms = Arc::new(serde_json::from_str(&terms).unwrap());
                ((one.facts.coupon, one.facts.version), terms)
            })
            .collect();
        let again = replay(&record, &frozen).unwrap();
        prop_assert!(again.same_money(&record.quote));
        prop_assert_eq!(&again, &record.quote);
        if let Some(one) = input.candidates.first() {
            let mut fewer = frozen.clone();
            fewer.remove(&(one.facts.coupon, one.facts.version));
            prop_assert!(replay(&record, &fewer).is_err());
        }
    }
}
