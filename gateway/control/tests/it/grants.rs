//! Granting to named users: what became of each, and what a repeat does.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Value, json};
use sluice_claim::outcome::{ClaimOutcome, ClaimView, Refusal, Unavailable};
use sluice_control::port::Granter;
use sluice_domain::claim::{ClaimStatus, Durability};
use sluice_domain::id::{ClaimId, CouponId, UserId, Version};
use sluice_domain::reason::ReasonCode;
use sluice_domain::time::Timestamp;
use sluice_ledger::api_keys::Role;
use sluice_ledger::claims::Claims as _;

use crate::http::Reply;
use crate::world::{START, World, minimal};

/// A claim engine that grants to everybody once, but for users it was told otherwise about.
#[derive(Default)]
pub(crate) struct Grantor {
    /// What the next asks for a user end in, the last one first.
    pub told: Mutex<HashMap<UserId, Vec<ClaimOutcome>>>,
    /// Claims that were granted, and under which key.
    pub granted: Mutex<HashMap<UserId, String>>,
}

fn claim_of(coupon: CouponId, user: UserId) -> ClaimId {
    let mut hash = [0; 12];
    let name = user.as_bytes();
    hash[..name.len()].copy_from_slice(name);
    ClaimId::new(coupon, hash)
}

fn view(claim_id: ClaimId, user: UserId) -> ClaimView {
    let at = Timestamp::from_millis(START);
    ClaimView {
        claim_id,
        coupon: claim_id.coupon(),
        user,
        version: Version(1),
        durability: Durability::Ledger,
        granted_at: at,
        valid_from: at,
        expires_at: None,
        status: ClaimStatus::Usable,
    }
}

#[async_trait::async_trait]
impl Granter for Grantor {
    async fn grant(&self, coupon: CouponId, user: UserId, key: &str) -> ClaimOutcome {
        if let Some(told) = self.told.lock().unwrap().get_mut(&user).and_then(Vec::pop) {
            return told;
        }
        let view = view(claim_of(coupon, user), user);
        match self.granted.lock().unwrap().insert(user, key.to_owned()) {
            None => ClaimOutcome::Granted(view),
            Some(_before) => ClaimOutcome::Replayed(view),
        }
    }
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

async fn grant(world: &World, path: &str, key: &str, body: &Value) -> Reply {
    let headers = [("idempotency-key", key)];
    let path = format!("{path}/grants");
    world
        .call("POST", &path, &headers, body.to_string().as_bytes())
        .await
}

#[track_caller]
fn counts(report: &Value, granted: u32, replayed: u32, refused: u32, failed: u32) {
    let expected = json!([granted, replayed, refused, failed]);
    let found = json!([
        report["granted"],
        report["replayed"],
        report["refused"],
        report["failed"]
    ]);
    assert_eq!(found, expected, "{report:#}");
}

#[tokio::test]
async fn each_user_is_told_of_and_a_repeat_grants_nobody_twice() {
    let world = World::open().await;
    let (path, coupon) = world.published(json!(100)).await;
    world.grantor.told.lock().unwrap().extend([
        (
            user("u2"),
            vec![ClaimOutcome::Refused(Refusal::of(
                ReasonCode::UserLimitReached,
            ))],
        ),
        // A claim that is not durable in time, and one that warms up, are asked for again.
        (
            user("u3"),
            vec![ClaimOutcome::Pending(claim_of(coupon, user("u3")))],
        ),
        (
            user("u4"),
            vec![ClaimOutcome::Unavailable(Unavailable::not_applied(
                ReasonCode::Warming,
                1,
            ))],
        ),
    ]);
    world
        .grantor
        .granted
        .lock()
        .unwrap()
        .insert(user("u3"), String::new());
    let body = json!({"users": ["u1", "u2", "u3", "u4"], "reason": "an apology"});
    let report = grant(&world, &path, "k-1", &body).await.expect(200);
    counts(&report, 3, 0, 1, 0);
    let items = report["items"].as_array().unwrap();
    let outcome = |n: usize| (&items[n]["user_id"], &items[n]["outcome"]);
    assert_eq!(outcome(0), (&json!("u1"), &json!("granted")));
    assert_eq!(outcome(2), (&json!("u3"), &json!("granted")));
    assert_eq!(
        items[0]["claim_id"],
        claim_of(coupon, user("u1")).to_string()
    );
    let reason = &items[1]["reasons"][0];
    assert_eq!(items[1]["claim_id"], Value::Null);
    assert_eq!(
        (&reason["code"], &reason["condition"], &reason["expected"]),
        (
            &json!("user_limit_reached"),
            &json!("limits.per_user"),
            &json!("fewer than 1 claimed")
        )
    );

    let asked = world.grantor.granted.lock().unwrap().clone();
    assert!(
        asked[&user("u1")].contains(' '),
        "no key of a shopper: {asked:?}"
    );
    // Who was refused may get it later: the repeat tries, and is the last word.
    let again = grant(&world, &path, "k-1", &body).await;
    assert_eq!(again.header("idempotency-replayed"), None);
    counts(&again.expect(200), 1, 3, 0, 0);
    let third = grant(&world, &path, "k-1", &body).await;
    assert_eq!(third.header("idempotency-replayed"), Some("true"));
    let other = json!({"users": ["u9"], "reason": "an apology"});
    let reused = grant(&world, &path, "k-1", &other).await;
    reused.expect(422);
    grant(&world, &path, "k-2", &body).await.expect(200);
    let second = &world.grantor.granted.lock().unwrap()[&user("u1")];
    assert_ne!(
        &asked[&user("u1")],
        second,
        "another key names other claims"
    );
}

#[tokio::test]
async fn an_answer_with_failures_is_not_the_last_word() {
    let world = World::open().await;
    let (path, _coupon) = world.published(json!(100)).await;
    let away = ClaimOutcome::Unavailable(Unavailable::unknown(1));
    world
        .grantor
        .told
        .lock()
        .unwrap()
        .insert(user("u2"), vec![away; 100]);
    let body = json!({"users": ["u1", "u2"], "reason": "x"});
    let report = grant(&world, &path, "k", &body).await.expect(200);
    counts(&report, 1, 0, 0, 1);
    let reason = &report["items"][1]["reasons"][0];
    assert_eq!(reason["code"], "outcome_unknown");
    assert!(
        reason["fix"]
            .as_str()
            .unwrap()
            .contains("same Idempotency-Key")
    );
    world.grantor.told.lock().unwrap().clear();
    let again = grant(&world, &path, "k", &body).await;
    assert_eq!(again.header("idempotency-replayed"), None);
    counts(&again.expect(200), 1, 1, 0, 0);
    let third = grant(&world, &path, "k", &body).await;
    assert_eq!(
        third.header("idempotency-replayed"),
        Some("true"),
        "now it is"
    );
}

#[tokio::test]
async fn a_claim_that_was_taken_back_is_not_given_again() {
    let world = World::open().await;
    let (path, coupon) = world.published(json!(100)).await;
    world.keeper.stock_up(coupon, 10).await;
    world.keeper.claim(coupon, 0..1).await;
    world.keeper.drain(world.keeper.lane_of(coupon)).await;
    let page = sluice_ledger::claims::ClaimsPage {
        after: None,
        limit: 10,
    };
    let row = world
        .ledger
        .claims_of_coupon(coupon, page)
        .await
        .unwrap()
        .remove(0);
    let had = ClaimOutcome::Replayed(view(row.claim_id, row.user));
    world
        .grantor
        .told
        .lock()
        .unwrap()
        .insert(row.user, vec![had; 2]);
    let body = json!({"users": [row.user], "reason": "x"});
    counts(
        &grant(&world, &path, "k-1", &body).await.expect(200),
        0,
        1,
        0,
        0,
    );
    world.ledger.revoke(row.claim_id).await.unwrap();
    let report = grant(&world, &path, "k-2", &body).await.expect(200);
    counts(&report, 0, 0, 1, 0);
    assert_eq!(report["items"][0]["reasons"][0]["code"], "archived");
}

#[tokio::test]
async fn what_cannot_be_granted_is_refused_before_anybody_is_asked() {
    let world = World::open().await;
    let (path, coupon) = world.published(json!(100)).await;
    let body = json!({"users": ["u1"], "reason": "x"});
    let keyless = world.post(&format!("{path}/grants"), body.clone()).await;
    assert_eq!(keyless.expect(400)["code"], "key_required");
    let draft = world.draft(minimal()).await;
    assert_eq!(
        grant(&world, &draft, "k", &body).await.expect(409)["state"],
        "draft"
    );
    grant(&world, "/admin/v1/coupons/zzzzzzz", "k", &body)
        .await
        .expect(404);
    let wrong = json!({"users": ["u1", "u1"], "why": "x"});
    let errors = grant(&world, &path, "k", &wrong).await.expect(400)["errors"].clone();
    let places: Vec<&str> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(places, ["/why", "/users/1", "/reason"]);
    let viewer = format!("Bearer {}", world.key(Role::Viewer).await);
    let headers = [
        ("authorization", viewer.as_str()),
        ("idempotency-key", "k"),
        ("content-type", "application/json"),
    ];
    let refused = crate::http::send(
        world.address,
        "POST",
        &format!("{path}/grants"),
        &headers,
        body.to_string().as_bytes(),
    )
    .await;
    assert_eq!(refused.expect(403)["code"], "forbidden");
    assert!(world.grantor.granted.lock().unwrap().is_empty());

    grant(&world, &path, "k", &body).await.expect(200);
    let log = world
        .get(&format!("/admin/v1/audit-log?object={coupon}"))
        .await
        .expect(200);
    let entries = log["items"].as_array().unwrap();
    let of = |action: &str| {
        let found = entries.iter().find(|one| one["action"] == action);
        found.unwrap_or_else(|| panic!("{action}: {log}"))["after"].to_string()
    };
    assert!(of("coupon.grant").contains("u1"), "{log}");
    assert!(of("coupon.grant.done").contains("granted"), "{log}");
}
