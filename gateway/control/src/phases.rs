//! The phases of every request, in order, on one screen.
//!
//! 1. [`envelope`]: gives the request its id, times it, writes problems, adds headers.
//! 2. (tower-http) catches a panic: 500, and the process goes on.
//! 3. [`deadline`]: nobody waits for an answer without end.
//! 4. [`admit`]: who calls, and may they use this route. Before the body is read: a stranger cannot
//!    make us buffer.
//! 5. [`change`]: for calls that change something: bounded in number, body read within its limits,
//!    idempotency key looked up, and from there on carried to its end even if the client leaves.
//! 6. The handler.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sluice_domain::reason::ReasonCode;
use tokio::time::Instant;

use crate::app::App;
use crate::error::{Answer, Problem, finish};
use crate::idempotency;
use crate::{rbac, session};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS_MAX: usize = 128;
/// Answers of this plane are never shown as pages and never kept.
const HEADERS: [(HeaderName, &str); 5] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
];

/// The id of a request: the client's own where it is fit to be written down, else a fresh one.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub Arc<str>);

/// Phase 1.
pub(crate) async fn envelope(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers());
    request.extensions_mut().insert(id.clone());
    let method = method_label(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let mut response = finish(next.run(request).await, &id.0);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        headers.insert(REQUEST_ID, value);
    }
    let status = response.status();
    metrics::histogram!(
        "sluice_http_request_duration_seconds",
        "route" => route.clone(), "method" => method, "status" => status.as_str().to_owned()
    )
    .record(started.elapsed().as_secs_f64());
    let elapsed_ms = started.elapsed().as_millis();
    let status = status.as_u16();
    tracing::info!(request_id = %id.0, method, route, status, elapsed_ms, "admin request");
    response
}

/// Phase 2's answer.
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(message, "a handler panicked");
    Problem::internal().into_response()
}

/// Phase 3. A change that is under way goes on behind the answer.
pub(crate) async fn deadline(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Answer<Response> {
    tokio::time::timeout(app.settings.request_timeout, next.run(request))
        .await
        .map_err(|_elapsed| {
            Problem::unknown(
                "The answer took too long. A change may still be carried out: read the resource \
                 before repeating the request.",
            )
        })
}

/// Phase 4.
pub(crate) async fn admit(
    State(app): State<Arc<App>>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Answer<Response> {
    let operator =
        session::identify(request.headers(), &app.operator_keys, app.clock.now()).await?;
    rbac::authorize(request.method(), path.as_str(), operator.role)?;
    request.extensions_mut().insert(operator);
    Ok(next.run(request).await)
}

/// Phase 5.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Answer<Response> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(next.run(request).await);
    }
    let permit = Arc::clone(&app.changes)
        .try_acquire_owned()
        .map_err(|_full| {
            Problem::unavailable(
                ReasonCode::Overloaded,
                "Too many changes are under way; nothing was done.",
            )
        })?;
    let (parts, body) = request.into_parts();
    let bytes = read_body(&parts.headers, body, &app).await?;
    check_media_type(&parts.method, &parts.headers, &bytes)?;
    let work = async move {
        let _permit = permit;
        idempotency::run(&app, parts, bytes, next).await
    };
    // A task of its own: a client that disconnects cannot stop a change half way.
    tokio::spawn(work).await.unwrap_or_else(|failure| {
        Ok(match failure.try_into_panic() {
            Ok(panic) => panicked(panic),
            Err(_cancelled) => Problem::unknown("The server stopped meanwhile.").into_response(),
        })
    })
}

async fn read_body(headers: &HeaderMap, body: Body, app: &App) -> Answer<Bytes> {
    let too_large = || {
        Problem::new(
            ReasonCode::TooLarge,
            format!(
                "The body is larger than {} bytes.",
                app.settings.body_bytes_max
            ),
        )
    };
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > app.settings.body_bytes_max) {
        return Err(too_large());
    }
    let reading = axum::body::to_bytes(body, app.settings.body_bytes_max);
    match tokio::time::timeout(app.settings.body_timeout, reading).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => {
            let over = error.into_inner().is::<http_body_util::LengthLimitError>();
            Err(if over {
                too_large()
            } else {
                Problem::of_status(StatusCode::BAD_REQUEST)
            })
        }
        Err(_elapsed) => Err(Problem::of_status(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// A body is JSON and says so; an empty one needs to say nothing.
fn check_media_type(method: &Method, headers: &HeaderMap, body: &[u8]) -> Answer<()> {
    if body.is_empty() {
        return Ok(());
    }
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| {
            value
                .split(';')
                .next()
                .unwrap_or("")
                .trim()
                .to_ascii_lowercase()
        });
    match essence.as_deref() {
        Some("application/json") => Ok(()),
        Some("application/merge-patch+json") if *method == Method::PATCH => Ok(()),
        _ => Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    }
}

fn request_id(headers: &HeaderMap) -> RequestId {
    let sent = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|text| {
            (1..=REQUEST_ID_CHARS_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        });
    match sent {
        Some(text) => RequestId(text.into()),
        None => RequestId(fresh_request_id().into()),
    }
}

fn fresh_request_id() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness an id still has to be given; it only has to be findable in the log.
    if getrandom::fill(&mut bytes).is_err() {
        tracing::warn!("the operating system gave no randomness for a request id");
    }
    format!("{:032x}", u128::from_be_bytes(bytes))
}

/// The closed set of methods, for a label.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
