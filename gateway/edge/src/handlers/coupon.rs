//! `GET /v1/coupons/{id}`: a published coupon, for anybody.

use http::StatusCode;
use sluice_claim::outcome::CouponLookup;
use sluice_domain::id::CouponId;

use crate::claims::Claims;
use crate::context::RequestContext;
use crate::respond::{self, Reply};
use crate::server::Edge;
use crate::wire;

/// Shows a coupon. Shared caches may keep it for a second: that is how late a refusal may be too.
pub(crate) async fn handle<C: Claims>(
    edge: &Edge<C>,
    coupon: &str,
    context: &RequestContext,
) -> Reply {
    let Ok(coupon) = coupon.parse::<CouponId>() else {
        return respond::not_found(context);
    };
    match edge.claims.coupon(coupon).await {
        CouponLookup::Found {
            published,
            stock,
            now,
        } => {
            let mut reply = Reply::json(StatusCode::OK, wire::coupon(&published, stock, now));
            reply.public = true;
            reply
        }
        CouponLookup::NotFound => respond::not_found(context),
        CouponLookup::Unavailable(fault) => respond::unavailable(fault, context),
    }
}
