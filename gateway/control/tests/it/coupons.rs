//! The life of a coupon, as an operator sees it.

use serde_json::{Value, json};
use sluice_domain::id::CouponId;
use sluice_hotstate::LaneStore;

use crate::world::{World, minimal};

#[tokio::test]
async fn a_coupon_lives_from_draft_to_archive() {
    let world = World::open().await;
    let made = world.post("/admin/v1/coupons", minimal()).await;
    let draft = made.expect(201);
    assert_eq!(made.header("etag"), Some("\"1\""));
    let path = made.header("location").unwrap().to_owned();
    assert_eq!(
        path,
        format!("/admin/v1/coupons/{}", draft["id"].as_str().unwrap())
    );
    assert_eq!(draft["status"], "draft");
    assert_eq!(draft["version"], 1);
    assert_eq!(draft["durability"], "ledger");
    assert_eq!(draft["limits"]["per_user"], 1);
    assert_eq!(draft["counts"]["total"], 100);
    assert_eq!(draft["counts"]["available"], 100);
    let read = world.get(&path).await;
    assert_eq!(read.expect(200), draft);

    let id: CouponId = draft["id"].as_str().unwrap().parse().unwrap();
    let steps = [
        ("publish", "active", 2),
        ("publish", "active", 2),
        ("pause", "paused", 3),
        ("pause", "paused", 3),
        ("resume", "active", 4),
        ("end", "ended", 5),
        ("end", "ended", 5),
        ("archive", "archived", 6),
        ("archive", "archived", 6),
    ];
    for (verb, status, revision) in steps {
        let reply = world.post(&format!("{path}/{verb}"), Value::Null).await;
        let body = reply.expect(200);
        assert_eq!(body["status"], status, "{verb}");
        assert_eq!(body["revision"], revision, "{verb}");
        assert_eq!(reply.header("etag").unwrap(), format!("\"{revision}\""));
        let in_force = world.keeper.in_force(id).await;
        assert_eq!(in_force, revision, "in force after {verb}");
    }
    let told = world.gateways.invalidated.lock().unwrap().clone();
    assert!(told.len() >= 6 && told.iter().all(|known| *known == id));
    let changed = world.keeper.changed.lock().unwrap().clone();
    assert!(changed.len() >= 6 && changed.iter().all(|known| *known == id));

    let log = world.get(&format!("/admin/v1/audit-log?object={id}")).await;
    let log = log.expect(200);
    let actions: Vec<&str> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "coupon.create",
            "coupon.publish",
            "coupon.pause",
            "coupon.resume",
            "coupon.end",
            "coupon.archive"
        ]
    );
    assert!(log["items"][0]["before"].is_null());
    assert_eq!(log["items"][2]["before"]["status"], "active");
    assert_eq!(log["items"][2]["after"]["status"], "paused");
}

#[tokio::test]
async fn states_refuse_what_does_not_follow() {
    let world = World::open().await;
    let path = world.draft(minimal()).await;
    for verb in ["pause", "resume", "end"] {
        let reply = world.post(&format!("{path}/{verb}"), Value::Null).await;
        let problem = reply.expect_problem(409, "conflict");
        assert_eq!(problem["state"], "draft");
    }
    world
        .post(&format!("{path}/archive"), Value::Null)
        .await
        .expect(200);
    for verb in ["publish", "pause", "resume", "end"] {
        let reply = world.post(&format!("{path}/{verb}"), Value::Null).await;
        assert_eq!(reply.expect_problem(409, "conflict")["state"], "archived");
    }
    let stock = world
        .post(&format!("{path}/stock"), json!({"total": 5}))
        .await;
    stock.expect_problem(409, "conflict");
    let edit = world.patch(&path, "\"2\"", json!({"name": "new"})).await;
    edit.expect_problem(409, "conflict");
    // A window that is over cannot be published.
    let mut over = minimal();
    over["claim_window"] = json!({"starts_at": null, "ends_at": "2026-11-24T05:00:00Z"});
    let path = world.draft(over).await;
    let reply = world.post(&format!("{path}/publish"), Value::Null).await;
    let problem = reply.expect_problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["pointer"], "/claim_window/ends_at");
}

#[tokio::test]
async fn an_edit_is_a_merge_patch_and_makes_a_version_where_terms_change() {
    let world = World::open().await;
    let (path, _id) = world.published(json!(100)).await;
    let noted = world
        .patch(&path, "\"2\"", json!({"notes": "for Ada"}))
        .await;
    let noted = noted.expect(200);
    assert_eq!(
        (&noted["version"], &noted["revision"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(noted["notes"], "for Ada");
    let renamed = world
        .patch(
            &path,
            "\"3\"",
            json!({"name": "Six off", "benefit": {"off": "6.00"}}),
        )
        .await;
    let renamed = renamed.expect(200);
    assert_eq!(
        (&renamed["version"], &renamed["revision"]),
        (&json!(2), &json!(4))
    );
    assert_eq!(renamed["benefit"], json!({"type": "fixed", "off": "6.00"}));
    assert_eq!(renamed["notes"], "for Ada");
    // The same again changes nothing and keeps the revision.
    let same = world
        .patch(&path, "\"4\"", json!({"name": "Six off"}))
        .await;
    assert_eq!(same.expect(200)["revision"], 4);
    // null takes a field back to its default.
    let cleared = world.patch(&path, "\"4\"", json!({"notes": null})).await;
    assert_eq!(cleared.expect(200)["notes"], "");

    let versions = world.get(&format!("{path}/versions")).await.expect(200);
    let items = versions["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["terms"]["name"], "Five off");
    assert_eq!(items[1]["terms"]["benefit"]["off"], "6.00");
    assert!(
        items[1]["terms"]["words"][0]
            .as_str()
            .unwrap()
            .contains("6.00")
    );
    assert_eq!(items[0]["hash"].as_str().unwrap().len(), 64);
    assert_ne!(items[0]["hash"], items[1]["hash"]);
    assert!(items[1]["author"].as_str().unwrap().starts_with("key:"));
}

#[tokio::test]
async fn what_hot_state_was_built_on_cannot_be_edited() {
    let world = World::open().await;
    let (path, _id) = world.published(json!(100)).await;
    let refused = [
        (json!({"limits": {"per_user": 2}}), "/limits/per_user"),
        (json!({"limits": {"per_device": 2}}), "/limits/per_device"),
        (json!({"limits": {"total": 50}}), "/limits/total"),
        (json!({"currency": "EUR"}), "/currency"),
    ];
    for (patch, pointer) in refused {
        let reply = world.patch(&path, "\"2\"", patch.clone()).await;
        let problem = reply.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{patch}");
    }
    let raised = world
        .patch(&path, "\"2\"", json!({"limits": {"total": 150}}))
        .await;
    let raised = raised.expect(200);
    assert_eq!(raised["counts"]["total"], 150);
    assert_eq!(raised["version"], 1);
}

#[tokio::test]
async fn edits_need_the_etag_that_was_read() {
    let world = World::open().await;
    let path = world.draft(minimal()).await;
    let body = json!({"name": "new"}).to_string();
    let without = world.call("PATCH", &path, &[], body.as_bytes()).await;
    without.expect_problem(428, "precondition_required");
    for stale in ["\"2\"", "W/\"1\""] {
        let reply = world.patch(&path, stale, json!({"name": "new"})).await;
        let problem = reply.expect_problem(412, "precondition_failed");
        assert_eq!(problem["etag"], "\"1\"");
        assert_eq!(reply.header("etag"), Some("\"1\""));
    }
    let nonsense = world.patch(&path, "1", json!({"name": "new"})).await;
    let problem = nonsense.expect_problem(400, "invalid_request");
    assert_eq!(problem["errors"][0]["parameter"], "If-Match");
    world
        .patch(&path, "*", json!({"name": "new"}))
        .await
        .expect(200);
    world
        .patch(&path, "\"2\"", json!({"name": "newer"}))
        .await
        .expect(200);
    // The other verbs take it where it is given.
    let headers = [("if-match", "\"2\"")];
    let publish = format!("{path}/publish");
    let reply = world.call("POST", &publish, &headers, b"").await;
    reply.expect_problem(412, "precondition_failed");
    let headers = [("if-match", "\"3\"")];
    world
        .call("POST", &publish, &headers, b"")
        .await
        .expect(200);
}

#[tokio::test]
async fn of_two_edits_of_one_revision_one_wins() {
    let world = World::open().await;
    let path = world.draft(minimal()).await;
    let (one, other) = tokio::join!(
        world.patch(&path, "\"1\"", json!({"name": "one"})),
        world.patch(&path, "\"1\"", json!({"name": "other"})),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}

#[tokio::test]
async fn a_duplicate_is_a_draft_of_its_own() {
    let world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    let reply = world.post(&format!("{path}/duplicate"), Value::Null).await;
    let copy = reply.expect(201);
    assert_ne!(copy["id"], id.to_string());
    assert_eq!(copy["status"], "draft");
    assert_eq!(copy["version"], 1);
    assert_eq!(copy["name"], "Five off");
    assert_eq!(reply.header("etag"), Some("\"1\""));
    world
        .get(reply.header("location").unwrap())
        .await
        .expect(200);
}

#[tokio::test]
async fn lists_filter_search_sort_and_page() {
    let world = World::open().await;
    for number in 0..7 {
        let mut body = minimal();
        body["name"] = json!(format!("Coupon {number}"));
        let path = world.draft(body).await;
        if number % 2 == 0 {
            world
                .post(&format!("{path}/publish"), Value::Null)
                .await
                .expect(200);
        }
        world.clock.advance_ms(1_000);
    }
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["name"].as_str().unwrap().replace("Coupon ", ""))
            .collect()
    };
    let all = world.get("/admin/v1/coupons").await.expect(200);
    assert_eq!(names(&all), ["6", "5", "4", "3", "2", "1", "0"]);
    assert!(all["next_cursor"].is_null());
    assert_eq!(all["items"][0]["counts"]["total"], 100);
    let active = world.get("/admin/v1/coupons?status=active&sort=name").await;
    assert_eq!(names(&active.expect(200)), ["0", "2", "4", "6"]);
    let found = world
        .get("/admin/v1/coupons?q=cOUPON%203")
        .await
        .expect(200);
    assert_eq!(names(&found), ["3"]);
    let mut seen = Vec::new();
    let mut path = "/admin/v1/coupons?limit=3&sort=created_at".to_owned();
    loop {
        let page = world.get(&path).await.expect(200);
        seen.extend(names(&page));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/admin/v1/coupons?limit=3&sort=created_at&cursor={cursor}");
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6"]);
    let bad = [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("status=open", "status"),
        ("sort=price", "sort"),
        ("cursor=%00", "cursor"),
        ("cursor=nonsense", "cursor"),
        ("colour=red", "colour"),
        ("limit=1&limit=2", "limit"),
    ];
    for (query, parameter) in bad {
        let reply = world.get(&format!("/admin/v1/coupons?{query}")).await;
        let problem = reply.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{query}");
    }
}

#[tokio::test]
async fn stock_is_raised_at_once_and_lowered_through_the_lane() {
    let world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    let lane = world.keeper.lane_of(id);
    world.keeper.stock_up(id, 50).await;
    let stock = format!("{path}/stock");
    let raised = world.post(&stock, json!({"total": 200})).await.expect(200);
    assert_eq!(raised["counts"]["total"], 200);
    assert_eq!(raised["counts"]["available"], 200);
    assert_eq!(raised["version"], 1);
    assert_eq!(world.keeper.claim(id, 0..10).await, 10);
    world.keeper.drain(lane).await;
    let read = world.get(&path).await.expect(200);
    assert_eq!(read["counts"]["granted"], 10);
    assert_eq!(read["counts"]["available"], 190);
    let same = world.post(&stock, json!({"total": 200})).await.expect(200);
    assert_eq!(same["revision"], raised["revision"]);

    let lowered = world.post(&stock, json!({"total": 20})).await;
    let body = lowered.expect(200);
    assert_eq!(body["counts"]["total"], 20);
    assert_eq!(body["limits"]["total"], 20);
    assert_eq!(body["counts"]["available"], 10);
    let figures = world.hot.figures(lane, id).await.unwrap().unwrap();
    assert_eq!(json!(figures.revision.0), body["revision"]);

    let refused = world.post(&stock, json!({"total": 5})).await;
    let problem = refused.expect_problem(409, "conflict");
    assert_eq!(problem["granted"], 10);
    assert_eq!(problem["quarantined"], 0);
    assert_eq!(problem["total"], 20);
    assert_eq!(world.get(&path).await.expect(200)["counts"]["total"], 20);

    let unlimited = world.post(&stock, json!({"total": null})).await.expect(200);
    assert!(unlimited["counts"]["total"].is_null());
    assert!(unlimited["counts"]["available"].is_null());
    assert!(
        unlimited["counts"]["note"]
            .as_str()
            .unwrap()
            .contains("unlimited")
    );
}

#[tokio::test]
async fn a_draft_takes_any_total() {
    let world = World::open().await;
    let path = world.draft(minimal()).await;
    for total in [json!(5), json!(0), json!(null), json!(7)] {
        let reply = world
            .post(&format!("{path}/stock"), json!({"total": total}))
            .await;
        assert_eq!(reply.expect(200)["limits"]["total"], total);
    }
    for bad in [
        json!({}),
        json!({"total": -1}),
        json!({"total": "5"}),
        json!({"total": 1, "x": 2}),
    ] {
        let reply = world.post(&format!("{path}/stock"), bad).await;
        reply.expect_problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn claims_are_listed_by_ticket_in_pages() {
    let world = World::open().await;
    let (path, id) = world.published(json!(100)).await;
    world.keeper.stock_up(id, 50).await;
    assert_eq!(world.keeper.claim(id, 0..5).await, 5);
    world.keeper.drain(world.keeper.lane_of(id)).await;
    let claims = format!("{path}/claims");
    let first = world.get(&format!("{claims}?limit=3")).await.expect(200);
    assert_eq!(first["items"].as_array().unwrap().len(), 3);
    let item = &first["items"][0];
    assert_eq!(item["user_id"], "u0");
    assert_eq!(item["ticket"], 1);
    assert_eq!(item["version"], 1);
    assert_eq!(item["status"], "usable");
    let claim_id: sluice_domain::id::ClaimId = item["claim_id"].as_str().unwrap().parse().unwrap();
    assert_eq!(claim_id.coupon(), id);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = world
        .get(&format!("{claims}?limit=3&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    assert!(rest["next_cursor"].is_null());
    let bad = world.get(&format!("{claims}?cursor=x")).await;
    bad.expect_problem(400, "invalid_request");
}

#[tokio::test]
async fn a_code_belongs_to_one_coupon_until_it_is_archived() {
    let world = World::open().await;
    let mut coded = minimal();
    coded["code"] = json!("summer20");
    let first = world.post("/admin/v1/coupons", coded.clone()).await;
    let first = first.expect(201)["id"].as_str().unwrap().to_owned();
    let taken = world.post("/admin/v1/coupons", coded.clone()).await;
    let problem = taken.expect_problem(409, "conflict");
    assert_eq!(problem["errors"][0]["pointer"], "/code");
    assert!(problem["detail"].as_str().unwrap().contains(&first));

    let other = world.post("/admin/v1/coupons", minimal()).await;
    let path = other.header("location").unwrap().to_owned();
    let patch = json!({"code": "Summer20"});
    let taken = world.patch(&path, "\"1\"", patch.clone()).await;
    taken.expect_problem(409, "conflict");
    let archive = format!("/admin/v1/coupons/{first}/archive");
    world.post(&archive, Value::Null).await.expect(200);
    let given = world.patch(&path, "\"1\"", patch).await;
    assert_eq!(given.expect(200)["code"], "SUMMER20");
}
