//! `POST /v1/claims`: a public code for a claim.

use sluice_claim::outcome::{ClaimOutcome, Refusal};
use sluice_domain::input;
use sluice_domain::pricing::Buyer;
use sluice_domain::reason::ReasonCode;

use crate::claims::Claims;
use crate::customer::Customer;
use crate::handlers::claim;
use crate::respond::{self, Reply, Stop};
use crate::service::checkout::Call;

/// Claims the coupon behind a code. Unknown, closed and foreign codes are answered alike.
pub(crate) async fn handle<C: Claims>(call: Call<'_, C>, body: &[u8]) -> Result<Reply, Stop> {
    let asked = input::claim_by_code(body).map_err(respond::checkout::invalid)?;
    let buyer = call.customer.buyer(asked.principal)?;
    listen(&call, &buyer)?;
    let coupon = match call.edge.checkout.coupon_by_code(&asked.code).await {
        Ok(Some(coupon)) => coupon,
        Ok(None) => return Ok(not_accepted(&call, &buyer)),
        Err(error) => return Ok(respond::checkout::fault(&error, call.context)),
    };
    let shopper = call.customer.shopper(&buyer);
    let key = call.key.or(coupon.spec.code.as_deref());
    let outcome = call
        .edge
        .claims
        .claim_by_code(coupon.id, &shopper, call.address, key);
    Ok(reply(&call, &buyer, outcome.await))
}

/// The answer to a claim by code.
pub(crate) fn reply<C: Claims>(call: &Call<'_, C>, buyer: &Buyer, outcome: ClaimOutcome) -> Reply {
    match outcome {
        ClaimOutcome::Refused(refusal) if tells_of_a_code(&refusal) => not_accepted(call, buyer),
        outcome => claim::reply(call.edge, outcome, call.context),
    }
}

/// Whether codes of this caller are listened to.
pub(crate) fn listen<C: Claims>(call: &Call<'_, C>, buyer: &Buyer) -> Result<(), Stop> {
    match (&call.edge.limits, call.customer) {
        (Some(limits), Customer::Shopper(_)) => limits
            .check_codes(buyer.user.as_bytes(), call.address)
            .map_err(|retry_after_ms| Stop::WrongCodes { retry_after_ms }),
        _ => Ok(()),
    }
}

/// Counts a code that was not accepted.
pub(crate) fn count_wrong<C: Claims>(call: &Call<'_, C>, buyer: &Buyer) {
    if let (Some(limits), Customer::Shopper(_)) = (&call.edge.limits, call.customer) {
        limits.count_wrong_code(buyer.user.as_bytes(), call.address);
    }
}

fn not_accepted<C: Claims>(call: &Call<'_, C>, buyer: &Buyer) -> Reply {
    count_wrong(call, buyer);
    Stop::Code(ReasonCode::CodeNotAccepted).reply(call.context)
}

/// Whether a refusal would tell somebody who guesses that there is such a code: it is closed, or
/// not for them. Whoever may have the coupon hears what is in the way (it is sold out, they have
/// one, their token lacks the device).
fn tells_of_a_code(refusal: &Refusal) -> bool {
    match refusal.code {
        ReasonCode::NotFound
        | ReasonCode::NotStarted
        | ReasonCode::Ended
        | ReasonCode::Paused
        | ReasonCode::Archived
        | ReasonCode::OutsideTimeWindow
        | ReasonCode::NotEligible
        | ReasonCode::Blocked => true,
        ReasonCode::VerificationRequired => refusal
            .reasons
            .iter()
            .any(|reason| reason.condition != "limits.per_device"),
        _ => false,
    }
}
