//! Real answers of every route that the `OpenAPI` document names fit the schemas that it gives.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_claim::outcome::{ClaimOutcome, Refusal};
use sluice_claim::port::StoreError;
use sluice_control::openapi_json;
use sluice_domain::id::UserId;
use sluice_domain::reason::ReasonCode;
use sluice_hotstate::model::fault::ModelOp;

use crate::openapi::calls;
use crate::schema::Schemas;
use crate::world::{World, minimal};

/// A world, and what of the document has been held against it.
struct Checked {
    world: World,
    schemas: Schemas,
    calls: BTreeSet<(String, String)>,
}

impl Checked {
    async fn new() -> Self {
        Self {
            world: World::open().await,
            schemas: Schemas::new(serde_json::from_str(&openapi_json()).unwrap()),
            calls: BTreeSet::new(),
        }
    }

    /// Makes a call whose path is `route` with `name` in its place, and holds the answer against
    /// the schema.
    async fn call(
        &mut self,
        method: &str,
        route: &str,
        name: &str,
        status: u16,
        body: Value,
    ) -> Value {
        let path = route
            .split('/')
            .map(|part| if part.starts_with('{') { name } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let headers: Vec<(&str, &str)> = match method {
            "PATCH" => vec![("if-match", "*")],
            _ if route.ends_with("/grants") => vec![("idempotency-key", "k")],
            _ => Vec::new(),
        };
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let reply = self.world.call(method, &path, &headers, &bytes).await;
        let answer = reply.expect(status);
        let schema = self.schemas.of_answer(method, route, status);
        let wrong = self.schemas.check(schema, &answer);
        assert!(wrong.is_empty(), "{method} {path}: {wrong:#?}\n{answer:#}");
        self.calls.insert((method.to_owned(), route.to_owned()));
        answer
    }

    async fn get(&mut self, route: &str, name: &str) -> Value {
        self.call("GET", route, name, 200, Value::Null).await
    }

    async fn act(&mut self, coupon: &str, action: &str, status: u16, body: Value) -> Value {
        let route = format!("{COUPON}/{action}");
        self.call("POST", &route, coupon, status, body).await
    }

    /// Makes a coupon; its id.
    async fn create(&mut self, body: Value) -> String {
        let made = self.call("POST", COUPONS, "", 201, body).await;
        made["id"].as_str().unwrap().to_owned()
    }
}

const COUPONS: &str = "/admin/v1/coupons";
const COUPON: &str = "/admin/v1/coupons/{id}";
const API_KEYS: &str = "/admin/v1/api-keys";
const LANES: &str = "/admin/v1/system/lanes";

/// Every field that a coupon can have, filled.
fn full() -> Value {
    json!({
        "name": "Black Friday", "description": "once", "currency": "USD", "notes": "n",
        "benefit": {"type": "threshold", "tiers": [{"spend": "50.00", "off": "5.00"}]},
        "conditions": {
            "min_spend": "20.00", "min_spend_base": "after_this",
            "products": {
                "include": {"skus": ["S-1"], "categories": ["shoes"], "brands": ["b"], "tags": ["t"]},
                "exclude": {"skus": ["S-9"]},
            },
            "users": {"kind": "groups", "groups": ["vip"]},
            "verified": ["phone", "email"],
            "windows": [{"days": ["fri", "sat"], "from": "18:00", "to": "02:00", "zone": "Asia/Shanghai"}],
            "channels": ["web"],
        },
        "stacking": {
            "stage": "shipping", "priority": 7, "group": "exclusive", "base": "initial", "tags": ["x"],
        },
        "limits": {
            "total": 1_000, "per_user": 2, "per_device": 1, "per_ip": 3, "uses_per_claim": 2,
            "uses_per_user": {"count": 1, "period": "month"}, "budget": "500.00",
            "budget_partial": "grant_rest",
        },
        "claim_window": {"starts_at": "2026-11-27T00:00:00Z", "ends_at": "2027-11-28T00:00:00Z"},
        "validity": {"type": "relative", "days": 7, "until": "end_of_day", "zone": "UTC"},
        "durability": "hot",
    })
}

/// Coupons that between them have every variant.
fn variants() -> Vec<Value> {
    let with = |changes: Value| {
        let mut coupon = minimal();
        for (key, value) in changes.as_object().unwrap() {
            coupon[key] = value.clone();
        }
        coupon
    };
    vec![
        full(),
        with(json!({"benefit": {"type": "percent", "basis_points": 1500, "max_off": "30.00"}})),
        with(json!({"benefit": {"type": "percent", "basis_points": 1500},
            "validity": {"type": "permanent"}})),
        with(
            json!({"benefit": {"type": "product", "sku": "P", "quantity": 1, "max_value": "9.90"},
            "limits": {"total": null}}),
        ),
        with(json!({"validity": {"type": "fixed",
            "starts_at": "2026-11-27T00:00:00Z", "ends_at": "2027-01-01T00:00:00Z"}})),
    ]
}

#[tokio::test]
async fn answers_of_every_route_fit_their_schemas() {
    let mut checked = Checked::new().await;
    coupons(&mut checked).await;
    claims_and_audit(&mut checked).await;
    keys(&mut checked).await;
    lanes(&mut checked).await;
    checked.get("/admin/v1/whoami", "").await;
    let log = checked.get("/admin/v1/audit-log", "").await;
    assert!(log["items"].as_array().unwrap().len() > 10, "{log}");
    let named: BTreeSet<_> = calls().into_iter().collect();
    assert_eq!(checked.calls, named, "each call of the document is made");
}

async fn coupons(checked: &mut Checked) {
    for body in variants() {
        let id = checked.create(body).await;
        checked.get(COUPON, &id).await;
        checked.act(&id, "publish", 200, Value::Null).await;
        checked.get(COUPON, &id).await;
    }
    let id = checked.create(minimal()).await;
    checked.act(&id, "publish", 200, Value::Null).await;
    checked.act(&id, "pause", 200, Value::Null).await;
    checked.act(&id, "resume", 200, Value::Null).await;
    checked.act(&id, "stock", 200, json!({"total": 200})).await;
    let edit = json!({"benefit": {"type": "fixed", "off": "6.00"}});
    checked.call("PATCH", COUPON, &id, 200, edit).await;
    let versions = checked.get(&format!("{COUPON}/versions"), &id).await;
    assert_eq!(versions["items"].as_array().unwrap().len(), 2, "{versions}");
    checked.act(&id, "duplicate", 201, Value::Null).await;
    checked.act(&id, "end", 200, Value::Null).await;
    checked.act(&id, "archive", 200, Value::Null).await;
    let silent = StoreError::Unavailable {
        reason: "no route".to_owned(),
    };
    checked.world.hot.fail_next(ModelOp::Figures, silent);
    let page = checked.get(COUPONS, "").await;
    assert!(page["items"].as_array().unwrap().len() > 5, "{page}");
    assert!(page.to_string().contains("\"note\""), "{page}");
}

async fn claims_and_audit(checked: &mut Checked) {
    let id = checked.create(minimal()).await;
    checked.act(&id, "publish", 200, Value::Null).await;
    let coupon = id.parse().unwrap();
    checked.world.keeper.stock_up(coupon, 50).await;
    checked.world.keeper.claim(coupon, 0..3).await;
    let lane = checked.world.keeper.lane_of(coupon);
    checked.world.keeper.drain(lane).await;
    let claims = checked.get(&format!("{COUPON}/claims"), &id).await;
    assert_eq!(claims["items"].as_array().unwrap().len(), 3, "{claims}");
    grants_and_reasons(checked, &id, &claims["items"][0]).await;
    let report = checked.get(&format!("{COUPON}/audit"), &id).await;
    assert_eq!(report["verdict"], "exact", "{report}");
}

async fn grants_and_reasons(checked: &mut Checked, id: &str, claim: &Value) {
    let full = ClaimOutcome::Refused(Refusal::of(ReasonCode::SoldOut));
    let told = [(UserId::new("u2").unwrap(), vec![full])];
    checked.world.grantor.told.lock().unwrap().extend(told);
    let grant = json!({"users": ["u1", "u2"], "reason": "x"});
    checked.act(id, "grants", 200, grant).await;
    let user = claim["user_id"].as_str().unwrap();
    let ask = format!("{id}/why-not?user={user}");
    let answer = checked
        .world
        .get(&format!("{COUPONS}/{ask}"))
        .await
        .expect(200);
    let route = format!("{COUPON}/why-not");
    let schema = checked.schemas.of_answer("GET", &route, 200);
    assert_eq!(
        checked.schemas.check(schema, &answer),
        [""; 0],
        "{answer:#}"
    );
    checked.calls.insert(("GET".to_owned(), route));
    let cart = json!({"currency": "USD", "lines": [{"id": "a", "sku": "A", "quantity": 1, "unit_price": "1.00"}]});
    for user in [user, "nobody"] {
        let ask = json!({"user_id": user, "coupon_id": id, "cart": cart});
        checked
            .call("POST", "/admin/v1/cannot-use", "", 200, ask)
            .await;
    }
}

async fn keys(checked: &mut Checked) {
    let role = json!({"label": "ci", "role": "viewer", "expires_at": "2027-01-01T00:00:00Z"});
    let made = checked.call("POST", API_KEYS, "", 201, role).await;
    let scopes = json!({"scopes": ["checkout", "events"]});
    checked.call("POST", API_KEYS, "", 201, scopes).await;
    let prefix = made["prefix"].as_str().unwrap().to_owned();
    let route = format!("{API_KEYS}/{{prefix}}");
    checked
        .call("DELETE", &route, &prefix, 200, Value::Null)
        .await;
    let listed = checked.get(API_KEYS, "").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 3, "{listed}");
}

async fn lanes(checked: &mut Checked) {
    let silent = StoreError::Unavailable {
        reason: "no route".to_owned(),
    };
    checked.world.hot.fail_next(ModelOp::Facts, silent);
    checked.get(LANES, "").await;
    let accept = json!({"accept_ledger": true});
    let recover = format!("{LANES}/{{lane}}/recover");
    checked.call("POST", &recover, "2", 200, accept).await;
    let release = format!("{LANES}/{{lane}}/release");
    checked.call("POST", &release, "0", 200, Value::Null).await;
}

/// Problems may have members of their own; what the schema names is as it says.
#[tokio::test]
async fn problems_fit_their_schema() {
    let checked = Checked::new().await;
    let problem = checked.schemas.named("Problem");
    let named = problem["properties"].as_object().unwrap();
    let bodies = [
        checked.world.get("/nothing").await,
        checked.world.get("/admin/v1/coupons?limit=x&y=1").await,
        checked.world.post(COUPONS, json!({"name": 1})).await,
        checked
            .world
            .post("/admin/v1/system/lanes/3/release", Value::Null)
            .await,
        checked
            .world
            .post("/admin/v1/system/lanes/1/recover", json!({}))
            .await,
        checked.world.call("DELETE", COUPONS, &[], b"").await,
    ];
    let statuses: Vec<u16> = bodies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [404, 400, 400, 503, 409, 405]);
    for reply in bodies {
        let mut body = reply.json();
        let members = body.as_object_mut().unwrap();
        members.retain(|name, _value| named.contains_key(name));
        let wrong = checked.schemas.check(problem, &body);
        assert!(wrong.is_empty(), "{wrong:#?}\n{body:#}");
    }
}
