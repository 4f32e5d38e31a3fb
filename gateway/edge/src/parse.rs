//! Reading a request: its head within limits, its body within size and time, its idempotency key.

mod empty_object;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Body;
use sluice_domain::reason::ReasonCode;

use crate::respond::{FieldError, Stop};
use crate::settings::EdgeSettings;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// Checks the head against our limits. hyper's own answer with an empty body, so they stand
/// behind these as a backstop only.
pub(crate) fn check_head(parts: &Parts, settings: &EdgeSettings) -> Result<(), Stop> {
    let uri_bytes = parts
        .uri
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    if uri_bytes > settings.uri_bytes_max {
        return Err(Stop::UriTooLong);
    }
    let bytes: usize = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if parts.headers.len() > settings.header_fields_max || bytes > settings.header_bytes_max {
        return Err(Stop::Code(ReasonCode::HeadersTooLarge));
    }
    Ok(())
}

/// Reads what a POST of the data plane may carry: an empty body or `{}`, and an idempotency key.
pub(crate) async fn read_post<'a, B>(
    headers: &'a HeaderMap,
    body: B,
    settings: &EdgeSettings,
) -> Result<Option<&'a str>, Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    let key = idempotency_key(headers)?;
    let bytes = read_body(
        headers,
        body,
        settings.body_bytes_max,
        settings.body_timeout,
    )
    .await?;
    if bytes.is_empty() {
        return Ok(key);
    }
    if !is_json(headers) {
        return Err(Stop::Code(ReasonCode::UnsupportedMediaType));
    }
    empty_object::check(&bytes).map_err(Stop::Invalid)?;
    Ok(key)
}

/// Reads a body that carries meaning, and an idempotency key. An empty body is `None`.
pub(crate) async fn read_json<'a, B>(
    headers: &'a HeaderMap,
    body: B,
    settings: &EdgeSettings,
) -> Result<(Option<&'a str>, Option<Bytes>), Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    let key = idempotency_key(headers)?;
    let bytes_max = settings.checkout_body_bytes_max;
    let bytes = read_body(headers, body, bytes_max, settings.body_timeout).await?;
    if bytes.is_empty() {
        return Ok((key, None));
    }
    if !is_json(headers) {
        return Err(Stop::Code(ReasonCode::UnsupportedMediaType));
    }
    Ok((key, Some(bytes)))
}

/// The `Idempotency-Key`: one header line of 1 to 128 visible ASCII characters.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Stop> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    let invalid = |detail: &'static str| {
        Stop::Invalid(vec![FieldError {
            pointer: "header:Idempotency-Key".to_owned(),
            detail: detail.into(),
        }])
    };
    if lines.next().is_some() {
        return Err(invalid("is there more than once"));
    }
    let bytes = line.as_bytes();
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&bytes.len());
    if !fits || !bytes.iter().all(u8::is_ascii_graphic) {
        return Err(invalid("is not 1 to 128 visible ASCII characters"));
    }
    Ok(std::str::from_utf8(bytes).ok())
}

/// Reads the whole body. What the length header promises is checked before a byte is read.
async fn read_body<B>(
    headers: &HeaderMap,
    mut body: B,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Bytes, Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let promised = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    if promised.is_some_and(|bytes| bytes > limit) {
        return Err(Stop::Code(ReasonCode::TooLarge));
    }
    match tokio::time::timeout(timeout, collect(&mut body, bytes_max)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(Stop::Code(ReasonCode::RequestTimeout)),
    }
}

async fn collect<B>(body: &mut B, bytes_max: usize) -> Result<Bytes, Stop>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = Bytes::new();
    while let Some(frame) = body.frame().await {
        // The client broke off or sent nonsense: there is nobody to tell, but an answer must be.
        let frame = frame.map_err(|_broken| Stop::Code(ReasonCode::InvalidRequest))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > bytes_max {
            return Err(Stop::Code(ReasonCode::TooLarge));
        }
        if whole.is_empty() {
            // The common case: one frame, not copied.
            whole = data;
        } else {
            let mut joined = BytesMut::from(whole);
            joined.extend_from_slice(&data);
            whole = joined.freeze();
        }
    }
    Ok(whole)
}

/// Whether the body says that it is JSON. A body without a type is taken as JSON and read as such.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let essence = value
        .as_bytes()
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/json")
}
