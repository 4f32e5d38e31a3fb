//! problem+json bodies: prepared bytes with the request id spliced in, and the longer forms.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;
use http::StatusCode;
use sluice_claim::outcome::AttemptOutcome;
use sluice_domain::reason::{Reason, ReasonCode};
use sluice_domain::time::Timestamp;

use super::table::entry;
use super::{Reply, RetryAfter};
use crate::context::RequestContext;

/// What of a request is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// A JSON pointer into the body, or the name of a header in the form `header:name`.
    pub(crate) pointer: String,
    /// What is wrong, for people.
    pub(crate) detail: Cow<'static, str>,
}

/// A refusal on its way out. Only `code` is always there.
#[derive(Debug)]
pub(crate) struct Problem<'a> {
    pub(crate) code: ReasonCode,
    /// Another status than the table's; see its one exception.
    pub(crate) status: Option<StatusCode>,
    /// Other words than the table's.
    pub(crate) detail: Option<Cow<'a, str>>,
    pub(crate) errors: &'a [FieldError],
    pub(crate) reasons: &'a [Reason],
    pub(crate) starts_at: Option<Timestamp>,
    pub(crate) outcome: Option<AttemptOutcome>,
    /// With `sold_out`: units may come back.
    pub(crate) more_may_come: bool,
    /// More members, as they stand in the body: each begins with a comma.
    pub(crate) more: &'a [u8],
    pub(crate) retry_after: Option<RetryAfter>,
}

/// The bytes before the request id, for each code in the order of [`ReasonCode::ALL`].
static PREPARED: LazyLock<Vec<Box<[u8]>>> = LazyLock::new(|| {
    ReasonCode::ALL
        .iter()
        .map(|&code| {
            let entry = entry(code);
            head(code, entry.status, entry.detail).into_boxed_slice()
        })
        .collect()
});

// === impl Problem ===

impl Problem<'_> {
    /// The plain form of a code.
    pub(crate) const fn of(code: ReasonCode) -> Self {
        Problem {
            code,
            status: None,
            detail: None,
            errors: &[],
            reasons: &[],
            starts_at: None,
            outcome: None,
            more_may_come: false,
            more: &[],
            retry_after: None,
        }
    }

    /// The answer: one buffer, and nothing but a copy of prepared bytes where the code says all.
    pub(crate) fn reply(&self, context: &RequestContext) -> Reply {
        let entry = entry(self.code);
        let status = self.status.unwrap_or(entry.status);
        let id = context.request_id.as_bytes();
        let mut body: Vec<u8>;
        if self.status.is_none() && self.detail.is_none() {
            // Discriminants follow the order of the list that the bytes were made in.
            let prepared = &PREPARED[self.code as usize];
            body = Vec::with_capacity(prepared.len() + id.len() + 2);
            body.extend_from_slice(prepared);
        } else {
            let detail = self.detail.as_deref().unwrap_or(entry.detail);
            body = head(self.code, status, &escaped(detail));
        }
        body.extend_from_slice(id);
        body.push(b'"');
        self.write_more(&mut body);
        body.push(b'}');
        let mut reply = Reply::problem(self.code, status, Bytes::from(body));
        reply.retry_after = self.retry_after;
        reply
    }

    /// Writing into a Vec cannot fail, nor can these values be unfit for JSON.
    fn write_more(&self, body: &mut Vec<u8>) {
        if let Some(outcome) = self.outcome {
            let word = match outcome {
                AttemptOutcome::NotApplied => "not_applied",
                AttemptOutcome::Unknown => "unknown",
            };
            let _infallible = write!(body, ",\"outcome\":\"{word}\"");
        }
        if let Some(starts_at) = self.starts_at {
            let _infallible = write!(body, ",\"starts_at\":\"{starts_at}\"");
        }
        if self.more_may_come {
            body.extend_from_slice(b",\"more_may_come\":true");
        }
        body.extend_from_slice(self.more);
        if !self.reasons.is_empty() {
            body.extend_from_slice(b",\"reasons\":");
            let _infallible = serde_json::to_writer(&mut *body, self.reasons);
        }
        if !self.errors.is_empty() {
            body.extend_from_slice(b",\"errors\":[");
            for (index, error) in self.errors.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(b"{\"pointer\":");
                let _infallible = serde_json::to_writer(&mut *body, &error.pointer);
                body.extend_from_slice(b",\"detail\":");
                let _infallible = serde_json::to_writer(&mut *body, &*error.detail);
                body.push(b'}');
            }
            body.push(b']');
        }
    }
}

/// A text as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c != '"' && c != '\\' && !c.is_control();
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let quoted = serde_json::Value::from(text).to_string();
    Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
}

/// Everything up to the request id. Titles and details are ours and need no escaping (tested).
fn head(code: ReasonCode, status: StatusCode, detail: &str) -> Vec<u8> {
    format!(
        "{{\"type\":\"urn:sluice:reason:{name}\",\"title\":\"{}\",\"status\":{},\
         \"code\":\"{name}\",\"detail\":\"{detail}\",\"request_id\":\"",
        code.title(),
        status.as_u16(),
        name = code.as_str(),
    )
    .into_bytes()
}
