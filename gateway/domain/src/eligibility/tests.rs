use proptest::prelude::*;

use super::*;
use crate::coupon::{Distribution, Lifecycle};
use crate::reason::ReasonCode;
use crate::sample::{at, live, published, shopper, user};
use crate::terms::Users;

/// The coupon of the contract, open from 2026-11-27 to -28 within its weekly window.
fn contract() -> Published {
    published(&live(crate::sample::CONTRACT))
}

/// A coupon that is open to all at all times.
fn open() -> Published {
    published(&live(crate::sample::SMALLEST))
}

fn codes(reasons: &[Reason]) -> Vec<ReasonCode> {
    reasons.iter().map(|reason| reason.code).collect()
}

#[test]
fn who_may_claim_costs_no_allocation() {
    let reasons = claim_reasons(&contract(), &shopper("u1"), at("2026-11-27T10:00:00Z"));
    assert_eq!(reasons.len(), 0);
    assert_eq!(reasons.capacity(), 0);
}

#[test]
fn time_and_state() {
    use ReasonCode::{Archived, Ended, NotStarted, OutsideTimeWindow, Paused};
    for (lifecycle, now, expected) in [
        (Lifecycle::Live, "2026-11-27T10:00:00Z", vec![]),
        (
            Lifecycle::Live,
            "2026-11-27T00:00:00Z",
            vec![OutsideTimeWindow],
        ),
        (
            Lifecycle::Live,
            "2026-11-26T23:59:59.999Z",
            vec![NotStarted, OutsideTimeWindow],
        ),
        (Lifecycle::Live, "2026-11-28T10:00:00Z", vec![Ended]),
        (
            Lifecycle::Live,
            "2026-11-28T00:00:00Z",
            vec![Ended, OutsideTimeWindow],
        ),
        (Lifecycle::Paused, "2026-11-27T10:00:00Z", vec![Paused]),
        (
            Lifecycle::Paused,
            "2026-11-28T10:00:00Z",
            vec![Ended, Paused],
        ),
        (Lifecycle::Ended, "2026-11-27T10:00:00Z", vec![Ended]),
        (Lifecycle::Archived, "2026-11-27T10:00:00Z", vec![Archived]),
        (
            Lifecycle::Archived,
            "2026-11-29T20:00:00Z",
            vec![Archived, Ended, OutsideTimeWindow],
        ),
    ] {
        let coupon = Published {
            lifecycle,
            ..contract()
        };
        let reasons = claim_reasons(&coupon, &shopper("u1"), at(now));
        assert_eq!(codes(&reasons), expected, "{lifecycle:?} {now}");
    }
}

#[test]
fn a_reason_says_what_is_missing_and_what_helps() {
    let reasons = claim_reasons(&contract(), &shopper("u1"), at("2026-11-26T23:59:58.500Z"));
    let first = &reasons[0];
    assert_eq!(first.code, ReasonCode::NotStarted);
    assert_eq!(first.condition, "claim_window");
    assert_eq!(first.expected, "from 2026-11-27T00:00:00Z on");
    assert_eq!(first.actual, "2026-11-26T23:59:58.5Z");
    assert_eq!(first.gap.as_deref(), Some("2"));
    assert_eq!(
        first.fix.as_deref(),
        Some("Claim from 2026-11-27T00:00:00Z on.")
    );
    let second = &reasons[1];
    assert_eq!(second.condition, "windows");
    assert_eq!(second.expected, "fri, sat 18:00-02:00 (Asia/Shanghai)");
    assert_eq!(
        second.fix.as_deref(),
        Some("Claim from 2026-11-27T10:00:00Z on.")
    );
}

#[test]
fn users_by_kind() {
    let groups = |names: &[&str]| Shopper {
        groups: names.iter().map(|&name| Box::from(name)).collect(),
        ..shopper("u1")
    };
    let newness = |is_new| Shopper {
        is_new,
        ..shopper("u1")
    };
    let vip = Users::Groups {
        groups: vec!["gold".to_owned(), "vip".to_owned()],
    };
    let listed = Users::Ids {
        ids: vec![user("u1"), user("u3")],
    };
    for (users, shopper, actual) in [
        (Users::All, shopper("u1"), None),
        (Users::New, newness(Some(true)), None),
        (
            Users::New,
            newness(Some(false)),
            Some("an existing customer"),
        ),
        (
            Users::New,
            newness(None),
            Some("the token does not say: it has no claim \"new\""),
        ),
        (Users::Existing, newness(Some(false)), None),
        (Users::Existing, newness(Some(true)), Some("a new customer")),
        (
            Users::Existing,
            newness(None),
            Some("the token does not say: it has no claim \"new\""),
        ),
        (vip.clone(), groups(&["vip"]), None),
        (vip.clone(), groups(&["aaa", "gold", "zzz"]), None),
        (vip.clone(), groups(&[]), Some("in no group")),
        (
            vip,
            groups(&["a", "b", "c", "d", "e", "f", "g"]),
            Some("in a, b, c, d, e and 2 more"),
        ),
        (listed.clone(), shopper("u3"), None),
        (listed, shopper("u2"), Some("not on the list")),
    ] {
        let mut coupon = open();
        coupon.terms.conditions.users = users;
        let reasons = claim_reasons(&coupon, &shopper, at("2026-11-27T10:00:00Z"));
        match actual {
            None => assert_eq!(codes(&reasons), []),
            Some(actual) => {
                assert_eq!(codes(&reasons), [ReasonCode::NotEligible]);
                assert_eq!(reasons[0].condition, "users");
                assert_eq!(reasons[0].actual, actual);
            }
        }
    }
}

#[test]
fn each_missing_verification_is_named() {
    let mut coupon = open();
    coupon.terms.conditions.verified = vec![Verified::Phone, Verified::Email, Verified::Identity];
    coupon.limits.per_device = Some(1);
    let now = at("2026-11-27T10:00:00Z");
    let mut somebody = shopper("u1");
    somebody.verified = Arc::new([Verified::Email]);
    let conditions: Vec<String> = claim_reasons(&coupon, &somebody, now)
        .into_iter()
        .inspect(|reason| assert_eq!(reason.code, ReasonCode::VerificationRequired))
        .map(|reason| format!("{}: {}", reason.condition, reason.expected))
        .collect();
    assert_eq!(
        conditions,
        [
            "verified: a verified phone number",
            "verified: a verified identity",
            "limits.per_device: a token bound to a device",
        ]
    );
    somebody.device = Some(Arc::from("d1"));
    somebody.verified = Arc::new([Verified::Phone, Verified::Email, Verified::Identity]);
    assert_eq!(codes(&claim_reasons(&coupon, &somebody, now)), []);
}

#[test]
fn a_coupon_by_code_only_is_claimed_with_the_code() {
    let mut coupon = open();
    let now = at("2026-11-27T10:00:00Z");
    for (distribution, without) in [
        (vec![Distribution::Code], vec![ReasonCode::NotEligible]),
        (vec![Distribution::Public, Distribution::Code], vec![]),
        (vec![Distribution::Targeted], vec![]),
    ] {
        coupon.distribution = distribution;
        assert_eq!(codes(&claim_reasons(&coupon, &shopper("u1"), now)), without);
        assert_eq!(
            codes(&claim_reasons_by_code(&coupon, &shopper("u1"), now)),
            []
        );
    }
}

#[test]
fn never_open_holds_until_the_margin() {
    let coupon = contract();
    assert!(never_open_yet(&coupon, at("2026-11-26T23:59:57Z"), 2_000));
    assert!(!never_open_yet(&coupon, at("2026-11-26T23:59:58Z"), 2_000));
    assert!(!never_open_yet(&coupon, at("2026-11-27T00:00:00Z"), 0));
    // Without a start it may have been open since it was published.
    assert!(!never_open_yet(&open(), Timestamp::MIN, 0));
    // A negative margin is none.
    assert!(!never_open_yet(&coupon, at("2026-11-27T00:00:00Z"), -5_000));
}

fn rank(code: ReasonCode) -> usize {
    use ReasonCode::{
        Archived, Ended, NotEligible, NotStarted, OutsideTimeWindow, Paused, VerificationRequired,
    };
    [
        Archived,
        Ended,
        Paused,
        NotStarted,
        OutsideTimeWindow,
        NotEligible,
        VerificationRequired,
    ]
    .iter()
    .position(|&known| known == code)
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn reasons_come_in_order_and_prepared_rules_agree(
        lifecycle in proptest::sample::select(vec![
            Lifecycle::Live, Lifecycle::Paused, Lifecycle::Ended, Lifecycle::Archived,
        ]),
        hours in -48_i64..96,
        is_new in proptest::option::of(any::<bool>()),
        wants_new in any::<bool>(),
        wants_phone in any::<bool>(),
        per_device in proptest::option::of(1_u16..3),
        has_device in any::<bool>(),
    ) {
        let mut coupon = contract();
        coupon.lifecycle = lifecycle;
        coupon.limits.per_device = per_device;
        if wants_new {
            coupon.terms.conditions.users = Users::New;
        }
        if wants_phone {
            coupon.terms.conditions.verified = vec![Verified::Phone];
        }
        let mut somebody = shopper("u1");
        somebody.is_new = is_new;
        somebody.device = has_device.then(|| Arc::from("d1"));
        let now = at("2026-11-27T00:00:00Z").plus_millis(hours * 3_600_000);

        let reasons = claim_reasons(&coupon, &somebody, now);
        let ranks: Vec<usize> = reasons.iter().map(|reason| rank(reason.code)).collect();
        prop_assert!(ranks.is_sorted(), "{:?}", reasons);
        let may = lifecycle == Lifecycle::Live
            && (10..18).contains(&hours)
            && (!wants_new || is_new == Some(true))
            && !wants_phone
            && (per_device.is_none() || has_device);
        prop_assert_eq!(reasons.is_empty(), may, "{:?}", reasons);
        let rules = Rules::new(Arc::new(coupon));
        prop_assert_eq!(rules.claim_reasons(&somebody, now), reasons);
    }
}

#[test]
fn whoever_grants_answers_for_what_only_a_token_says() {
    let now = at("2026-11-27T10:00:00Z");
    let ask = |coupon: &Published, name: &str| {
        let rules = Rules::new(Arc::new(coupon.clone()));
        rules.grant_reasons(&Shopper::known_by_name(user(name)), now)
    };
    let mut coupon = open();
    coupon.distribution = vec![Distribution::Targeted];
    coupon.terms.conditions.users = Users::New;
    coupon.terms.conditions.verified = vec![Verified::Phone];
    coupon.limits.per_device = Some(1);
    assert_eq!(codes(&ask(&coupon, "u1")), [], "not asked");
    coupon.terms.conditions.users = Users::Ids {
        ids: vec![user("u1")],
    };
    assert_eq!(codes(&ask(&coupon, "u1")), []);
    let refused = ask(&coupon, "u2");
    assert_eq!(codes(&refused), [ReasonCode::NotEligible]);
    assert_eq!(refused[0].condition, "users");
    for closed in [vec![Distribution::Code], vec![Distribution::Auto], vec![]] {
        coupon.distribution = closed;
        let refused = ask(&coupon, "u1");
        assert_eq!(codes(&refused), [ReasonCode::NotEligible]);
        assert_eq!(refused[0].condition, "distribution");
    }
    let paused = Published {
        lifecycle: Lifecycle::Paused,
        ..open()
    };
    assert_eq!(codes(&ask(&paused, "u1")), [ReasonCode::Paused]);
}

#[test]
fn what_is_counted_comes_after_all_other_reasons() {
    let now = at("2026-11-27T10:00:00Z");
    let mut coupon = open();
    coupon.limits.per_user = 2;
    let ask = |coupon: &Published, claims, available| {
        let rules = Rules::new(Arc::new(coupon.clone()));
        why_not(
            &rules,
            &shopper("u1"),
            ClaimFacts { claims, available },
            now,
        )
    };
    assert_eq!(codes(&ask(&coupon, 1, Some(1))), []);
    assert_eq!(
        codes(&ask(&coupon, 1, None)),
        [],
        "not known, or without end"
    );
    coupon.lifecycle = Lifecycle::Paused;
    let reasons = ask(&coupon, 2, Some(0));
    let all = [
        ReasonCode::Paused,
        ReasonCode::UserLimitReached,
        ReasonCode::SoldOut,
    ];
    assert_eq!(codes(&reasons), all);
    assert_eq!(reasons[1].actual, "2 claimed");
    let fixes = fix_of_all(&reasons[..2]).unwrap();
    assert_eq!(
        fixes,
        "Try again when the coupon is resumed. Raise the limit per user."
    );
    // One that has no fix leaves no change that would do.
    let mut without = reasons.clone();
    without[1].fix = None;
    assert_eq!(fix_of_all(&without), None);
    assert_eq!(fix_of_all(&[]), None);
}
