use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;

fn part(weight: MinorUnits, capacity: MinorUnits) -> Part {
    Part { weight, capacity }
}

#[test]
fn ties_go_to_the_larger_weight_then_to_the_smaller_line() {
    // Exact shares 1.5, 1.5, 3: the first of two equal lines.
    assert_eq!(
        allocate(6, &[part(5, 9), part(5, 9), part(10, 9)]),
        [2, 1, 3]
    );
    // Exact shares 0.5 and 1.5: equal remainders, the heavier line.
    assert_eq!(allocate(2, &[part(1, 9), part(3, 9)]), [0, 2]);
    assert_eq!(allocate(0, &[part(1, 9), part(3, 9)]), [0, 0]);
    assert_eq!(allocate(0, &[]), [] as [MinorUnits; 0]);
}

#[test]
fn what_a_full_line_cannot_take_goes_to_the_others() {
    assert_eq!(
        allocate(90, &[part(50, 10), part(25, 90), part(25, 90)]),
        [10, 40, 40]
    );
    // The second is full only once the first is.
    assert_eq!(
        allocate(90, &[part(50, 5), part(25, 30), part(25, 90)]),
        [5, 30, 55]
    );
    // A line that costs nothing has no part in it.
    assert_eq!(
        allocate(3, &[part(0, 0), part(2, 5), part(1, 5)]),
        [0, 2, 1]
    );
}

#[test]
fn amounts_beyond_64_bits_in_between() {
    let large = crate::money::AMOUNT_MAX / 2;
    let shares = allocate(large, &[part(large, large), part(large, large)]);
    assert_eq!(shares, [large / 2, large / 2]);
    let shares = allocate(large - 1, &[part(large, large), part(large - 1, large - 1)]);
    assert_eq!(shares.iter().sum::<MinorUnits>(), large - 1);
}

/// The rule by trial: share out, fix those that got more than they can take, again with the rest.
fn by_trial(amount: MinorUnits, parts: &[Part]) -> Vec<MinorUnits> {
    let mut shares = vec![0; parts.len()];
    let mut open: Vec<usize> = (0..parts.len())
        .filter(|&index| parts[index].capacity > 0)
        .collect();
    let mut rest = amount;
    loop {
        let total: i128 = open
            .iter()
            .map(|&index| i128::from(parts[index].weight))
            .sum();
        if total == 0 {
            return shares;
        }
        let exact = |index: usize| i128::from(rest) * i128::from(parts[index].weight);
        let full: Vec<usize> = open
            .iter()
            .copied()
            .filter(|&index| exact(index) >= i128::from(parts[index].capacity) * total)
            .collect();
        if full.is_empty() {
            let mut order = open.clone();
            order.sort_by_key(|&index| (-(exact(index) % total), -parts[index].weight, index));
            let mut left_over = rest;
            for &index in &open {
                shares[index] = MinorUnits::try_from(exact(index) / total).unwrap();
                left_over -= shares[index];
            }
            for index in order.into_iter().take(usize::try_from(left_over).unwrap()) {
                shares[index] += 1;
            }
            return shares;
        }
        for index in full {
            shares[index] = parts[index].capacity;
            rest -= shares[index];
            open.retain(|&one| one != index);
        }
    }
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let weight = prop_oneof![0_i64..6, 0_i64..1_000, 0_i64..1_000_000_000_000];
    let share = prop_oneof![Just(100_i64), 0_i64..=100];
    let one = (weight, share).prop_map(|(weight, share)| Part {
        weight,
        capacity: weight / 100 * share + weight % 100 * share / 100,
    });
    vec(one, 0..9)
}

proptest! {
    #![proptest_config(Config::with_cases(20_000))]

    #[test]
    fn shares_add_up_and_fit(parts in parts(), per_mille in 0_i64..=1_000) {
        let capacity: MinorUnits = parts.iter().map(|part| part.capacity).sum();
        let amount = capacity / 1_000 * per_mille + capacity % 1_000 * per_mille / 1_000;
        let shares = allocate(amount, &parts);
        prop_assert_eq!(shares.iter().sum::<MinorUnits>(), amount);
        for (share, part) in shares.iter().zip(&parts) {
            prop_assert!((0..=part.capacity).contains(share));
        }
        prop_assert_eq!(shares, by_trial(amount, &parts));
    }
}
