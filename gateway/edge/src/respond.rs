//! From an outcome to a response: the one place where HTTP answers are put together.

pub(crate) mod checkout;
mod problem;
mod stop;
pub mod table;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;
use sluice_claim::outcome::{AttemptOutcome, Refusal, Unavailable};
use sluice_domain::reason::ReasonCode;
use sluice_domain::time::Timestamp;

use crate::context::RequestContext;
use crate::cors;
use crate::limits::Denied;

pub(crate) use problem::{FieldError, Problem};
pub(crate) use stop::Stop;

/// The type of all response bodies.
pub(crate) type Body = Full<Bytes>;

/// A client is never sent away for longer than this at a time, in milliseconds.
const RETRY_AFTER_MS_MAX: u64 = 3_600_000;

/// An answer before the headers that every answer has.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// The code of a refusal, for log and metrics.
    pub(crate) reason: Option<ReasonCode>,
    pub(crate) body: Bytes,
    pub(crate) content_type: ContentType,
    pub(crate) retry_after: Option<RetryAfter>,
    /// `Idempotency-Replayed: true`.
    pub(crate) replayed: bool,
    /// `Allow`, with 405 and `OPTIONS`.
    pub(crate) allow: Option<&'static str>,
    /// `RateLimit` and `RateLimit-Policy`, with 429.
    pub(crate) rate: Option<Denied>,
    /// Whether shared caches may keep it for a second.
    pub(crate) public: bool,
    /// The answer to a CORS preflight.
    pub(crate) preflight: bool,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentType {
    /// There is none.
    Empty,
    /// `application/json`
    Json,
    /// `application/problem+json`
    Problem,
}

/// When to come back, at the earliest. Jitter is added when it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryAfter {
    pub(crate) millis: u64,
}

// === impl Reply ===

impl Reply {
    /// A JSON answer.
    pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Self {
        Self {
            content_type: ContentType::Json,
            body: Bytes::from(body),
            ..Self::empty(status)
        }
    }

    /// An answer without a body.
    pub(crate) const fn empty(status: StatusCode) -> Self {
        Self {
            status,
            reason: None,
            body: Bytes::new(),
            content_type: ContentType::Empty,
            retry_after: None,
            replayed: false,
            allow: None,
            rate: None,
            public: false,
            preflight: false,
        }
    }

    fn problem(code: ReasonCode, status: StatusCode, body: Bytes) -> Self {
        Self {
            reason: Some(code),
            content_type: ContentType::Problem,
            body,
            ..Self::empty(status)
        }
    }
}

/// A business refusal. Clients that are told to come back at an instant get it as a wait as well.
pub(crate) fn refused(refusal: &Refusal, now: Timestamp, context: &RequestContext) -> Reply {
    let retry_after = refusal.starts_at.map(|starts_at| RetryAfter {
        millis: u64::try_from(starts_at.millis_since(now)).unwrap_or(0),
    });
    Problem {
        reasons: &refusal.reasons,
        starts_at: refusal.starts_at,
        more_may_come: refusal.more_may_come,
        retry_after,
        ..Problem::of(refusal.code)
    }
    .reply(context)
}

/// The machine's fault.
pub(crate) fn unavailable(fault: Unavailable, context: &RequestContext) -> Reply {
    Problem {
        outcome: Some(fault.outcome),
        retry_after: Some(RetryAfter {
            millis: u64::from(fault.retry_after_ms),
        }),
        ..Problem::of(fault.code)
    }
    .reply(context)
}

/// Shed before anything was done.
pub(crate) fn overloaded(context: &RequestContext) -> Reply {
    unavailable(
        Unavailable {
            code: ReasonCode::Overloaded,
            outcome: AttemptOutcome::NotApplied,
            retry_after_ms: 1_000,
        },
        context,
    )
}

/// Over a request limit.
pub(crate) fn rate_limited(denied: Denied, context: &RequestContext) -> Reply {
    let mut reply = Problem {
        retry_after: Some(RetryAfter {
            millis: denied.retry_after_ms,
        }),
        ..Problem::of(ReasonCode::RateLimited)
    }
    .reply(context);
    reply.rate = Some(denied);
    reply
}

/// No such coupon, or no such claim of this caller: the same words for everything that is not
/// there, is malformed or is somebody else's.
pub(crate) fn not_found(context: &RequestContext) -> Reply {
    Problem::of(ReasonCode::NotFound).reply(context)
}

/// No such claim of this caller. After a 202 it means that the claim was lost before it became
/// durable: nothing is held, and claiming again is safe.
pub(crate) fn no_such_claim(context: &RequestContext) -> Reply {
    Problem {
        detail: Some(Cow::Borrowed(
            "You hold no such claim. If you were claiming, claim again.",
        )),
        outcome: Some(AttemptOutcome::NotApplied),
        ..Problem::of(ReasonCode::NotFound)
    }
    .reply(context)
}

/// Puts the headers on that every answer has.
pub(crate) fn finish(
    reply: Reply,
    method: &Method,
    cors_origin: Option<HeaderValue>,
    context: &RequestContext,
) -> Response<Body> {
    let mut headers = HeaderMap::with_capacity(12);
    match reply.content_type {
        ContentType::Empty => {}
        ContentType::Json => {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
        }
        ContentType::Problem => {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/problem+json"),
            );
        }
    }
    headers.insert(
        HeaderName::from_static("x-request-id"),
        context.request_id.header(),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(if reply.public {
            "public, max-age=1"
        } else {
            "no-store"
        }),
    );
    if let Some(Ok(value)) = context
        .traceparent
        .map(|text| HeaderValue::from_bytes(&text))
    {
        headers.insert(HeaderName::from_static("traceparent"), value);
    }
    put_retry(&reply, context, &mut headers);
    if reply.replayed {
        headers.insert(
            HeaderName::from_static("idempotency-replayed"),
            HeaderValue::from_static("true"),
        );
    }
    if let Some(allow) = reply.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if reply.status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(origin) = cors_origin {
        put_cors(origin, &mut headers);
        if let (true, Some(allow)) = (reply.preflight, reply.allow) {
            cors::put_preflight(allow, &mut headers);
        }
    }
    // A HEAD answer says how long the body would be, and has none.
    let body = if method == Method::HEAD {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
        Bytes::new()
    } else {
        reply.body
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = headers;
    response
}

fn put_retry(reply: &Reply, context: &RequestContext, headers: &mut HeaderMap) {
    if let Some(retry_after) = reply.retry_after {
        headers.insert(
            header::RETRY_AFTER,
            HeaderValue::from(retry_after.seconds(context.seed)),
        );
    }
    let Some(denied) = reply.rate else { return };
    let name = denied.limiter.as_str();
    // Structured fields of the IETF's rate-limit draft: quota per second, nothing remaining.
    let policy = format!("\"{name}\";q={};w=1", denied.rate.per_second);
    let state = format!("\"{name}\";r=0;t={}", denied.retry_after_ms.div_ceil(1_000));
    for (field, text) in [("ratelimit-policy", policy), ("ratelimit", state)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HeaderName::from_static(field), value);
        }
    }
}

fn put_cors(origin: HeaderValue, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "Retry-After, RateLimit, RateLimit-Policy, Idempotency-Replayed, X-Request-Id",
        ),
    );
}

// === impl RetryAfter ===

impl RetryAfter {
    /// Whole seconds, at least one, and up to half as much again (at least one) by chance: so that
    /// those who were sent away together do not come back together.
    fn seconds(self, seed: u64) -> u64 {
        let least = self.millis.min(RETRY_AFTER_MS_MAX).div_ceil(1_000).max(1);
        let spread = (least / 2).clamp(1, 30);
        least + seed % (spread + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_jittered_within_bounds() {
        let waits = |millis: u64| {
            (0..100_u64)
                .map(|seed| RetryAfter { millis }.seconds(seed))
                .collect::<std::collections::BTreeSet<u64>>()
        };
        assert_eq!(waits(0), [1, 2].into());
        assert_eq!(waits(10_000), (10..=15).collect());
        assert_eq!(waits(u64::MAX).first(), Some(&3_600));
    }

    #[test]
    fn prepared_words_need_no_escaping() {
        for &code in ReasonCode::ALL {
            for text in [code.title(), table::entry(code).detail] {
                assert!(
                    !text.contains(['"', '\\']) && !text.chars().any(char::is_control),
                    "{text}"
                );
            }
            assert_eq!(ReasonCode::ALL[code as usize], code);
        }
    }
}
