//! A shop's own backend: a key with the scope `checkout`, for any of its users.

use serde_json::{Value, json};

use super::{Caller, alike, has, id_in, key, shoes, threshold};
use crate::process::Place;

#[test]
fn a_service_checks_out_for_the_user_it_names() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let alice = Caller::shopper(&place, &server, "alice");
    let claim = alice.claims(&server, &server.sale(&threshold()));
    let shop = Caller::new(&server, &key(&place, "checkout"));

    let quote = json!({"cart": shoes(), "claims": [claim]});
    let nobody = shop.post("/v1/quotes", &quote);
    assert_eq!(nobody.refusal(), (400, "invalid_request".to_owned()));
    assert_eq!(
        nobody.json()["errors"][0]["pointer"],
        "/user_id",
        "{nobody:?}"
    );
    let mut hold = quote.clone();
    hold["order_id"] = json!("o-1");
    hold["user_id"] = json!("bob");
    let foreign = shop.post("/v1/redemptions", &hold);
    assert_eq!(
        foreign.refusal(),
        (404, "not_found".to_owned()),
        "alice's claim for bob"
    );
    hold["user_id"] = json!("alice");
    let held = shop.post("/v1/redemptions", &hold);
    assert_eq!(held.status, 201, "{held:?}");
    let redemption = id_in(&held.json(), "redemption_id");

    let path = format!("/v1/redemptions/{redemption}/confirm");
    let unknown = format!("/v1/redemptions/{}/confirm", "0".repeat(26));
    let for_bob = shop.post(&path, &json!({"user_id": "bob"}));
    alike(&for_bob, &shop.post(&unknown, &json!({"user_id": "bob"})));
    assert_eq!(shop.post(&path, &json!({"user_id": "alice"})).status, 200);
    assert_eq!(alice.claim_status(&claim), "used");
    let refund = json!({"refund_id": "r-1", "full": true, "user_id": "alice"});
    has(
        &shop.refund(&redemption, &refund).json(),
        &json!({"refund": "60.00", "status": "refunded"}),
    );
    let seen = alice.redemption(&redemption).json();
    for one in seen["transitions"].as_array().unwrap() {
        assert!(one["actor"].as_str().unwrap().starts_with("key:"), "{one}");
    }
    let wallet = shop.get("/v1/wallet?user_id=alice").json();
    assert_eq!(wallet["items"][0]["claim_id"], claim, "{wallet}");
}

#[test]
fn other_keys_do_not_check_out() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let body = json!({"user_id": "alice", "cart": shoes()});
    let events = Caller::new(&server, &key(&place, "events"));
    assert_eq!(
        events.post("/v1/quotes", &body).refusal(),
        (403, "forbidden".to_owned())
    );
    let admin = Caller::new(&server, server.admin_key());
    assert_eq!(
        admin.post("/v1/quotes", &body).refusal(),
        (403, "forbidden".to_owned())
    );
    let made_up = Caller::new(&server, &format!("slk_{}", "A".repeat(60)));
    assert_eq!(
        made_up.post("/v1/quotes", &body).refusal(),
        (401, "unauthorized".to_owned())
    );

    let revoked = key(&place, "checkout");
    let shop = Caller::new(&server, &revoked);
    assert_eq!(shop.post("/v1/quotes", &body).status, 200);
    let listed = server
        .admin("GET", "/admin/v1/api-keys", &Value::Null)
        .json();
    let keys = listed["items"].as_array().unwrap();
    let mine = keys
        .iter()
        .find(|one| revoked.contains(one["prefix"].as_str().unwrap()))
        .unwrap();
    let path = format!("/admin/v1/api-keys/{}", id_in(mine, "prefix"));
    assert!(server.admin("DELETE", &path, &Value::Null).status < 300);
    crate::http::wait_for("the revoked key to be refused", 30, || {
        (shop.post("/v1/quotes", &body).status == 401).then_some(())
    });
}
