//! Carts, holds and refunds.

use super::*;
use crate::id::ClaimId;
use crate::pricing::Choose;

const CLAIM: &str = "00000000000000000000000001";

const HOLD: &str = r#"{
  "cart": {"currency": "USD", "channel": "web", "shipping": {"price": "5.00"},
    "lines": [
      {"id": "l1", "sku": "A-1", "quantity": 2, "unit_price": "30.00", "categories": ["shoes"],
       "brand": "x", "tags": ["new"], "floor_price": "1.5"},
      {"id": "l2", "sku": "A-2", "quantity": 1, "unit_price": "0"}]},
  "claims": ["00000000000000000000000001"], "codes": [" summer20 "], "choose": "best",
  "user_id": "u1", "buyer": {"groups": ["vip"], "new": true, "verified": ["phone"]},
  "order_id": "o-1", "expected_total": "60.00"}"#;

fn hold_tree() -> Value {
    serde_json::from_str(HOLD).unwrap()
}

fn errors<T: std::fmt::Debug>(result: Result<T, Vec<FieldError>>) -> Vec<(String, String)> {
    let errors = result.unwrap_err().into_iter();
    errors.map(|error| (error.pointer, error.message)).collect()
}

#[test]
fn a_hold_is_read_whole() {
    let read = hold(HOLD.as_bytes()).unwrap();
    assert_eq!(read.order.as_str(), "o-1");
    assert_eq!(read.expected_total, Some(6_000));
    let quote = read.quote;
    assert_eq!(quote.claims, [CLAIM.parse::<ClaimId>().unwrap()]);
    assert_eq!(quote.codes, ["SUMMER20"]);
    assert_eq!(quote.choose, Choose::Best);
    assert_eq!(quote.cart.subtotal(), 6_000);
    assert_eq!(quote.cart.shipping, 500);
    assert_eq!(quote.cart.channel.as_deref(), Some("web"));
    let line = &quote.cart.lines[0];
    assert_eq!(
        (line.quantity, line.unit_price, line.floor_price),
        (2, 3_000, 150)
    );
    assert_eq!((line.brand.as_deref(), line.tags.len()), (Some("x"), 1));
    let principal = quote.principal;
    assert_eq!(principal.user.unwrap().as_str(), "u1");
    assert_eq!(principal.buyer.unwrap().is_new, Some(true));
}

#[test]
fn what_is_left_out_has_a_default() {
    let body = br#"{"cart": {"currency": "JPY", "lines":
      [{"id": "l1", "sku": "A", "quantity": 1, "unit_price": "500"}]}}"#;
    let read = quote(body).unwrap();
    assert_eq!((read.claims.len(), read.codes.len()), (0, 0));
    assert_eq!(read.choose, Choose::Given);
    assert_eq!(read.principal, Principal::default());
    assert_eq!((read.cart.shipping, read.cart.lines[0].floor_price), (0, 0));
    assert_eq!(wallet_match(body).unwrap().cart, read.cart);
    assert_eq!(for_user(b"").unwrap(), None);
    assert_eq!(
        for_user(br#"{"user_id": "u1"}"#).unwrap().unwrap().as_str(),
        "u1"
    );
}

#[test]
fn each_field_is_refused_at_its_place() {
    let one_line = hold_tree()["cart"]["lines"][0].clone();
    let numbered = |count: usize, quantity: u32| -> Value {
        let line = |index: usize| {
            let mut line = one_line.clone();
            line["id"] = json!(format!("l{index}"));
            line["quantity"] = json!(quantity);
            line
        };
        (0..count).map(line).collect()
    };
    let claims =
        |count: usize| -> Value { (0..count).map(|index| format!("{index:026}")).collect() };
    #[rustfmt::skip]
    let refusals: Vec<(&str, Value, &str, &str)> = vec![
        ("/cart", json!(null), "/cart", "is missing"),
        ("/cart/currency", json!("usd"), "/cart/currency", "is not a currency"),
        ("/cart/lines", json!([]), "/cart/lines", "is empty; 1 to 1000 lines"),
        ("/cart/lines", numbered(1_001, 1), "/cart/lines", "has 1001 entries; at most 1000"),
        ("/cart/lines", numbered(21, 1_000), "/cart/lines", "has 21000 pieces in all; at most 20000"),
        ("/cart/lines/0/unit_price", json!("9999999999999.99"), "/cart/lines", "comes to more than"),
        ("/cart/lines/1/id", json!("l1"), "/cart/lines/1", "has the id of line 0"),
        ("/cart/lines/0/id", json!(" "), "/cart/lines/0/id", "is blank"),
        ("/cart/lines/0/id", json!("x".repeat(65)), "/cart/lines/0/id", "has 65 characters"),
        ("/cart/lines/0/sku", json!(7), "/cart/lines/0/sku", "is a number; text is expected"),
        ("/cart/lines/0/quantity", json!(0), "/cart/lines/0/quantity", "is 0; a whole number from 1 to 10000"),
        ("/cart/lines/0/quantity", json!(10_001), "/cart/lines/0/quantity", "is 10001"),
        ("/cart/lines/0/quantity", json!(1.5), "/cart/lines/0/quantity", "is 1.5"),
        ("/cart/lines/0/unit_price", json!("30.001"), "/cart/lines/0/unit_price", "has 3 digits after the point; USD has 2"),
        ("/cart/lines/0/unit_price", json!(30), "/cart/lines/0/unit_price", "is a number; an amount is text"),
        ("/cart/lines/0/unit_price", json!("-1"), "/cart/lines/0/unit_price", "is negative"),
        ("/cart/lines/0/floor_price", json!("30.01"), "/cart/lines/0/floor_price", "is above unit_price"),
        ("/cart/lines/0/size", json!("XL"), "/cart/lines/0/size", "is not a known field"),
        ("/cart/shipping", json!({}), "/cart/shipping/price", "is missing"),
        ("/cart/channel", json!("a b"), "/cart/channel", "is not a name"),
        ("/claims", claims(201), "/claims", "has 201 entries; at most 200"),
        ("/claims", json!([CLAIM, CLAIM]), "/claims/1", "is there twice"),
        ("/claims", json!(["x"]), "/claims/0", "is not a claim id"),
        ("/codes", json!(["a1", "A1 "]), "/codes/1", "is there twice"),
        ("/codes", json!([""]), "/codes/0", "is blank"),
        ("/codes", (0..21).map(|index| index.to_string()).collect(), "/codes", "has 21 entries; at most 20"),
        ("/choose", json!("all"), "/choose", "is not known; use \"given\" or \"best\""),
        ("/user_id", json!("u}1"), "/user_id", "has a character that is not allowed"),
        ("/buyer", json!({"new": "yes"}), "/buyer/new", "is text; true or false"),
        ("/buyer", json!({"verified": ["fax"]}), "/buyer/verified/0", "is not known"),
        ("/order_id", json!("o 1"), "/order_id", "has a character that is not allowed"),
        ("/order_id", json!(null), "/order_id", "is missing"),
        ("/expected_total", json!("60.000"), "/expected_total", "has 3 digits"),
        ("/total", json!("60.00"), "/total", "is not a known field"),
    ];
    for (pointer, value, place, message) in refusals {
        let mut tree = hold_tree();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match tree.pointer_mut(parent).unwrap() {
            Value::Object(members) => drop(members.insert(name.to_owned(), value)),
            other => panic!("{other} has no members"),
        }
        let found = errors(hold(tree.to_string().as_bytes()));
        assert_eq!(found.len(), 1, "{pointer}: {found:?}");
        assert_eq!(found[0].0, place, "{found:?}");
        assert!(found[0].1.starts_with(message), "{found:?}, not {message}");
    }
}

#[test]
fn every_error_is_told_at_once() {
    let body = br#"{"cart": {"currency": "USD", "lines": [{"id": "l1", "sku": "A", "quantity": 0,
      "unit_price": "1.234"}, {"id": "l2"}]}, "claims": ["x", "y"], "choose": 1, "what": 2}"#;
    let places: Vec<String> = errors(quote(body))
        .into_iter()
        .map(|(place, _message)| place)
        .collect();
    assert_eq!(
        places,
        [
            "/what",
            "/cart/lines/0/quantity",
            "/cart/lines/0/unit_price",
            "/cart/lines/1/sku",
            "/cart/lines/1/quantity",
            "/cart/lines/1/unit_price",
            "/claims/0",
            "/claims/1",
            "/choose",
        ]
    );
}

#[test]
fn refunds_are_whole_or_by_lines() {
    let full = refund(br#"{"refund_id": "r-1", "full": true, "user_id": "u1"}"#).unwrap();
    assert_eq!(
        (full.refund_id.as_str(), full.wanted),
        ("r-1", RefundWanted::Full)
    );
    let lines = refund(br#"{"refund_id": "r-2", "lines": [{"id": "l1", "quantity": 1}]}"#).unwrap();
    assert!(matches!(lines.wanted, RefundWanted::Lines(lines) if lines[0].quantity == 1));
    for (body, place, message) in [
        (r#"{"refund_id": "r"}"#, "", "says nothing to give back"),
        (
            r#"{"refund_id": "r", "full": false}"#,
            "",
            "says nothing to give back",
        ),
        (
            r#"{"refund_id": "r", "full": true, "lines": [{"id": "l1", "quantity": 1}]}"#,
            "",
            "has both",
        ),
        (r#"{"refund_id": "r", "lines": []}"#, "/lines", "is empty"),
        (
            r#"{"refund_id": "r", "lines": [{"id": "a", "quantity": 1}, {"id": "a", "quantity": 1}]}"#,
            "/lines/1",
            "names a line twice",
        ),
        (
            r#"{"refund_id": "r", "lines": [{"id": "a", "quantity": 0}]}"#,
            "/lines/0/quantity",
            "is 0",
        ),
        (r#"{"full": true}"#, "/refund_id", "is missing"),
        (
            r#"{"refund_id": "r r", "full": true}"#,
            "/refund_id",
            "is not a name",
        ),
    ] {
        let found = errors(refund(body.as_bytes()));
        assert_eq!(found.len(), 1, "{body}: {found:?}");
        assert_eq!(found[0].0, place, "{body}");
        assert!(found[0].1.starts_with(message), "{body}: {found:?}");
    }
}

#[test]
fn a_product_is_not_taken_off_the_shipping() {
    let body = br#"{"name": "a", "currency": "USD", "limits": {"total": 1},
      "benefit": {"type": "product", "sku": "A"}, "stacking": {"stage": "shipping"}}"#;
    let found = said(coupon(body));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "/stacking");
}

/// Whatever is read is within bounds, and can be priced.
fn check(body: &[u8]) {
    let read = (
        quote(body),
        hold(body),
        wallet_match(body),
        refund(body),
        for_user(body),
    );
    for errors in [
        read.0.as_ref().err(),
        read.1.as_ref().err(),
        read.2.as_ref().err(),
        read.3.as_ref().err(),
        read.4.as_ref().err(),
    ]
    .into_iter()
    .flatten()
    {
        assert!(!errors.is_empty() && errors.len() <= ERRORS_MAX);
        for error in errors {
            assert!(!error.message.is_empty());
            assert!(error.pointer.is_empty() || error.pointer.starts_with('/'));
        }
    }
    if let Ok(read) = read.1 {
        let cart = &read.quote.cart;
        assert!(cart.subtotal() + cart.shipping <= crate::money::AMOUNT_MAX);
        let pieces: u64 = cart.lines.iter().map(|line| u64::from(line.quantity)).sum();
        assert!(pieces <= crate::cart::UNITS_MAX);
        let ids: std::collections::BTreeSet<&str> =
            cart.lines.iter().map(|line| line.id.as_str()).collect();
        assert_eq!(ids.len(), cart.lines.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn a_hold_with_any_place_spoilt_is_answered(
        place in arbitrary::place(hold_tree()),
        value in arbitrary::json(),
    ) {
        let mut tree = hold_tree();
        *tree.pointer_mut(&place).unwrap() = value;
        check(tree.to_string().as_bytes());
    }

    #[test]
    fn a_hold_with_any_bytes_spoilt_is_answered(
        at in any::<prop::sample::Index>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut body = HOLD.as_bytes().to_vec();
        let at = at.index(body.len());
        let end = (at + bytes.len()).min(body.len());
        body.splice(at..end, bytes);
        check(&body);
    }

    #[test]
    fn any_bytes_are_no_cart(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&body);
    }

    #[test]
    fn any_tree_is_no_cart(tree in arbitrary::json()) {
        check(tree.to_string().as_bytes());
    }
}
