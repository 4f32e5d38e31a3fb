//! THE table: what status and what words each reason code is answered with.

use http::StatusCode;
use sluice_domain::reason::ReasonCode;

/// Answer of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The HTTP status.
    pub status: StatusCode,
    /// What it means and what to do, for people; the default of a problem's `detail`.
    pub detail: &'static str,
}

/// The one table code → answer. Every problem body of the data plane takes its status from here.
///
/// One exception: a URI that is too long is `too_large` with 414, because RFC 9110 has a status of
/// its own for it.
#[expect(
    clippy::too_many_lines,
    reason = "one arm per code: splitting the table would hide it"
)]
#[must_use]
pub const fn entry(code: ReasonCode) -> Entry {
    use ReasonCode as Code;
    let (status, detail) = match code {
        Code::CodeNotAccepted => (StatusCode::NOT_FOUND, "Check the code, or use another one."),
        Code::NotStarted => (
            StatusCode::TOO_EARLY,
            "Claims open at starts_at. Come back then.",
        ),
        Code::Ended => (StatusCode::GONE, "No claim is granted any more."),
        Code::Expired => (StatusCode::GONE, "The claim can no longer be used."),
        Code::OutsideTimeWindow => (
            StatusCode::CONFLICT,
            "It opens again in its next weekly window.",
        ),
        Code::Paused => (
            StatusCode::CONFLICT,
            "Claims are stopped for now and may go on later.",
        ),
        Code::Archived => (StatusCode::GONE, "No claim is granted any more."),
        Code::SoldOut => (StatusCode::CONFLICT, "Nothing is left."),
        Code::UsageLimitReached => (StatusCode::CONFLICT, "It cannot be used again."),
        Code::UserLimitReached => (
            StatusCode::CONFLICT,
            "You hold as many claims of this coupon as one person may.",
        ),
        Code::DeviceLimitReached => (
            StatusCode::CONFLICT,
            "As many claims were made from this device as one device may.",
        ),
        Code::IpLimitReached => (
            StatusCode::CONFLICT,
            "As many claims were made from this network as one network may.",
        ),
        Code::BudgetExhausted => (StatusCode::CONFLICT, "No discount is left to give."),
        Code::HeldByOrder => (
            StatusCode::CONFLICT,
            "Finish or cancel the order that holds it.",
        ),
        Code::LoginRequired => (
            StatusCode::UNAUTHORIZED,
            "Send a valid token or pass as Authorization: Bearer.",
        ),
        Code::VerificationRequired => (
            StatusCode::FORBIDDEN,
            "Verify what the reasons name, then claim with a new token.",
        ),
        Code::Blocked => (StatusCode::FORBIDDEN, "Ask the shop's support."),
        Code::NotOwner => (StatusCode::NOT_FOUND, "Use a claim of your own."),
        Code::NotEligible => (
            StatusCode::FORBIDDEN,
            "The reasons say which rule was not met.",
        ),
        Code::MinSpendNotMet => (StatusCode::CONFLICT, "Add to the cart; gap says how much."),
        Code::QuantityNotMet => (StatusCode::CONFLICT, "Add to the cart; gap says how many."),
        Code::NoEligibleItems => (StatusCode::CONFLICT, "Add an item that the coupon is for."),
        Code::ExcludedItemPresent => (
            StatusCode::CONFLICT,
            "Take the excluded item out of the cart.",
        ),
        Code::NotCombinable => (StatusCode::CONFLICT, "Use one of them at a time."),
        Code::Overshadowed => (StatusCode::CONFLICT, "Nothing needs to be done."),
        Code::AlreadyApplied => (StatusCode::CONFLICT, "Nothing needs to be done."),
        Code::AlreadyUsed => (StatusCode::CONFLICT, "A claim is used once."),
        Code::NoEffect => (StatusCode::CONFLICT, "Keep it for another order."),
        Code::CurrencyMismatch => (
            StatusCode::CONFLICT,
            "Use it with a cart in its own currency.",
        ),
        Code::ChannelMismatch => (StatusCode::CONFLICT, "Use it in its own channel."),
        Code::RateLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            "Wait for the time that Retry-After says.",
        ),
        Code::PriceChanged => (
            StatusCode::CONFLICT,
            "Show the new total, then send it as expected_total.",
        ),
        Code::HoldExpired => (StatusCode::CONFLICT, "Hold the claim again."),
        Code::KeyReused => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "Use a new Idempotency-Key for another request.",
        ),
        Code::KeyRequired => (
            StatusCode::BAD_REQUEST,
            "Send an Idempotency-Key: 1 to 128 visible ASCII characters.",
        ),
        Code::Conflict => (StatusCode::CONFLICT, "Read the resource again."),
        Code::Warming => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Repeat the request after Retry-After, with the same key.",
        ),
        Code::Recovering => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Repeat the request after Retry-After, with the same key.",
        ),
        Code::Overloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Repeat the request after Retry-After, with the same key.",
        ),
        Code::OutcomeUnknown => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Repeat the request after Retry-After, with the same key: nothing is granted twice.",
        ),
        Code::InvalidRequest => (StatusCode::BAD_REQUEST, "Correct what errors names."),
        Code::NotFound => (StatusCode::NOT_FOUND, "Check the address and the id."),
        Code::MethodNotAllowed => (
            StatusCode::METHOD_NOT_ALLOWED,
            "Use one of the methods that Allow names.",
        ),
        Code::UnsupportedMediaType => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send the body as application/json.",
        ),
        Code::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Send less."),
        Code::HeadersTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "Send fewer or shorter header fields.",
        ),
        Code::RequestTimeout => (
            StatusCode::REQUEST_TIMEOUT,
            "Send the whole request without a pause.",
        ),
        Code::Unauthorized => (StatusCode::UNAUTHORIZED, "Send a valid key."),
        Code::Forbidden => (StatusCode::FORBIDDEN, "Use a key with another role."),
        Code::PreconditionRequired => (
            StatusCode::PRECONDITION_REQUIRED,
            "Send the ETag that you read as If-Match.",
        ),
        Code::PreconditionFailed => (
            StatusCode::PRECONDITION_FAILED,
            "Read the resource again and repeat the change.",
        ),
        Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Tell us the request_id."),
    };
    Entry { status, detail }
}

/// The catalogue page of all reason codes, generated from the table (Markdown).
#[must_use]
pub fn catalogue() -> String {
    use std::fmt::Write as _;
    let mut page = String::from(
        "# Reason codes\n\n\
         Every refusal is `application/problem+json` (RFC 9457) with a `code` from this closed list and\n\
         `type` = `urn:sluice:reason:<code>`. Codes are stable for ever: branch on them, show `title` and\n\
         `detail` to people. 429, 503 and 425 carry `Retry-After` (with jitter); 503 says\n\
         `outcome`: `not_applied` or `unknown`.\n\n\
         One exception to the table: a URI that is too long is `too_large` with status 414.\n\n\
         This page is generated from the code; a test says how when it is stale.\n\n\
         | code | status | title | detail |\n| --- | --- | --- | --- |\n",
    );
    for &code in ReasonCode::ALL {
        let Entry { status, detail } = entry(code);
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            page,
            "| `{}` | {} | {} | {detail} |",
            code.as_str(),
            status.as_u16(),
            code.title()
        );
    }
    page
}
