//! What the audit reads: counts and offending rows, taken from the rows themselves and never from
//! the counters that other calls answer with.

use std::collections::BTreeMap;

use sluice_domain::claim::ClaimRow;
use sluice_domain::coupon::Coupon;
use sluice_domain::id::{ClaimId, CouponId, RedemptionId, Revision, UserId, Version};
use sluice_domain::lease::{Lease, Stock};

use crate::LedgerError;
use crate::lanes::LaneRow;

pub use checkout::{CountedUses, RedemptionFacts, RedemptionOrphans, UsageFacts};

mod checkout;
pub(crate) mod count;

/// Most offending rows that are named per finding; their number is always exact.
pub const OFFENDERS_MAX: usize = 100;

/// A lease with what its rows say, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseFacts {
    /// The lease, with the counter of rows that the ledger keeps.
    pub lease: Lease,
    /// Claim rows that name this lease, counted.
    pub rows: u64,
    /// Those of them that are revoked, counted.
    pub revoked: u64,
}

/// Rows that break a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offenders<T> {
    /// How many there are.
    pub count: u64,
    /// The first of them, at most [`OFFENDERS_MAX`].
    pub first: Vec<T>,
}

/// Somebody or something that claims are counted by, with more of them than the limit of now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverLimit {
    /// The user; for devices and addresses the user of one of their claims.
    pub user: UserId,
    /// One of the claims.
    pub claim_id: ClaimId,
    /// How many claims, revoked ones not counted.
    pub claims: u64,
}

/// How claims spread over one kind of subject. Revoked claims do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectFacts {
    /// Distinct subjects.
    pub distinct: u64,
    /// The most claims of one subject.
    pub most: u64,
    /// Subjects over the limit that the coupon has now (an earlier one may have been higher).
    pub over: Offenders<OverLimit>,
}

/// Everything the audit needs of one coupon, read at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouponLedgerFacts {
    /// The coupon.
    pub coupon: Coupon,
    /// Its lane, at the same instant.
    pub lane: LaneRow,
    /// Its stock.
    pub stock: Stock,
    /// Its leases by number, with their rows counted.
    pub leases: Vec<LeaseFacts>,
    /// Claim rows, revoked ones included.
    pub rows: u64,
    /// Revoked ones.
    pub revoked: u64,
    /// Rows whose ticket is outside the lease they name, or whose lease does not exist.
    pub outside_range: Offenders<ClaimRow>,
    /// Rows whose claim id names another coupon.
    pub foreign_ids: Offenders<ClaimRow>,
    /// Rows beyond the first with the same claim id.
    pub repeated_claim_ids: u64,
    /// Rows beyond the first with the same ticket.
    pub repeated_tickets: u64,
    /// Per user.
    pub users: SubjectFacts,
    /// Per device, over the rows that carry one.
    pub devices: SubjectFacts,
    /// Per address, over the rows that carry one.
    pub addresses: SubjectFacts,
    /// Rows by the revision they were granted under.
    pub revisions: BTreeMap<Revision, u64>,
    /// Rows by the version of their terms.
    pub versions: BTreeMap<Version, u64>,
}

/// Facts for the audit. Slow: whole coupons are read.
#[async_trait::async_trait]
pub trait AuditFacts: Send + Sync + 'static {
    /// The ids of all coupons, drafts too, ascending, after `after`, at most `limit`.
    async fn coupon_ids(
        &self,
        after: Option<CouponId>,
        limit: usize,
    ) -> Result<Vec<CouponId>, LedgerError>;

    /// The facts of a coupon, all read at one instant; `None` where there is no such coupon.
    async fn coupon_facts(
        &self,
        coupon: CouponId,
    ) -> Result<Option<CouponLedgerFacts>, LedgerError>;

    /// Redemptions by id, after `after`, at most `limit` (1 to 10,000), each read with its events
    /// and uses at one instant; with a coupon only those that are listed under it.
    async fn redemption_facts(
        &self,
        coupon: Option<CouponId>,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionFacts>, LedgerError>;

    /// What the uses of a coupon come to, as kept and as counted, read at one instant.
    async fn usage_facts(&self, coupon: CouponId) -> Result<UsageFacts, LedgerError>;

    /// What checkout left behind without what it belongs to, read at one instant.
    async fn redemption_orphans(&self) -> Result<RedemptionOrphans, LedgerError>;

    /// What the store itself finds wrong: index entries without a row, rows without an index
    /// entry, damaged pages, dangling references. Empty where all is well; at most
    /// [`OFFENDERS_MAX`] lines.
    async fn integrity_problems(&self) -> Result<Vec<String>, LedgerError>;
}
