//! `POST /v1/coupons/{id}/claims`

use std::net::IpAddr;

use http::StatusCode;
use sluice_claim::outcome::ClaimOutcome;
use sluice_domain::id::CouponId;

use crate::claims::Claims;
use crate::context::RequestContext;
use crate::identity::Caller;
use crate::respond::{self, Reply, RetryAfter};
use crate::server::Edge;
use crate::wire;

/// When a pending claim is worth a look, in milliseconds.
const POLL_AFTER_MS: u64 = 1_000;

/// Claims a coupon. A malformed id is answered like an unknown one.
pub(crate) async fn handle<C: Claims>(
    edge: &Edge<C>,
    coupon: &str,
    caller: &Caller,
    address: IpAddr,
    key: Option<&str>,
    context: &RequestContext,
) -> Reply {
    let Ok(coupon) = coupon.parse::<CouponId>() else {
        return respond::not_found(context);
    };
    let outcome = edge
        .claims
        .claim(coupon, &caller.shopper, address, key)
        .await;
    reply(edge, outcome, context)
}

/// The answer to a claim, however it was asked for.
pub(crate) fn reply<C: Claims>(
    edge: &Edge<C>,
    outcome: ClaimOutcome,
    context: &RequestContext,
) -> Reply {
    match outcome {
        ClaimOutcome::Granted(view) => Reply::json(StatusCode::CREATED, wire::claim(&view)),
        ClaimOutcome::Replayed(view) => {
            let mut reply = Reply::json(StatusCode::OK, wire::claim(&view));
            reply.replayed = true;
            reply
        }
        ClaimOutcome::Pending(claim_id) => {
            let mut reply = Reply::json(StatusCode::ACCEPTED, wire::pending(claim_id));
            reply.retry_after = Some(RetryAfter {
                millis: POLL_AFTER_MS,
            });
            reply
        }
        ClaimOutcome::Refused(refusal) => respond::refused(&refusal, edge.identity.now(), context),
        ClaimOutcome::Unavailable(fault) => respond::unavailable(fault, context),
    }
}
