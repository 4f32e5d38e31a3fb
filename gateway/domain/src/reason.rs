//! The one closed list of reason codes. Stable for ever: clients branch on them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $title:literal;)*) => {
        /// Why something was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ReasonCode {
            $($(#[$doc])* $name,)*
        }

        impl ReasonCode {
            /// Every code, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as clients see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// A short title for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// Unknown, expired and foreign codes, all alike.
    CodeNotAccepted = "code_not_accepted", "The code is not accepted";
    /// The claim window has not opened.
    NotStarted = "not_started", "The coupon cannot be claimed yet";
    /// The claim window is over, or the coupon was ended.
    Ended = "ended", "The coupon has ended";
    /// The claim's validity is over.
    Expired = "expired", "The claim has expired";
    /// Outside the weekly windows.
    OutsideTimeWindow = "outside_time_window", "The coupon is closed at this time of the week";
    /// Stopped by the operator.
    Paused = "paused", "The coupon is paused";
    /// Soft-deleted.
    Archived = "archived", "The coupon has been withdrawn";
    /// Nothing left.
    SoldOut = "sold_out", "The coupon is sold out";
    /// The claim was used as often as it may be.
    UsageLimitReached = "usage_limit_reached", "The coupon has been used as often as it may be";
    /// The user has as many claims as allowed.
    UserLimitReached = "user_limit_reached", "You have claimed this coupon as often as you may";
    /// The device has.
    DeviceLimitReached = "device_limit_reached", "This device has claimed the coupon as often as it may";
    /// The address has.
    IpLimitReached = "ip_limit_reached", "This network has claimed the coupon as often as it may";
    /// No money left.
    BudgetExhausted = "budget_exhausted", "The coupon's budget is used up";
    /// Reserved by another order.
    HeldByOrder = "held_by_order", "The claim is held by another order";
    /// No or no valid token.
    LoginRequired = "login_required", "Sign in first";
    /// Something about the shopper has to be verified.
    VerificationRequired = "verification_required", "A verification is required";
    /// On a block list.
    Blocked = "blocked", "The request is not allowed";
    /// Somebody else's.
    NotOwner = "not_owner", "This belongs to somebody else";
    /// A condition on users is not met.
    NotEligible = "not_eligible", "You are not eligible for this coupon";
    /// The cart is too small.
    MinSpendNotMet = "min_spend_not_met", "The minimum spend is not reached";
    /// Too few of a product.
    QuantityNotMet = "quantity_not_met", "The required quantity is not in the cart";
    /// No line the coupon applies to.
    NoEligibleItems = "no_eligible_items", "Nothing in the cart is eligible";
    /// A line that excludes the coupon.
    ExcludedItemPresent = "excluded_item_present", "The cart has an item that excludes the coupon";
    /// Cannot be combined with another.
    NotCombinable = "not_combinable", "The coupon cannot be combined with another one";
    /// A better combination left it out.
    Overshadowed = "overshadowed", "A better coupon applies";
    /// Already on the cart.
    AlreadyApplied = "already_applied", "The coupon is applied already";
    /// Redeemed before.
    AlreadyUsed = "already_used", "The claim has been used";
    /// Would take nothing off.
    NoEffect = "no_effect", "The coupon would take nothing off";
    /// Another currency.
    CurrencyMismatch = "currency_mismatch", "The coupon is in another currency";
    /// Another channel.
    ChannelMismatch = "channel_mismatch", "The coupon is for another channel";
    /// Too many requests.
    RateLimited = "rate_limited", "Too many requests";
    /// The total is not the expected one.
    PriceChanged = "price_changed", "The price has changed";
    /// The hold ran out.
    HoldExpired = "hold_expired", "The hold has expired";
    /// The idempotency key was used for something else.
    KeyReused = "key_reused", "The idempotency key was used with another request";
    /// An idempotency key is needed.
    KeyRequired = "key_required", "An Idempotency-Key is required";
    /// Another change came first.
    Conflict = "conflict", "The state of now does not allow it";
    /// Hot state is being filled.
    Warming = "warming", "The coupon is warming up";
    /// The lane is recovering.
    Recovering = "recovering", "The service is recovering";
    /// Too much at once.
    Overloaded = "overloaded", "The service is at its limit";
    /// Sent, and no answer.
    OutcomeUnknown = "outcome_unknown", "The outcome is not known yet";
    /// The request cannot be understood.
    InvalidRequest = "invalid_request", "The request is not valid";
    /// There is no such thing.
    NotFound = "not_found", "There is no such resource";
    /// The route does not have this method.
    MethodNotAllowed = "method_not_allowed", "The method is not allowed here";
    /// The body has another media type.
    UnsupportedMediaType = "unsupported_media_type", "The media type is not supported";
    /// The request is too large.
    TooLarge = "too_large", "The request is too large";
    /// Header fields are too large or too many.
    HeadersTooLarge = "headers_too_large", "The header fields are too large";
    /// The request took too long to arrive.
    RequestTimeout = "request_timeout", "The request took too long";
    /// No or no valid key (admin API).
    Unauthorized = "unauthorized", "A valid key is required";
    /// The key may not do this.
    Forbidden = "forbidden", "The key may not do this";
    /// If-Match is needed.
    PreconditionRequired = "precondition_required", "An If-Match header is required";
    /// If-Match did not match.
    PreconditionFailed = "precondition_failed", "The resource has changed since it was read";
    /// A defect.
    Internal = "internal", "Something went wrong on our side";
}

/// One reason, with everything a person or a program needs to act on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The code.
    pub code: ReasonCode,
    /// The condition that did not hold, as named in the coupon's JSON (`users`, `windows` …).
    pub condition: Cow<'static, str>,
    /// What would have been accepted.
    pub expected: String,
    /// What was found.
    pub actual: String,
    /// What is missing, where that is a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<String>,
    /// The smallest change that would make it pass, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The version of the terms it was decided under.
    pub terms_version: crate::id::Version,
}

// === impl Reason ===

impl Reason {
    /// A reason without gap and fix.
    pub(crate) fn new(
        code: ReasonCode,
        condition: &'static str,
        expected: impl Into<String>,
        actual: impl Into<String>,
        terms_version: crate::id::Version,
    ) -> Self {
        Self {
            code,
            condition: Cow::Borrowed(condition),
            expected: expected.into(),
            actual: actual.into(),
            gap: None,
            fix: None,
            terms_version,
        }
    }

    /// Adds it to those found so far, and gives it back to be completed.
    pub(crate) fn push_to(self, found: &mut Vec<Self>) -> &mut Self {
        found.push(self);
        let last = found.len() - 1;
        &mut found[last]
    }
}

#[cfg(test)]
mod tests;
