//! `POST /v1/quotes` and `POST /v1/wallet/match`: a cart is priced, nothing is changed.

use http::StatusCode;
use sluice_checkout::Ask;
use sluice_domain::input::{self, QuoteRequest};
use sluice_domain::pricing::Choose;
use sluice_domain::reason::ReasonCode;
use sluice_domain::render;

use crate::claims::Claims;
use crate::customer::Customer;
use crate::handlers::claim_by_code;
use crate::respond::{self, Reply, Stop};
use crate::service::checkout::Call;

/// Prices a cart with the claims and codes asked for, or with the best of the wallet.
pub(crate) async fn quote<C: Claims>(call: Call<'_, C>, body: &[u8]) -> Result<Reply, Stop> {
    let request = input::quote(body).map_err(respond::checkout::invalid)?;
    let ask = ask(call.customer, request)?;
    if !ask.codes.is_empty() {
        claim_by_code::listen(&call, &ask.buyer)?;
    }
    let now = call.edge.identity.now();
    Ok(match call.edge.checkout.quote(&ask, now).await {
        Ok(Ok(quote)) => json(StatusCode::OK, &render::QuoteBody::of(&quote)),
        Ok(Err(refused)) => {
            if refused.code == ReasonCode::CodeNotAccepted {
                claim_by_code::count_wrong(&call, &ask.buyer);
            }
            respond::checkout::refused(&refused, call.context)
        }
        Err(error) => respond::checkout::fault(&error, call.context),
    })
}

/// What each claim of the wallet would do for a cart.
pub(crate) async fn match_cart<C: Claims>(call: Call<'_, C>, body: &[u8]) -> Result<Reply, Stop> {
    let request = input::wallet_match(body).map_err(respond::checkout::invalid)?;
    let ask = Ask {
        buyer: call.customer.buyer(request.principal)?,
        cart: request.cart,
        claims: Vec::new(),
        codes: Vec::new(),
        choose: Choose::Best,
    };
    let now = call.edge.identity.now();
    Ok(match call.edge.checkout.match_cart(&ask, now).await {
        Ok(Ok(matched)) => json(StatusCode::OK, &render::MatchBody::of(&matched)),
        Ok(Err(refused)) => respond::checkout::refused(&refused, call.context),
        Err(error) => respond::checkout::fault(&error, call.context),
    })
}

/// What a body asks for, by this caller.
pub(crate) fn ask(customer: &Customer, request: QuoteRequest) -> Result<Ask, Stop> {
    Ok(Ask {
        buyer: customer.buyer(request.principal)?,
        cart: request.cart,
        claims: request.claims,
        codes: request.codes,
        choose: request.choose,
    })
}

/// A JSON answer. Plain values with text keys always have a JSON form.
pub(crate) fn json<T: serde::Serialize>(status: StatusCode, body: &T) -> Reply {
    Reply::json(status, serde_json::to_vec(body).unwrap_or_default())
}
