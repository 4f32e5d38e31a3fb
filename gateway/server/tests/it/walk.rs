//! A storefront's walk, in the shapes of the contract: from the draft to every refusal.

use serde_json::{Value, json};

use crate::http::{call, wait_for};
use crate::process::{Place, Running};

#[test]
fn from_draft_to_claim_to_repeat() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let coupon = server.draft(
        &json!({"validity": {"type": "relative", "days": 7, "until": "minute", "zone": "UTC"}}),
    );
    let token = place.token("alice");
    assert_eq!(
        server.claim_patiently(&coupon, &token).refusal(),
        (404, "not_found".to_owned()),
        "a draft is nobody's business"
    );
    server.act(&coupon, "publish");

    let made = server.admin("GET", &format!("/admin/v1/coupons/{coupon}"), &Value::Null);
    assert!(made.header("etag").is_some(), "{made:?}");
    let made = made.json();
    assert_eq!(made["status"], "active", "{made}");
    assert_eq!(made["version"], 1, "{made}");

    let pass = pass_for(&server, &token);
    let body = claim_and_repeat(&server, &coupon, &pass, &token);
    read_it_back(&place, &server, &coupon, &token, &body);
    let held = server
        .admin(
            "GET",
            &format!("/admin/v1/coupons/{coupon}/claims"),
            &Value::Null,
        )
        .json();
    assert_eq!(held["items"][0]["user_id"], "alice", "{held}");
    let audit = crate::process::run(&[
        "audit",
        "--json",
        "--data-dir",
        place.data().to_str().unwrap(),
    ]);
    let verdict: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(
        (audit.status.code(), &verdict["verdict"]),
        (Some(0), &json!("exact")),
        "{verdict}"
    );
}

/// Exchanges a token for a pass.
fn pass_for(server: &Running, token: &str) -> String {
    let bearer = format!("Bearer {token}");
    let pass = call(
        server.url("data"),
        "POST",
        "/v1/passes",
        &[("authorization", &bearer)],
        "",
    )
    .unwrap();
    assert_eq!(pass.status, 200, "{pass:?}");
    assert!(pass.json()["expires_at"].is_string());
    pass.json()["pass"].as_str().unwrap().to_owned()
}

/// Claims with a pass and again with the token: one claim, one body.
fn claim_and_repeat(server: &Running, coupon: &str, pass: &str, token: &str) -> Value {
    let first = server.claim_patiently(coupon, pass);
    assert_eq!(first.status, 201, "{first:?}");
    let body = first.json();
    let expected = [
        "claim_id",
        "coupon_id",
        "user_id",
        "version",
        "status",
        "durability",
        "granted_at",
        "valid_from",
        "expires_at",
    ];
    for field in expected {
        assert!(!body[field].is_null(), "{field}: {body}");
    }
    assert_eq!(body["coupon_id"], coupon);
    assert_eq!(body["user_id"], "alice");
    assert_eq!(
        (&body["status"], &body["durability"]),
        (&json!("usable"), &json!("ledger"))
    );
    assert_eq!(first.header("idempotency-replayed"), None);
    let repeat = server.claim_patiently(coupon, token);
    assert_eq!(
        (repeat.status, &repeat.body),
        (200, &first.body),
        "byte for byte"
    );
    assert_eq!(repeat.header("idempotency-replayed"), Some("true"));
    body
}

/// The shopper reads claim and coupon; somebody else does not.
fn read_it_back(place: &Place, server: &Running, coupon: &str, token: &str, body: &Value) {
    let bearer = format!("Bearer {token}");
    let path = format!("/v1/claims/{}", body["claim_id"].as_str().unwrap());
    let read = call(
        server.url("data"),
        "GET",
        &path,
        &[("authorization", &bearer)],
        "",
    )
    .unwrap();
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(&read.json(), body);
    let other = format!("Bearer {}", place.token("mallory"));
    let foreign = call(
        server.url("data"),
        "GET",
        &path,
        &[("authorization", &other)],
        "",
    )
    .unwrap();
    assert_eq!(foreign.status, 404, "{foreign:?}");

    let shown = call(
        server.url("data"),
        "GET",
        &format!("/v1/coupons/{coupon}"),
        &[],
        "",
    )
    .unwrap();
    assert_eq!(shown.status, 200, "{shown:?}");
    // The stock is a word and nothing else counts pieces. Ids and instants may hold any digits.
    let public = shown.json();
    assert_eq!(public["stock"], "plenty", "{shown:?}");
    let mut fields: Vec<_> = public
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "ends_at",
            "id",
            "name",
            "server_time",
            "starts_at",
            "state",
            "stock",
            "terms"
        ],
        "no exact figure: {shown:?}"
    );
}

#[test]
fn every_refusal_has_its_status_and_code() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let [alice, bob] = [place.token("alice"), place.token("bob")];
    let is = |status, code: &str| (status, code.to_owned());

    let small = server.sale(&json!({"limits": {"total": 1}}));
    assert_eq!(server.claim_patiently(&small, &alice).status, 201);
    assert_eq!(
        server.claim_patiently(&small, &bob).refusal(),
        is(409, "sold_out")
    );
    assert_eq!(
        server.claim_patiently(&small, "").refusal(),
        is(401, "login_required")
    );
    assert_eq!(
        server.claim_patiently(&small, "rubbish").refusal(),
        is(401, "login_required")
    );
    assert_eq!(
        server.claim_patiently("zzzzzzz", &alice).refusal(),
        is(404, "not_found")
    );

    twice_with_keys(&server, &alice);

    let device = server.sale(&json!({"limits": {"total": 10, "per_device": 1}}));
    let refused = server.claim_patiently(&device, &alice);
    assert_eq!(refused.refusal(), is(403, "verification_required"));
    assert!(refused.json()["reasons"].is_array(), "{refused:?}");

    let vip = server.sale(&json!({"conditions": {"users": {"kind": "groups", "groups": ["vip"]}}}));
    assert_eq!(
        server.claim_patiently(&vip, &alice).refusal(),
        is(403, "not_eligible")
    );

    before_its_start(&server, &alice);

    let stopped = server.sale(&json!({}));
    assert_eq!(server.claim_patiently(&stopped, &alice).status, 201);
    server.act(&stopped, "pause");
    assert_eq!(
        server.claim_patiently(&stopped, &bob).refusal(),
        is(409, "paused")
    );
    assert_eq!(
        server.claim_patiently(&stopped, &alice).status,
        200,
        "a winner's repeat"
    );
    server.act(&stopped, "end");
    assert_eq!(
        server.claim_patiently(&stopped, &bob).refusal(),
        is(410, "ended")
    );
    assert_eq!(
        server.claim_patiently(&stopped, &alice).status,
        200,
        "a winner's repeat"
    );
}

fn before_its_start(server: &Running, alice: &str) {
    let later = server
        .sale(&json!({"claim_window": {"starts_at": "2099-01-01T00:00:00Z", "ends_at": null}}));
    let early = server.claim_patiently(&later, alice);
    assert_eq!(early.refusal(), (425, "not_started".to_owned()));
    assert_eq!(
        early.json()["starts_at"],
        "2099-01-01T00:00:00Z",
        "{early:?}"
    );
    assert!(early.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
}

fn twice_with_keys(server: &Running, alice: &str) {
    let coupon = server.sale(&json!({"limits": {"total": 10, "per_user": 2}}));
    let with = |key: &str| {
        wait_for("a claim to be decided", 30, || {
            let key = [("idempotency-key", key)];
            let said = server.try_claim(&coupon, alice, &key).unwrap();
            (said.status != 503).then_some(said)
        })
    };
    assert_eq!(
        server.claim_patiently(&coupon, alice).refusal(),
        (400, "key_required".to_owned())
    );
    let first = with("k1");
    assert_eq!(first.status, 201, "{first:?}");
    let second = with("k2");
    assert_eq!(second.status, 201, "{second:?}");
    assert_ne!(first.json()["claim_id"], second.json()["claim_id"]);
    assert_eq!(with("k3").refusal(), (409, "user_limit_reached".to_owned()));
    let repeat = with("k1");
    assert_eq!((repeat.status, &repeat.body), (200, &first.body));
}
