//! One request at the checkout, and what its answer means to the history.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_domain::id::{ClaimId, OrderId, RedemptionId};
use sluice_domain::invariant::checkout::{Asked, CheckoutAnswer, CheckoutAttempt};
use sluice_domain::money;
use sluice_domain::redemption::RedemptionStatus;
use sluice_domain::terms::Currency;
use sluice_domain::time::Timestamp;

use crate::http::{CallError, Connection, Reply};
use crate::shopper::{Pass, ProblemBody};
use crate::tally::now;

/// The currency of all carts.
const CURRENCY: Currency = Currency(*b"USD");

/// An order of a user.
pub(super) struct Order {
    /// Whose, by number.
    pub(super) user: usize,
    pub(super) id: OrderId,
    /// What to hold for it.
    pub(super) claims: Vec<ClaimId>,
}

#[derive(Deserialize)]
struct HeldBody {
    redemption_id: RedemptionId,
    status: RedemptionStatus,
    held_until: Timestamp,
    applied: Vec<AppliedBody>,
}

#[derive(Deserialize)]
struct AppliedBody {
    claim_id: ClaimId,
}

#[derive(Deserialize)]
struct RefundBody {
    refund: String,
    claims_returned: Vec<ClaimId>,
}

// === impl Order ===

impl Order {
    /// The hold of so many pieces.
    pub(super) fn body(&self, quantity: u32) -> Value {
        let line = json!({
            "id": "l1", "sku": "A-1", "quantity": quantity, "unit_price": "30.01",
        });
        json!({
            "order_id": self.id,
            "cart": {"currency": "USD", "lines": [line], "shipping": {"price": "4.99"}},
            "claims": self.claims,
            "choose": "given",
        })
    }
}

/// Asks once; the answer, and the attempt to be recorded.
pub(super) async fn ask(
    connection: &mut Connection,
    pass: &Pass,
    order: &Order,
    redemption: Option<RedemptionId>,
    asked: &Asked,
    body: &Value,
) -> (CheckoutAnswer, CheckoutAttempt) {
    let verb = match asked {
        Asked::Hold => "",
        Asked::Confirm => "/confirm",
        Asked::Cancel => "/cancel",
        Asked::Refund(_) => "/refunds",
    };
    let of = redemption.map_or_else(String::new, |id| format!("/{id}"));
    let path = format!("/v1/redemptions{of}{verb}");
    let headers = [
        ("authorization", pass.authorization.as_str()),
        ("x-forwarded-for", pass.address.as_str()),
        ("content-type", "application/json"),
    ];
    let text = if body.is_null() {
        "{}".to_owned()
    } else {
        body.to_string()
    };
    let sent_at = now();
    let reply = connection.call(Method::POST, &path, &headers, text).await;
    let answer = read(reply, redemption, asked);
    let attempt = CheckoutAttempt {
        sent_at,
        answered_at: now(),
        order: order.id.clone(),
        asked: asked.clone(),
        answer: answer.clone(),
    };
    (answer, attempt)
}

/// Anything that cannot be read counts as unknown: that is what a client would have to believe.
fn read(
    reply: Result<Reply, CallError>,
    redemption: Option<RedemptionId>,
    asked: &Asked,
) -> CheckoutAnswer {
    let reply = match reply {
        Ok(reply) => reply,
        Err(CallError::NotSent(_why)) => return CheckoutAnswer::NotApplied,
        Err(CallError::NoAnswer(_why)) => return CheckoutAnswer::Unknown,
    };
    let status = reply.status.as_u16();
    if let 200 | 201 = status {
        let done = match (asked, redemption) {
            (Asked::Refund(_), Some(redemption)) => refunded(&reply.body, redemption),
            _other => settled(&reply.body),
        };
        return done.unwrap_or(CheckoutAnswer::Unknown);
    }
    match serde_json::from_slice::<ProblemBody>(&reply.body) {
        Ok(problem) if status == 503 => match problem.outcome.as_deref() {
            Some("not_applied") => CheckoutAnswer::NotApplied,
            _other => CheckoutAnswer::Unknown,
        },
        Ok(problem) if (400..500).contains(&status) => CheckoutAnswer::Refused(problem.code),
        Ok(_) | Err(_) => CheckoutAnswer::Unknown,
    }
}

/// A redemption as it was left, or as it stands where the same hold was asked for again.
fn settled(body: &[u8]) -> Option<CheckoutAnswer> {
    let body: HeldBody = serde_json::from_slice(body).ok()?;
    let redemption = body.redemption_id;
    let claims = body.applied.iter().map(|applied| applied.claim_id);
    Some(match body.status {
        RedemptionStatus::Held => CheckoutAnswer::Held {
            redemption,
            held_until: body.held_until,
            claims: claims.collect(),
        },
        RedemptionStatus::Confirmed
        | RedemptionStatus::PartiallyRefunded
        | RedemptionStatus::Refunded => CheckoutAnswer::Confirmed {
            redemption,
            claims: claims.collect(),
        },
        RedemptionStatus::Cancelled => CheckoutAnswer::Cancelled { redemption },
        RedemptionStatus::Expired => return None,
    })
}

fn refunded(body: &[u8], redemption: RedemptionId) -> Option<CheckoutAnswer> {
    let body: RefundBody = serde_json::from_slice(body).ok()?;
    Some(CheckoutAnswer::Refunded {
        redemption,
        amount: money::parse(&body.refund, CURRENCY).ok()?,
        claims_returned: body.claims_returned,
    })
}
