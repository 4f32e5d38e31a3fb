//! Claims in the ledger.

use sluice_domain::claim::{ClaimRow, Grant, GrantBatch};
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, Epoch, LaneId, LeaseNumber, Ticket, UserId,
};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::Lease;
use sluice_domain::redemption::ClaimUse;
use sluice_domain::time::Timestamp;

use crate::LedgerError;

/// Answer of [`Claims::append`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// Every claim of the batches is a row now, except those listed, whose ticket or id belongs to
    /// another claim. `seq` is the lane's number after this step.
    Done {
        /// The lane's number.
        seq: u64,
        /// Claims that found their ticket taken, with their entry.
        conflicts: Vec<Conflict>,
    },
    /// Refused for epoch, keeper or lease: nothing was written. Stop, mark nothing, trim nothing.
    Deposed {
        /// What did not hold.
        reason: DeposedBy,
    },
}

/// What refused an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeposedBy {
    /// The lane row has another epoch or keeper.
    Lane,
    /// The lease is not open, or is of another epoch than the caller says. As the keeper in
    /// charge: start a recovery.
    Lease {
        /// The coupon.
        coupon: CouponId,
        /// The lease.
        lease: LeaseNumber,
    },
}

/// A claim that found its ticket taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The entry it came in.
    pub entry: EntryNumber,
    /// The claim.
    pub claim_id: ClaimId,
    /// The ticket.
    pub ticket: Ticket,
    /// The claim that has the ticket (or the ticket's row that has the claim id).
    pub holder: ClaimId,
}

/// From which epoch the batches are: what their leases must be of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendFrom {
    /// The drain: leases must be open and of the fence's epoch.
    Current,
    /// Salvage: leases must be open and of this ended epoch.
    Salvage(Epoch),
}

/// A place in a listing by ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimsPage {
    /// Go on after this ticket.
    pub after: Option<Ticket>,
    /// At most so many rows, 1 to 10,000.
    pub limit: usize,
}

/// An entry or a claim that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The lane.
    pub lane: LaneId,
    /// The epoch of its stream.
    pub epoch: Epoch,
    /// The entry.
    pub entry: EntryNumber,
    /// The claim, where only one of the entry is concerned.
    pub claim_id: Option<ClaimId>,
    /// When it was set aside.
    pub at: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// All of it, for a person to see.
    pub payload: Vec<u8>,
}

/// Answer of [`Claims::revoke`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// It is taken back.
    Done,
    /// There is no such claim, or it was taken back before.
    Unchanged,
    /// An order holds it or spent it: nothing was changed. Its live uses, by use number.
    InUse(Vec<ClaimUse>),
}

/// Most rows on a page of claims.
pub const PAGE_ROWS_MAX: usize = 10_000;

/// The claims.
#[async_trait::async_trait]
pub trait Claims: Send + Sync + 'static {
    /// Appends whole outbox entries in one transaction, conditional on the lane row and the
    /// leases. A row that is there with the same claim id is done, whatever its lease's state.
    /// `seq` rises with every append of at least one batch, also where all rows were there.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] where a batch contradicts the ledger: a coupon of another lane, a
    /// ticket outside its lease, a claim id of another coupon. No bit of the append was written:
    /// such an entry must never be skipped in silence, so it stops the lane for a person to see.
    async fn append(
        &self,
        fence: LaneFence,
        from: AppendFrom,
        batches: &[GrantBatch],
    ) -> Result<Appended, LedgerError>;

    /// One claim.
    async fn claim(&self, claim_id: ClaimId) -> Result<Option<ClaimRow>, LedgerError>;

    /// Several claims, in the order asked.
    async fn claims(&self, claims: &[ClaimId]) -> Result<Vec<Option<ClaimRow>>, LedgerError> {
        let mut found = Vec::with_capacity(claims.len());
        for claim in claims {
            found.push(self.claim(*claim).await?);
        }
        Ok(found)
    }

    /// One claim, and the lane's epoch read after it.
    async fn claim_with_epoch(
        &self,
        claim_id: ClaimId,
        lane: LaneId,
    ) -> Result<(Option<ClaimRow>, Epoch), LedgerError>;

    /// A coupon's claims by ticket, revoked ones included.
    async fn claims_of_coupon(
        &self,
        coupon: CouponId,
        page: ClaimsPage,
    ) -> Result<Vec<ClaimRow>, LedgerError>;

    /// A coupon's claims, revoked ones included, in the order of user ids (for hydration), after
    /// `after`. A revoked claim keeps its id and its place among the user's claims: were it forgotten,
    /// the same claim would be granted a second time, and its row refused. A user's rows are never split: at most `limit` rows (1 to 10,000), unless the first
    /// user alone has more. Empty at the end.
    async fn claims_by_user_order(
        &self,
        coupon: CouponId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ClaimRow>, LedgerError>;

    /// A user's claims, revoked ones included, newest first, at most `limit` (1 to 10,000).
    async fn claims_of_user(
        &self,
        user: &UserId,
        limit: usize,
    ) -> Result<Vec<ClaimRow>, LedgerError>;

    /// Rows of a coupon that are not revoked.
    async fn granted(&self, coupon: CouponId) -> Result<u64, LedgerError>;

    /// Takes a claim back. Where its lease is closed, `returned` is raised in the same step. One
    /// that is held or spent stays: its unit would be granted again, while what it took off an
    /// order stays off.
    async fn revoke(&self, claim_id: ClaimId) -> Result<Revoked, LedgerError>;

    /// Sets something aside. The same (lane, epoch, entry, claim) again changes nothing.
    async fn set_aside(&self, letters: &[DeadLetter]) -> Result<(), LedgerError>;

    /// What was set aside in a lane, oldest first.
    async fn dead_letters(&self, lane: LaneId) -> Result<Vec<DeadLetter>, LedgerError>;
}

/// A limit of rows, held within its range.
pub(crate) fn page_rows(limit: usize) -> usize {
    limit.clamp(1, PAGE_ROWS_MAX)
}

/// The row that a grant becomes.
pub(crate) fn row_of(batch: &GrantBatch, grant: &Grant) -> ClaimRow {
    ClaimRow {
        claim_id: grant.claim_id,
        coupon: batch.coupon,
        user: grant.user,
        lease: batch.lease,
        ticket: grant.ticket,
        revision: batch.revision,
        version: batch.version,
        granted_at: batch.granted_at,
        durability: batch.durability,
        device: grant.device,
        address: grant.address,
        revoked: false,
    }
}

/// Refuses a batch that contradicts its lease. Checked for rows that are there already, too.
pub(crate) fn check_batch(lease: &Lease, batch: &GrantBatch) -> Result<(), LedgerError> {
    for grant in &batch.grants {
        if !lease.contains(grant.ticket) {
            return Err(LedgerError::corrupt(format!(
                "entry {}: ticket {} is outside lease {} of coupon {}",
                batch.entry, grant.ticket, batch.lease, batch.coupon
            )));
        }
        if grant.claim_id.coupon() != batch.coupon {
            return Err(LedgerError::corrupt(format!(
                "entry {}: claim {} is not of coupon {}",
                batch.entry, grant.claim_id, batch.coupon
            )));
        }
    }
    Ok(())
}

// === impl AppendFrom ===

impl AppendFrom {
    /// The epoch that leases must be of.
    pub(crate) fn lease_epoch(self, fence: LaneFence) -> Epoch {
        match self {
            Self::Current => fence.epoch,
            Self::Salvage(ended) => ended,
        }
    }
}

// === impl DeadLetter ===

impl DeadLetter {
    /// What makes it one thing: setting it aside again changes nothing.
    pub(crate) fn key(&self) -> (LaneId, Epoch, EntryNumber, Option<ClaimId>) {
        (self.lane, self.epoch, self.entry, self.claim_id)
    }
}
