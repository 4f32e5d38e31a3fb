//! Reading small bodies, and writing answers.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sluice_domain::id::Revision;
use sluice_domain::input::FieldError;

use crate::api::call::etag;
use crate::error::{Answer, FieldProblem, Problem};

/// The body as it came, bounded and complete. A type of its own because the `OpenAPI` document would
/// otherwise describe it as binary.
#[derive(Debug)]
pub(crate) struct RawBody(pub Bytes);

/// The body of calls that say everything in their path.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// A page of something.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    /// The page.
    pub items: Vec<T>,
    /// Where the next one begins; null at the end.
    pub next_cursor: Option<String>,
}

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(rejection) => Err(Problem::of_status(rejection.status())),
        }
    }
}

/// Reads a body whose shape this crate declares; one error, with its place.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Answer<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut deserializer);
    let value = read.map_err(|error| {
        let pointer = pointer_of(error.path());
        Problem::invalid(vec![FieldProblem::field(
            pointer,
            error.inner().to_string(),
        )])
    })?;
    deserializer.end().map_err(|error| {
        Problem::invalid(vec![FieldProblem::field(
            "",
            format!("is not JSON: {error}"),
        )])
    })?;
    Ok(value)
}

/// Accepts no body, or `{}`.
pub(crate) fn expect_nothing(bytes: &[u8]) -> Answer<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    parse::<Nothing>(bytes).map(|Nothing {}| ())
}

/// 400 with the fields that the domain did not accept.
pub(crate) fn not_accepted(errors: Vec<FieldError>) -> Problem {
    Problem::invalid(
        errors
            .into_iter()
            .map(|error| {
                let name = error.pointer.rsplit('/').next().unwrap_or_default();
                let subject = if name.is_empty() { "The body" } else { name };
                let detail = format!("{subject} {}", error.message);
                FieldProblem::field(error.pointer, detail)
            })
            .collect(),
    )
}

/// An answer with an `ETag`.
pub(crate) fn at_revision(
    status: StatusCode,
    revision: Revision,
    body: impl Serialize,
) -> Response {
    let mut response = (status, Json(body)).into_response();
    if let Ok(value) = HeaderValue::from_str(&etag(revision)) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// Says where a new resource is.
pub(crate) fn located(mut response: Response, path: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

/// The path of serde's error as an RFC 6901 pointer.
fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        let step = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&step);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_body_and_an_empty_object_say_nothing_and_all_else_is_refused() {
        assert!(expect_nothing(b"").is_ok());
        assert!(expect_nothing(b" {} ").is_ok());
        for refused in ["{\"a\":1}", "[1]", "null", "{", "{} {}"] {
            assert!(expect_nothing(refused.as_bytes()).is_err(), "{refused}");
        }
    }
}
