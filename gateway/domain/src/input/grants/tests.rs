use super::super::{FieldError, cannot_use, grant, nothing, order_grant};
use super::Subject;

fn errors<T: std::fmt::Debug>(result: Result<T, Vec<FieldError>>) -> Vec<String> {
    let errors = result.unwrap_err().into_iter();
    errors.map(|error| error.pointer).collect()
}

#[test]
fn a_grant_names_each_user_once_and_says_why() {
    let read = grant(br#"{"users": ["u2", "u1"], "reason": "sorry"}"#).unwrap();
    let users: Vec<&str> = read.users.iter().map(|user| user.as_str()).collect();
    assert_eq!((users, read.reason.as_str()), (vec!["u2", "u1"], "sorry"));
    let many = |count: usize| {
        let users: Vec<String> = (0..count).map(|n| format!("\"u{n}\"")).collect();
        format!(r#"{{"users": [{}], "reason": "x"}}"#, users.join(","))
    };
    assert_eq!(grant(many(1_000).as_bytes()).unwrap().users.len(), 1_000);
    for (body, places) in [
        (many(0), vec!["/users"]),
        (many(1_001), vec!["/users"]),
        (
            r#"{"users": ["u1", "u 2", "u1"], "reason": " ", "x": 1}"#.to_owned(),
            vec!["/x", "/users/1", "/users/2", "/reason"],
        ),
        ("{}".to_owned(), vec!["/users", "/reason"]),
    ] {
        assert_eq!(errors(grant(body.as_bytes())), places, "{body:.80}");
    }
}

#[test]
fn a_grant_because_of_an_order_names_all_three() {
    let body = br#"{"coupon_id": "0000001", "user_id": "u1", "order_id": "o:1"}"#;
    let read = order_grant(body).unwrap();
    assert_eq!((read.order.as_str(), read.user.as_str()), ("o:1", "u1"));
    let all = vec!["/coupon_id", "/user_id", "/order_id"];
    assert_eq!(errors(order_grant(b"{}")), all);
    let body = br#"{"coupon_id": "!", "user_id": "u 1", "order_id": ""}"#;
    assert_eq!(errors(order_grant(body)), all);
    assert!(nothing(b"").is_ok() && nothing(b" {} ").is_ok());
    assert_eq!(errors(nothing(br#"{"x": 1}"#)), ["/x"]);
    assert_eq!(errors(nothing(b"[]")), [""]);
}

#[test]
fn the_question_names_a_claim_or_a_coupon() {
    let claim = "0".repeat(26);
    let read = cannot_use(
        format!(r#"{{"user_id": "u1", "claim_id": "{claim}", "is_new": true, "groups": ["a"]}}"#)
            .as_bytes(),
    )
    .unwrap();
    assert_eq!(read.subject, Subject::Claim(claim.parse().unwrap()));
    assert_eq!(
        (read.buyer.is_new, read.buyer.groups.len()),
        (Some(true), 1)
    );
    assert!(read.cart.is_none() && read.device.is_none());
    for (body, places) in [
        (r#"{"user_id": "u1"}"#.to_owned(), vec![""]),
        (
            format!(r#"{{"user_id": "u1", "coupon_id": "0000001", "claim_id": "{claim}"}}"#),
            vec![""],
        ),
        (
            r#"{"coupon_id": "1", "new": true, "cart": {}}"#.to_owned(),
            vec![
                "/new",
                "/user_id",
                "/coupon_id",
                "/cart/currency",
                "/cart/lines",
            ],
        ),
    ] {
        assert_eq!(errors(cannot_use(body.as_bytes())), places, "{body}");
    }
}
