//! A shopper's messages: listed in pages, read once, nobody else's.

use serde_json::{Value, json};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, Ticket, UserId, Version};
use sluice_domain::notification::{Notification, NotificationKind};
use sluice_ledger::conformance::sample::NOW;
use sluice_ledger::lanes::Lanes as _;
use sluice_ledger::notifications::{Notifications as _, ReminderKey};

use super::harness::{Answer, Server, settings};
use super::till::CHECKOUT_KEY;

/// A reminder of each of these claims, one millisecond after the other.
async fn remind(server: &Server, user: &str, claims: &[ClaimId]) {
    let ledger = &server.till.ledger;
    let keys = HashKeys::derive(&ledger.identity().hash_key);
    for (claim, n) in claims.iter().zip(0..) {
        let message = Notification {
            id: keys.notification_id(*claim, 5),
            user: UserId::new(user).unwrap(),
            kind: NotificationKind::ClaimExpiring,
            claim_id: *claim,
            version: Version(1),
            expires_at: NOW.plus_millis(60_000),
            lead_ms: 5,
            at: NOW.plus_millis(n),
            read_at: None,
        };
        let key = ReminderKey {
            coupon: claim.coupon(),
            version: Version(1),
            lead_ms: 5,
        };
        assert_eq!(ledger.remind(key, Ticket(1), &[message]).await.unwrap(), 1);
    }
}

async fn list(server: &Server, user: &str, query: &str) -> Answer {
    let line = format!("GET /v1/notifications{query}");
    server.call(&line, &server.pass(user), "").await
}

fn claims_in(body: &Value) -> Vec<&str> {
    let items = body["items"].as_array().unwrap().iter();
    items.map(|one| one["claim_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn messages_are_listed_newest_first_and_in_pages() {
    let server = Server::start(settings()).await;
    let mut claims = Vec::new();
    for _n in 0..3 {
        claims.push(server.till.fixed(500, "ann").await);
    }
    remind(&server, "ann", &claims).await;
    let all = list(&server, "ann", "").await;
    assert_eq!(all.status, 200, "{all:?}");
    let body = all.json();
    let newest: Vec<String> = claims.iter().rev().map(ToString::to_string).collect();
    assert_eq!(claims_in(&body), newest);
    assert_eq!(body["next_cursor"], Value::Null);
    let one = &body["items"][0];
    assert_eq!(one["kind"], "claim_expiring");
    assert_eq!(one["coupon_id"], claims[2].coupon().to_string());
    assert_eq!(one["expires_at"], NOW.plus_millis(60_000).to_string());
    assert_eq!(
        (&one["read_at"], &one["at"]),
        (&Value::Null, &json!(NOW.plus_millis(2).to_string()))
    );
    let words = one["terms"]["words"][0].as_str().unwrap();
    assert!(words.contains("5.00 USD off"), "{words}");

    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let page = list(&server, "ann", &query).await.json();
        seen.extend(claims_in(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        query = format!("?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, newest);
    assert_eq!(claims_in(&list(&server, "bob", "").await.json()), [""; 0]);
    for wrong in [
        "?limit=0",
        "?limit=101",
        "?limit=x",
        "?cursor=x",
        "?user_id=bob",
    ] {
        let refused = list(&server, "ann", wrong).await;
        refused.assert_problem(400, "invalid_request");
        let pointer = refused.json()["errors"][0]["pointer"].clone();
        assert!(wrong.contains(pointer.as_str().unwrap().strip_prefix("query:").unwrap()));
    }
}

#[tokio::test]
async fn a_message_is_read_by_its_owner_and_by_nobody_else() {
    let server = Server::start(settings()).await;
    let claim = server.till.fixed(500, "ann").await;
    remind(&server, "ann", &[claim]).await;
    let id = list(&server, "ann", "").await.json()["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let line = format!("POST /v1/notifications/{id}/read");
    let unknown = format!("POST /v1/notifications/{}/read", "0".repeat(26));
    let malformed = "POST /v1/notifications/x/read";
    let mut bodies = Vec::new();
    for line in [&*line, &*unknown, malformed] {
        let foreign = server.call(line, &server.pass("bob"), "").await;
        foreign.assert_problem(404, "not_found");
        let mut body = foreign.json();
        body["request_id"] = Value::Null;
        bodies.push(body);
    }
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    let read = server.call(&line, &server.pass("ann"), "{}").await;
    assert_eq!(read.status, 200, "{read:?}");
    let at = read.json()["read_at"].clone();
    assert!(at.is_string(), "{read:?}");
    server.advance(5);
    let again = server.call(&line, &server.pass("ann"), "").await;
    assert_eq!(again.json()["read_at"], at, "the first time counts");
    assert_eq!(
        list(&server, "ann", "").await.json()["items"][0]["read_at"],
        at
    );

    server
        .call(&line, &server.pass("ann"), "{\"x\":1}")
        .await
        .assert_problem(400, "invalid_request");
    for line in [&*line, "GET /v1/notifications"] {
        server
            .call(line, CHECKOUT_KEY, "")
            .await
            .assert_problem(401, "login_required");
    }
}
