mod arbitrary;
mod merging;

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

/// Pointer of the change, its value, pointer of the error, how its message begins.
#[rustfmt::skip]
fn refusals() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    vec![
        ("/name", json!(""), "/name", "is blank; 1 to 200"),
        ("/name", json!(" \u{a0}"), "/name", "is blank"),
        ("/name", json!("a\nb"), "/name", "has a control character; plain text on one line"),
        ("/name", json!("x".repeat(201)), "/name", "has 201 characters; at most 200"),
        ("/name", json!(5), "/name", "is a number; text is expected"),
        ("/description", json!("a\u{0}"), "/description", "has a control character"),
        ("/notes", json!("\u{7f}"), "/notes", "has a control character"),
        ("/notes", json!("é".repeat(4_001)), "/notes", "has 4001 characters"),
        ("/code", json!("A B"), "/code", "is not a code; 3 to 32"),
        ("/code", json!("AB"), "/code", "is not a code"),
        ("/currency", json!("usd"), "/currency", "is not a currency"),
        ("/benefit", json!([]), "/benefit", "is a list; an object is expected"),
        ("/benefit/type", json!("gift"), "/benefit/type", "is not known; use \"threshold\", \"percent\", \"fixed\" or \"product\""),
        ("/benefit/off", json!("1"), "/benefit/off", "is not a known field; the fields are type, tiers"),
        ("/benefit/tiers", json!([]), "/benefit/tiers", "is empty; 1 to 20 tiers"),
        ("/benefit/tiers/1", json!({"spend": "50.00", "off": "6.00"}), "/benefit/tiers/1", "does not rise"),
        ("/benefit/tiers/1", json!({"spend": "60.00", "off": "5.00"}), "/benefit/tiers/1", "does not rise"),
        ("/benefit/tiers/1", json!({"spend": "60.00"}), "/benefit/tiers/1/off", "is missing; an amount above 0"),
        ("/benefit/tiers/0/off", json!("5.001"), "/benefit/tiers/0/off", "has 3 digits after the point; USD has 2"),
        ("/benefit/tiers/0/off", json!(5), "/benefit/tiers/0/off", "is a number; an amount is text"),
        ("/benefit/tiers/0/off", json!("0"), "/benefit/tiers/0/off", "is 0; an amount above 0"),
        ("/benefit/tiers/0/spend", json!("-1"), "/benefit/tiers/0/spend", "is negative"),
        ("/benefit/tiers/0/spend", json!("1e99"), "/benefit/tiers/0/spend", "is not an amount"),
        ("/benefit", json!({"type": "percent", "basis_points": 0}), "/benefit/basis_points", "is 0; a whole number from 1 to 10000"),
        ("/benefit", json!({"type": "percent", "basis_points": 10_001}), "/benefit/basis_points", "is 10001"),
        ("/benefit", json!({"type": "percent", "basis_points": 1.5}), "/benefit/basis_points", "is 1.5; a whole number"),
        ("/benefit", json!({"type": "product", "sku": "A\u{1}"}), "/benefit/sku", "has a control character"),
        ("/benefit", json!({"type": "product", "sku": "A", "quantity": 0}), "/benefit/quantity", "is 0"),
        ("/conditions/min_spend", json!("0.00"), "/conditions/min_spend", "is 0"),
        ("/conditions/min_spend_base", json!("x"), "/conditions/min_spend_base", "is not known; use \"initial\""),
        ("/conditions/products/include/skus", json!(["a", 1]), "/conditions/products/include/skus/1", "is a number; text"),
        ("/conditions/products/include/skus", json!(vec!["a"; 1_001]), "/conditions/products/include/skus", "has 1001 entries; at most 1000"),
        ("/conditions/users/kind", json!("audience"), "/conditions/users/kind", "is \"audience\", which is not available yet"),
        ("/conditions/users/kind", json!("groups"), "/conditions/users/groups", "is empty; kind \"groups\" needs"),
        ("/conditions/users/kind", json!("ids"), "/conditions/users/ids", "is empty"),
        ("/conditions/users/ids", json!(["u1"]), "/conditions/users/ids", "is only read with kind \"ids\""),
        ("/conditions/users", json!({"kind": "ids", "ids": ["u1", "{u}"]}), "/conditions/users/ids/1", "has a character that is not allowed"),
        ("/conditions/users", json!({"kind": "groups", "groups": ["a b"]}), "/conditions/users/groups/0", "is not a name"),
        ("/conditions/users/audience", json!("a"), "/conditions/users/audience", "is not a known field"),
        ("/conditions/verified", json!(["fax"]), "/conditions/verified/0", "is not known; use \"phone\", \"email\" or \"identity\""),
        ("/conditions/windows/0/days", json!([]), "/conditions/windows/0/days", "is empty"),
        ("/conditions/windows/0/days", json!(["fri", "Sat"]), "/conditions/windows/0/days/1", "is not known"),
        ("/conditions/windows/0/from", json!("24:00"), "/conditions/windows/0/from", "is not a time of day; write HH:MM, from \"00:00\" to \"23:59\""),
        ("/conditions/windows/0/to", json!("24:01"), "/conditions/windows/0/to", "is not a time of day"),
        ("/conditions/windows/0/to", json!("2:00"), "/conditions/windows/0/to", "is not a time of day"),
        ("/conditions/windows/0/to", json!("12:60"), "/conditions/windows/0/to", "is not a time of day"),
        ("/conditions/windows/0/zone", json!("Mars/Olympus"), "/conditions/windows/0/zone", "is not a time zone; use an IANA name"),
        ("/conditions/windows/0/zone", json!("Etc/Unknown"), "/conditions/windows/0/zone", "is not a time zone"),
        ("/conditions/channels", json!(["\n"]), "/conditions/channels/0", "is not a name"),
        ("/stacking/priority", json!(1_001), "/stacking/priority", "is 1001; a whole number from 0 to 1000"),
        ("/stacking/stage", json!("all"), "/stacking/stage", "is not known"),
        ("/limits/total", json!(-1), "/limits/total", "is -1; a whole number from 0 to 1000000000"),
        ("/limits/total", json!(1_000_000_001), "/limits/total", "is 1000000001"),
        ("/limits/total", json!("10"), "/limits/total", "is text; a whole number"),
        ("/limits/per_user", json!(0), "/limits/per_user", "is 0; a whole number from 1 to 100"),
        ("/limits/per_device", json!(1_001), "/limits/per_device", "is 1001"),
        ("/limits/per_ip", json!(10_001), "/limits/per_ip", "is 10001"),
        ("/limits/uses_per_user", json!({"count": 1, "period": "year"}), "/limits/uses_per_user/period", "is not known"),
        ("/limits/budget", json!("0"), "/limits/budget", "is 0"),
        ("/limits/budget", json!("99999999999999.99"), "/limits/budget", "is too large; at most 10000000000000.00 USD"),
        ("/distribution", json!([]), "/distribution", "is empty"),
        ("/distribution", json!(["code"]), "/distribution", "has only ways that are not available yet"),
        ("/distribution", json!(["auto", "code"]), "/distribution", "has only ways that are not available yet"),
        ("/distribution", json!(["targeted"]), "/distribution", "is targeted at nobody"),
        ("/distribution", json!(["mail"]), "/distribution/0", "is not known"),
        ("/claim_window/ends_at", json!("2026-11-27T00:00:00Z"), "/claim_window/ends_at", "is not after starts_at"),
        ("/claim_window/starts_at", json!("tomorrow"), "/claim_window/starts_at", "is not an instant"),
        ("/validity", json!({"type": "relative", "days": 3_651}), "/validity/days", "is 3651"),
        ("/validity", json!({"type": "relative"}), "/validity/days", "is missing"),
        ("/validity", json!({"type": "relative", "days": 1, "zone": "X"}), "/validity/zone", "is not a time zone"),
        ("/validity", json!({"type": "permanent", "days": 1}), "/validity/days", "is not a known field"),
        ("/validity", json!({"type": "fixed", "starts_at": "2026-12-01T00:00:00Z", "ends_at": "2026-11-01T00:00:00Z"}), "/validity/ends_at", "is not after starts_at"),
        ("/validity", json!({"type": "fixed", "starts_at": "2026-10-01T00:00:00Z", "ends_at": "2026-11-01T00:00:00Z"}), "/validity", "ends before the first claim"),
        ("/durability", json!("soft"), "/durability", "is not known; use \"ledger\" or \"hot\""),
        ("/shards", json!(2), "/shards", "is above 1, which is not available yet"),
        ("/shards", json!(0), "/shards", "is 0"),
        ("/template", json!("../x"), "/template", "is not a name"),
        ("/colour", json!(1), "/colour", "is not a known field; the fields are name, description"),
        ("/a~b", json!(1), "/a~0b", "is not a known field"),
    ]
}

#[test]
fn each_refusal_names_its_place_and_says_what_is_accepted() {
    for (pointer, value, at, message) in refusals() {
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
        "limits": {"per_user": 0, "per_ip": "x"}, "shards": 9}"#;
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
