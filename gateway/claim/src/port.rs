//! The ports of the claim engine: what it needs from the outside, in its own words.

use std::future::Future;
use std::sync::Arc;

use sluice_domain::claim::{ClaimForm, ClaimRow, GrantRecord};
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, Epoch, LaneId, Revision, StockSeq, SubjectHash, UserId,
};
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

/// Most claims in one call of [`ClaimStore::decide`].
pub const BATCH_CLAIMS_MAX: usize = 128;

/// One script call: some claims for one coupon.
#[derive(Debug, Clone)]
pub struct ClaimCall {
    /// The coupon's lane.
    pub lane: LaneId,
    /// The coupon.
    pub coupon: CouponId,
    /// How its claim ids are made: decides how the user's packed claims are searched.
    pub form: ClaimForm,
    /// The revision of the definition that the caller decided eligibility with.
    pub revision: Revision,
    /// The claims, 1 to [`BATCH_CLAIMS_MAX`].
    pub requests: Vec<ClaimRequest>,
}

/// One claim of a call.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest {
    /// Who claims.
    pub user: UserId,
    /// The claim id this request is for.
    pub claim_id: ClaimId,
    /// Present exactly where the coupon counts devices.
    pub device: Option<SubjectHash>,
    /// Present exactly where the coupon counts addresses.
    pub address: Option<SubjectHash>,
    /// Answer an old claim or say that there is none; never grant. Set where pure eligibility
    /// refuses, and for polls.
    pub replay_only: bool,
}

/// The answer to a call.
#[derive(Debug, Clone)]
pub struct ClaimReply {
    /// The epoch the script ran in. Every acknowledgement is bound to it.
    pub epoch: Epoch,
    /// The lane's Redis clock when the script ran.
    pub lane_time: Timestamp,
    /// One answer per request, in order.
    pub answers: Vec<ClaimAnswer>,
}

/// What the script decided about one claim, in the order of precedence in which it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimAnswer {
    /// This id was granted before.
    Replayed(GrantRecord),
    /// `replay_only`, and there is no such claim.
    NoClaim,
    /// The caller's definition is older than the terms in force: read it again.
    StaleDefinition,
    /// The coupon is paused.
    Paused,
    /// The coupon was ended or archived, or its window is over.
    Ended,
    /// The window has not opened.
    NotStarted {
        /// When it opens.
        starts_at: Timestamp,
    },
    /// Stock was added after "sold out": it is granted from this instant on.
    OpensSoon {
        /// The instant.
        opens_at: Timestamp,
    },
    /// The user has all the claims they may have.
    UserLimit,
    /// The device has.
    DeviceLimit,
    /// The address has.
    AddressLimit,
    /// Nothing is left in Redis nor in the ledger.
    SoldOut(SoldOutProof),
    /// The current lease ran out within the call and another is on the list: send again.
    NextLease,
    /// No lease is on the list and the ledger has more: the keeper is at it.
    NeedLease,
    /// Granted now.
    Granted(GrantRecord),
}

/// To what a memory of "sold out" is bound. Any change of it ends the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SoldOutProof {
    /// The lane's epoch.
    pub epoch: Epoch,
    /// The coupon's revision in hot state.
    pub revision: Revision,
    /// Counts the changes of stock.
    pub stock_seq: StockSeq,
    /// How many users hold claims: a filter with another count is thrown away.
    pub users: u64,
    /// True while units of it are quarantined: more may come.
    pub more_may_come: bool,
}

/// Answer of [`ClaimStore::definition`].
#[derive(Debug, Clone)]
pub enum DefinitionAnswer {
    /// The published coupon.
    Found(Arc<Published>),
    /// No such coupon is published: 404.
    Unknown,
    /// Published once; its hot state has been retired. Repeats are answered from the ledger.
    Retired(Arc<Published>),
}

/// A page of the users who hold claims of a coupon (see [`ClaimStore::winners`]).
#[derive(Debug, Clone)]
pub struct WinnersPage {
    /// xxh3-64 of each user id, in no order; a user may come twice over the pages.
    pub user_hashes: Vec<u64>,
    /// Where to go on; `None` at the end.
    pub next: Option<u64>,
}

/// Why a call gave no answer. Says whether anything may have happened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The lane is recovering, halted or past its lease. Nothing happened.
    #[error("lane {lane} is not ready: {reason}")]
    LaneNotReady {
        /// The lane.
        lane: LaneId,
        /// The epoch the caller believed in.
        epoch: Epoch,
        /// Why.
        reason: NotReady,
    },
    /// The coupon is not yet in hot state: the keeper has to hydrate it. Nothing happened.
    #[error("coupon {coupon} is warming up")]
    CouponNotReady {
        /// The coupon.
        coupon: CouponId,
    },
    /// The outbox is at its cap, or Redis is out of memory. Refused before any write.
    #[error("hot state is at its limit: {reason}")]
    Backpressure {
        /// Which limit.
        reason: &'static str,
    },
    /// The call was never sent. Nothing happened.
    #[error("hot state is unreachable: {reason}")]
    Unavailable {
        /// What was tried.
        reason: String,
    },
    /// The call was sent and no answer came: it may have been, or may still be, carried out.
    #[error("the outcome is unknown: {reason}")]
    Unknown {
        /// What happened instead of an answer.
        reason: String,
    },
    /// The answer makes no sense: a defect. The outcome is unknown.
    #[error("hot state answered nonsense: {reason}")]
    Protocol {
        /// What was wrong.
        reason: String,
    },
}

/// Why a lane does not serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The lane hash is gone: emptied, flushed or another server. A loss.
    #[error("its state is missing")]
    Missing,
    /// The lane is in another epoch.
    #[error("it is in epoch {0}")]
    Epoch(Epoch),
    /// Recovery is at work.
    #[error("it is recovering")]
    Recovering,
    /// An operator has to decide.
    #[error("it is halted")]
    Halted,
    /// The keeper has not renewed the lane's lease.
    #[error("its lease is over")]
    LeaseOver,
    /// The server is not the one that was opened (`master_replid` differs), or is no primary. A
    /// loss.
    #[error("its server restarted or changed role")]
    ServerChanged,
    /// A count differs, or a hydrated coupon is gone. A loss.
    #[error("part of its state is lost")]
    Loss,
}

impl NotReady {
    /// Whether this calls for a recovery (rather than for waiting for one).
    #[must_use]
    pub const fn is_loss(self) -> bool {
        matches!(self, Self::Missing | Self::ServerChanged | Self::Loss)
    }
}

/// Hot state, as claims need it. One call is one script in one lane.
///
/// The implementation knows the current epoch of each lane (told by the keeper, or read from the
/// lane) and puts it into the call; the reply carries it.
pub trait ClaimStore: Send + Sync + 'static {
    /// Decides a batch of claims for one coupon.
    ///
    /// Claims are decided in order, each as if the grants before it in the batch had taken place.
    /// The whole call fails, with nothing written: with `LaneNotReady` where the lane does not
    /// serve (`Loss` also where the coupon is said to be hydrated and is not, or its counts
    /// differ); with `CouponNotReady` where it is not hydrated; and, only where some claim is not
    /// answered by `Replayed` or `NoClaim`, with `LaneNotReady(Loss)` where the caller's revision is
    /// above the one in force. `Backpressure` comes only where something would be granted.
    ///
    /// A call takes tickets from one lease only. `SoldOut` tells the state after the call. A device
    /// or address that is counted and missing in a request answers `StaleDefinition`.
    fn decide(
        &self,
        call: ClaimCall,
    ) -> impl Future<Output = Result<ClaimReply, StoreError>> + Send;

    /// Reads the published form of a coupon.
    fn definition(
        &self,
        lane: LaneId,
        coupon: CouponId,
    ) -> impl Future<Output = Result<DefinitionAnswer, StoreError>> + Send;

    /// Reads a page of the users who hold claims, provided that the proof still holds (`None`
    /// where it does not any more). `cursor` 0 begins.
    fn winners(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
        cursor: u64,
    ) -> impl Future<Output = Result<Option<WinnersPage>, StoreError>> + Send;

    /// The shared winner filter bound to exactly this proof, if some gateway has stored one.
    fn load_filter(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;

    /// Stores a winner filter for other gateways, provided that the proof still holds. It is no
    /// part of the state that decides: losing it costs a rebuild.
    fn store_filter(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
        filter: Vec<u8>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What the engine tells the lane's keeper. All calls return at once and may be repeated; the
/// receiver drops what it already knows.
pub trait KeeperRequests: Send + Sync + 'static {
    /// A coupon was touched that is not in hot state, or needs a lease.
    fn hydrate(&self, lane: LaneId, coupon: CouponId);
    /// A script saw a loss, in the epoch given.
    fn report_loss(&self, lane: LaneId, epoch: Epoch, reason: NotReady);
    /// A script granted something: its entry waits in the outbox. Class `ledger` is answered when
    /// the keeper has drained it, so this is called right after each call that granted; it only
    /// sets a flag. Without it the keeper finds the entry at its next poll.
    fn granted(&self, lane: LaneId);
}

/// Reads claims that are rows already. Never used to decide a claim: for polls, for waiters whose
/// epoch ended and for repeats after hot state was retired.
#[async_trait::async_trait]
pub trait ClaimReader: Send + Sync + 'static {
    /// The row of this claim, and whether the lane is still in `epoch` when that was read: without
    /// that an absence proves nothing.
    async fn find(&self, claim_id: ClaimId, lane: LaneId) -> Result<ClaimLookup, ReadError>;
}

/// Answer of [`ClaimReader::find`].
#[derive(Debug, Clone)]
pub struct ClaimLookup {
    /// The row, if there is one.
    pub row: Option<ClaimRow>,
    /// The lane's epoch in the ledger, read after the row.
    pub epoch: Epoch,
}

/// The ledger did not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the ledger cannot be read: {reason}")]
pub struct ReadError {
    /// What happened.
    pub reason: String,
}

/// A claim that the keeper refused: its row belongs to somebody else. Bound to the entry, because
/// a repeat of the claim has the same id and another entry.
pub type RefusedClaim = (ClaimId, EntryNumber);
