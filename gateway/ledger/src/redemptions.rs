//! Redemptions in the ledger: the use of claims on orders.
//!
//! A redemption changes by [`Redemptions::apply`] alone. One call is one transaction: the
//! compare-and-set on the row's version, the event, the uses that become free, the uses that are
//! taken with every limit that spans claims, and the counters. So confirm and expiry meet in one
//! comparison, and a limit is never seen between its check and its use.
//!
//! Live uses are rows and freed ones are deleted: a limit is then a count over an index, and the
//! primary key itself keeps a use from being taken twice. History is in the events.

use sluice_domain::coupon::Coupon;
use sluice_domain::id::{ClaimId, CouponId, RedemptionId, UserId};
use sluice_domain::redemption::{
    ClaimUse, CouponUsage, Redemption, TermsKey, Transition, TransitionEvent,
};
use sluice_domain::terms::MinorUnits;
use sluice_domain::time::Timestamp;

use crate::LedgerError;
use crate::coupons::{Coupons, VersionRow};

pub(crate) mod check;
pub(crate) mod document;
pub mod standing;

use standing::{StandingFacts, StandingQuery};

/// Answer of [`Redemptions::apply`]. Anything but [`Done`](Self::Done) wrote nothing.
///
/// Where several would be true the first in this list is given; of the refusals of uses, that of
/// the first use in the transition's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransitionOutcome {
    /// Written, with all its uses.
    Done,
    /// This operation was carried out before, with the same content: its event, with its result.
    Repeated(TransitionEvent),
    /// This operation id was used before for something else: a misuse. The event that has it.
    OperationReused(TransitionEvent),
    /// Another transition came first; the redemption as it is.
    Stale(Box<Redemption>),
    /// The order has a redemption under another id.
    OrderTaken,
    /// There is no such claim of this user, or it was taken back.
    ClaimGone {
        /// Which.
        claim_id: ClaimId,
    },
    /// All uses of a claim are held or spent.
    ClaimNotFree {
        /// Which.
        claim_id: ClaimId,
        /// By whom, by use number.
        uses: Vec<ClaimUse>,
    },
    /// The user has had all uses of the coupon in this period.
    UserLimitReached {
        /// The claim that found it so.
        claim_id: ClaimId,
        /// Uses that count in the period, without this one.
        uses: u32,
    },
    /// The coupon's budget does not have room for the use.
    BudgetReached {
        /// The claim that found it so.
        claim_id: ClaimId,
        /// Its coupon.
        coupon: CouponId,
        /// What this use could take off, from 0 to less than it asked for.
        left: MinorUnits,
    },
}

/// A place in the list of a coupon's redemptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedemptionsPage {
    /// Go on after this one: when it was made, and its id.
    pub after: Option<(Timestamp, RedemptionId)>,
    /// At most so many, 1 to 10,000.
    pub limit: usize,
}

/// Redemptions.
#[async_trait::async_trait]
pub trait Redemptions: Coupons {
    /// One redemption.
    async fn redemption(&self, id: RedemptionId) -> Result<Option<Redemption>, LedgerError>;

    /// All that happened to it, oldest first.
    async fn events(&self, id: RedemptionId) -> Result<Vec<TransitionEvent>, LedgerError>;

    /// What became of an operation: how an uncertain write is resolved. `None`: it was not carried
    /// out, at the time of this call.
    async fn redemption_operation(
        &self,
        id: RedemptionId,
        operation_id: &str,
    ) -> Result<Option<TransitionEvent>, LedgerError>;

    /// Carries a transition out, in one transaction: see [`TransitionOutcome`].
    ///
    /// A use is taken where the claim is a row of the redemption's user and not revoked, has a live
    /// use less than `uses_per_claim`, the user has fewer live uses of the coupon in the period
    /// than the limit, and the budget has room beside all live uses. Where the redemption has the
    /// use already, only what rises is checked: a value that grows against the budget, a period
    /// that changes against the limit. A claim may be both freed and taken: it is then taken anew.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] where the transition contradicts itself or the ledger, which is a
    /// defect of its maker: a version that does not follow, an arrow that does not exist, another
    /// user or order than the row has, a use freed that the redemption does not have; or uses that
    /// do not fit the status they end in (held ones until the redemption's own `held_until`, paid
    /// ones spent, none where it is cancelled or expired). Nothing was written.
    async fn apply(&self, transition: &Transition) -> Result<TransitionOutcome, LedgerError>;

    /// The live uses of these claims, by claim and use number.
    async fn claim_uses(&self, claims: &[ClaimId]) -> Result<Vec<ClaimUse>, LedgerError>;

    /// How many live uses a user has of each coupon in each period, in the order asked.
    async fn uses_of_user(
        &self,
        periods: &[(CouponId, String)],
        user: &UserId,
    ) -> Result<Vec<u32>, LedgerError>;

    /// What the uses of each coupon come to, in the order asked; nothing for one without uses.
    async fn coupon_usage(&self, coupons: &[CouponId]) -> Result<Vec<CouponUsage>, LedgerError>;

    /// What a price depends on besides frozen terms, in as few reads as the store can.
    async fn standing(&self, query: &StandingQuery) -> Result<StandingFacts, LedgerError> {
        standing::piecemeal(self, query).await
    }

    /// Held redemptions whose hold is over at `now` (`held_until <= now`), the longest over first,
    /// at most `limit` (1 to 10,000). `after` goes on behind one that an earlier call gave: a
    /// sweeper gets past what it could not expire.
    async fn due(
        &self,
        now: Timestamp,
        after: Option<RedemptionId>,
        limit: usize,
    ) -> Result<Vec<RedemptionId>, LedgerError>;

    /// Frozen versions of terms, one for each key, in the order asked.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] where one is not there: claims name only versions that are.
    async fn terms(&self, keys: &[TermsKey]) -> Result<Vec<VersionRow>, LedgerError>;

    /// The published, not archived coupon with this public word, however it is distributed; in any
    /// case, trimmed.
    async fn coupon_by_code(&self, code: &str) -> Result<Option<Coupon>, LedgerError>;

    /// Every redemption that ever used a claim of the coupon, also where that use was given up,
    /// newest first (ties by id, larger first).
    async fn redemptions_of_coupon(
        &self,
        coupon: CouponId,
        page: RedemptionsPage,
    ) -> Result<Vec<Redemption>, LedgerError>;

    /// Spent uses of the coupon. A use that came back with a full refund is not one any more.
    async fn redeemed(&self, coupon: CouponId) -> Result<u64, LedgerError>;
}
