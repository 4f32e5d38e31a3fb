//! Why somebody has no claim, and why they cannot use theirs.

use serde_json::{Value, json};
use sluice_ledger::claims::{Claims as _, ClaimsPage};

use crate::world::{World, minimal};

fn codes(answer: &Value) -> Vec<&str> {
    let reasons = answer["reasons"].as_array().unwrap();
    reasons
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect()
}

fn cart(price: &str) -> Value {
    json!({"currency": "USD", "lines": [{"id": "l1", "sku": "A", "quantity": 1, "unit_price": price}]})
}

#[tokio::test]
async fn why_not_evaluates_every_condition_of_a_claim() {
    let world = World::open().await;
    let mut body = minimal();
    body["conditions"] =
        json!({"users": {"kind": "groups", "groups": ["vip"]}, "verified": ["phone"]});
    body["limits"] = json!({"total": 1});
    body["claim_window"] = json!({"starts_at": "2027-01-01T00:00:00Z"});
    let path = world.draft(body).await;
    let ask = format!("{path}/why-not?user=u0000000");
    let draft = world.get(&ask).await.expect(200);
    assert_eq!(
        (codes(&draft), draft["verdict"].clone()),
        (vec!["not_found"], json!("may_not_claim"))
    );
    assert_eq!(draft["fix"], "Publish the coupon.");

    let id = path.rsplit('/').next().unwrap();
    world
        .post(&format!("{path}/publish"), Value::Null)
        .await
        .expect(200);
    let answer = world.get(&ask).await.expect(200);
    assert_eq!(
        codes(&answer),
        ["not_started", "not_eligible", "verification_required"]
    );
    assert_eq!(
        (&answer["coupon_id"], &answer["terms_version"]),
        (&json!(id), &json!(1))
    );
    let fix = answer["fix"].as_str().unwrap();
    assert!(fix.contains("2027-01-01") && fix.contains("phone"), "{fix}");

    for wrong in [
        "",
        "?user=",
        "?user=a%20b",
        "?user=u1&x=1",
        "?user=u1&user=u2",
    ] {
        world
            .get(&format!("{path}/why-not{wrong}"))
            .await
            .expect(400);
    }
    world
        .get("/admin/v1/coupons/zzzzzzz/why-not?user=u1")
        .await
        .expect(404);
}

#[tokio::test]
async fn why_not_counts_what_the_user_has_and_what_is_left() {
    let world = World::open().await;
    let (path, coupon) = world.published(json!(1)).await;
    let free = world
        .get(&format!("{path}/why-not?user=nobody"))
        .await
        .expect(200);
    assert_eq!(
        (codes(&free), free["verdict"].clone()),
        (vec![], json!("may_claim"))
    );
    assert_eq!(free["fix"], Value::Null);
    world.keeper.stock_up(coupon, 1).await;
    world.keeper.claim(coupon, 0..1).await;
    world.keeper.drain(world.keeper.lane_of(coupon)).await;
    let page = ClaimsPage {
        after: None,
        limit: 1,
    };
    let row = world
        .ledger
        .claims_of_coupon(coupon, page)
        .await
        .unwrap()
        .remove(0);
    let holder = world
        .get(&format!("{path}/why-not?user={}", row.user))
        .await
        .expect(200);
    assert_eq!(codes(&holder), ["user_limit_reached", "sold_out"]);
    assert_eq!(holder["claims"][0]["claim_id"], row.claim_id.to_string());
    assert_eq!(holder["claims"][0]["status"], "usable");
    let late = world
        .get(&format!("{path}/why-not?user=nobody"))
        .await
        .expect(200);
    assert_eq!(codes(&late), ["sold_out"]);
}

#[tokio::test]
async fn cannot_use_says_every_reason_for_each_claim() {
    let world = World::open().await;
    let mut body = minimal();
    body["conditions"] = json!({"min_spend": "20.00", "channels": ["app"]});
    let path = world.draft(body).await;
    let id = path.rsplit('/').next().unwrap().to_owned();
    world
        .post(&format!("{path}/publish"), Value::Null)
        .await
        .expect(200);
    let coupon = id.parse().unwrap();
    world.keeper.stock_up(coupon, 2).await;
    world.keeper.claim(coupon, 0..1).await;
    world.keeper.drain(world.keeper.lane_of(coupon)).await;
    let page = ClaimsPage {
        after: None,
        limit: 1,
    };
    let row = world
        .ledger
        .claims_of_coupon(coupon, page)
        .await
        .unwrap()
        .remove(0);
    let ask = async |body: Value| world.post("/admin/v1/cannot-use", body).await;

    for subject in [json!({"claim_id": row.claim_id}), json!({"coupon_id": id})] {
        let mut body = json!({"user_id": row.user, "cart": cart("12.00")});
        body.as_object_mut()
            .unwrap()
            .extend(subject.as_object().unwrap().clone());
        let answer = ask(body.clone()).await.expect(200);
        let claim = &answer["claims"][0];
        assert_eq!(answer["about"], "use", "{answer}");
        assert_eq!(codes(claim), ["channel_mismatch", "min_spend_not_met"]);
        assert_eq!(
            (&claim["verdict"], &claim["terms_version"]),
            (&json!("not_applicable"), &json!(1))
        );
        let fix = claim["fix"].as_str().unwrap();
        assert!(fix.contains("app") && fix.contains("8.00"), "{fix}");
        body["cart"] = cart("30.00");
        body["cart"]["channel"] = json!("app");
        let claim = &ask(body).await.expect(200)["claims"][0];
        assert_eq!(
            (&claim["verdict"], &claim["value"]),
            (&json!("applies"), &json!("5.00"))
        );
    }

    let cartless = ask(json!({"user_id": row.user, "coupon_id": id}))
        .await
        .expect(400);
    assert_eq!(cartless["errors"][0]["pointer"], "/cart");
    let foreign =
        ask(json!({"user_id": "mallory", "claim_id": row.claim_id, "cart": cart("1.00")})).await;
    let unknown =
        ask(json!({"user_id": "mallory", "claim_id": "0".repeat(26), "cart": cart("1.00")})).await;
    assert_eq!(foreign.expect(404)["detail"], unknown.expect(404)["detail"]);
    let stranger = ask(json!({"user_id": "mallory", "coupon_id": id}))
        .await
        .expect(200);
    assert_eq!(
        (&stranger["about"], &stranger["verdict"]),
        (&json!("claim"), &json!("may_claim"))
    );
    world.ledger.revoke(row.claim_id).await.unwrap();
    let body = json!({"user_id": row.user, "claim_id": row.claim_id, "cart": cart("30.00")});
    let revoked = ask(body).await.expect(200);
    assert_eq!(codes(&revoked["claims"][0])[0], "archived", "{revoked}");
}
