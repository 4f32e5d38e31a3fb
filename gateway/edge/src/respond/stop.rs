//! Why a phase ends a request. Small, so that phases hand it on with `?`; answered in one place.

use std::borrow::Cow;

use http::StatusCode;
use sluice_domain::reason::ReasonCode;

use super::{FieldError, Problem, Reply, RetryAfter};
use crate::context::RequestContext;
use crate::identity::Rejected;
use crate::limits::Denied;

/// Why a request ends before a handler.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The code says all.
    Code(ReasonCode),
    /// The path and query are too long.
    UriTooLong,
    /// The route has other methods.
    Method {
        /// Which.
        allow: &'static str,
    },
    /// Too many requests are being handled.
    Overloaded,
    /// Over a request limit.
    Limited(Denied),
    /// What is needed to decide cannot be read now; nothing was done.
    Unavailable,
    /// Too many wrong codes; after so many milliseconds they are listened to again.
    WrongCodes {
        /// The wait.
        retry_after_ms: u64,
    },
    /// Nobody we know.
    Rejected(Rejected),
    /// The body or a header is wrong.
    Invalid(Vec<FieldError>),
}

impl Stop {
    /// The answer.
    pub(crate) fn reply(&self, context: &RequestContext) -> Reply {
        match self {
            Self::Code(code) => Problem::of(*code).reply(context),
            Self::UriTooLong => Problem {
                status: Some(StatusCode::URI_TOO_LONG),
                ..Problem::of(ReasonCode::TooLarge)
            }
            .reply(context),
            Self::Method { allow } => {
                let mut reply = Problem::of(ReasonCode::MethodNotAllowed).reply(context);
                reply.allow = Some(allow);
                reply
            }
            Self::Overloaded | Self::Unavailable => super::overloaded(context),
            Self::WrongCodes { retry_after_ms } => Problem {
                detail: Some(Cow::Borrowed(
                    "Too many codes were wrong. Wait, then check the code.",
                )),
                retry_after: Some(RetryAfter {
                    millis: *retry_after_ms,
                }),
                ..Problem::of(ReasonCode::RateLimited)
            }
            .reply(context),
            Self::Limited(denied) => super::rate_limited(*denied, context),
            Self::Rejected(rejected) => Problem {
                detail: Some(Cow::Borrowed(match rejected {
                    Rejected::Missing => "Send a token or a pass as Authorization: Bearer.",
                    Rejected::Invalid => "The token or pass is not valid.",
                    Rejected::Expired => "The token or pass has expired.",
                    Rejected::ServiceKey => {
                        "A service key is not accepted here: send the shopper's token or pass."
                    }
                })),
                ..Problem::of(ReasonCode::LoginRequired)
            }
            .reply(context),
            Self::Invalid(errors) => Problem {
                errors,
                ..Problem::of(ReasonCode::InvalidRequest)
            }
            .reply(context),
        }
    }
}

impl From<Denied> for Stop {
    fn from(denied: Denied) -> Self {
        Self::Limited(denied)
    }
}

impl From<Rejected> for Stop {
    fn from(rejected: Rejected) -> Self {
        Self::Rejected(rejected)
    }
}
