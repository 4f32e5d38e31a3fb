//! The one place where a refusal or a fault becomes an HTTP answer: RFC 9457 problem details.
//!
//! A handler returns a [`Problem`]; the outermost phase writes it, so that the body can carry the
//! request's id. The same phase turns answers that the framework made by itself (404, 405, 413 …)
//! into problems.

use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use sluice_checkout::CheckoutError;
use sluice_claim::outcome::AttemptOutcome;
use sluice_domain::id::CouponId;
use sluice_domain::reason::ReasonCode;
use sluice_ledger::LedgerError;

/// Result of a handler.
pub type Answer<T> = Result<T, Problem>;

/// What is wrong with one field or parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct FieldProblem {
    /// JSON pointer into the body; absent for a parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of the query parameter or header; absent for a field of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong and what would be accepted.
    pub detail: String,
}

/// A refusal or a fault on its way out.
#[derive(Debug, Clone)]
pub struct Problem {
    code: ReasonCode,
    detail: String,
    errors: Vec<FieldProblem>,
    outcome: Option<AttemptOutcome>,
    headers: Vec<(HeaderName, HeaderValue)>,
    members: Map<String, Value>,
}

/// The table: which status a code is answered with on the control plane.
pub(crate) const fn status_of(code: ReasonCode) -> StatusCode {
    match code {
        ReasonCode::InvalidRequest | ReasonCode::KeyRequired => StatusCode::BAD_REQUEST,
        ReasonCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ReasonCode::Forbidden => StatusCode::FORBIDDEN,
        ReasonCode::NotFound => StatusCode::NOT_FOUND,
        ReasonCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ReasonCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ReasonCode::Conflict => StatusCode::CONFLICT,
        ReasonCode::Ended | ReasonCode::Archived => StatusCode::GONE,
        ReasonCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ReasonCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ReasonCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ReasonCode::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        ReasonCode::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
        ReasonCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ReasonCode::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ReasonCode::Warming
        | ReasonCode::Recovering
        | ReasonCode::Overloaded
        | ReasonCode::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
        // Codes of claims and checkout never reach this plane; one that does is a defect.
        ReasonCode::CodeNotAccepted
        | ReasonCode::NotStarted
        | ReasonCode::Expired
        | ReasonCode::OutsideTimeWindow
        | ReasonCode::Paused
        | ReasonCode::SoldOut
        | ReasonCode::UsageLimitReached
        | ReasonCode::UserLimitReached
        | ReasonCode::DeviceLimitReached
        | ReasonCode::IpLimitReached
        | ReasonCode::BudgetExhausted
        | ReasonCode::HeldByOrder
        | ReasonCode::LoginRequired
        | ReasonCode::VerificationRequired
        | ReasonCode::Blocked
        | ReasonCode::NotOwner
        | ReasonCode::NotEligible
        | ReasonCode::MinSpendNotMet
        | ReasonCode::QuantityNotMet
        | ReasonCode::NoEligibleItems
        | ReasonCode::ExcludedItemPresent
        | ReasonCode::NotCombinable
        | ReasonCode::Overshadowed
        | ReasonCode::AlreadyApplied
        | ReasonCode::AlreadyUsed
        | ReasonCode::NoEffect
        | ReasonCode::CurrencyMismatch
        | ReasonCode::ChannelMismatch
        | ReasonCode::PriceChanged
        | ReasonCode::HoldExpired
        | ReasonCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

// === impl FieldProblem ===

impl FieldProblem {
    /// A field of the body.
    pub(crate) fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            parameter: None,
            detail: detail.into(),
        }
    }

    /// A query parameter or a header.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            parameter: Some(name.to_owned()),
            detail: detail.into(),
        }
    }
}

// === impl Problem ===

impl Problem {
    /// A problem with a code and a sentence.
    pub(crate) fn new(code: ReasonCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            outcome: None,
            headers: Vec::new(),
            members: Map::new(),
        }
    }

    /// 400 with what is wrong, field by field.
    pub(crate) fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [one] => one.detail.clone(),
            several => format!("{} things are wrong with the request", several.len()),
        };
        let mut problem = Self::new(ReasonCode::InvalidRequest, detail);
        problem.errors = errors;
        problem
    }

    /// 400 for one query parameter or header.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldProblem::parameter(name, detail)])
    }

    /// 404 for a coupon, whether it is unknown or its id is no id.
    pub(crate) fn no_coupon() -> Self {
        Self::new(ReasonCode::NotFound, "There is no coupon with this id.")
    }

    /// 409 for a public word that another coupon has.
    pub(crate) fn code_taken(holder: CouponId) -> Self {
        let detail = format!(
            "Coupon {holder} has this code; archive it or take the code from it first, or choose \
             another one."
        );
        let mut problem = Self::new(ReasonCode::Conflict, detail.clone());
        problem.errors = vec![FieldProblem::field("/code", detail)];
        problem
    }

    /// 503 for a change whose effect is not known or not complete.
    pub(crate) fn unknown(detail: impl Into<String>) -> Self {
        Self::new(ReasonCode::OutcomeUnknown, detail)
            .outcome(AttemptOutcome::Unknown)
            .retry_after_seconds(2)
    }

    /// 503 for something that was not done.
    pub(crate) fn unavailable(code: ReasonCode, detail: impl Into<String>) -> Self {
        Self::new(code, detail)
            .outcome(AttemptOutcome::NotApplied)
            .retry_after_seconds(2)
    }

    /// 500, with nothing of the inside in it.
    pub(crate) fn internal() -> Self {
        Self::new(
            ReasonCode::Internal,
            "The request met a defect. The log has more under this request id.",
        )
    }

    /// Adds what is known of this attempt's outcome.
    pub(crate) fn outcome(mut self, outcome: AttemptOutcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// Adds `Retry-After`.
    pub(crate) fn retry_after_seconds(self, seconds: u32) -> Self {
        self.header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds a member of its own to the body.
    pub(crate) fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The problem that stands for an answer which the framework made by itself.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::new(ReasonCode::NotFound, "There is no such resource."),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                ReasonCode::MethodNotAllowed,
                "The resource does not have this method; Allow lists those it has.",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(ReasonCode::TooLarge, "The body is too large.")
            }
            StatusCode::REQUEST_TIMEOUT => Self::new(
                ReasonCode::RequestTimeout,
                "The request did not arrive in time.",
            ),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                ReasonCode::UnsupportedMediaType,
                "Send the body as application/json.",
            ),
            other if other.is_client_error() => Self::new(
                ReasonCode::InvalidRequest,
                "The request cannot be understood.",
            ),
            _ => Self::internal(),
        }
    }

    /// Writes the answer.
    pub(crate) fn render(self, request_id: &str) -> Response {
        let status = status_of(self.code);
        let mut body = Map::new();
        body.insert(
            "type".to_owned(),
            format!("urn:sluice:reason:{}", self.code.as_str()).into(),
        );
        body.insert("title".to_owned(), self.code.title().into());
        body.insert("status".to_owned(), status.as_u16().into());
        body.insert("code".to_owned(), self.code.as_str().into());
        body.insert("detail".to_owned(), self.detail.into());
        body.insert("request_id".to_owned(), request_id.into());
        if let Some(outcome) = self.outcome {
            let word = match outcome {
                AttemptOutcome::NotApplied => "not_applied",
                AttemptOutcome::Unknown => "unknown",
            };
            body.insert("outcome".to_owned(), word.into());
        }
        if !self.errors.is_empty() {
            let errors = serde_json::to_value(self.errors).unwrap_or_default();
            body.insert("errors".to_owned(), errors);
        }
        body.extend(self.members);
        let mut response = (status, Value::Object(body).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.extend(self.headers);
        response
    }
}

/// The problem travels in the answer's extensions until the outermost phase writes it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = status_of(self.code).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Unavailable { .. } | LedgerError::Full { .. } => Self::unavailable(
                ReasonCode::Overloaded,
                "The ledger cannot do this now; nothing was changed.",
            ),
            LedgerError::Unknown { .. } => Self::unknown(
                "The ledger did not say whether the change was written. Read the resource before \
                 repeating the request.",
            ),
            LedgerError::Corrupt { reason } => {
                tracing::error!(reason, "the ledger holds what cannot be read");
                Self::internal()
            }
        }
    }
}

impl From<CheckoutError> for Problem {
    fn from(error: CheckoutError) -> Self {
        match error {
            CheckoutError::Unavailable { .. } => Self::unavailable(
                ReasonCode::Overloaded,
                "The ledger cannot do this now; nothing was changed.",
            ),
            CheckoutError::OutcomeUnknown { .. } => Self::unknown("The ledger did not answer."),
            CheckoutError::Corrupt { reason } => {
                tracing::error!(reason, "the ledger holds what cannot be read");
                Self::internal()
            }
        }
    }
}

/// Turns an answer into what is sent: problems written, foreign error bodies replaced.
pub(crate) fn finish(mut response: Response, request_id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return problem.render(request_id);
    }
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let mut problem = Problem::of_status(status);
    if let Some(allow) = response.headers().get(ALLOW) {
        problem = problem.header(ALLOW, allow.clone());
    }
    problem.render(request_id)
}
