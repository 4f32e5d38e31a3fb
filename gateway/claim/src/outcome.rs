//! What a call of the engine ends in. Refusals are values; the edge turns each into one response.

use std::sync::Arc;

use sluice_domain::claim::{ClaimStatus, Durability};
use sluice_domain::id::{ClaimId, CouponId, UserId, Version};
use sluice_domain::published::Published;
use sluice_domain::reason::{Reason, ReasonCode};
use sluice_domain::time::Timestamp;

/// A claim, with all that the body of an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimView {
    /// The claim.
    pub claim_id: ClaimId,
    /// The coupon.
    pub coupon: CouponId,
    /// Whose.
    pub user: UserId,
    /// The version of the frozen terms.
    pub version: Version,
    /// The durability class reached.
    pub durability: Durability,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// From when it may be used.
    pub valid_from: Timestamp,
    /// Until when; `None` is for ever.
    pub expires_at: Option<Timestamp>,
    /// The status. Claim answers always say `Usable` (the body as first given); a look-up says the
    /// status of now.
    pub status: ClaimStatus,
}

/// What a claim request ends in.
#[derive(Debug, Clone)]
pub enum ClaimOutcome {
    /// 201.
    Granted(ClaimView),
    /// 200, the same body, `Idempotency-Replayed: true`.
    Replayed(ClaimView),
    /// 202: granted in hot state, not durable within the budget. Poll.
    Pending(ClaimId),
    /// A business refusal: 4xx.
    Refused(Refusal),
    /// The machine's fault: 503.
    Unavailable(Unavailable),
}

/// A business refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The first reason in the order of precedence.
    pub code: ReasonCode,
    /// All reasons, where eligibility was evaluated; empty for refusals that have no more to say.
    pub reasons: Vec<Reason>,
    /// With `not_started`: when.
    pub starts_at: Option<Timestamp>,
    /// With `sold_out`: more may come back (quarantined units).
    pub more_may_come: bool,
}

/// The machine's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable {
    /// `warming`, `recovering`, `overloaded` or `outcome_unknown`.
    pub code: ReasonCode,
    /// Whether this attempt may have been carried out.
    pub outcome: AttemptOutcome,
    /// When to come back.
    pub retry_after_ms: u32,
}

/// Whether an attempt may have been carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// It was not, and will not be.
    NotApplied,
    /// It may have been, or may still be: repeat it with the same key.
    Unknown,
}

/// What looking a claim up ends in.
#[derive(Debug, Clone)]
pub enum LookupOutcome {
    /// It is there (or pending, see its status).
    Found(ClaimView),
    /// It is not: never granted, somebody else's, or lost before it was acknowledged as `ledger`.
    NotFound,
    /// The machine's fault.
    Unavailable(Unavailable),
}

/// What looking a coupon up ends in.
#[derive(Debug, Clone)]
pub enum CouponLookup {
    /// It is published.
    Found {
        /// What was published.
        published: Arc<Published>,
        /// A coarse idea of what is left.
        stock: StockLevel,
        /// The lane's clock, for countdowns.
        now: Timestamp,
    },
    /// No such coupon is published.
    NotFound,
    /// The machine's fault.
    Unavailable(Unavailable),
}

/// A coarse idea of what is left of a coupon; never an exact figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockLevel {
    /// Enough, or nothing is known to the contrary.
    Plenty,
    /// A tenth or less.
    Low,
    /// A hundredth or less.
    Last,
    /// Nothing.
    SoldOut,
}

// === impl Refusal ===

impl Refusal {
    /// A refusal that has no more to say than its code. Allocates nothing.
    #[must_use]
    pub const fn of(code: ReasonCode) -> Self {
        Self {
            code,
            reasons: Vec::new(),
            starts_at: None,
            more_may_come: false,
        }
    }
}

// === impl Unavailable ===

impl Unavailable {
    /// An attempt that was not carried out and never will be.
    #[must_use]
    pub const fn not_applied(code: ReasonCode, retry_after_ms: u32) -> Self {
        Self {
            code,
            outcome: AttemptOutcome::NotApplied,
            retry_after_ms,
        }
    }

    /// An attempt that may have been, or may still be, carried out.
    #[must_use]
    pub const fn unknown(retry_after_ms: u32) -> Self {
        Self {
            code: ReasonCode::OutcomeUnknown,
            outcome: AttemptOutcome::Unknown,
            retry_after_ms,
        }
    }
}
