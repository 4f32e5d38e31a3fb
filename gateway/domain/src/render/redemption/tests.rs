use serde_json::{Value, json};

use super::*;
use crate::redemption::decide::{Answer, Command};
use crate::redemption::sample::{Deal, Reply, Shop, cart, claim, line};
use crate::refund::Wanted;
use crate::sample::user;

fn value<T: Serialize>(body: &T) -> Value {
    serde_json::to_value(body).unwrap()
}

/// Three shoes with 5.00 off, held.
fn held() -> Shop {
    let mut shop = Shop::new();
    let offer = (
        claim(1, &user("ann")),
        Deal::Spend {
            spend: 5_000,
            off: 500,
        },
    );
    let hold = shop.hold("o-1", &cart(vec![line("shoes", 3, 3_000)], 500), &[offer]);
    assert!(matches!(shop.run("o-1", &hold), Reply::Done(_)));
    shop
}

#[test]
fn a_redemption_has_its_quote_beside_its_own_fields() {
    let shop = held();
    let body = RedemptionBody::of(
        shop.row("o-1"),
        json!({"currency": "USD", "total": "90.00"}),
    );
    assert_eq!(
        value(&body),
        json!({
            "redemption_id": Shop::id("o-1").to_string(), "order_id": "o-1", "status": "held",
            "held_until": "2026-11-27T12:15:00Z", "currency": "USD", "total": "90.00"
        })
    );
}

#[test]
fn all_of_it_has_refunds_and_transitions() {
    let mut shop = held();
    let refund = Command::Refund {
        refund_id: "r-1".to_owned(),
        wanted: Wanted::Pieces(vec![RefundLine {
            id: "shoes".to_owned(),
            quantity: 1,
        }]),
    };
    for command in [Command::Confirm { key: None }, refund] {
        assert!(matches!(shop.run("o-1", &command), Reply::Done(_)));
    }
    let rows = &shop.store.rows()[0];
    let body = value(&RedemptionBody::with_history(
        &rows.redemption,
        json!({"total": "90.00"}),
        &rows.events,
        shop.now,
    ));
    assert_eq!(body["status"], json!("partially_refunded"));
    assert_eq!(
        body["refunds"],
        json!([{
            "at": "2026-11-27T12:00:00Z", "refund_id": "r-1", "full": false,
            "lines": [{"id": "shoes", "quantity": 1}], "refund": "28.34", "owed": "0.00",
            "claims_returned": []
        }])
    );
    assert_eq!(body["transitions"].as_array().unwrap().len(), 3);
    assert_eq!(
        body["transitions"][1],
        json!({
            "at": "2026-11-27T12:00:00Z", "from": "held", "to": "confirmed",
            "operation_id": "confirm", "actor": "user:ann"
        })
    );
    assert_eq!(body["transitions"][0]["from"], Value::Null);
}

#[test]
fn a_hold_that_ran_out_is_shown_as_expired_before_the_sweeper_came() {
    let mut shop = held();
    shop.pass_holds();
    let rows = &shop.store.rows()[0];
    let body = RedemptionBody::with_history(&rows.redemption, json!({}), &rows.events, shop.now);
    assert_eq!(value(&body)["status"], json!("expired"));
}

#[test]
fn a_refund_says_what_comes_back() {
    let mut shop = held();
    assert!(matches!(
        shop.run("o-1", &Command::Confirm { key: None }),
        Reply::Done(_)
    ));
    let refund = Command::Refund {
        refund_id: "r-1".to_owned(),
        wanted: Wanted::Everything,
    };
    let Reply::Done(Answer::Refund {
        refund,
        status,
        currency,
    }) = shop.run("o-1", &refund)
    else {
        panic!("a refund is answered with the refund");
    };
    assert_eq!(
        value(&RefundBody::of(&refund, status, currency)),
        json!({
            "refund_id": "r-1", "refund": "90.00", "owed": "0.00",
            "claims_returned": [claim(1, &user("ann")).to_string()], "status": "refunded"
        })
    );
}
