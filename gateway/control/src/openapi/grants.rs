//! Shapes of grants, and of why somebody has no claim or cannot use theirs.

#![expect(
    dead_code,
    reason = "these types are read for their schemas, never made"
)]

use utoipa::ToSchema;

/// To whom, and why.
#[derive(ToSchema)]
pub(crate) struct GrantInput {
    /// 1 to 1,000 user ids, each once.
    #[schema(min_items = 1, max_items = 1000)]
    users: Vec<String>,
    /// For the audit log, 1 to 500 characters.
    #[schema(example = "apology for a late delivery")]
    reason: String,
}

/// What became of each user.
#[derive(ToSchema)]
pub(crate) struct GrantReport {
    granted: u32,
    replayed: u32,
    refused: u32,
    failed: u32,
    /// In the order of the request.
    items: Vec<GrantItem>,
}

#[derive(ToSchema)]
struct GrantItem {
    user_id: String,
    outcome: GrantOutcome,
    #[schema(required = true)]
    claim_id: Option<String>,
    /// Why not: all of it, in order of precedence.
    reasons: Vec<Reason>,
}

/// `granted` now; `replayed`: they had it before; `refused`: they may not have it; `failed`: the same
/// call again tells.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum GrantOutcome {
    Granted,
    Replayed,
    Refused,
    Failed,
}

/// One reason, with what would help.
#[derive(ToSchema)]
pub(crate) struct Reason {
    /// One of the closed list in docs/reason-codes.md.
    code: String,
    /// The condition that does not hold, as named in the coupon's JSON.
    condition: String,
    expected: String,
    actual: String,
    /// What is missing, where that is a number.
    #[schema(nullable = false)]
    gap: Option<String>,
    /// The smallest change that would make it pass, in words.
    #[schema(nullable = false)]
    fix: Option<String>,
    terms_version: u16,
}

/// Why somebody may not claim a coupon, or that they may.
#[derive(ToSchema)]
pub(crate) struct WhyNot {
    user_id: String,
    coupon_id: String,
    verdict: ClaimVerdict,
    terms_version: u16,
    reasons: Vec<Reason>,
    #[schema(required = true)]
    fix: Option<String>,
    /// The claims that the user has of it, newest first.
    claims: Vec<HeldClaim>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum ClaimVerdict {
    MayClaim,
    MayNotClaim,
}

#[derive(ToSchema)]
pub(crate) struct HeldClaim {
    claim_id: String,
    status: String,
    version: u16,
    #[schema(format = DateTime)]
    granted_at: String,
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
}

/// Who cannot use what: a claim, or a coupon of which they may have claims or not.
#[derive(ToSchema)]
pub(crate) struct CannotUseInput {
    user_id: String,
    /// One of `claim_id` and `coupon_id`.
    claim_id: Option<String>,
    coupon_id: Option<String>,
    /// As in a quote; needed where the user has a claim.
    #[schema(value_type = Option<Object>)]
    cart: Option<serde_json::Value>,
    #[schema(required = false)]
    groups: Vec<String>,
    is_new: Option<bool>,
    #[schema(required = false)]
    verified: Vec<String>,
    device: Option<String>,
}

/// About the claims that the user has (`use`), or about why they have none (`claim`).
#[derive(ToSchema)]
#[serde(tag = "about", rename_all = "snake_case")]
pub(crate) enum CannotUse {
    Use {
        coupon_id: String,
        claims: Vec<UseOf>,
    },
    Claim {
        user_id: String,
        coupon_id: String,
        verdict: ClaimVerdict,
        terms_version: u16,
        reasons: Vec<Reason>,
        #[schema(required = true)]
        fix: Option<String>,
        claims: Vec<HeldClaim>,
    },
}

#[derive(ToSchema)]
pub(crate) struct UseOf {
    claim_id: String,
    verdict: UseVerdict,
    /// What it would take off alone.
    value: String,
    terms_version: u16,
    reasons: Vec<Reason>,
    #[schema(required = true)]
    fix: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum UseVerdict {
    Applies,
    NotApplicable,
    Excluded,
    Overshadowed,
}
