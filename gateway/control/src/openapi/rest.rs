//! Shapes of everything but coupons.

#![expect(
    dead_code,
    reason = "these types are read for their schemas, never made"
)]

use utoipa::ToSchema;

/// RFC 9457 problem details: the body of every answer of 400 and above.
#[derive(ToSchema)]
pub(crate) struct Problem {
    /// `urn:sluice:reason:` and the code.
    r#type: String,
    title: String,
    status: u16,
    code: String,
    detail: String,
    request_id: String,
    /// With 503: whether the call was carried out.
    #[schema(nullable = false)]
    outcome: Option<Outcome>,
    /// With 400: each field or parameter that was not accepted.
    #[schema(nullable = false)]
    errors: Option<Vec<ProblemField>>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Outcome {
    NotApplied,
    Unknown,
}

#[derive(ToSchema)]
struct ProblemField {
    /// JSON pointer into the body.
    #[schema(nullable = false)]
    pointer: Option<String>,
    /// Name of the query parameter or header.
    #[schema(nullable = false)]
    parameter: Option<String>,
    detail: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Role {
    Viewer,
    Operator,
    Approver,
    Admin,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Scope {
    Checkout,
    Events,
}

/// A new key: a role, or scopes.
#[derive(ToSchema)]
pub(crate) struct ApiKeyInput {
    #[schema(required = false)]
    label: String,
    role: Option<Role>,
    #[schema(required = false)]
    scopes: Vec<Scope>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A key, without its text.
#[derive(ToSchema)]
pub(crate) struct ApiKey {
    prefix: String,
    label: String,
    #[schema(required = true)]
    role: Option<Role>,
    scopes: Vec<Scope>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    revoked_at: Option<String>,
}

/// A key with its text, shown this once.
#[derive(ToSchema)]
pub(crate) struct CreatedApiKey {
    key: String,
    prefix: String,
    label: String,
    #[schema(required = true)]
    role: Option<Role>,
    scopes: Vec<Scope>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    #[schema(required = true, format = DateTime)]
    revoked_at: Option<String>,
}

/// All keys.
#[derive(ToSchema)]
pub(crate) struct ApiKeyPage {
    items: Vec<ApiKey>,
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A page of the audit log.
#[derive(ToSchema)]
pub(crate) struct AuditLogPage {
    items: Vec<AuditLogEntry>,
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// What somebody did. Each entry's hash covers the one before it.
#[derive(ToSchema)]
struct AuditLogEntry {
    sequence: u64,
    #[schema(format = DateTime)]
    at: String,
    actor: String,
    action: String,
    object: String,
    #[schema(required = true, value_type = Option<Object>)]
    before: Option<serde_json::Value>,
    #[schema(required = true, value_type = Option<Object>)]
    after: Option<serde_json::Value>,
    request_id: String,
    previous_hash: String,
    hash: String,
}

/// Options of a recovery.
#[derive(ToSchema)]
pub(crate) struct RecoverInput {
    /// Leave a halt: the ledger is right, and what only Redis knew is set aside.
    #[schema(required = false)]
    accept_ledger: bool,
}

/// All lanes.
#[derive(ToSchema)]
pub(crate) struct LanePage {
    items: Vec<Lane>,
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A lane, as ledger, hot state and keeper see it.
#[derive(ToSchema)]
pub(crate) struct Lane {
    lane: u16,
    epoch: u64,
    /// The last epoch that was opened anywhere.
    opened: u64,
    keeper: u64,
    holder: String,
    #[schema(format = DateTime)]
    until: String,
    /// Why it is halted.
    #[schema(required = true)]
    halted: Option<String>,
    seq: u64,
    /// Null where hot state has nothing of the lane or does not answer.
    #[schema(required = true)]
    hot_state: Option<HotState>,
    #[schema(required = true)]
    hot_state_error: Option<String>,
    /// What this process's keeper is doing; null where it has none for the lane.
    #[schema(required = true)]
    phase: Option<String>,
    #[schema(required = true)]
    detail: Option<String>,
}

#[derive(ToSchema)]
struct HotState {
    state: HotStateWord,
    epoch: u64,
    /// Whether the server is the one that the lane was opened on.
    same_server: bool,
    #[schema(format = DateTime)]
    lease_until: String,
    #[schema(format = DateTime)]
    lane_time: String,
    #[schema(required = true)]
    mark: Option<u64>,
    tail: u64,
    outbox_entries: u64,
    refused: u64,
    unsalvaged: Vec<u64>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum HotStateWord {
    Open,
    Recovering,
    Halted,
}

/// What an audit found.
#[derive(ToSchema)]
pub(crate) struct AuditReport {
    verdict: Verdict,
    coupons: Vec<AuditedCoupon>,
    checks: Vec<AuditCheck>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Verdict {
    Exact,
    Violated,
    Unchecked,
}

/// The figures of a coupon, each counted apart.
#[derive(ToSchema)]
struct AuditedCoupon {
    id: String,
    #[schema(required = true)]
    total: Option<u64>,
    leased: u64,
    granted: u64,
    quarantined: u64,
    #[schema(required = true)]
    in_outbox: Option<u64>,
    #[schema(required = true)]
    available: Option<u64>,
    /// 0 where every unit is accounted for; null where it could not be read.
    #[schema(required = true)]
    drift: Option<i64>,
    /// Figures that moved between the last two rounds; empty at rest.
    moved: Vec<String>,
}

#[derive(ToSchema)]
struct AuditCheck {
    /// Its number in the list of invariants.
    invariant: u8,
    name: String,
    status: CheckStatus,
    examined: u64,
    /// How many are wrong; `violations` lists the first of them.
    violated: u64,
    violations: Vec<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum CheckStatus {
    Held,
    Violated,
    Unchecked,
}
