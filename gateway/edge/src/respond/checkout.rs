//! Answers of checkout: its refusals and its faults.

use std::borrow::Cow;
use std::io::Write as _;

use sluice_checkout::{CheckoutError, Refused};
use sluice_claim::outcome::{AttemptOutcome, Unavailable};
use sluice_domain::input;
use sluice_domain::money;
use sluice_domain::reason::ReasonCode;

use super::{FieldError, Problem, Reply, RetryAfter, Stop, unavailable};
use crate::context::RequestContext;

/// When a client whose checkout could not be served comes back, in milliseconds.
const RETRY_AFTER_MS: u32 = 1_000;

/// A business refusal.
pub(crate) fn refused(refused: &Refused, context: &RequestContext) -> Reply {
    let errors = field_errors(&refused.errors);
    let mut more = Vec::new();
    // Writing into a Vec cannot fail, nor can these values need escaping.
    if let Some(state) = refused.status {
        let word = serde_json::to_string(&state).unwrap_or_default();
        let _infallible = write!(more, ",\"state\":{word}");
    }
    if let Some(price) = refused.price {
        let _infallible = write!(
            more,
            ",\"expected\":\"{}\",\"actual\":\"{}\"",
            money::format(price.expected, price.currency),
            money::format(price.actual, price.currency)
        );
    }
    if let Some(until) = refused.until {
        let _infallible = write!(more, ",\"held_until\":\"{until}\"");
    }
    // The one refusal that is the machine's: too many large carts are being priced.
    let at_its_limit = refused.code == ReasonCode::Overloaded;
    Problem {
        outcome: at_its_limit.then_some(AttemptOutcome::NotApplied),
        retry_after: at_its_limit.then_some(RetryAfter {
            millis: u64::from(RETRY_AFTER_MS),
        }),
        detail: refused.detail.as_deref().map(Cow::Borrowed),
        reasons: &refused.reasons,
        errors: &errors,
        more: &more,
        ..Problem::of(refused.code)
    }
    .reply(context)
}

/// The machine's fault.
pub(crate) fn fault(error: &CheckoutError, context: &RequestContext) -> Reply {
    let outcome = match error {
        CheckoutError::Unavailable { .. } => AttemptOutcome::NotApplied,
        CheckoutError::OutcomeUnknown { .. } => AttemptOutcome::Unknown,
        CheckoutError::Corrupt { .. } => {
            tracing::error!(%error, request_id = context.request_id.as_str(), "checkout met a defect");
            return Stop::Code(ReasonCode::Internal).reply(context);
        }
    };
    tracing::warn!(%error, request_id = context.request_id.as_str(), "checkout is not served");
    unavailable(
        Unavailable {
            code: match outcome {
                AttemptOutcome::NotApplied => ReasonCode::Overloaded,
                AttemptOutcome::Unknown => ReasonCode::OutcomeUnknown,
            },
            outcome,
            retry_after_ms: RETRY_AFTER_MS,
        },
        context,
    )
}

/// What a reader of bodies found wrong.
pub(crate) fn invalid(errors: Vec<input::FieldError>) -> Stop {
    Stop::Invalid(field_errors(&errors))
}

fn field_errors(errors: &[input::FieldError]) -> Vec<FieldError> {
    let one = |error: &input::FieldError| FieldError {
        pointer: error.pointer.clone(),
        detail: Cow::Owned(error.message.clone()),
    };
    errors.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::context::{Entropy, RequestContext};

    #[test]
    fn too_many_large_carts_are_no_fault_of_this_one() {
        let entropy = Entropy::new().unwrap();
        let context = RequestContext::of(&HeaderMap::new(), &entropy);
        let reply = refused(&Refused::of(ReasonCode::Overloaded), &context);
        assert_eq!(reply.status, http::StatusCode::SERVICE_UNAVAILABLE);
        assert!(reply.retry_after.is_some());
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["outcome"], "not_applied");
        let reply = refused(&Refused::of(ReasonCode::Conflict), &context);
        assert!(reply.retry_after.is_none());
    }
}
