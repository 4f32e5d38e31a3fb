//! Definitions and their versions in the ledger.

use sluice_domain::coupon::{Coupon, Status};
use sluice_domain::id::{CouponId, CouponNumber, LaneId, Revision, Version};
use sluice_domain::published::PublishedVersion;
use sluice_domain::terms::Terms;
use sluice_domain::time::Timestamp;

use crate::LedgerError;
use crate::audit_log::AuditEntry;

pub(crate) mod change;
pub(crate) mod document;
pub mod listing;

/// Answer of a write of a coupon. Anything but [`Done`](Self::Done) wrote nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CouponWrite {
    /// Written.
    Done,
    /// Another change came first; the coupon as it is.
    Stale(Box<Coupon>),
    /// There is no such coupon.
    Unknown,
    /// Another coupon, which is not archived, has the public word.
    CodeTaken {
        /// Which.
        holder: CouponId,
    },
}

/// A version of a coupon's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The version.
    pub version: Version,
    /// What its claims froze, with validity and class.
    pub published: PublishedVersion,
    /// The terms.
    pub terms: Terms,
    /// The content address of the terms (`Terms::content_hash`).
    pub hash: [u8; 32],
    /// When it was made.
    pub at: Timestamp,
    /// By whom.
    pub author: String,
}

/// How a list of coupons is sorted. Ties by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CouponSort {
    /// Newest first.
    #[default]
    CreatedDesc,
    /// Oldest first.
    CreatedAsc,
    /// Last changed first.
    UpdatedDesc,
    /// By name.
    NameAsc,
    /// By end of the claim window, open ends last.
    EndsAsc,
}

/// Which coupons, in which order, from where.
#[derive(Debug, Clone, Default)]
pub struct CouponQuery {
    /// Only this status, derived at `now`.
    pub status: Option<Status>,
    /// Only where name, code or id contain this, in any case.
    pub search: Option<String>,
    /// The order.
    pub sort: CouponSort,
    /// Opaque to callers: where the page before ended. One that this order did not give out is
    /// answered as corrupt; see [`listing::is_cursor`].
    pub cursor: Option<String>,
    /// At most so many, 1 to 200.
    pub limit: usize,
    /// The instant at which statuses are derived.
    pub now: Timestamp,
}

/// A page of coupons.
#[derive(Debug, Clone, Default)]
pub struct CouponPage {
    /// The coupons.
    pub items: Vec<Coupon>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

/// The coupons.
#[async_trait::async_trait]
pub trait Coupons: Send + Sync + 'static {
    /// Gives the next number. Numbers are never used twice, also not after a failure.
    async fn next_number(&self) -> Result<CouponNumber, LedgerError>;

    /// Stores a new draft, with its audit entry, in one transaction. Answers `Done` or `CodeTaken`.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] where there is a coupon with this id.
    async fn create_coupon(
        &self,
        coupon: &Coupon,
        entry: AuditEntry,
    ) -> Result<CouponWrite, LedgerError>;

    /// One coupon.
    async fn coupon(&self, id: CouponId) -> Result<Option<Coupon>, LedgerError>;

    /// Compare-and-set on the revision: `coupon.revision` must be `seen` + 1. Writes the document,
    /// its version row where the version is new, its total, and the audit entry in one transaction.
    /// A raised or equal total is set at once; so is a lowered one while nothing was ever leased.
    /// Later a lowered one is refused here (`settle_target` does it), by leaving the stored total
    /// as it is, in the stored document too. A public word that the coupon did not have before is
    /// refused where another coupon has it; archiving gives a word back.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] where the revision does not follow `seen`, or where a published
    /// version would get other terms, validity or class.
    async fn update_coupon(
        &self,
        seen: Revision,
        coupon: &Coupon,
        author: &str,
        entry: AuditEntry,
    ) -> Result<CouponWrite, LedgerError>;

    /// A page of coupons.
    async fn list_coupons(&self, query: &CouponQuery) -> Result<CouponPage, LedgerError>;

    /// All published versions, oldest first.
    async fn versions(&self, id: CouponId) -> Result<Vec<VersionRow>, LedgerError>;

    /// The ids of all published coupons of a lane, each with whether its hot state was retired.
    async fn published_coupons(&self, lane: LaneId) -> Result<Vec<(CouponId, bool)>, LedgerError>;

    /// Marks the hot state of a coupon retired (retention), or not.
    async fn set_retired(&self, id: CouponId, retired: bool) -> Result<(), LedgerError>;

    /// The result stored under an idempotency key of the admin API, if any: (fingerprint, body).
    async fn operation(&self, scope: &str, key: &str) -> Result<Option<Operation>, LedgerError>;

    /// Stores the result of an operation; false where the key is taken.
    async fn record_operation(
        &self,
        scope: &str,
        key: &str,
        operation: &Operation,
    ) -> Result<bool, LedgerError>;
}

/// The stored result of an idempotent call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// A hash of what was asked.
    pub fingerprint: [u8; 32],
    /// The HTTP status answered.
    pub status: u16,
    /// The body answered.
    pub body: Vec<u8>,
    /// When.
    pub at: Timestamp,
}
