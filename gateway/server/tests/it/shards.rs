//! A coupon with shards, over HTTP: sold to the last unit, repeated, looked up, changed and audited.

use serde_json::{Value, json};

use crate::http::{call, wait_for};
use crate::process::{Place, QUICK, Running};

fn counts(server: &Running, coupon: &str) -> Value {
    let path = format!("/admin/v1/coupons/{coupon}");
    server.admin("GET", &path, &Value::Null).json()["counts"].clone()
}

fn look_up(server: &Running, token: &str, claim: &Value) -> Value {
    let bearer = format!("Bearer {token}");
    let path = format!("/v1/claims/{}", claim["claim_id"].as_str().unwrap());
    let headers = [("authorization", bearer.as_str())];
    let reply = call(server.url("data"), "GET", &path, &headers, "").unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn system() -> (Place, Running) {
    let place = Place::new();
    let server = place.dev_with(&QUICK.replace("lanes = 2", "lanes = 8"));
    server.wait_ready();
    (place, server)
}

#[test]
fn what_cannot_have_shards_is_refused() {
    let (_place, server) = system();
    for changes in [
        json!({"shards": 4, "limits": {"total": 30, "per_device": 1}}),
        json!({"shards": 4, "limits": {"total": 30, "per_ip": 1}}),
        json!({"shards": 9, "limits": {"total": 30}}),
    ] {
        let mut body = json!({"name": "Giant", "currency": "USD",
            "benefit": {"type": "fixed", "off": "5.00"}});
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        let refused = server.admin("POST", "/admin/v1/coupons", &body);
        assert_eq!(refused.status, 400, "{changes} {refused:?}");
        assert!(
            refused.json().to_string().contains("/shards"),
            "{refused:?}"
        );
    }
}

#[test]
fn a_giant_sale_from_draft_to_audit() {
    let (place, server) = system();
    let coupon = server.sale(&json!({"shards": 4, "limits": {"total": 30}}));
    let tokens = place.tokens("u", 45, &[]);
    let (mut won, mut lost) = (Vec::new(), Vec::new());
    for token in &tokens {
        let reply = server.claim_patiently(&coupon, token);
        if reply.status == 201 {
            won.push((token, reply.json()));
        } else {
            assert_eq!(reply.refusal(), (409, "sold_out".to_owned()));
            lost.push(token);
        }
    }
    assert_eq!(won.len(), 30);
    for (token, body) in &won {
        let again = server.claim_patiently(&coupon, token);
        assert_eq!((again.status, &again.json()), (200, body));
        assert_eq!(look_up(&server, token, body)["claim_id"], body["claim_id"]);
    }
    let held = counts(&server, &coupon);
    assert_eq!(held["granted"], 30, "{held}");
    assert_eq!(held["available"], 0, "{held}");

    // Paused in every shard, then two units more for whoever asks, in whichever shard.
    server.act(&coupon, "pause");
    for token in &lost {
        let reply = server.claim_patiently(&coupon, token);
        assert_eq!(reply.status, 409, "{reply:?}");
    }
    server.act(&coupon, "resume");
    let stock = format!("/admin/v1/coupons/{coupon}/stock");
    let raised = server.admin("POST", &stock, &json!({"total": 32}));
    assert_eq!(raised.status, 200, "{raised:?}");
    let asker = lost[0];
    wait_for("one of the two for the first who asks", 30, || {
        (server.claim(&coupon, asker).status == 201).then_some(())
    });
    wait_for("the other one for the rest", 30, || {
        let more = lost[1..]
            .iter()
            .any(|token| server.claim(&coupon, token).status == 201);
        more.then_some(())
    });
    let audit = format!("/admin/v1/coupons/{coupon}/audit");
    // The last claim may still be on its way while the audit reads: then it says unchecked.
    wait_for("an exact audit", 30, || {
        let verdict = server.admin("GET", &audit, &Value::Null).json();
        assert_ne!(verdict["verdict"], "violated", "{verdict}");
        (verdict["verdict"] == "exact").then_some(())
    });
    assert_eq!(counts(&server, &coupon)["granted"], 32);
    assert!(server.stop().success());
}
