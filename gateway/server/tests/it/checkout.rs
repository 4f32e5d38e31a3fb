//! Checkout through the whole binary: from the claim to the last refund, in the shapes of the
//! contract; and what happens when parts of the machine are away.

use serde_json::{Value, json};

use crate::http::{Reply, call, wait_for};
use crate::process::{Place, Running, run, text};

mod benefits;
mod codes;
mod expiry;
mod explain;
mod outage;
mod service;
mod steps;

/// Somebody who calls the data plane: a shopper by token, or a service by key.
pub(super) struct Caller {
    data: String,
    bearer: String,
}

impl Caller {
    pub(super) fn new(server: &Running, credential: &str) -> Self {
        Self {
            data: server.url("data").to_owned(),
            bearer: format!("Bearer {credential}"),
        }
    }

    pub(super) fn shopper(place: &Place, server: &Running, user: &str) -> Self {
        Self::new(server, &place.token(user))
    }

    pub(super) fn get(&self, path: &str) -> Reply {
        let headers = [("authorization", &*self.bearer)];
        call(&self.data, "GET", path, &headers, "").unwrap()
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Reply {
        let headers = [
            ("authorization", &*self.bearer),
            ("content-type", "application/json"),
        ];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        call(&self.data, "POST", path, &headers, &body).unwrap()
    }

    /// Claims the coupon and returns the claim's id.
    pub(super) fn claims(&self, server: &Running, coupon: &str) -> String {
        let token = self.bearer.strip_prefix("Bearer ").unwrap();
        let said = server.claim_patiently(coupon, token);
        assert_eq!(said.status, 201, "{said:?}");
        id_in(&said.json(), "claim_id")
    }

    /// Claims by a public code until the answer is final: the coupon may be warming up.
    pub(super) fn claims_by_code(&self, code: &str) -> Reply {
        wait_for("a code to be decided", 30, || {
            let said = self.post("/v1/claims", &json!({"code": code}));
            (said.status != 503 && said.status != 202).then_some(said)
        })
    }

    /// Holds these claims for an order and returns the answer, which must be a new hold.
    pub(super) fn holds(&self, order: &str, cart: &Value, claims: &[&str]) -> Value {
        let body = json!({"cart": cart, "claims": claims, "order_id": order});
        let said = self.post("/v1/redemptions", &body);
        assert_eq!(said.status, 201, "{said:?}");
        said.json()
    }

    pub(super) fn confirm(&self, redemption: &str) -> Reply {
        let path = format!("/v1/redemptions/{redemption}/confirm");
        self.post(&path, &Value::Null)
    }

    pub(super) fn cancel(&self, redemption: &str) -> Reply {
        let path = format!("/v1/redemptions/{redemption}/cancel");
        self.post(&path, &Value::Null)
    }

    pub(super) fn refund(&self, redemption: &str, body: &Value) -> Reply {
        self.post(&format!("/v1/redemptions/{redemption}/refunds"), body)
    }

    pub(super) fn redemption(&self, redemption: &str) -> Reply {
        self.get(&format!("/v1/redemptions/{redemption}"))
    }

    /// The status of a claim, as its owner sees it.
    pub(super) fn claim_status(&self, claim: &str) -> Value {
        let said = self.get(&format!("/v1/claims/{claim}"));
        assert_eq!(said.status, 200, "{said:?}");
        said.json()["status"].clone()
    }
}

/// A service's key with this scope.
pub(super) fn key(place: &Place, scope: &str) -> String {
    let data = place.data();
    let data = data.to_str().unwrap();
    let made = run(&["key", "create", "--data-dir", data, "--scope", scope]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    text(&made.stdout).trim().to_owned()
}

/// A coupon of 5 off from 50 and 15 off from 100, as the contract's example has it.
pub(super) fn threshold() -> Value {
    json!({"name": "Spend and save", "benefit": {"type": "threshold", "tiers": [
        {"spend": "50.00", "off": "5.00"}, {"spend": "100.00", "off": "15.00"}]}})
}

/// Two pairs of shoes at 30.00, shipped for 5.00: the contract's example.
pub(super) fn shoes() -> Value {
    json!({
        "currency": "USD", "shipping": {"price": "5.00"}, "channel": "web",
        "lines": [{"id": "l1", "sku": "A-1", "quantity": 2, "unit_price": "30.00",
            "categories": ["shoes"], "brand": "x", "tags": [], "floor_price": "0.00"}],
    })
}

/// A cart of one line without shipping.
pub(super) fn one_line(currency: &str, sku: &str, quantity: u32, unit_price: &str) -> Value {
    let line = json!({"id": "a", "sku": sku, "quantity": quantity, "unit_price": unit_price});
    json!({"currency": currency, "lines": [line]})
}

/// An id in an answer.
pub(super) fn id_in(body: &Value, name: &str) -> String {
    let id = body[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name}: {body}"));
    id.to_owned()
}

/// The members of `body` that `wanted` names have its values, and the others are not looked at.
#[track_caller]
pub(super) fn has(body: &Value, wanted: &Value) {
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&body[name], value, "{name} of {body:#}");
    }
}

/// Two refusals are the same to whoever reads them: everything but the request's own id.
#[track_caller]
pub(super) fn alike(one: &Reply, other: &Reply) {
    let without_id = |reply: &Reply| {
        let mut body = reply.json();
        body["request_id"] = Value::Null;
        (reply.status, body)
    };
    assert_eq!(without_id(one), without_id(other));
    assert_eq!(one.body.len(), other.body.len());
}

/// Runs the audit beside the server: everything adds up.
#[track_caller]
pub(super) fn audit_is_exact(place: &Place) {
    let data = place.data();
    let audit = run(&["audit", "--data-dir", data.to_str().unwrap()]);
    assert_eq!(audit.status.code(), Some(0), "{}", text(&audit.stdout));
}
