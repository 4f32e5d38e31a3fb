//! `GET /v1/claims/{id}`: a claim's status of now, and the poll after a 202.

use http::StatusCode;
use sluice_checkout::WalletItem;
use sluice_claim::outcome::{ClaimView, LookupOutcome};
use sluice_domain::claim::ClaimStatus;
use sluice_domain::id::ClaimId;

use crate::claims::Claims;
use crate::context::RequestContext;
use crate::identity::Caller;
use crate::respond::{self, Reply};
use crate::server::Edge;
use crate::wire;

/// Looks a claim up for its owner. Foreign, unknown and malformed ids are answered alike.
///
/// Whether it is there is the claim engine's word; whether an order holds it or has used it is the
/// ledger's alone. Where hot state is away, a claim that is a row is answered all the same.
pub(crate) async fn handle<C: Claims>(
    edge: &Edge<C>,
    claim: &str,
    caller: &Caller,
    context: &RequestContext,
) -> Reply {
    let Ok(claim) = claim.parse::<ClaimId>() else {
        return respond::no_such_claim(context);
    };
    let user = &caller.shopper.user;
    let looked_up = edge.claims.lookup(claim, user).await;
    match &looked_up {
        LookupOutcome::NotFound => return respond::no_such_claim(context),
        LookupOutcome::Found(view)
            if matches!(view.status, ClaimStatus::Pending | ClaimStatus::Revoked) =>
        {
            return Reply::json(StatusCode::OK, wire::claim(view));
        }
        LookupOutcome::Found(_) | LookupOutcome::Unavailable(_) => {}
    }
    let item = edge.checkout.wallet_item(claim, user, edge.identity.now());
    match (item.await, looked_up) {
        (Ok(Some(item)), _) => {
            let body = wire::claim_now(&view_of(&item), &item.held);
            Reply::json(StatusCode::OK, body)
        }
        // Granted in hot state and not a row yet: nothing can hold it.
        (Ok(None), LookupOutcome::Found(view)) => Reply::json(StatusCode::OK, wire::claim(&view)),
        (_, LookupOutcome::Unavailable(fault)) => respond::unavailable(fault, context),
        (Err(error), LookupOutcome::Found(_)) => respond::checkout::fault(&error, context),
        (Ok(None) | Err(_), LookupOutcome::NotFound) => respond::no_such_claim(context),
    }
}

/// A claim as its row and its uses tell.
pub(crate) fn view_of(item: &WalletItem) -> ClaimView {
    ClaimView {
        claim_id: item.row.claim_id,
        coupon: item.row.coupon,
        user: item.row.user,
        version: item.row.version,
        durability: item.row.durability,
        granted_at: item.row.granted_at,
        valid_from: item.valid_from,
        expires_at: item.expires_at,
        status: item.status,
    }
}
