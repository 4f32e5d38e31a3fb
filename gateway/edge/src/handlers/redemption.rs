//! `GET /v1/redemptions/{id}`, and its two ends: `/confirm` and `/cancel`.

use http::StatusCode;
use sluice_checkout::{Answer, Operation, Settled};
use sluice_domain::id::{RedemptionId, UserId};
use sluice_domain::input;
use sluice_domain::render::{QuoteBody, RedemptionBody};

use crate::claims::Claims;
use crate::handlers::quote::json;
use crate::respond::{self, Reply, Stop};
use crate::service::checkout::Call;

/// A redemption with its transitions. Foreign, unknown and malformed ids are answered alike.
pub(crate) async fn read<C: Claims>(call: Call<'_, C>, id: &str) -> Result<Reply, Stop> {
    let Ok(id) = id.parse::<RedemptionId>() else {
        return Ok(respond::not_found(call.context));
    };
    let owner = call.customer.owner(None)?;
    let now = call.edge.identity.now();
    let found = call.edge.checkout.redemption(id, owner.as_ref()).await;
    Ok(match found {
        Ok(Ok((redemption, events))) => {
            let quote = QuoteBody::of(&redemption.record.quote);
            let body = RedemptionBody::with_history(&redemption, quote, &events, now);
            json(StatusCode::OK, &body)
        }
        Ok(Err(refused)) => respond::checkout::refused(&refused, call.context),
        Err(error) => respond::checkout::fault(&error, call.context),
    })
}

/// The order is paid.
pub(crate) async fn confirm<C: Claims>(
    call: Call<'_, C>,
    id: &str,
    body: &[u8],
) -> Result<Reply, Stop> {
    let Ok(id) = id.parse::<RedemptionId>() else {
        return Ok(respond::not_found(call.context));
    };
    let user = input::for_user(body).map_err(respond::checkout::invalid)?;
    let operation = operation(&call, user)?;
    let now = call.edge.identity.now();
    let settled = call.edge.checkout.confirm(id, &operation, now).await;
    Ok(reply(&call, settled, StatusCode::OK))
}

/// The order is given up.
pub(crate) async fn cancel<C: Claims>(
    call: Call<'_, C>,
    id: &str,
    body: &[u8],
) -> Result<Reply, Stop> {
    let Ok(id) = id.parse::<RedemptionId>() else {
        return Ok(respond::not_found(call.context));
    };
    let user = input::for_user(body).map_err(respond::checkout::invalid)?;
    let operation = operation(&call, user)?;
    let now = call.edge.identity.now();
    let settled = call.edge.checkout.cancel(id, &operation, now).await;
    Ok(reply(&call, settled, StatusCode::OK))
}

/// Who asks, under which key.
pub(crate) fn operation<C: Claims>(
    call: &Call<'_, C>,
    named: Option<UserId>,
) -> Result<Operation, Stop> {
    Ok(Operation {
        owner: call.customer.owner(named)?,
        actor: call.customer.actor(),
        key: call.key.map(str::to_owned),
    })
}

/// The answer to a transition; `status` where it was carried out now.
pub(crate) fn reply<C: Claims>(
    call: &Call<'_, C>,
    settled: Answer<Settled>,
    status: StatusCode,
) -> Reply {
    match settled {
        Ok(Ok(settled)) => {
            let status = if settled.replayed {
                StatusCode::OK
            } else {
                status
            };
            let quote = QuoteBody::of(&settled.redemption.record.quote);
            let mut reply = json(status, &RedemptionBody::of(&settled.redemption, quote));
            reply.replayed = settled.replayed;
            reply
        }
        Ok(Err(refused)) => respond::checkout::refused(&refused, call.context),
        Err(error) => respond::checkout::fault(&error, call.context),
    }
}
