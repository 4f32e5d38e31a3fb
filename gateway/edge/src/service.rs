//! The phases of a request, in order.

pub(crate) mod backend;
pub(crate) mod checkout;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Body as HttpBody;
use sluice_domain::reason::ReasonCode;

use crate::admission::Class;
use crate::caller;
use crate::claims::Claims;
use crate::context::RequestContext;
use crate::handlers;
use crate::identity::{Caller, Rejected};
use crate::limits::{self, Denied, LimiterKind};
use crate::metrics::Shed;
use crate::parse;
use crate::respond::{self, Body, Reply, Stop};
use crate::route::Route;
use crate::server::Edge;

/// Answers one request. Whatever happens inside, there is an answer.
pub(crate) async fn answer<C, B>(
    edge: &Edge<C>,
    peer: IpAddr,
    request: Request<B>,
) -> Response<Body>
where
    C: Claims,
    B: HttpBody<Data = Bytes> + Send + Unpin,
{
    let (parts, body) = request.into_parts();
    // Request id: first of all, so that every answer has one.
    let context = RequestContext::of(&parts.headers, &edge.entropy);
    // Route: by the path alone, so that metrics know it whatever comes.
    let route = Route::of(parts.uri.path());
    // A defect in one request is answered, counted and logged; its neighbours go on.
    let phases = AssertUnwindSafe(run(edge, peer, &parts, body, route, &context));
    let reply = match phases.catch_unwind().await {
        Ok(Ok(reply)) => reply,
        Ok(Err(stop)) => stop.reply(&context),
        Err(_panic) => {
            edge.metrics.panics.increment(1);
            Stop::Code(ReasonCode::Internal).reply(&context)
        }
    };
    // Respond: the same headers, metrics and log line for every answer.
    let took = context.started.elapsed();
    edge.metrics
        .answered(route, &parts.method, reply.status, took);
    log(edge, route, &reply, took, &context);
    let cors_origin = edge.cors.allowed(&parts.headers);
    respond::finish(reply, &parts.method, cors_origin, &context)
}

async fn run<C, B>(
    edge: &Edge<C>,
    peer: IpAddr,
    parts: &Parts,
    body: B,
    route: Route<'_>,
    context: &RequestContext,
) -> Result<Reply, Stop>
where
    C: Claims,
    B: HttpBody<Data = Bytes> + Send + Unpin,
{
    // Head: within limits before anything is read from it.
    parse::check_head(parts, &edge.settings)?;

    // Method: what a route does not have costs nothing more than a look.
    if let Some(reply) = check_method(parts, route)? {
        return Ok(reply);
    }

    // Admit: a slot among the requests in flight, as its class may have one, then the address's bucket. Both before the
    // signature, which is the dearest step that a stranger can cause.
    let _slot = Slot::take(edge, Class::of(&route))?;
    let address = limits::client_address(peer, &edge.settings.trusted_proxies, &parts.headers);
    if let Some(limits) = &edge.limits {
        count(edge, LimiterKind::Address, limits.check_address(address))?;
    }

    // Checkout has callers of two kinds and bodies that carry meaning: phases of its own. What is not
    // the claim path is boxed: a future is as large as its largest branch, and hyper moves it about.
    if route.is_checkout() {
        return Box::pin(checkout::run(edge, parts, body, route, address, context)).await;
    }

    // So has the backend that says what happened to orders.
    if route.is_backend() {
        return Box::pin(backend::run(edge, parts, body, route, context)).await;
    }

    // Identify: who calls, and that user's and device's buckets. Before the body is read, so that
    // strangers cannot make us wait for one.
    let caller = match route {
        Route::Coupon { .. } | Route::Unknown => None,
        Route::Passes
        | Route::Claim { .. }
        | Route::ClaimStatus { .. }
        | Route::Notifications
        | Route::NotificationRead { .. } => Some(identify(edge, &parts.headers)?),
        _of_their_own => None,
    };

    // Parse: the body and the idempotency key.
    let key = if parts.method == Method::POST {
        parse::read_post(&parts.headers, body, &edge.settings).await?
    } else {
        None
    };

    // Handle.
    match (route, caller) {
        (Route::Claim { coupon }, Some(caller)) => {
            Ok(handlers::claim::handle(edge, coupon, &caller, address, key, context).await)
        }
        (Route::ClaimStatus { claim }, Some(caller)) => Ok(Box::pin(
            handlers::claim_status::handle(edge, claim, &caller, context),
        )
        .await),
        (Route::Passes, Some(caller)) => {
            Ok(handlers::pass::handle(&edge.identity, &caller, context))
        }
        (Route::Notifications, Some(caller)) => {
            Box::pin(handlers::notifications::list(
                edge,
                parts.uri.query(),
                &caller,
                context,
            ))
            .await
        }
        (Route::NotificationRead { notification }, Some(caller)) => Ok(Box::pin(
            handlers::notifications::mark_read(edge, notification, &caller, context),
        )
        .await),
        (Route::Coupon { coupon }, _) => {
            Ok(Box::pin(handlers::coupon::handle(edge, coupon, context)).await)
        }
        (Route::Unknown, _) => Err(Stop::Code(ReasonCode::NotFound)),
        (
            Route::Claim { .. }
            | Route::ClaimStatus { .. }
            | Route::Passes
            | Route::Notifications
            | Route::NotificationRead { .. },
            None,
        ) => Err(Stop::Rejected(Rejected::Missing)),
        (_of_their_own, _) => Err(Stop::Code(ReasonCode::NotFound)),
    }
}

/// Unknown routes, `OPTIONS` and methods that a route does not have.
fn check_method(parts: &Parts, route: Route<'_>) -> Result<Option<Reply>, Stop> {
    if route == Route::Unknown {
        return Err(Stop::Code(ReasonCode::NotFound));
    }
    let allow = route.allow();
    if parts.method == Method::OPTIONS {
        let mut reply = Reply::empty(StatusCode::NO_CONTENT);
        reply.allow = Some(allow);
        reply.preflight = parts
            .headers
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        return Ok(Some(reply));
    }
    if route.has(&parts.method) {
        Ok(None)
    } else {
        Err(Stop::Method { allow })
    }
}

/// Verifies a shopper and counts the request against their limits.
pub(crate) fn identify<C: Claims>(edge: &Edge<C>, headers: &HeaderMap) -> Result<Caller, Stop> {
    let caller = caller::identify(headers, &edge.identity)?;
    if let Some(limits) = &edge.limits {
        let shopper = &caller.shopper;
        count(
            edge,
            LimiterKind::User,
            limits.check_user(shopper.user.as_bytes()),
        )?;
        if let Some(device) = &shopper.device {
            let decided = limits.check_device(device.as_bytes());
            count(edge, LimiterKind::Device, decided)?;
        }
    }
    Ok(caller)
}

fn count<C: Claims>(
    edge: &Edge<C>,
    limiter: LimiterKind,
    decided: Result<(), Denied>,
) -> Result<(), Stop> {
    edge.metrics.limited(limiter, decided.is_ok());
    decided.map_err(Stop::from)
}

/// A place among the requests in flight; given back when dropped, also when the client goes away.
struct Slot<'a, C: Claims>(&'a Edge<C>);

impl<'a, C: Claims> Slot<'a, C> {
    fn take(edge: &'a Edge<C>, class: Class) -> Result<Self, Stop> {
        // Relaxed: a cap needs no order with anything else.
        let before = edge.in_flight.fetch_add(1, Ordering::Relaxed);
        edge.metrics.in_flight.increment(1.0);
        let slot = Self(edge);
        if edge.admission.admits(class, before) {
            Ok(slot)
        } else {
            edge.metrics.shed(Shed::InFlight);
            edge.metrics.turned_away(class);
            Err(Stop::Overloaded)
        }
    }
}

impl<C: Claims> Drop for Slot<'_, C> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.in_flight.decrement(1.0);
    }
}

/// One line for one request in so many, and for every defect. Never a user, a token or a path.
fn log<C: Claims>(
    edge: &Edge<C>,
    route: Route<'_>,
    reply: &Reply,
    took: std::time::Duration,
    context: &RequestContext,
) {
    let one_in = u64::from(edge.settings.access_log_one_in);
    let sampled = one_in > 0 && context.seed.is_multiple_of(one_in);
    let (_index, route) = route.label();
    let status = reply.status.as_u16();
    let reason = reply.reason.map_or("", ReasonCode::as_str);
    let request_id = context.request_id.as_str();
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if reply.status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(request_id, route, status, took_us, "a handler panicked");
    } else if sampled {
        tracing::info!(request_id, route, status, reason, took_us, "request");
    }
}
