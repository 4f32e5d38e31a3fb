//! Several processes that share one Redis and one ledger: roles apart, keepers that die or hand
//! over, and a rolling restart under load.

use serde_json::{Value, json};

use crate::http::{Reply, wait_for};
use crate::process::Running;

mod hammer;
mod rolling;
mod stage;

use stage::Stage;

/// A coupon's figures, as the control plane of `server` says them.
fn counts(server: &Running, coupon: &str) -> Value {
    let path = format!("/admin/v1/coupons/{coupon}");
    server.admin("GET", &path, &Value::Null).json()["counts"].take()
}

fn lanes(control: &Running) -> Vec<Value> {
    let said = control.admin("GET", "/admin/v1/system/lanes", &Value::Null);
    assert_eq!(said.status, 200, "{said:?}");
    said.json()["items"].as_array().unwrap().clone()
}

/// Waits until all lanes are held by this process.
fn until_all_held_by(control: &Running, holder: &Running) -> Vec<Value> {
    let pid = format!("process {}", holder.pid());
    wait_for(&format!("all lanes to be held by {pid}"), 60, || {
        let lanes = lanes(control);
        let held = |lane: &Value| lane["holder"].as_str().unwrap().ends_with(&pid);
        lanes.iter().all(held).then_some(lanes)
    })
}

fn is_refused(said: &Reply, code: &str) -> bool {
    said.status == 409 && said.json()["code"] == code
}

#[test]
fn roles_apart_sell_by_marks_that_travel() {
    let stage = Stage::lay();
    let (worker, control, gateways) = stage.roles_apart();
    // Each has the listeners of its role, and no others.
    assert!(worker.ready["data"].is_null() && worker.ready["control"].is_null());
    assert!(control.ready["data"].is_null() && gateways[0].ready["control"].is_null());

    let coupon = control.sale(&json!({"limits": {"total": 60}}));
    let tokens = stage.place.tokens("u", 70, &[]);
    gateways[0].claim_patiently(&coupon, &tokens[0]);
    for (number, token) in tokens.iter().enumerate().take(40).skip(1) {
        // Not pending: the gateway has no keeper, and hears the mark of the worker's.
        let said = gateways[number % 2].claim(&coupon, token);
        assert_eq!(said.status, 201, "{said:?}");
        assert_eq!(said.json()["durability"], "ledger");
    }
    // A winner's repeat is the same at the other gateway.
    let first = gateways[0].claim(&coupon, &tokens[3]);
    let other = gateways[1].claim(&coupon, &tokens[3]);
    assert_eq!((first.status, &first.body), (200, &other.body));

    let sold = |token: &String| match gateways[1].claim_patiently(&coupon, token) {
        said if said.status == 201 => true,
        said if is_refused(&said, "sold_out") => false,
        said => panic!("{said:?}"),
    };
    assert_eq!(tokens[40..].iter().filter(|token| sold(token)).count(), 20);
    stage.is_exact(&control, &coupon, 60);
    let shown = crate::metrics::shown(gateways[0].url("ops"));
    let unknown: Vec<_> = shown
        .difference(&crate::metrics::documented())
        .cloned()
        .collect();
    assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");
    assert!(shown.contains("sluice_lane_state"), "{shown:?}");
    for process in gateways.into_iter().chain([control, worker]) {
        assert!(process.stop().success());
    }
}

#[test]
fn f26_f27_what_the_control_process_changes_is_in_force_at_every_gateway() {
    let stage = Stage::lay();
    let (_worker, control, gateways) = stage.roles_apart();
    let mut tokens = stage.place.tokens("u", 200, &[]).into_iter();
    let mut claim_everywhere = |coupon: &str| -> Vec<Reply> {
        let mut claim = |gateway: &Running| gateway.claim(coupon, &tokens.next().unwrap());
        (0..5)
            .flat_map(|_turn| [claim(&gateways[0]), claim(&gateways[1])])
            .collect()
    };
    // Unknown while a draft, and remembered as that; then published.
    let coupon = control.draft(&json!({"limits": {"total": 20}}));
    assert!(
        claim_everywhere(&coupon)
            .iter()
            .all(|said| said.status == 404)
    );
    control.act(&coupon, "publish");
    for gateway in &gateways {
        let token = stage.place.token("early");
        let said = gateway.claim_patiently(&coupon, &token);
        assert!(matches!(said.status, 200 | 201), "{said:?}");
    }
    // Paused: from the answer on nobody gets one, wherever they ask.
    control.act(&coupon, "pause");
    let refused = claim_everywhere(&coupon);
    assert!(
        refused.iter().all(|said| is_refused(said, "paused")),
        "{refused:?}"
    );
    control.act(&coupon, "resume");
    for gateway in &gateways {
        // What a gateway refuses from memory may lag by a second.
        let token = stage.place.token(&format!("late{}", gateway.pid()));
        wait_for("the sale to go on", 20, || {
            let said = gateway.claim(&coupon, &token);
            matches!(said.status, 200 | 201).then_some(())
        });
    }
    // Edited: who claims now gets the new terms.
    let path = format!("/admin/v1/coupons/{coupon}");
    let edited = json!({"benefit": {"type": "fixed", "off": "6.00"}});
    let said = stage.patch(&control, &path, &edited);
    assert_eq!(said.status, 200, "{said:?}");
    let version = said.json()["version"].clone();
    for said in claim_everywhere(&coupon) {
        assert_eq!(said.status, 201, "{said:?}");
        assert_eq!(said.json()["version"], version);
    }
    stage.is_exact(&control, &coupon, 13);
}

#[test]
fn a_control_process_gives_orders_to_keepers_elsewhere() {
    let stage = Stage::lay();
    let (_worker, control, gateways) = stage.roles_apart();
    let coupon = control.sale(&json!({"limits": {"total": 20}}));
    let tokens = stage.place.tokens("u", 13, &[]);
    for token in &tokens {
        let said = gateways[0].claim_patiently(&coupon, token);
        assert!(matches!(said.status, 200 | 201), "{said:?}");
    }
    let stock = |total: u64| {
        let path = format!("/admin/v1/coupons/{coupon}/stock");
        control.admin("POST", &path, &json!({"total": total}))
    };
    wait_for("the claims to be rows", 20, || {
        (counts(&control, &coupon)["granted"] == 13).then_some(())
    });
    // Not below what is granted; to just that: sold out, everywhere; then two more.
    let too_low = stock(12);
    assert_eq!(too_low.status, 409, "{too_low:?}");
    assert_eq!(too_low.json()["granted"], 13, "{too_low:?}");
    let lowered = stock(13);
    assert_eq!(lowered.status, 200, "{lowered:?}");
    let nobody = stage.place.token("nobody");
    wait_for("sold out to be said", 20, || {
        let all = claim_everywhere_of(&gateways, &coupon, &nobody);
        let sold_out = |said: &Reply| is_refused(said, "sold_out");
        all.iter().all(sold_out).then_some(())
    });
    assert_eq!(stock(15).status, 200);
    for (gateway, user) in gateways.iter().zip(["more1", "more2"]) {
        let token = stage.place.token(user);
        wait_for("one of the new units", 20, || {
            let said = gateway.claim(&coupon, &token);
            matches!(said.status, 200 | 201).then_some(())
        });
    }
    let epochs = |lanes: &[Value]| -> Vec<u64> {
        let epoch = |lane: &Value| lane["epoch"].as_u64().unwrap();
        lanes.iter().map(epoch).collect()
    };
    let before = epochs(&lanes(&control));
    let recovered = control.admin("POST", "/admin/v1/system/lanes/0/recover", &Value::Null);
    assert_eq!(recovered.status, 200, "{recovered:?}");
    assert_eq!(epochs(&lanes(&control)), [before[0] + 1, before[1]]);
    gateways[1].wait_ready();
    let again = gateways[1].claim_patiently(&coupon, &tokens[0]);
    assert_eq!(again.status, 200, "{again:?}");
    stage.is_exact(&control, &coupon, 15);
}

fn claim_everywhere_of(gateways: &[Running], coupon: &str, token: &str) -> Vec<Reply> {
    let claims = gateways.iter().map(|gateway| gateway.claim(coupon, token));
    claims.collect()
}

#[test]
fn f20_another_worker_takes_over_when_one_is_killed() {
    let stage = Stage::lay();
    let mut first = stage.start("workers");
    first.wait_ready();
    let second = stage.start("workers");
    let front = stage.start("data,control");
    front.wait_ready();
    let before = until_all_held_by(&front, &first);
    let coupon = front.sale(&json!({"limits": {"total": 100}}));
    let tokens = stage.place.tokens("u", 40, &[]);
    for token in &tokens[..20] {
        let said = front.claim_patiently(&coupon, token);
        assert!(matches!(said.status, 200 | 201), "{said:?}");
    }
    first.kill();
    // Claims go on while nobody keeps the lanes: granted, and durable when somebody does.
    for token in &tokens[20..] {
        let said = front.claim(&coupon, token);
        assert!(matches!(said.status, 201 | 202), "{said:?}");
    }
    let after = until_all_held_by(&front, &second);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            before["epoch"], after["epoch"],
            "a take-over is no recovery"
        );
    }
    for token in &tokens {
        let said = front.claim_patiently(&coupon, token);
        assert_eq!(said.status, 200, "{said:?}");
    }
    stage.is_exact(&front, &coupon, 40);
}

#[test]
fn a_worker_that_stops_hands_its_lanes_over_at_once() {
    // So long a lease that nobody could wait for its end here.
    let stage = Stage::lay_with(|config| {
        config
            .replace("keeper_lease_ms = 4000", "keeper_lease_ms = 600000")
            .replace("lane_lease_ms = 12000", "lane_lease_ms = 1200000")
            .replace("grace_ms = 13000", "grace_ms = 1300000")
    });
    let first = stage.start("workers");
    first.wait_ready();
    let second = stage.start("workers");
    let front = stage.start("data,control");
    front.wait_ready();
    second.wait_ready();
    let before = until_all_held_by(&front, &first);
    let coupon = front.sale(&json!({"limits": {"total": 100}}));
    let tokens = stage.place.tokens("u", 30, &[]);
    for token in &tokens[..20] {
        assert_eq!(front.claim_patiently(&coupon, token).status, 201);
    }
    let open = lanes(&front);
    assert!(first.stop().success());
    let after = until_all_held_by(&front, &second);
    for ((before, open), after) in before.iter().zip(&open).zip(&after) {
        assert_eq!(before["epoch"], after["epoch"], "{open}");
    }
    for token in &tokens[20..] {
        // Its tickets are still there: nobody is told to come again.
        let said = front.claim(&coupon, token);
        assert_eq!(said.status, 201, "{said:?}");
    }
    stage.is_exact(&front, &coupon, 30);
}
