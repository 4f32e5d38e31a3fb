//! Reminders through the whole binary: written once, over restarts, for those who can still use what
//! they have.

use serde_json::{Value, json};

use crate::checkout::{Caller, has, id_in, shoes};
use crate::http::{call, wait_for};
use crate::process::{Place, QUICK, Running};

const REMINDERS: &str = "\n[reminders]\nbefore = \"72h\"\nevery_ms = 100\n";

fn sent(server: &Running) -> f64 {
    let scrape = call(server.url("ops"), "GET", "/metrics", &[], "")
        .unwrap()
        .body;
    let mut lines = scrape.lines();
    let line = lines.find_map(|line| line.strip_prefix("sluice_reminders_sent_total "));
    line.map_or(0.0, |count| count.trim().parse().unwrap())
}

fn items(of: &Caller) -> Vec<Value> {
    let said = of.get("/v1/notifications");
    assert_eq!(said.status, 200, "{said:?}");
    said.json()["items"].as_array().unwrap().clone()
}

#[test]
fn a_shopper_is_reminded_once_of_what_expires_soon() {
    let place = Place::new();
    let mut server = place.dev_with(&format!("{QUICK}{REMINDERS}"));
    server.wait_ready();
    let day = |days: u32| json!({"validity": {"type": "relative", "days": days, "until": "minute", "zone": "UTC"}});
    let alice = Caller::shopper(&place, &server, "alice");
    // The first is not due for weeks.
    alice.claims(&server, &server.sale(&day(30)));
    let soon = server.sale(&day(1));
    let claim = alice.claims(&server, &soon);
    let reminded = wait_for("alice to be reminded", 20, || items(&alice).pop());
    has(
        &reminded,
        &json!({"kind": "claim_expiring", "claim_id": claim, "coupon_id": soon, "read_at": null}),
    );
    assert!(
        reminded["terms"]["words"][0]
            .as_str()
            .unwrap()
            .contains("5.00 USD off")
    );
    let id = id_in(&reminded, "id");

    let bob = Caller::shopper(&place, &server, "bob");
    let path = format!("/v1/notifications/{id}/read");
    assert_eq!(
        bob.post(&path, &Value::Null).refusal(),
        (404, "not_found".to_owned())
    );
    let read = alice.post(&path, &Value::Null);
    assert_eq!(read.status, 200, "{read:?}");
    let read_at = id_in(&read.json(), "read_at");

    // Over a crash: the rounds of the new process write nothing for those who were reminded.
    server.kill();
    let server = place.dev_with(&format!("{QUICK}{REMINDERS}"));
    server.wait_ready();
    let alice = Caller::shopper(&place, &server, "alice");
    let carol = Caller::shopper(&place, &server, "carol");
    let late = carol.claims(&server, &soon);
    let reminded = wait_for("carol to be reminded by a later round", 20, || {
        items(&carol).pop()
    });
    assert_eq!(reminded["claim_id"], *late);
    has(&items(&alice)[0], &json!({"id": id, "read_at": read_at}));
    assert_eq!(
        items(&alice).len(),
        1,
        "once, and only of what expires soon"
    );
    assert!(
        (sent(&server) - 1.0).abs() < 0.5,
        "carol's alone: {}",
        sent(&server)
    );
}

#[test]
fn who_has_used_it_is_not_reminded() {
    let place = Place::new();
    let server = place.dev();
    server.wait_ready();
    let validity =
        json!({"validity": {"type": "relative", "days": 1, "until": "minute", "zone": "UTC"}});
    let coupon = server.sale(&validity);
    let bob = Caller::shopper(&place, &server, "bob");
    let claim = bob.claims(&server, &coupon);
    let order = id_in(&bob.holds("o-1", &shoes(), &[&claim]), "redemption_id");
    assert_eq!(bob.confirm(&order).status, 200);
    assert_eq!(
        items(&bob),
        [Value::Null; 0],
        "reminders are off by default"
    );
    assert_eq!(server.stop().code(), Some(0));

    let server = place.dev_with(&format!("{QUICK}{REMINDERS}"));
    server.wait_ready();
    let carol = Caller::shopper(&place, &server, "carol");
    carol.claims(&server, &coupon);
    wait_for("carol, who came after, to be reminded", 20, || {
        items(&carol).pop()
    });
    let bob = Caller::shopper(&place, &server, "bob");
    assert_eq!(items(&bob), [Value::Null; 0], "bob used his");
}
