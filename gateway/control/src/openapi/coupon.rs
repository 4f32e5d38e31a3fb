//! Shapes of coupons.

#![expect(
    dead_code,
    reason = "these types are read for their schemas, never made"
)]

use utoipa::ToSchema;

/// A new coupon. Amounts are decimal text with the currency's own number of digits.
#[derive(ToSchema)]
pub(crate) struct CouponInput {
    /// Shown to shoppers, 1 to 200 characters.
    #[schema(example = "Black Friday 5 off")]
    name: String,
    #[schema(required = false)]
    description: String,
    /// One public word that many users may type at claim or at checkout; in any case, trimmed.
    code: Option<String>,
    /// ISO 4217.
    #[schema(example = "USD")]
    currency: String,
    benefit: Benefit,
    #[schema(required = false)]
    conditions: Conditions,
    #[schema(required = false)]
    stacking: Stacking,
    limits: Limits,
    #[schema(required = false)]
    distribution: Vec<Distribution>,
    #[schema(required = false)]
    claim_window: ClaimWindow,
    #[schema(required = false)]
    validity: Validity,
    #[schema(required = false)]
    durability: Durability,
    /// Shards of its stock, for giant sales: at most as many as there are lanes, fixed once
    /// published, not together with `per_device`, `per_ip` or the distribution "code".
    #[schema(required = false, minimum = 1, maximum = 64)]
    shards: u16,
    template: Option<String>,
    #[schema(required = false)]
    notes: String,
}

/// The fields that change; null takes one back to its default.
#[derive(ToSchema)]
#[schema(value_type = Object, example = json!({"description": "until Sunday", "limits": {"per_device": null}}))]
pub(crate) struct CouponPatch(serde_json::Value);

/// A coupon as stored, every default written out.
#[derive(ToSchema)]
pub(crate) struct Coupon {
    id: String,
    /// The `ETag` as a number; rises with every change.
    revision: u32,
    /// Rises with the terms; claims keep theirs.
    version: u16,
    status: Status,
    name: String,
    description: String,
    #[schema(required = true)]
    code: Option<String>,
    currency: String,
    benefit: Benefit,
    conditions: Conditions,
    stacking: Stacking,
    limits: Limits,
    distribution: Vec<Distribution>,
    claim_window: ClaimWindow,
    validity: Validity,
    durability: Durability,
    shards: u16,
    #[schema(required = true)]
    template: Option<String>,
    notes: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    counts: Counts,
}

/// Units of a coupon, by where they are.
#[derive(ToSchema)]
pub(crate) struct Counts {
    /// Null is unlimited.
    #[schema(required = true)]
    total: Option<u64>,
    /// Claims in the ledger that are not revoked.
    granted: u64,
    /// Null where unlimited, or where hot state does not answer; `note` says which.
    #[schema(required = true)]
    available: Option<u64>,
    /// Units that nobody may have before the grace of a lost lease is over.
    quarantined: u64,
    redeemed: u64,
    #[schema(nullable = false)]
    note: Option<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Status {
    Draft,
    Scheduled,
    Active,
    Paused,
    Ended,
    Archived,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Durability {
    Ledger,
    Hot,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Distribution {
    Public,
    Targeted,
    Code,
    Auto,
}

#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Benefit {
    Threshold {
        tiers: Vec<Tier>,
    },
    Percent {
        /// Hundredths of a percent.
        basis_points: u16,
        max_off: Option<String>,
    },
    Fixed {
        off: String,
    },
    Product {
        sku: String,
        quantity: u32,
        max_value: Option<String>,
    },
}

#[derive(ToSchema)]
struct Tier {
    #[schema(example = "50.00")]
    spend: String,
    #[schema(example = "5.00")]
    off: String,
}

#[derive(ToSchema)]
struct Conditions {
    min_spend: Option<String>,
    #[schema(required = false)]
    min_spend_base: MinSpendBase,
    #[schema(required = false)]
    products: Products,
    #[schema(required = false)]
    users: Users,
    #[schema(required = false)]
    verified: Vec<Verified>,
    #[schema(required = false)]
    windows: Vec<Window>,
    #[schema(required = false)]
    channels: Vec<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum MinSpendBase {
    Initial,
    BeforeThis,
    AfterThis,
}

#[derive(ToSchema)]
struct Products {
    #[schema(required = false)]
    include: ProductSet,
    #[schema(required = false)]
    exclude: ProductSet,
}

#[derive(ToSchema)]
struct ProductSet {
    #[schema(required = false)]
    skus: Vec<String>,
    #[schema(required = false)]
    categories: Vec<String>,
    #[schema(required = false)]
    brands: Vec<String>,
    #[schema(required = false)]
    tags: Vec<String>,
}

#[derive(ToSchema)]
struct Users {
    kind: UsersKind,
    #[schema(required = false)]
    groups: Vec<String>,
    #[schema(required = false)]
    ids: Vec<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum UsersKind {
    All,
    New,
    Existing,
    Groups,
    Ids,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Verified {
    Phone,
    Email,
    Identity,
}

#[derive(ToSchema)]
struct Window {
    days: Vec<Day>,
    #[schema(example = "18:00")]
    from: String,
    #[schema(example = "02:00")]
    to: String,
    /// IANA name.
    #[schema(example = "Asia/Shanghai")]
    zone: String,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

#[derive(ToSchema)]
struct Stacking {
    #[schema(required = false)]
    stage: Stage,
    #[schema(required = false)]
    priority: u16,
    #[schema(required = false)]
    group: Group,
    #[schema(required = false)]
    combines_with: Vec<String>,
    #[schema(required = false)]
    base: StackingBase,
    #[schema(required = false)]
    tags: Vec<String>,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Stage {
    Product,
    Order,
    Shipping,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Group {
    Exclusive,
    Combinable,
    Always,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum StackingBase {
    Initial,
    Running,
}

#[derive(ToSchema)]
struct Limits {
    /// Units in all; null is unlimited.
    #[schema(required = true, maximum = 1_000_000_000)]
    total: Option<u64>,
    /// 1 where absent.
    #[schema(required = false, minimum = 1)]
    per_user: u16,
    per_device: Option<u16>,
    per_ip: Option<u16>,
    #[schema(required = false, minimum = 1)]
    uses_per_claim: u32,
    uses_per_user: Option<UsesPerUser>,
    budget: Option<String>,
    #[schema(required = false)]
    budget_partial: BudgetPartial,
}

#[derive(ToSchema)]
struct UsesPerUser {
    count: u32,
    period: Period,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Period {
    Day,
    Week,
    Month,
    Lifetime,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum BudgetPartial {
    Refuse,
    GrantRest,
}

#[derive(ToSchema)]
struct ClaimWindow {
    #[schema(format = DateTime)]
    starts_at: Option<String>,
    #[schema(format = DateTime)]
    ends_at: Option<String>,
}

#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Validity {
    Fixed {
        #[schema(format = DateTime)]
        starts_at: String,
        #[schema(format = DateTime)]
        ends_at: String,
    },
    Relative {
        days: u16,
        until: RelativeEnd,
        zone: String,
    },
    Permanent,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum RelativeEnd {
    Minute,
    EndOfDay,
}

/// A page of coupons.
#[derive(ToSchema)]
pub(crate) struct CouponPage {
    items: Vec<Coupon>,
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// The new total; null is unlimited.
#[derive(ToSchema)]
pub(crate) struct StockInput {
    #[schema(required = true, example = 2000)]
    total: Option<u64>,
}

/// A page of versions.
#[derive(ToSchema)]
pub(crate) struct VersionPage {
    items: Vec<Version>,
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A version of the terms.
#[derive(ToSchema)]
struct Version {
    version: u16,
    /// In numbers, and in English under `words`.
    #[schema(value_type = Object)]
    terms: serde_json::Value,
    durability: Durability,
    /// The content address of the terms.
    hash: String,
    #[schema(format = DateTime)]
    at: String,
    author: String,
}

/// A page of claims.
#[derive(ToSchema)]
pub(crate) struct ClaimPage {
    items: Vec<Claim>,
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// A claim.
#[derive(ToSchema)]
struct Claim {
    claim_id: String,
    user_id: String,
    ticket: u64,
    version: u16,
    status: ClaimStatus,
    #[schema(format = DateTime)]
    granted_at: String,
    durability: Durability,
}

#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum ClaimStatus {
    Pending,
    Usable,
    Held,
    Used,
    Expired,
    Revoked,
}
