mod arbitrary;
mod checkouts;
mod merging;
mod refusals;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::render::Definition;
use crate::sample::{CONTRACT, SMALLEST, spec};

/// The contract's coupon as a tree.
fn contract() -> Value {
    serde_json::from_str(CONTRACT).unwrap()
}

/// The contract's coupon with one place replaced (or added).
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let mut tree = contract();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match tree.pointer_mut(parent).unwrap() {
        Value::Object(members) => {
            members.insert(name.to_owned(), value);
        }
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        other => panic!("{other} has no members"),
    }
    serde_json::to_vec(&tree).unwrap()
}

fn said(result: Result<CouponSpec, Vec<FieldError>>) -> Vec<(String, String)> {
    result
        .unwrap_err()
        .into_iter()
        .map(|error| (error.pointer, error.message))
        .collect()
}

#[test]
fn the_contract_is_written_as_it_was_read() {
    let written = serde_json::to_value(Definition::of(&spec(CONTRACT))).unwrap();
    let mut expected = contract();
    // Lists left out are empty ones.
    expected["conditions"]["products"]["exclude"] =
        json!({"skus": ["S-9"], "categories": [], "brands": [], "tags": []});
    assert_eq!(written, expected);
}

#[test]
fn everything_but_four_fields_has_a_default() {
    let written = serde_json::to_value(Definition::of(&spec(SMALLEST))).unwrap();
    let nothing = json!({"skus": [], "categories": [], "brands": [], "tags": []});
    assert_eq!(
        written,
        json!({
            "name": "Five off", "description": "", "code": null, "currency": "USD",
            "benefit": {"type": "fixed", "off": "5.00"},
            "conditions": {
                "min_spend": null, "min_spend_base": "initial",
                "products": {"include": nothing, "exclude": nothing},
                "users": {"kind": "all", "groups": [], "ids": []},
                "verified": [], "windows": [], "channels": []
            },
            "stacking": {"stage": "order", "priority": 100, "group": "combinable",
                "combines_with": [], "base": "running", "tags": []},
            "limits": {"total": 10, "per_user": 1, "per_device": null, "per_ip": null,
                "uses_per_claim": 1, "uses_per_user": null, "budget": null,
                "budget_partial": "refuse"},
            "distribution": ["public"],
            "claim_window": {"starts_at": null, "ends_at": null},
            "validity": {"type": "permanent"},
            "durability": "ledger", "shards": 1, "template": null, "notes": ""
        })
    );
}

#[test]
fn what_is_missing_is_all_said() {
    assert_eq!(
        said(coupon(b"{}")),
        [
            (
                "/name",
                "is missing; a text of 1 to 200 characters is expected"
            ),
            ("/currency", "is missing; an ISO 4217 code is expected"),
            ("/benefit", "is missing; an object with a type is expected"),
            (
                "/limits",
                "is missing; an object with at least \"total\" is expected"
            ),
        ]
        .map(|(pointer, message)| (pointer.to_owned(), message.to_owned()))
    );
}

#[test]
fn each_refusal_names_its_place_and_says_what_is_accepted() {
    let all = [
        refusals::of_benefits_and_texts(),
        refusals::of_conditions(),
        refusals::of_limits_and_times(),
    ];
    for (pointer, value, at, message) in all.into_iter().flatten() {
        let errors = said(coupon(&with(pointer, value.clone())));
        assert_eq!(errors.len(), 1, "{pointer} {value}: {errors:?}");
        assert_eq!(errors[0].0, at, "{pointer} {value}: {errors:?}");
        assert!(errors[0].1.starts_with(message), "{pointer}: {errors:?}");
    }
}

#[test]
fn all_errors_are_collected_also_below_tagged_objects() {
    let body = br#"{"name": 1, "currency": "USD", "colour": "red",
        "benefit": {"type": "threshold", "tiers": [{"spend": "1.001"}, 7]},
        "conditions": {"windows": [{"days": ["x"], "from": "25:00", "zone": "UTC"}]},
        "limits": {"per_user": 0, "per_ip": "x"}, "shards": 65}"#;
    let pointers: Vec<String> = said(coupon(body)).into_iter().map(|(at, _)| at).collect();
    assert_eq!(
        pointers,
        [
            "/colour",
            "/name",
            "/benefit/tiers/0/spend",
            "/benefit/tiers/0/off",
            "/benefit/tiers/1",
            "/conditions/windows/0/days/0",
            "/conditions/windows/0/from",
            "/conditions/windows/0/to",
            "/limits/total",
            "/limits/per_user",
            "/limits/per_ip",
            "/shards",
        ]
    );
}

#[test]
fn a_code_needs_the_ledger() {
    for (pointer, value) in [
        ("/code", json!("SUMMER20")),
        ("/distribution", json!(["public", "code"])),
    ] {
        let mut tree: Value = serde_json::from_slice(&with(pointer, value)).unwrap();
        assert!(coupon(tree.to_string().as_bytes()).is_ok());
        tree["durability"] = json!("hot");
        let errors = said(coupon(tree.to_string().as_bytes()));
        assert_eq!(errors[0].0, "/durability");
    }
}

#[test]
fn what_is_accepted_in_more_than_one_way() {
    assert_eq!(
        coupon(&with("/code", json!("summer20"))).unwrap().code,
        Some("SUMMER20".to_owned())
    );
    let zone = coupon(&with("/conditions/windows/0/zone", json!("europe/berlin"))).unwrap();
    assert_eq!(zone.terms.conditions.windows[0].zone, "Europe/Berlin");
    assert_eq!(
        coupon(&with("/limits/total", json!(null)))
            .unwrap()
            .limits
            .total,
        None
    );
    let doubled = coupon(&with(
        "/conditions/verified",
        json!(["email", "phone", "email"]),
    ))
    .unwrap();
    assert_eq!(doubled.terms.conditions.verified.len(), 2);
    let notes = coupon(&with("/notes", json!("one\ntwo"))).unwrap();
    assert_eq!(notes.notes, "one\ntwo");
}

#[test]
fn what_is_not_json_or_not_an_object() {
    for body in [
        "",
        "{",
        "nul",
        "{\"a\":1,}",
        "\u{feff}{}",
        "{} {}",
        "{\"a\":\"\\ud800\"}",
        "[1e999]",
    ] {
        let errors = said(coupon(body.as_bytes()));
        assert_eq!(errors.len(), 1, "{body}");
        assert_eq!(errors[0].0, "");
        assert!(errors[0].1.starts_with("is not JSON: "), "{errors:?}");
    }
    assert!(coupon(b"{\"name\": \"\xff\"}").is_err());
    for (body, kind) in [
        ("null", "null"),
        ("[]", "a list"),
        ("7", "a number"),
        ("\"x\"", "text"),
    ] {
        let errors = said(coupon(body.as_bytes()));
        assert_eq!(errors[0].1, format!("is {kind}; an object is expected"));
    }
}

#[test]
fn a_key_said_twice_is_refused_wherever_it_is() {
    let body =
        br#"{"name": "a", "name": "b", "limits": {"total": 1, "total": 1}, "a/b": 1, "a/b": 2}"#;
    let errors = said(coupon(body));
    let pointers: Vec<&str> = errors.iter().map(|(at, _)| at.as_str()).collect();
    assert_eq!(pointers, ["/name", "/limits/total", "/a~1b"]);
    assert_eq!(errors[0].1, "is there twice; say it once");
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(tree::parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    for levels in [DEPTH_MAX + 1, 127, 10_000] {
        let errors = tree::parse(nested(levels).as_bytes()).unwrap_err();
        assert_eq!(errors[0].pointer, "/0".repeat(DEPTH_MAX));
        assert!(
            errors[0]
                .message
                .starts_with("is nested too deep; at most 16 levels")
        );
    }
}

#[test]
fn a_list_of_errors_is_bounded() {
    let fields: Vec<String> = (0..500).map(|index| format!("\"f{index}\": 1")).collect();
    let unknown = format!("{{{}}}", fields.join(","));
    assert_eq!(coupon(unknown.as_bytes()).unwrap_err().len(), ERRORS_MAX);
    let twice = format!("{{{0},{0}}}", fields.join(","));
    assert_eq!(coupon(twice.as_bytes()).unwrap_err().len(), ERRORS_MAX);
    let long = format!("{{\"{}\": 1}}", "x".repeat(100_000));
    let errors = coupon(long.as_bytes()).unwrap_err();
    assert!(
        errors
            .iter()
            .all(|error| error.pointer.len() < 100 && error.message.len() < 400)
    );
}

#[test]
fn stock_is_a_number_or_unlimited() {
    assert_eq!(stock(br#"{"total": 2000}"#), Ok(Some(2_000)));
    assert_eq!(stock(br#"{"total": null}"#), Ok(None));
    for (body, pointer) in [
        ("{}", "/total"),
        (r#"{"total": -1}"#, "/total"),
        (r#"{"total": 1000000001}"#, "/total"),
        (r#"{"total": 1, "per_user": 1}"#, "/per_user"),
        ("7", ""),
    ] {
        assert_eq!(
            stock(body.as_bytes()).unwrap_err()[0].pointer,
            pointer,
            "{body}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn what_was_written_reads_back_the_same(spec in arbitrary::spec()) {
        let written = serde_json::to_vec(&Definition::of(&spec)).unwrap();
        prop_assert_eq!(coupon(&written), Ok(spec));
    }

    #[test]
    fn any_tree_is_answered_with_errors_that_point_into_it(tree in arbitrary::json()) {
        if let Err(errors) = coupon(tree.to_string().as_bytes()) {
            prop_assert!(!errors.is_empty() && errors.len() <= ERRORS_MAX);
        }
    }

    #[test]
    fn the_contract_with_any_place_spoilt_never_panics(
        place in arbitrary::place(contract()),
        value in arbitrary::json(),
    ) {
        let mut tree = contract();
        *tree.pointer_mut(&place).unwrap() = value;
        if let Err(errors) = coupon(tree.to_string().as_bytes()) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(!error.message.is_empty());
                prop_assert!(error.pointer.is_empty() || error.pointer.starts_with('/'));
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _answer = coupon(&body);
        let _stock = stock(&body);
    }
}

#[test]
fn shards_are_refused_together_with_what_would_be_counted_in_each() {
    let sharded = |pointer: &str, value: Value| {
        let mut tree = contract();
        tree["shards"] = json!(4);
        *tree.pointer_mut(pointer).unwrap() = value;
        coupon(&serde_json::to_vec(&tree).unwrap())
    };
    assert_eq!(sharded("/shards", json!(4)).unwrap().shards, 4);
    assert_eq!(sharded("/shards", json!(64)).unwrap().shards, 64);
    for (pointer, value, named) in [
        ("/limits/per_device", json!(1), "limits.per_device"),
        ("/limits/per_ip", json!(2), "limits.per_ip"),
        ("/distribution", json!(["public", "code"]), "distribution"),
    ] {
        let said = said(sharded(pointer, value));
        let [(place, message)] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(place, "/shards");
        assert!(message.contains(named), "{message}");
    }
}
