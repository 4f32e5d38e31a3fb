//! Quotes and matches as the data plane answers them.

use serde::Serialize;

use crate::id::{ClaimId, CouponId, Version};
use crate::money;
use crate::pricing::{
    AddedLine, Applied, LineShare, MatchAnswer, Matched, Quote, Rejected, TraceStep, Verdict,
};
use crate::reason::Reason;
use crate::terms::{Currency, MinorUnits};

/// A quote, with amounts as text. May be flattened into a larger answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuoteBody {
    currency: Currency,
    subtotal: String,
    shipping: String,
    discount: String,
    total: String,
    proven_optimal: bool,
    /// Absent where it is proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    discount_bound: Option<String>,
    applied: Vec<AppliedBody>,
    rejected: Vec<RejectedBody>,
    trace: Vec<TraceBody>,
}

/// A match of a wallet with a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MatchBody {
    claims: Vec<MatchedBody>,
    best: QuoteBody,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct AppliedBody {
    claim_id: ClaimId,
    coupon_id: CouponId,
    version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    value: String,
    desired_value: String,
    lines: Vec<LineBody>,
    shipping_off: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<AddedLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct LineBody {
    id: String,
    off: String,
    per_unit: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct RejectedBody {
    claim_id: ClaimId,
    coupon_id: CouponId,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    verdict: Verdict,
    reasons: Vec<Reason>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct TraceBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    claim_id: Option<ClaimId>,
    step: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    detail: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct MatchedBody {
    claim_id: ClaimId,
    coupon_id: CouponId,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    verdict: Verdict,
    value: String,
    reasons: Vec<Reason>,
}

// === impl QuoteBody ===

impl QuoteBody {
    /// The API form of a quote.
    #[must_use]
    pub fn of(quote: &Quote) -> Self {
        let currency = quote.currency;
        let amount = |minor: MinorUnits| money::format(minor, currency);
        Self {
            currency,
            subtotal: amount(quote.subtotal),
            shipping: amount(quote.shipping),
            discount: amount(quote.discount),
            total: amount(quote.total),
            proven_optimal: quote.proven_optimal,
            discount_bound: quote.discount_bound.map(amount),
            applied: quote
                .applied
                .iter()
                .map(|applied| AppliedBody::of(applied, currency))
                .collect(),
            rejected: quote.rejected.iter().map(RejectedBody::of).collect(),
            trace: quote
                .trace
                .iter()
                .map(|step| TraceBody::of(step, currency))
                .collect(),
        }
    }
}

impl AppliedBody {
    fn of(applied: &Applied, currency: Currency) -> Self {
        let amount = |minor: MinorUnits| money::format(minor, currency);
        Self {
            claim_id: applied.claim_id,
            coupon_id: applied.coupon,
            version: applied.version,
            code: applied.code.clone(),
            value: amount(applied.value),
            desired_value: amount(applied.desired_value),
            lines: applied
                .lines
                .iter()
                .map(|line| LineBody::of(line, currency))
                .collect(),
            shipping_off: amount(applied.shipping_off),
            added: applied.added.clone(),
        }
    }
}

impl LineBody {
    fn of(line: &LineShare, currency: Currency) -> Self {
        Self {
            id: line.id.clone(),
            off: money::format(line.off, currency),
            per_unit: line
                .per_unit()
                .map(|off| money::format(off, currency))
                .collect(),
        }
    }
}

impl RejectedBody {
    fn of(rejected: &Rejected) -> Self {
        Self {
            claim_id: rejected.claim_id,
            coupon_id: rejected.coupon,
            code: rejected.code.clone(),
            verdict: rejected.verdict,
            reasons: rejected.reasons.clone(),
        }
    }
}

impl TraceBody {
    fn of(step: &TraceStep, currency: Currency) -> Self {
        Self {
            claim_id: step.claim_id,
            step: step.step.clone(),
            base: step.base.map(|minor| money::format(minor, currency)),
            amount: step.amount.map(|minor| money::format(minor, currency)),
            detail: step.detail.clone(),
        }
    }
}

// === impl MatchBody ===

impl MatchBody {
    /// The API form of a match.
    #[must_use]
    pub fn of(answer: &MatchAnswer) -> Self {
        let currency = answer.best.currency;
        Self {
            claims: answer
                .claims
                .iter()
                .map(|claim| MatchedBody::of(claim, currency))
                .collect(),
            best: QuoteBody::of(&answer.best),
        }
    }
}

impl MatchedBody {
    fn of(claim: &Matched, currency: Currency) -> Self {
        Self {
            claim_id: claim.claim_id,
            coupon_id: claim.coupon,
            code: claim.code.clone(),
            verdict: claim.verdict,
            value: money::format(claim.value, currency),
            reasons: claim.reasons.clone(),
        }
    }
}
