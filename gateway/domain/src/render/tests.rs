mod quotes;

use serde_json::{Value, json};

use super::*;
use crate::sample::{CONTRACT, at, draft, live};
use crate::terms::Users;

fn value<T: Serialize>(body: &T) -> Value {
    serde_json::to_value(body).unwrap()
}

#[test]
fn the_body_is_the_definition_and_what_the_system_adds() {
    let coupon = live(CONTRACT);
    let body = value(&CouponBody::of(&coupon, at("2026-11-27T12:00:00Z")));
    assert_eq!(body["id"], json!(coupon.id.to_string()));
    assert_eq!(body["status"], json!("active"));
    assert_eq!(body["version"], json!(1));
    assert_eq!(body["revision"], json!(2));
    assert_eq!(body["created_at"], json!("2026-11-01T00:00:00Z"));
    assert_eq!(body["updated_at"], json!("2026-11-02T00:00:00Z"));
    assert!(body.get("counts").is_none());
    let Value::Object(definition) = value(&Definition::of(&coupon.spec)) else {
        panic!("a definition is an object");
    };
    for (name, field) in definition {
        assert_eq!(body[&name], field, "{name}");
    }
    let before = CouponBody::of(&draft(CONTRACT), at("2026-11-27T12:00:00Z"));
    assert_eq!(value(&before)["status"], json!("draft"));
}

#[test]
fn counts_are_added_where_they_are_known() {
    let counts = Counts {
        total: None,
        granted: 3,
        available: None,
        quarantined: 1,
        redeemed: 0,
    };
    let body = CouponBody::of(&live(CONTRACT), at("2026-11-27T12:00:00Z")).with_counts(counts);
    assert_eq!(
        value(&body)["counts"],
        json!({"total": null, "granted": 3, "available": null, "quarantined": 1, "redeemed": 0})
    );
}

#[test]
fn shoppers_see_terms_in_numbers_and_words() {
    let body = value(&PublicTerms::of(&live(CONTRACT).spec.terms));
    assert_eq!(
        body["benefit"]["tiers"][0],
        json!({"spend": "50.00", "off": "5.00"})
    );
    assert_eq!(body["min_spend"], json!("20.00"));
    assert_eq!(body["windows"][0]["to"], json!("02:00"));
    assert_eq!(
        body["words"][0],
        json!("Spend 50.00 USD, get 5.00 USD off; spend 100.00 USD, get 15.00 USD off.")
    );
}

#[test]
fn shoppers_do_not_see_who_else_was_asked_nor_the_budget() {
    let mut terms = live(CONTRACT).spec.terms;
    terms.budget = Some(777_700);
    for users in [
        Users::Ids {
            ids: vec![crate::sample::user("secret_user")],
        },
        Users::Groups {
            groups: vec!["secret_group".to_owned()],
        },
    ] {
        terms.conditions.users = users;
        let text = value(&PublicTerms::of(&terms)).to_string();
        assert!(!text.contains("secret"), "{text}");
        assert!(!text.contains("7777"), "{text}");
    }
}
