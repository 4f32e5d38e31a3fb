use super::*;
use crate::sample::{CONTRACT, SMALLEST, at, spec};
use crate::terms::{Stacking, UsesPerUser};

#[test]
fn the_contract_in_words() {
    assert_eq!(
        sentences(&spec(CONTRACT).terms),
        [
            "Spend 50.00 USD, get 5.00 USD off; spend 100.00 USD, get 15.00 USD off.",
            "Minimum spend 20.00 USD on eligible items.",
            "Applies to categories shoes.",
            "Does not apply to products S-9.",
            "Open fri, sat 18:00-02:00 (Asia/Shanghai).",
            "At most 1 use a day per customer.",
            "Valid for 7 days after it is claimed.",
        ]
    );
    assert_eq!(
        sentences(&spec(SMALLEST).terms),
        ["5.00 USD off.", "Valid without an end."]
    );
}

#[test]
fn benefits() {
    let usd = Currency(*b"USD");
    for (given, text) in [
        (
            Benefit::Percent {
                basis_points: 1_500,
                max_off: Some(3_000),
            },
            "15% off, at most 30.00 USD",
        ),
        (
            Benefit::Percent {
                basis_points: 1_250,
                max_off: None,
            },
            "12.5% off",
        ),
        (
            Benefit::Percent {
                basis_points: 5,
                max_off: None,
            },
            "0.05% off",
        ),
        (
            Benefit::Product {
                sku: "PLAN-1M".to_owned(),
                quantity: 1,
                max_value: Some(990),
            },
            "1 x PLAN-1M free, worth at most 9.90 USD",
        ),
        (Benefit::Fixed { off: 500 }, "5.00 USD off"),
    ] {
        assert_eq!(benefit(&given, usd), text);
    }
    let yen = benefit(&Benefit::Fixed { off: 500 }, Currency(*b"JPY"));
    assert_eq!(yen, "500 JPY off");
}

#[test]
fn every_condition_has_its_sentence() {
    let mut terms = spec(SMALLEST).terms;
    terms.conditions = Conditions {
        min_spend: Some(100),
        min_spend_base: MinSpendBase::AfterThis,
        users: Users::New,
        verified: vec![Verified::Phone, Verified::Email],
        channels: vec!["app".to_owned()],
        ..Conditions::default()
    };
    terms.stacking = Stacking {
        group: StackingGroup::Exclusive,
        ..Stacking::default()
    };
    terms.uses_per_claim = 3;
    terms.uses_per_user = Some(UsesPerUser {
        count: 5,
        period: Period::Lifetime,
    });
    terms.validity = Validity::Relative {
        days: 1,
        until: RelativeEnd::EndOfDay,
        zone: "Europe/Berlin".to_owned(),
    };
    assert_eq!(
        sentences(&terms),
        [
            "5.00 USD off.",
            "Minimum spend 1.00 USD on eligible items, after this coupon is taken off.",
            "For new customers.",
            "Requires a verified phone number and e-mail address.",
            "Only in app.",
            "Can be used 3 times.",
            "At most 5 uses per customer.",
            "Cannot be combined with other coupons.",
            "Valid until the end of the day (Europe/Berlin), 1 day after it is claimed.",
        ]
    );
    terms.validity = Validity::Fixed {
        starts_at: at("2026-12-01T00:00:00Z"),
        ends_at: at("2027-01-01T00:00:00Z"),
    };
    assert_eq!(
        sentences(&terms).last().map(String::as_str),
        Some("Valid from 2026-12-01T00:00:00Z until 2027-01-01T00:00:00Z.")
    );
}

#[test]
fn long_lists_are_counted() {
    let entries = ["a", "b", "c", "d", "e", "f", "g"];
    assert_eq!(some(entries.into_iter()), "a, b, c, d, e and 2 more");
    assert_eq!(some(entries.into_iter().take(5)), "a, b, c, d, e");
    assert_eq!(some(std::iter::empty()), "");
}
