use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;

#[test]
fn percentages_are_rounded_half_up_up_to_the_largest_amount() {
    assert_eq!(percentage(5, 1_000), 1);
    assert_eq!(percentage(4, 1_000), 0);
    assert_eq!(percentage(14, 1_000), 1);
    assert_eq!(percentage(15, 1_000), 2);
    assert_eq!(
        percentage(crate::money::AMOUNT_MAX, 10_000),
        crate::money::AMOUNT_MAX
    );
}

fn after(benefit: &Benefit, sum: MinorUnits) -> MinorUnits {
    sum - match benefit {
        Benefit::Fixed { off } => *off,
        Benefit::Percent {
            basis_points,
            max_off,
        } => percentage(sum, *basis_points).min(max_off.unwrap_or(MinorUnits::MAX)),
        Benefit::Threshold { tiers } => tier(tiers, sum).map_or(0, |tier| tier.off),
        Benefit::Product { .. } => 0,
    }
}

fn benefit() -> impl Strategy<Value = Benefit> {
    prop_oneof![
        (1_i64..300).prop_map(|off| Benefit::Fixed { off }),
        (1_u16..=10_000, proptest::option::of(1_i64..300)).prop_map(|(basis_points, max_off)| {
            Benefit::Percent {
                basis_points,
                max_off,
            }
        }),
        vec((1_i64..100, 1_i64..50), 1..4).prop_map(|steps| {
            let (mut spend, mut off) = (0, 0);
            let tiers = steps.into_iter().map(|(more, better)| {
                (spend, off) = (spend + more, off + better);
                Tier { spend, off }
            });
            Benefit::Threshold {
                tiers: tiers.collect(),
            }
        }),
    ]
}

proptest! {
    #![proptest_config(Config::with_cases(5_000))]

    #[test]
    fn the_addition_is_the_smallest_that_is_enough(
        benefit in benefit(),
        sum in 0_i64..400,
        short in 1_i64..400,
    ) {
        let wanted = (after(&benefit, sum) + short).max(1);
        let found = addition_for(&benefit, sum, wanted);
        // Sums of a few hundred that keep a hundredth of a percent would need millions more.
        let tried = (1..20_000).find(|more| after(&benefit, sum + more) >= wanted);
        match found {
            Some(more) if more < 20_000 => prop_assert_eq!(Some(more), tried),
            Some(more) => {
                prop_assert_eq!(tried, None);
                prop_assert!(after(&benefit, sum + more) >= wanted);
            }
            None => prop_assert_eq!(tried, None),
        }
    }
}
