//! API keys and roles.

use serde_json::{Value, json};
use sluice_ledger::api_keys::Role;

use crate::http::{Reply, send};
use crate::openapi::calls;
use crate::world::{World, eventually, minimal};

async fn as_key(world: &World, key: &str, method: &str, path: &str) -> Reply {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    send(world.address, method, path, &headers, b"").await
}

#[tokio::test]
async fn every_route_asks_for_a_key_and_a_role() {
    let world = World::open().await;
    let keys = [
        (Role::Viewer, world.key(Role::Viewer).await),
        (Role::Operator, world.key(Role::Operator).await),
        (Role::Approver, world.key(Role::Approver).await),
        (Role::Admin, world.key(Role::Admin).await),
    ];
    for (method, path) in calls() {
        let real = path
            .replace("{id}", "0000000")
            .replace("{lane}", "0")
            .replace("{prefix}", "none");
        let reply = send(world.address, &method, &real, &[], b"").await;
        reply.expect_problem(401, "unauthorized");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        let least = if path.contains("/api-keys") || path.contains("/lanes/") {
            Role::Admin
        // A question with a cart: it changes nothing.
        } else if method == "GET" || path.ends_with("/cannot-use") {
            Role::Viewer
        } else {
            Role::Operator
        };
        for (role, key) in &keys {
            let reply = as_key(&world, key, &method, &real).await;
            if *role >= least {
                assert!(
                    ![401, 403].contains(&reply.status),
                    "{role:?} {method} {path}"
                );
            } else {
                reply.expect_problem(403, "forbidden");
            }
        }
    }
}

#[tokio::test]
async fn forged_keys_are_all_alike() {
    let world = World::open().await;
    let (head, _secret) = world.admin.rsplit_once('_').unwrap();
    let wrong_secret = format!("{head}_{}", "A".repeat(43));
    let unknown = format!("slk_{}_{}", "A".repeat(12), "A".repeat(43));
    let mut details = Vec::new();
    for key in [wrong_secret.as_str(), &unknown, "", "x", &world.admin[..59]] {
        let reply = as_key(&world, key, "GET", "/admin/v1/whoami").await;
        details.push(reply.expect_problem(401, "unauthorized")["detail"].clone());
    }
    details.dedup();
    assert_eq!(details.len(), 1);
    let basic = [("authorization", "Basic YTpi")];
    let reply = send(world.address, "GET", "/admin/v1/whoami", &basic, b"").await;
    reply.expect_problem(401, "unauthorized");
    let who = world.get("/admin/v1/whoami").await.expect(200);
    assert_eq!(who["role"], "admin");
}

#[tokio::test]
async fn a_key_is_made_listed_used_and_revoked() {
    let world = World::open().await;
    let body = json!({"label": "Ada", "role": "operator", "expires_at": "2026-11-25T00:00:00Z"});
    let reply = world.post("/admin/v1/api-keys", body).await;
    let made = reply.expect(201);
    let key = made["key"].as_str().unwrap().to_owned();
    let prefix = made["prefix"].as_str().unwrap().to_owned();
    assert!(key.starts_with(&format!("slk_{prefix}_")));
    let who = as_key(&world, &key, "GET", "/admin/v1/whoami")
        .await
        .expect(200);
    assert_eq!(
        who,
        json!({"prefix": prefix, "label": "Ada", "role": "operator"})
    );
    let list = world.get("/admin/v1/api-keys").await;
    assert!(!list.body.contains(&key[17..]), "no secret in a list");
    assert_eq!(list.expect(200)["items"].as_array().unwrap().len(), 2);
    // It runs out.
    world.clock.advance_ms(18 * 3_600_000);
    as_key(&world, &key, "GET", "/admin/v1/whoami")
        .await
        .expect_problem(401, "unauthorized");

    let viewer = world.key(Role::Viewer).await;
    as_key(&world, &viewer, "GET", "/admin/v1/whoami")
        .await
        .expect(200);
    let viewer_prefix = viewer.split('_').nth(1).unwrap().to_owned();
    let path = format!("/admin/v1/api-keys/{viewer_prefix}");
    let revoked = world.call("DELETE", &path, &[], b"").await.expect(200);
    assert!(revoked["revoked_at"].is_string());
    as_key(&world, &viewer, "GET", "/admin/v1/whoami")
        .await
        .expect_problem(401, "unauthorized");
    let again = world.call("DELETE", &path, &[], b"").await.expect(200);
    assert_eq!(again, revoked);
    let unknown = world
        .call("DELETE", "/admin/v1/api-keys/none", &[], b"")
        .await;
    unknown.expect_problem(404, "not_found");
    let own = world.admin.split('_').nth(1).unwrap();
    let own = world
        .call("DELETE", &format!("/admin/v1/api-keys/{own}"), &[], b"")
        .await;
    own.expect_problem(409, "conflict");

    let log = world.get("/admin/v1/audit-log").await;
    assert!(!log.body.contains(&key[17..]), "no secret in the log");
    let log = log.expect(200);
    let actions: Vec<&Value> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["action"])
        .collect();
    assert_eq!(
        actions
            .iter()
            .filter(|action| **action == "key.create")
            .count(),
        3
    );
    assert_eq!(actions.last().unwrap(), &&json!("key.revoke"));
}

#[tokio::test]
async fn a_key_revoked_elsewhere_ends_within_the_memory() {
    use sluice_ledger::api_keys::ApiKeys as _;
    use sluice_ledger::audit_log::AuditEntry;
    let world = World::open().await;
    let key = world.key(Role::Viewer).await;
    as_key(&world, &key, "GET", "/admin/v1/whoami")
        .await
        .expect(200);
    let prefix = key.split('_').nth(1).unwrap();
    let entry = AuditEntry {
        at: world.clock.now(),
        actor: "cli".to_owned(),
        action: "key.revoke".to_owned(),
        object: prefix.to_owned(),
        before: String::new(),
        after: String::new(),
        request_id: String::new(),
    };
    assert!(
        world
            .ledger
            .revoke_key(prefix, world.clock.now(), entry)
            .await
            .unwrap()
    );
    eventually("the key is refused", async || {
        as_key(&world, &key, "GET", "/admin/v1/whoami").await.status == 401
    })
    .await;
}

#[tokio::test]
async fn bad_keys_are_refused_by_field() {
    let world = World::open().await;
    let table = [
        (json!({}), "/role"),
        (json!({"role": "admin", "scopes": ["checkout"]}), "/role"),
        (json!({"role": "king"}), "/role"),
        (
            json!({"role": "viewer", "label": "x".repeat(201)}),
            "/label",
        ),
        (
            json!({"role": "viewer", "expires_at": "2026-11-23T00:00:00Z"}),
            "/expires_at",
        ),
        (json!({"role": "viewer", "colour": 1}), "/colour"),
        (json!({"scopes": ["everything"]}), "/scopes/0"),
    ];
    for (body, pointer) in table {
        let reply = world.post("/admin/v1/api-keys", body.clone()).await;
        let problem = reply.expect_problem(400, "invalid_request");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    // A service's key is no operator's.
    let made = world
        .post("/admin/v1/api-keys", json!({"scopes": ["checkout"]}))
        .await;
    let key = made.expect(201)["key"].as_str().unwrap().to_owned();
    as_key(&world, &key, "GET", "/admin/v1/whoami")
        .await
        .expect_problem(403, "forbidden");
    let path = world.draft(minimal()).await;
    as_key(&world, &key, "GET", &path)
        .await
        .expect_problem(403, "forbidden");
}
