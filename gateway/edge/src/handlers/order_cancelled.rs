//! `POST /v1/orders/{id}/cancelled`: a service says that an order was cancelled.

use http::StatusCode;
use serde::Serialize;
use sluice_checkout::{CancelledClaim, CancelledOrder, Done};
use sluice_claim::outcome::{LookupOutcome, Unavailable};
use sluice_domain::id::{ClaimId, CouponId, OrderId, UserId};
use sluice_domain::input;
use sluice_domain::redemption::ClaimUse;
use sluice_domain::time::Timestamp;

use crate::claims::Claims;
use crate::handlers::quote::json;
use crate::respond::{self, Reply, Stop};
use crate::service::backend::Call;

/// When a claim that was granted is expected to be a row of the ledger, in milliseconds.
const ROW_AFTER_MS: u32 = 1_000;

#[derive(Serialize)]
struct Body<'a> {
    order_id: &'a OrderId,
    cancelled_at: Timestamp,
    claims: Vec<ClaimBody<'a>>,
}

#[derive(Serialize)]
struct ClaimBody<'a> {
    claim_id: ClaimId,
    coupon_id: CouponId,
    user_id: UserId,
    /// `revoked`, `flagged` or `not_granted`.
    outcome: &'static str,
    /// With `flagged`: by what it is in use.
    uses: Vec<UseBody<'a>>,
}

#[derive(Serialize)]
struct UseBody<'a> {
    order_id: &'a OrderId,
    /// `held` or `used`.
    status: &'static str,
    held_until: Option<Timestamp>,
}

/// Takes back what was granted because of the order and is not used, flags what is. Repeating it is
/// harmless. A claim that was granted and is no row yet is answered 503: the same request again
/// finds it.
pub(crate) async fn handle<C: Claims>(
    call: Call<'_, C>,
    order: &str,
    body: &[u8],
) -> Result<Reply, Stop> {
    let Ok(order) = order.parse::<OrderId>() else {
        return Ok(respond::not_found(call.context));
    };
    input::nothing(body).map_err(respond::checkout::invalid)?;
    let now = call.edge.identity.now();
    let (checkout, actor) = (&call.edge.checkout, call.actor());
    let cancelled = match checkout.cancel_order(&order, &actor, now).await {
        Ok(cancelled) => cancelled,
        Err(error) => return Ok(respond::checkout::fault(&error, call.context)),
    };
    for claim in &cancelled.claims {
        if claim.done == Done::NoRow
            && let Some(fault) = on_its_way(&call, claim).await
        {
            return Ok(respond::unavailable(fault, call.context));
        }
    }
    Ok(json(StatusCode::OK, &Body::of(&cancelled)))
}

/// Whether a claim that is no row may yet become one. The claim engine is asked about those alone.
async fn on_its_way<C: Claims>(call: &Call<'_, C>, claim: &CancelledClaim) -> Option<Unavailable> {
    match call.edge.claims.lookup(claim.claim_id, &claim.user).await {
        LookupOutcome::NotFound => None,
        LookupOutcome::Found(_) => Some(Unavailable::unknown(ROW_AFTER_MS)),
        LookupOutcome::Unavailable(fault) => Some(Unavailable::unknown(fault.retry_after_ms)),
    }
}

// === impl Body ===

impl<'a> Body<'a> {
    fn of(cancelled: &'a CancelledOrder) -> Self {
        Self {
            order_id: &cancelled.order,
            cancelled_at: cancelled.cancelled_at,
            claims: cancelled.claims.iter().map(ClaimBody::of).collect(),
        }
    }
}

// === impl ClaimBody ===

impl<'a> ClaimBody<'a> {
    fn of(claim: &'a CancelledClaim) -> Self {
        let (outcome, uses): (_, &[ClaimUse]) = match &claim.done {
            Done::NoRow | Done::Refused => ("not_granted", &[]),
            Done::Revoked => ("revoked", &[]),
            Done::Flagged(uses) => ("flagged", uses),
        };
        Self {
            claim_id: claim.claim_id,
            coupon_id: claim.claim_id.coupon(),
            user_id: claim.user,
            outcome,
            uses: uses.iter().map(UseBody::of).collect(),
        }
    }
}

// === impl UseBody ===

impl<'a> UseBody<'a> {
    fn of(one: &'a ClaimUse) -> Self {
        Self {
            order_id: &one.order,
            status: if one.held_until.is_some() {
                "held"
            } else {
                "used"
            },
            held_until: one.held_until,
        }
    }
}
