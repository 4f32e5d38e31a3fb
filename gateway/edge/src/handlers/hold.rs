//! `POST /v1/redemptions`: claims are reserved for an order.

use http::StatusCode;
use sluice_checkout::{HoldAsk, Holding, Unclaimed};
use sluice_claim::outcome::{ClaimOutcome, Unavailable};
use sluice_domain::input;
use sluice_domain::reason::ReasonCode;

use crate::claims::Claims;
use crate::handlers::{claim_by_code, quote, redemption};
use crate::respond::{self, Reply, Stop};
use crate::service::checkout::Call;

/// When a claim that was granted is expected to be a row of the ledger, in milliseconds.
const ROW_AFTER_MS: u32 = 1_000;

/// Holds. The order id is the idempotency key: the same order and content again is answered 200.
///
/// Codes that the buyer has not claimed yet are claimed once it is sure that everything given
/// applies, at the expected total: a hold that is refused uses up no unit of any coupon.
pub(crate) async fn handle<C: Claims>(call: Call<'_, C>, body: &[u8]) -> Result<Reply, Stop> {
    let request = input::hold(body).map_err(respond::checkout::invalid)?;
    let asked = HoldAsk {
        order: request.order,
        expected_total: request.expected_total,
        actor: call.customer.actor(),
        ask: quote::ask(call.customer, request.quote)?,
    };
    if !asked.ask.codes.is_empty() {
        claim_by_code::listen(&call, &asked.ask.buyer)?;
    }
    let checkout = &call.edge.checkout;
    let mut answer = checkout.hold(&asked, call.edge.identity.now()).await;
    if let Ok(Ok(Holding::Unclaimed(unclaimed))) = answer {
        if let Err(reply) = claim_first(&call, &asked, &unclaimed).await {
            return Ok(reply);
        }
        answer = checkout.hold(&asked, call.edge.identity.now()).await;
    }
    let settled = match answer {
        Ok(Ok(Holding::Settled(settled))) => Ok(Ok(settled)),
        // Granted, and not a row yet.
        Ok(Ok(Holding::Unclaimed(_))) => return Ok(not_a_row_yet(&call)),
        Ok(Err(refused)) => {
            if refused.code == ReasonCode::CodeNotAccepted {
                claim_by_code::count_wrong(&call, &asked.ask.buyer);
            }
            Ok(Err(refused))
        }
        Err(error) => Err(error),
    };
    Ok(redemption::reply(&call, settled, StatusCode::CREATED))
}

/// Turns codes into claims that the hold can reserve: the one step of checkout that needs hot
/// state, and only for codes that the buyer has not claimed yet.
async fn claim_first<C: Claims>(
    call: &Call<'_, C>,
    asked: &HoldAsk,
    unclaimed: &[Unclaimed],
) -> Result<(), Reply> {
    let buyer = &asked.ask.buyer;
    let shopper = call.customer.shopper(buyer);
    for Unclaimed { coupon, .. } in unclaimed {
        let key = coupon.spec.code.as_deref();
        let claims = &call.edge.claims;
        let outcome = claims.claim_by_code(coupon.id, &shopper, call.address, key);
        match outcome.await {
            ClaimOutcome::Granted(_) | ClaimOutcome::Replayed(_) => {}
            ClaimOutcome::Pending(_) => return Err(not_a_row_yet(call)),
            outcome @ (ClaimOutcome::Refused(_) | ClaimOutcome::Unavailable(_)) => {
                return Err(claim_by_code::reply(call, buyer, outcome));
            }
        }
    }
    Ok(())
}

/// Nothing is held: the hold needs the claim's row.
fn not_a_row_yet<C: Claims>(call: &Call<'_, C>) -> Reply {
    let fault = Unavailable::not_applied(ReasonCode::Warming, ROW_AFTER_MS);
    respond::unavailable(fault, call.context)
}
