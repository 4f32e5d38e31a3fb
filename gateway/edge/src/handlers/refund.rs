//! `POST /v1/redemptions/{id}/refunds`

use http::StatusCode;
use sluice_domain::id::RedemptionId;
use sluice_domain::input::{self, RefundWanted};
use sluice_domain::refund::Wanted;
use sluice_domain::render::RefundBody;

use crate::claims::Claims;
use crate::handlers::quote::json;
use crate::handlers::redemption::operation;
use crate::respond::{self, Reply, Stop};
use crate::service::checkout::Call;

/// Gives back. The refund id is the idempotency key.
pub(crate) async fn handle<C: Claims>(
    call: Call<'_, C>,
    id: &str,
    body: &[u8],
) -> Result<Reply, Stop> {
    let Ok(id) = id.parse::<RedemptionId>() else {
        return Ok(respond::not_found(call.context));
    };
    let request = input::refund(body).map_err(respond::checkout::invalid)?;
    let operation = operation(&call, request.user)?;
    let wanted = match request.wanted {
        RefundWanted::Full => Wanted::Everything,
        RefundWanted::Lines(lines) => Wanted::Pieces(lines),
    };
    let now = call.edge.identity.now();
    let refunded = call
        .edge
        .checkout
        .refund(id, &request.refund_id, wanted, &operation, now)
        .await;
    Ok(match refunded {
        Ok(Ok(refunded)) => {
            let body = RefundBody::of(&refunded.refund, refunded.status, refunded.currency);
            let mut reply = json(StatusCode::OK, &body);
            reply.replayed = refunded.replayed;
            reply
        }
        Ok(Err(refused)) => respond::checkout::refused(&refused, call.context),
        Err(error) => respond::checkout::fault(&error, call.context),
    })
}
