//! Which web pages may call: CORS for the configured origins.

use http::header::{self, HeaderMap, HeaderValue};

/// The configured origins.
#[derive(Debug)]
pub(crate) enum Cors {
    /// Browsers may call from the service's own origin only.
    None,
    /// From anywhere. Credentials are bearer tokens, never cookies, so this gives no page more
    /// than it already has.
    Any,
    /// From these.
    Listed(Vec<HeaderValue>),
}

impl Cors {
    /// From settings that were validated.
    pub(crate) fn of(origins: &[String]) -> Self {
        if origins.is_empty() {
            Self::None
        } else if origins.iter().any(|origin| origin == "*") {
            Self::Any
        } else {
            Self::Listed(
                origins
                    .iter()
                    .filter_map(|origin| HeaderValue::from_str(origin).ok())
                    .collect(),
            )
        }
    }

    /// What `Access-Control-Allow-Origin` says to this request, if anything.
    pub(crate) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        match self {
            Self::None => None,
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Listed(origins) => origins.iter().find(|listed| *listed == origin).cloned(),
        }
    }
}

/// What a preflight is told on top.
pub(crate) fn put_preflight(allow: &'static str, headers: &mut HeaderMap) {
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(allow),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Authorization, Content-Type, Idempotency-Key, X-Request-Id, traceparent",
        ),
    );
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("7200"),
    );
}
