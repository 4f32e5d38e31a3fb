//! The phases of a request of a shop's backend that says what happened to orders, after admission:
//! identify → parse → handle. Only a service's key with the scope `events` may say so.

use bytes::Bytes;
use http::request::Parts;
use hyper::body::Body as HttpBody;
use sluice_domain::reason::ReasonCode;

use crate::claims::Claims;
use crate::context::RequestContext;
use crate::customer;
use crate::handlers;
use crate::parse;
use crate::respond::{Reply, Stop};
use crate::route::Route;
use crate::server::Edge;
use crate::service_key::ServiceKey;

/// What every handler of a backend's request gets.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a, C> {
    pub(crate) edge: &'a Edge<C>,
    pub(crate) key: &'a ServiceKey,
    pub(crate) context: &'a RequestContext,
}

pub(super) async fn run<C, B>(
    edge: &Edge<C>,
    parts: &Parts,
    body: B,
    route: Route<'_>,
    context: &RequestContext,
) -> Result<Reply, Stop>
where
    C: Claims,
    B: HttpBody<Data = Bytes> + Send + Unpin,
{
    let key = customer::service(edge, &parts.headers).await?;
    let key = key.ok_or(Stop::Code(ReasonCode::Unauthorized))?;
    if !key.events {
        return Err(Stop::Code(ReasonCode::Forbidden));
    }
    let (_key, body) = parse::read_json(&parts.headers, body, &edge.settings).await?;
    let body = body.as_deref().unwrap_or_default();
    let call = Call {
        edge,
        key: &key,
        context,
    };
    match route {
        Route::Grants => handlers::grant::handle(call, body).await,
        Route::OrderCancelled { order } => {
            handlers::order_cancelled::handle(call, order, body).await
        }
        _other => Err(Stop::Code(ReasonCode::NotFound)),
    }
}

// === impl Call ===

impl<C> Call<'_, C> {
    /// The name under which the ledger keeps what this caller does.
    pub(crate) fn actor(&self) -> String {
        format!("key:{}", self.key.prefix)
    }
}
