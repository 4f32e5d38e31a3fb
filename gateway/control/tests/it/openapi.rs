//! The committed document is the code's, and names what there is.

use std::path::PathBuf;

use serde_json::Value;
use sluice_control::openapi_json;

use crate::world::World;

fn committed() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi-admin.json")
}

#[test]
fn the_openapi_document_is_current() {
    let current = openapi_json();
    if std::env::var_os("SLUICE_WRITE_OPENAPI").is_some() {
        std::fs::write(committed(), &current).unwrap();
    }
    let held = std::fs::read_to_string(committed()).unwrap_or_default();
    assert!(
        held == current,
        "docs/openapi-admin.json is not what the code says; write it anew with \
         SLUICE_WRITE_OPENAPI=1 cargo test -p sluice-control openapi"
    );
}

/// Every call that the document names.
pub(crate) fn calls() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&openapi_json()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    let mut calls = Vec::new();
    for (path, methods) in paths {
        for method in methods.as_object().unwrap().keys() {
            calls.push((method.to_uppercase(), path.clone()));
        }
    }
    calls
}

#[tokio::test]
async fn every_route_of_the_document_answers() {
    let world = World::open().await;
    let path = world.draft(crate::world::minimal()).await;
    let id = path.rsplit('/').next().unwrap();
    assert_eq!(calls().len(), 25);
    for (method, path) in calls() {
        let path = path
            .replace("{id}", id)
            .replace("{lane}", "0")
            .replace("{prefix}", "none");
        let reply = world.call(&method, &path, &[], b"").await;
        assert!(
            ![405, 500, 403].contains(&reply.status),
            "{method} {path}: {} {}",
            reply.status,
            reply.body
        );
        if reply.status == 404 {
            assert!(path.contains("/api-keys/"), "{method} {path}");
        }
    }
    let served = world.get("/openapi.json").await;
    assert_eq!(served.status, 200);
    assert_eq!(served.body, openapi_json());
}
