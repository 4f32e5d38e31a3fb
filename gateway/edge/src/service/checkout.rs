//! The phases of a checkout request, after admission: identify → parse → handle.

use std::net::IpAddr;

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use hyper::body::Body as HttpBody;
use sluice_domain::reason::ReasonCode;

use crate::claims::Claims;
use crate::context::RequestContext;
use crate::customer::Customer;
use crate::handlers;
use crate::parse;
use crate::respond::{Reply, Stop};
use crate::route::Route;
use crate::server::Edge;

/// What every handler of checkout gets.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a, C> {
    pub(crate) edge: &'a Edge<C>,
    pub(crate) customer: &'a Customer,
    /// The client's address, for limits per address.
    pub(crate) address: IpAddr,
    /// The `Idempotency-Key`.
    pub(crate) key: Option<&'a str>,
    pub(crate) context: &'a RequestContext,
}

pub(super) async fn run<C, B>(
    edge: &Edge<C>,
    parts: &Parts,
    body: B,
    route: Route<'_>,
    address: IpAddr,
    context: &RequestContext,
) -> Result<Reply, Stop>
where
    C: Claims,
    B: HttpBody<Data = Bytes> + Send + Unpin,
{
    let customer = Customer::identify(edge, &parts.headers).await?;
    let (key, body) = if parts.method == Method::POST {
        parse::read_json(&parts.headers, body, &edge.settings).await?
    } else {
        (None, None)
    };
    let call = Call {
        edge,
        customer: &customer,
        address,
        key,
        context,
    };
    let body = body.as_deref().unwrap_or_default();
    match route {
        Route::ClaimByCode => handlers::claim_by_code::handle(call, body).await,
        Route::Wallet => handlers::wallet::handle(call, parts.uri.query()).await,
        Route::Match => handlers::quote::match_cart(call, body).await,
        Route::Quotes => handlers::quote::quote(call, body).await,
        Route::Redemptions => handlers::hold::handle(call, body).await,
        Route::Redemption { redemption } => handlers::redemption::read(call, redemption).await,
        Route::Confirm { redemption } => {
            handlers::redemption::confirm(call, redemption, body).await
        }
        Route::Cancel { redemption } => handlers::redemption::cancel(call, redemption, body).await,
        Route::Refunds { redemption } => handlers::refund::handle(call, redemption, body).await,
        Route::Passes
        | Route::Claim { .. }
        | Route::ClaimStatus { .. }
        | Route::Coupon { .. }
        | Route::Grants
        | Route::OrderCancelled { .. }
        | Route::Notifications
        | Route::NotificationRead { .. }
        | Route::Unknown => Err(Stop::Code(ReasonCode::NotFound)),
    }
}
