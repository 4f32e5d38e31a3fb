//! What a handler knows of its call besides path and body.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use sluice_domain::id::Revision;
use sluice_domain::reason::ReasonCode;
use sluice_ledger::audit_log::AuditEntry;

use crate::app::App;
use crate::error::{Answer, Problem};
use crate::idempotency::KeyedCall;
use crate::phases::RequestId;
use crate::session::Operator;

/// Who calls, under which request id, with which conditions.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Who.
    pub operator: Operator,
    /// The request's id.
    pub request_id: Arc<str>,
    /// The idempotency key, if there is one.
    pub keyed: Option<KeyedCall>,
    /// The revisions that the caller would change.
    pub if_match: IfMatch,
}

/// The `If-Match` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IfMatch {
    /// Not sent.
    Absent,
    /// `*`.
    Any,
    /// Any of these.
    Tags(Vec<String>),
}

// === impl Call ===

impl Call {
    /// The audit entry of what this call does.
    pub(crate) fn entry(
        &self,
        app: &App,
        action: &str,
        object: impl ToString,
        before: String,
        after: String,
    ) -> AuditEntry {
        AuditEntry {
            at: app.clock.now(),
            actor: self.operator.actor(),
            action: action.to_owned(),
            object: object.to_string(),
            before,
            after,
            request_id: self.request_id.as_ref().to_owned(),
        }
    }
}

impl FromRequestParts<Arc<App>> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Answer<Self> {
        let found = parts.extensions.get::<Operator>().cloned();
        let request_id = parts.extensions.get::<RequestId>().cloned();
        let (Some(operator), Some(request_id)) = (found, request_id) else {
            tracing::error!("a handler was reached past the phase that admits");
            return Err(Problem::internal());
        };
        Ok(Self {
            operator,
            request_id: request_id.0,
            keyed: parts.extensions.get::<KeyedCall>().cloned(),
            if_match: IfMatch::read(&parts.headers)?,
        })
    }
}

// === impl IfMatch ===

impl IfMatch {
    fn read(headers: &HeaderMap) -> Answer<Self> {
        let mut tags = Vec::new();
        for value in headers.get_all(IF_MATCH) {
            let text = value.to_str().map_err(|_bytes| bad_if_match())?;
            for part in text.split(',').map(str::trim) {
                let strong = part.strip_prefix("W/").unwrap_or(part);
                let quoted = strong.len() >= 2 && strong.starts_with('"') && strong.ends_with('"');
                if part == "*" {
                    return Ok(Self::Any);
                }
                if !quoted {
                    return Err(bad_if_match());
                }
                tags.push(part.to_owned());
            }
        }
        Ok(if tags.is_empty() {
            Self::Absent
        } else {
            Self::Tags(tags)
        })
    }

    /// Refuses with 428 where the header is missing.
    pub(crate) fn require(&self) -> Answer<()> {
        if *self == Self::Absent {
            return Err(Problem::new(
                ReasonCode::PreconditionRequired,
                "Send If-Match with the ETag that you read, so that no other change is lost.",
            ));
        }
        Ok(())
    }

    /// Refuses with 412 where the coupon is at another revision.
    pub(crate) fn check(&self, revision: Revision) -> Answer<()> {
        let current = etag(revision);
        match self {
            Self::Absent | Self::Any => Ok(()),
            // A weak tag never matches here: its text differs.
            Self::Tags(tags) if tags.contains(&current) => Ok(()),
            Self::Tags(_) => Err(stale(revision)),
        }
    }
}

/// The `ETag` of a revision.
pub(crate) fn etag(revision: Revision) -> String {
    format!("\"{revision}\"")
}

/// 412 with the `ETag` of now.
pub(crate) fn stale(revision: Revision) -> Problem {
    let current = etag(revision);
    let problem = Problem::new(
        ReasonCode::PreconditionFailed,
        format!("The coupon is at {current} now. Read it again and repeat the change."),
    )
    .member("etag", current.as_str());
    match HeaderValue::from_str(&current) {
        Ok(value) => problem.header(ETAG, value),
        Err(_never) => problem,
    }
}

fn bad_if_match() -> Problem {
    Problem::parameter(
        "If-Match",
        "Write If-Match as the ETag was answered, as in \"3\", or *.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_knows_tags_lists_weak_tags_and_nonsense() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_MATCH, HeaderValue::from_str(text).unwrap());
            IfMatch::read(&headers)
        };
        let at = |text: &str| read(text).unwrap().check(Revision(3)).is_ok();
        assert!(at("\"3\""));
        assert!(at("*"));
        assert!(at("\"1\", \"3\""));
        assert!(!at("\"2\""));
        assert!(!at("W/\"3\""));
        for nonsense in ["3", "\"", "", "\"3\", 4"] {
            assert!(read(nonsense).is_err(), "{nonsense}");
        }
        assert_eq!(IfMatch::read(&HeaderMap::new()).unwrap(), IfMatch::Absent);
        assert!(IfMatch::Absent.require().is_err());
    }
}
