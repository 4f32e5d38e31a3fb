//! `POST /v1/grants`: a service grants a coupon because of an order.

use http::StatusCode;
use sluice_checkout::{Answer, GrantPlan, GrantTarget, OrderGrant};
use sluice_claim::outcome::{ClaimOutcome, ClaimView, LookupOutcome};
use sluice_domain::id::OrderId;
use sluice_domain::input;

use crate::claims::Claims;
use crate::handlers::{claim, claim_status};
use crate::respond::{self, Reply, Stop};
use crate::service::backend::Call;
use crate::wire;

/// Grants. The order is written down as the cause before the claim is made, and the claim's id
/// follows from coupon, user and order: a repeat is answered 200, and goes on where the first
/// attempt stopped.
///
/// Where the user has the claim for another reason (a coupon of one claim per user), the answer is
/// 200 with `"order_id": null`: it is not the order's, and stays when that is cancelled.
pub(crate) async fn handle<C: Claims>(call: Call<'_, C>, body: &[u8]) -> Result<Reply, Stop> {
    let request = input::order_grant(body).map_err(respond::checkout::invalid)?;
    let asked = OrderGrant {
        coupon: request.coupon,
        user: request.user,
        order: request.order,
    };
    let checkout = &call.edge.checkout;
    let now = call.edge.identity.now();
    let actor = call.actor();
    let target = match checkout.plan_grant(&asked, &actor, now).await {
        Ok(Ok(GrantPlan::Grant(target))) => target,
        Ok(Ok(GrantPlan::Held(item))) => return Ok(held(&claim_status::view_of(&item))),
        Ok(Ok(GrantPlan::Look(target))) => {
            if let Err(reply) = look_and_intend(&call, &asked, &target).await {
                return Ok(reply);
            }
            target
        }
        Ok(Err(refused)) => return Ok(respond::checkout::refused(&refused, call.context)),
        Err(error) => return Ok(respond::checkout::fault(&error, call.context)),
    };
    let outcome = call
        .edge
        .claims
        .grant(asked.coupon, &asked.user, &target.key)
        .await;
    Ok(write_down(&call, &asked, &target, outcome).await)
}

/// Sees that the claim is not on its way for another reason, then writes the intent.
async fn look_and_intend<C: Claims>(
    call: &Call<'_, C>,
    asked: &OrderGrant,
    target: &GrantTarget,
) -> Result<(), Reply> {
    match call.edge.claims.lookup(target.claim_id, &asked.user).await {
        LookupOutcome::Found(view) => return Err(held(&view)),
        LookupOutcome::Unavailable(fault) => return Err(respond::unavailable(fault, call.context)),
        LookupOutcome::NotFound => {}
    }
    let now = call.edge.identity.now();
    let intended = call.edge.checkout.intend_grant(asked, target, now).await;
    done(call, intended)
}

/// Writes down how the grant came out, and answers.
async fn write_down<C: Claims>(
    call: &Call<'_, C>,
    asked: &OrderGrant,
    target: &GrantTarget,
    outcome: ClaimOutcome,
) -> Reply {
    let checkout = &call.edge.checkout;
    let (view, status) = match outcome {
        ClaimOutcome::Granted(view) => (view, StatusCode::CREATED),
        ClaimOutcome::Replayed(view) => (view, StatusCode::OK),
        ClaimOutcome::Refused(refusal) => {
            if let Err(error) = checkout.note_refused(asked, target).await {
                return respond::checkout::fault(&error, call.context);
            }
            return respond::refused(&refusal, call.edge.identity.now(), call.context);
        }
        // The intent stands: the same request again goes on.
        outcome @ (ClaimOutcome::Pending(_) | ClaimOutcome::Unavailable(_)) => {
            return claim::reply(call.edge, outcome, call.context);
        }
    };
    let now = call.edge.identity.now();
    let actor = call.actor();
    let noted = checkout.note_granted(asked, target, &actor, now);
    match done(call, noted.await) {
        Ok(()) => reply(&view, status, Some(&asked.order)),
        Err(reply) => reply,
    }
}

fn done<C: Claims>(call: &Call<'_, C>, answer: Answer<()>) -> Result<(), Reply> {
    match answer {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refused)) => Err(respond::checkout::refused(&refused, call.context)),
        Err(error) => Err(respond::checkout::fault(&error, call.context)),
    }
}

/// The user has it for another reason.
fn held(view: &ClaimView) -> Reply {
    reply(view, StatusCode::OK, None)
}

fn reply(view: &ClaimView, status: StatusCode, order: Option<&OrderId>) -> Reply {
    let mut reply = Reply::json(status, wire::granted(view, order));
    reply.replayed = status == StatusCode::OK;
    reply
}
