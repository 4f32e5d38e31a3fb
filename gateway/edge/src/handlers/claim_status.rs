//! `GET /v1/claims/{id}`: a claim's status of now, and the poll after a 202.

use http::StatusCode;
use sluice_claim::outcome::LookupOutcome;
use sluice_domain::id::ClaimId;

use crate::claims::Claims;
use crate::context::RequestContext;
use crate::identity::Caller;
use crate::respond::{self, Reply};
use crate::server::Edge;
use crate::wire;

/// Looks a claim up for its owner. Foreign, unknown and malformed ids are answered alike.
pub(crate) async fn handle<C: Claims>(
    edge: &Edge<C>,
    claim: &str,
    caller: &Caller,
    context: &RequestContext,
) -> Reply {
    let Ok(claim) = claim.parse::<ClaimId>() else {
        return respond::no_such_claim(context);
    };
    match edge.claims.lookup(claim, &caller.shopper.user).await {
        LookupOutcome::Found(view) => Reply::json(StatusCode::OK, wire::claim(&view)),
        LookupOutcome::NotFound => respond::no_such_claim(context),
        LookupOutcome::Unavailable(fault) => respond::unavailable(fault, context),
    }
}
