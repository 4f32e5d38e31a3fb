//! `Idempotency-Key`: the same call again answers what it answered, and changes nothing.
//!
//! The scope of a key is the operator's key, the method and the path. Only answers of success are
//! stored: a refusal may succeed later. Nor is an answer stored that leaves something to do
//! ([`NotStored`]). Because the answer is stored after the change, a process
//! that dies between the two would create a second coupon on a repeat; so what creates one first
//! writes down which number it will use ([`KeyedCall::number`]).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{ETAG, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_domain::id::CouponNumber;
use sluice_domain::reason::ReasonCode;
use sluice_ledger::coupons::Operation;

use crate::app::App;
use crate::error::{Answer, Problem};
use crate::session::Operator;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const KEY_CHARS_MAX: usize = 128;

/// The key of a call, for handlers that have to prepare for a repeat.
#[derive(Debug, Clone)]
pub(crate) struct KeyedCall {
    scope: String,
    key: String,
    fingerprint: [u8; 32],
}

/// Put into an answer's extensions where it holds a secret that must not be stored: a repeat is
/// refused with these words instead.
#[derive(Debug, Clone)]
pub(crate) struct ShownOnce(pub String);

/// Put into an answer's extensions where a repeat has something left to do, or is a question: it is
/// answered anew, not with what was answered first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NotStored;

/// Keys of calls that are running in this process.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<HashSet<(String, String)>>);

/// An answer as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct StoredAnswer {
    etag: Option<String>,
    location: Option<String>,
    shown_once: Option<String>,
    body: String,
}

/// Runs a change, once per idempotency key.
pub(crate) async fn run(app: &Arc<App>, parts: Parts, body: Bytes, next: Next) -> Answer<Response> {
    let Some(call) = keyed_call(&parts, &body)? else {
        let request = Request::from_parts(parts, Body::from(body));
        return Ok(next.run(request).await);
    };
    let Some(_running) = app.running.begin(&call) else {
        return Err(Problem::new(
            ReasonCode::Conflict,
            "A call with this Idempotency-Key is still running.",
        ));
    };
    if let Some(stored) = app.ledger.operation(&call.scope, &call.key).await? {
        return replay(&call, &stored);
    }
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(call.clone());
    let response = next.run(request).await;
    let stored = response.extensions().get::<NotStored>().is_none();
    if response.status().is_success() && stored {
        record(app, &call, response).await
    } else {
        Ok(response)
    }
}

fn keyed_call(parts: &Parts, body: &[u8]) -> Answer<Option<KeyedCall>> {
    let Some(key) = key_of(&parts.headers)? else {
        return Ok(None);
    };
    if parts.method != Method::POST {
        return Ok(None);
    }
    let actor = parts
        .extensions
        .get::<Operator>()
        .map(Operator::actor)
        .unwrap_or_default();
    let path = parts.uri.path();
    let mut hasher = Sha256::new();
    hasher.update(path.as_bytes());
    hasher.update([0]);
    hasher.update(body);
    Ok(Some(KeyedCall {
        scope: format!("{actor} {} {path}", parts.method),
        key,
        fingerprint: hasher.finalize().into(),
    }))
}

fn key_of(headers: &HeaderMap) -> Answer<Option<String>> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    let fit = |text: &&str| {
        (1..=KEY_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match (value.to_str().ok().filter(fit), all.next()) {
        (Some(text), None) => Ok(Some(text.to_owned())),
        _ => Err(Problem::parameter(
            IDEMPOTENCY_KEY.as_str(),
            "Send one Idempotency-Key of 1 to 128 visible ASCII characters.",
        )),
    }
}

fn replay(call: &KeyedCall, stored: &Operation) -> Answer<Response> {
    call.check(stored)?;
    let answer: StoredAnswer = serde_json::from_slice(&stored.body).map_err(|error| {
        tracing::error!(%error, "a stored answer cannot be read");
        Problem::internal()
    })?;
    if let Some(words) = answer.shown_once {
        return Err(Problem::new(ReasonCode::Conflict, words));
    }
    let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK);
    let mut response = (status, axum::Json(())).into_response();
    *response.body_mut() = Body::from(answer.body);
    let headers = response.headers_mut();
    headers.remove(axum::http::header::CONTENT_LENGTH);
    for (name, value) in [(ETAG, answer.etag), (LOCATION, answer.location)] {
        if let Some(value) = value.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

async fn record(app: &App, call: &KeyedCall, response: Response) -> Answer<Response> {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX)
        .await
        .map_err(|_infallible| Problem::internal())?;
    let text = |name: HeaderName| {
        let value = parts.headers.get(name)?;
        Some(value.to_str().ok()?.to_owned())
    };
    let shown_once = parts.extensions.get::<ShownOnce>().cloned();
    let stored = StoredAnswer {
        etag: text(ETAG),
        location: text(LOCATION),
        body: match shown_once {
            Some(_) => String::new(),
            None => String::from_utf8_lossy(&bytes).into_owned(),
        },
        shown_once: shown_once.map(|words| words.0),
    };
    let operation = call.operation(
        app,
        parts.status,
        serde_json::to_vec(&stored).unwrap_or_default(),
    );
    // The change is done and answered as done: a repeat without the stored answer meets the state
    // that the change left, which each handler answers for.
    if let Err(error) = app
        .ledger
        .record_operation(&call.scope, &call.key, &operation)
        .await
    {
        tracing::warn!(%error, scope = call.scope, "the answer of a keyed call was not stored");
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

// === impl KeyedCall ===

impl KeyedCall {
    /// The key, as the caller wrote it.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The number for a coupon that this call creates: on a repeat, the one the first attempt took.
    pub(crate) async fn number(&self, app: &App) -> Answer<CouponNumber> {
        let scope = format!("intent {}", self.scope);
        if let Some(stored) = app.ledger.operation(&scope, &self.key).await? {
            self.check(&stored)?;
            return serde_json::from_slice(&stored.body).map_err(|error| {
                tracing::error!(%error, "a stored intent cannot be read");
                Problem::internal()
            });
        }
        let number = app.ledger.next_number().await?;
        let body = serde_json::to_vec(&number).unwrap_or_default();
        let operation = self.operation(app, StatusCode::ACCEPTED, body);
        app.ledger
            .record_operation(&scope, &self.key, &operation)
            .await?;
        Ok(number)
    }

    fn operation(&self, app: &App, status: StatusCode, body: Vec<u8>) -> Operation {
        Operation {
            fingerprint: self.fingerprint,
            status: status.as_u16(),
            body,
            at: app.clock.now(),
        }
    }

    fn check(&self, stored: &Operation) -> Answer<()> {
        if stored.fingerprint == self.fingerprint {
            return Ok(());
        }
        Err(Problem::new(
            ReasonCode::KeyReused,
            "This Idempotency-Key was used with another body. Use a new key for a new call.",
        ))
    }
}

// === impl Running ===

/// Ends the entry of a running call when dropped.
#[derive(Debug)]
pub(crate) struct RunningCall<'a> {
    running: &'a Running,
    entry: (String, String),
}

impl Running {
    fn begin(&self, call: &KeyedCall) -> Option<RunningCall<'_>> {
        let entry = (call.scope.clone(), call.key.clone());
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(entry.clone()).then(|| RunningCall {
            running: self,
            entry,
        })
    }
}

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        let mut held = self
            .running
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.remove(&self.entry);
    }
}
