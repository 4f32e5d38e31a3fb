//! Hot state as the lane's keeper, the control plane and the audit see it.
//!
//! Every method is one script, one transition. A refusal is a value, not an error: errors are the
//! machine's.
//!
//! What a lane checks before anything else, in this order, the first that fails answers:
//!
//! 1. the lane hash is there (`Missing`);
//! 2. the server is the primary that the lane was opened on (`ServerChanged`): what a changed
//!    server says of epochs means nothing;
//! 3. the epoch, and for keepers' writes the keeper's number (`Deposed`, or `Epoch` for install and
//!    claims);
//! 4. the state (`Halted`, `Recovering`; install, hydration, halt, take and open also run while
//!    recovering; take and halt also while halted);
//! 5. where the state is open: the lane's lease (`LeaseOver`; not for take, renew and halt).
//!
//! Reads (`facts`, `read_outbox`, `refused`, `figures`, `coupons`, `claims`) carry no keeper. All
//! but `facts` check points 1 and 2 and answer `StoreError::LaneNotReady`; they run in any state.

use std::sync::Arc;

use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::claim::{ClaimRow, GrantBatch, GrantRecord};
use sluice_domain::id::{
    ClaimId, CouponId, EntryNumber, Epoch, KeeperNumber, LaneId, LeaseNumber, LedgerId, Revision,
    StockSeq, SubjectHash, Ticket, UserId,
};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

/// What the lane hash says, read raw: also from a lane that serves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneFacts {
    /// The server's clock.
    pub lane_time: Timestamp,
    /// True where the server is a primary whose `master_replid` is the one the lane was opened on.
    pub same_server: bool,
    /// The epoch.
    pub epoch: Epoch,
    /// Open, recovering or halted.
    pub state: LaneState,
    /// The keeper in charge.
    pub keeper: KeeperNumber,
    /// Until when scripts grant.
    pub lease_until: Timestamp,
    /// The ledger it belongs to.
    pub ledger_id: LedgerId,
    /// The highest ledger sequence it has heard of.
    pub seq: u64,
    /// The number of the newest outbox entry.
    pub tail: EntryNumber,
    /// The mark, if there is one.
    pub mark: Option<EntryNumber>,
    /// How many pairs are in the refused set.
    pub refused: u64,
    /// Epochs whose streams have not been salvaged.
    pub unsalvaged: Vec<Epoch>,
}

/// The lane's own word for how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneState {
    /// Serving.
    Open,
    /// Between fence and open.
    Recovering,
    /// Waiting for an operator.
    Halted,
}

/// Whether a fenced write took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fenced<T> {
    /// It did.
    Done(T),
    /// Another keeper or epoch is in charge: stop.
    Deposed {
        /// The epoch in force.
        epoch: Epoch,
        /// The keeper in charge.
        keeper: KeeperNumber,
    },
    /// The lane does not answer for its past (missing, another server, halted …).
    NotReady(NotReady),
}

/// Answer of [`LaneStore::install`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Installed {
    /// Applied: this revision is in force.
    Applied,
    /// The same or a higher revision was in force already.
    Older {
        /// The revision in force.
        in_force: Revision,
    },
    /// The lane is in another epoch: read the lane row again.
    Epoch(Epoch),
    /// The lane cannot take it.
    NotReady(NotReady),
}

/// A lease, as it is put on the coupon's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseInstall {
    /// The coupon.
    pub coupon: CouponId,
    /// Its number: must rise.
    pub lease: LeaseNumber,
    /// The first ticket.
    pub first: Ticket,
    /// How many, from 1.
    pub size: u32,
    /// The ledger's sequence of this step.
    pub seq: u64,
}

/// Answer of [`LaneStore::install_lease`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseInstalled {
    /// On the list.
    Listed,
    /// At or below `last_lease`: ignored, which is harmless.
    Ignored {
        /// The highest number the coupon has seen.
        last: LeaseNumber,
    },
    /// The coupon is not hydrated.
    NotHydrated,
}

/// What to take off a coupon's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retire {
    /// The coupon.
    pub coupon: CouponId,
    /// All leases, or just this one.
    pub only: Option<LeaseNumber>,
    /// `last_lease` is raised to at least this, so an install still under way is ignored.
    pub last: LeaseNumber,
    /// The ledger's sequence of this step.
    pub seq: u64,
}

/// Answer of [`LaneStore::retire`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// The lane's tail, read after the leases left the list: when the mark has passed it, no entry
    /// of theirs can be under way any more.
    pub tail: EntryNumber,
}

/// The coupon's figures in hot state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CouponFigures {
    /// The coupon.
    pub coupon: CouponId,
    /// Whether it is hydrated and serves.
    pub ready: bool,
    /// The revision in force.
    pub revision: Revision,
    /// The list: (lease, next ticket, end of range), in order.
    pub leases: Vec<(LeaseNumber, Ticket, Ticket)>,
    /// The highest lease number seen.
    pub last_lease: LeaseNumber,
    /// True where the ledger has nothing more to lease.
    pub is_final: bool,
    /// Counts changes of stock after "final".
    pub stock_seq: StockSeq,
    /// Users who hold claims.
    pub users: u64,
    /// Devices counted.
    pub devices: u64,
    /// Addresses counted.
    pub addresses: u64,
}

/// The first step of a hydration.
#[derive(Debug, Clone)]
pub struct HydrateBegin {
    /// The coupon as published, read after the epoch was raised.
    pub published: Arc<Published>,
    /// The highest lease number in the ledger.
    pub last_lease: LeaseNumber,
    /// The ledger's sequence of this step.
    pub seq: u64,
}

/// Answer of the steps of a hydration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hydration {
    /// The step was done.
    Done,
    /// The coupon serves already: nothing was written.
    AlreadyReady,
    /// A newer revision was installed meanwhile: read the coupon again and start over.
    StaleRevision,
    /// The hashes do not have the sizes that were filled: start over.
    CountsDiffer,
    /// Another hydration of this coupon began later: leave it to that one.
    Superseded,
}

/// What is not to be granted, once a ticket turned out to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The coupon.
    pub coupon: CouponId,
    /// The claim.
    pub claim_id: ClaimId,
    /// The entry it came in.
    pub entry: EntryNumber,
    /// Who claimed.
    pub user: UserId,
    /// Their device, where counted.
    pub device: Option<SubjectHash>,
    /// Their address, where counted.
    pub address: Option<SubjectHash>,
}

/// An entry of the outbox, or the bytes of one that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxEntry {
    /// Decoded.
    Batch(GrantBatch),
    /// Stops the mark until an operator decides.
    Unreadable {
        /// Its number.
        entry: EntryNumber,
        /// What it holds.
        payload: Vec<u8>,
        /// What is wrong with it.
        reason: String,
    },
}

/// Answer of [`LaneStore::fence`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FencedOff {
    /// The lane as it stands after the fence: its `ledger_id`, `seq` and old epochs are those that
    /// the set-back check compares. On an empty server: the caller's `ledger_id`, `seq` 0.
    pub facts: LaneFacts,
}

/// Hot state without the claims' view. `Arc<dyn LaneStore>` is what keepers hold.
#[async_trait::async_trait]
pub trait LaneStore: Send + Sync + 'static {
    /// Reads the lane hash raw; `None` where there is none.
    async fn facts(&self, lane: LaneId) -> Result<Option<LaneFacts>, StoreError>;

    /// Tells this process which epoch a lane is in (the claims' calls carry it). Local.
    fn learn_epoch(&self, lane: LaneId, epoch: Epoch);

    /// Takes the lane over in Redis: raises the keeper's number in the same epoch. Refused unless
    /// the lane exists, is in `fence.epoch`, on the same server, and the number rises (`Deposed`
    /// where it does not). Works in any state. The lane's lease is only ever prolonged, and not at
    /// all where the lane belongs to another ledger: the set-back check that follows sees that.
    async fn take(
        &self,
        fence: LaneFence,
        ledger: LedgerId,
        lease_until: Timestamp,
    ) -> Result<Fenced<LaneFacts>, StoreError>;

    /// Prolongs the lane's lease to an absolute instant of the lane's clock (it is never
    /// shortened). Also checks that the server's eviction policy is still `noeviction` (else
    /// `Backpressure`), and that the mark is there and the known, hydrated and refused sets have
    /// the sizes that the lane remembers (else `NotReady(Loss)`). Only while open.
    async fn renew(
        &self,
        fence: LaneFence,
        lease_until: Timestamp,
        seq: u64,
    ) -> Result<Fenced<LaneFacts>, StoreError>;

    /// Begins a recovery: writes the new epoch, `recovering`, this server's `replid` and the
    /// keeper; the old epoch joins `unsalvaged`. Refused (`Deposed`) where the lane has a higher
    /// epoch or keeper, or the same epoch (unless it is the same keeper's and still recovering: a
    /// repeat changes nothing). A higher epoch also ends a halt: the ledger lets nobody raise it
    /// before the operator's word. A replica answers `ServerChanged`. From here on nothing is
    /// granted from the old epoch.
    async fn fence(
        &self,
        fence: LaneFence,
        ledger: LedgerId,
    ) -> Result<Fenced<FencedOff>, StoreError>;

    /// Halts the lane: scripts answer `Halted` until [`fence`](Self::fence) by an operator's word.
    async fn halt(&self, fence: LaneFence) -> Result<Fenced<()>, StoreError>;

    /// Makes a recovered lane serve: `open`, `mark` = the tail, salvaged epochs forgotten (their
    /// keys are unlinked later, in slices, by [`sweep_epoch`](Self::sweep_epoch)). The coupons
    /// given *join* those that installs have made known meanwhile. Each of them must have been
    /// installed in this epoch: a known coupon without a definition reads as a loss. A repeat by
    /// the same keeper in the same epoch changes nothing. With `adopt` the lane belongs to that
    /// ledger from now on: only by an operator's word, since the set-back check goes by it.
    async fn open(
        &self,
        fence: LaneFence,
        lease_until: Timestamp,
        known: &[CouponId],
        retired: &[CouponId],
        seq: u64,
        adopt: Option<LedgerId>,
    ) -> Result<Fenced<()>, StoreError>;

    /// Unlinks some keys of an ended, salvaged epoch; true when none is left. Never touches the
    /// lane's epoch, a later one or an unsalvaged one (false for ever).
    async fn sweep_epoch(&self, lane: LaneId, ended: Epoch) -> Result<bool, StoreError>;

    /// Reads up to `count` entries after `after` from an epoch's stream. Works on a lane of any
    /// state (salvage reads old epochs).
    async fn read_outbox(
        &self,
        lane: LaneId,
        epoch: Epoch,
        after: EntryNumber,
        count: usize,
    ) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Publishes the mark and trims the stream up to it (entries at or below it go). Refused with
    /// `NotReady(Loss)` where it would go back or beyond the tail, or where there is no mark.
    async fn mark(
        &self,
        fence: LaneFence,
        mark: EntryNumber,
        seq: u64,
    ) -> Result<Fenced<LaneFacts>, StoreError>;

    /// Puts a claim on the refused set and takes its user, device and address entries back, if the
    /// user's record of the claim still carries that entry. A repeat changes nothing. Works for a
    /// coupon that is not hydrated: then only the refused set changes.
    async fn refuse(&self, fence: LaneFence, refusal: Refusal) -> Result<Fenced<()>, StoreError>;

    /// The refused set of an epoch.
    async fn refused(
        &self,
        lane: LaneId,
        epoch: Epoch,
    ) -> Result<Vec<(ClaimId, EntryNumber)>, StoreError>;

    /// Puts a revision of a coupon in force; adds it to the known ones (a retired one stays
    /// retired). Works while recovering, and for a coupon that is not hydrated. The same revision
    /// again is `Older { in_force }` with that very revision.
    async fn install(
        &self,
        lane: LaneId,
        epoch: Epoch,
        published: &Published,
    ) -> Result<Installed, StoreError>;

    /// Puts a lease on the coupon's list. Clears `final`, and where it was set raises `stock_seq`
    /// by one and sets `opens_at` to the lane's time + the configured delay (1.2 s). Before
    /// `opens_at` strangers get `OpensSoon`, also where nothing is on the list. A hydrated coupon
    /// starts with `opens_at` = the time of the fence + that delay, `stock_seq` 0, not final.
    async fn install_lease(
        &self,
        fence: LaneFence,
        lease: LeaseInstall,
    ) -> Result<Fenced<LeaseInstalled>, StoreError>;

    /// Says that the ledger has nothing more to lease; `more_may_come` while units are
    /// quarantined. Leases still on the list are granted first. Nothing happens to a coupon that
    /// is not hydrated.
    async fn set_final(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        more_may_come: bool,
    ) -> Result<Fenced<()>, StoreError>;

    /// Takes "final" back: another shard of the coupon, or the ledger, has something again. Where it
    /// was set, `stock_seq` rises by one and `opens_at` becomes the lane's time + the configured
    /// delay, as by [`install_lease`](Self::install_lease). Nothing happens to a coupon that is not
    /// final, or not hydrated.
    async fn clear_final(
        &self,
        fence: LaneFence,
        coupon: CouponId,
    ) -> Result<Fenced<()>, StoreError>;

    /// Takes leases off the list, and raises `last_lease` to at least `retire.last`. Also for a
    /// coupon that is not hydrated (the tail is answered all the same).
    async fn retire(&self, fence: LaneFence, retire: Retire)
    -> Result<Fenced<Retired>, StoreError>;

    /// Starts a hydration under a state that is not served. `attempt` rises with each; a lower one
    /// than the coupon has seen is `Superseded`, the same starts over. A retired coupon is
    /// `Superseded` too. Where the given definition is newer than the installed one it is put in
    /// force as by an install; where it is older: `StaleRevision`.
    async fn hydrate_begin(
        &self,
        fence: LaneFence,
        begin: &HydrateBegin,
        attempt: u64,
    ) -> Result<Fenced<Hydration>, StoreError>;

    /// Fills in claims. Rows of one user come in one call; at most 500 rows a call. A user who is
    /// filled already is skipped, so a call may be repeated. Revoked rows are left out: they count
    /// nowhere.
    async fn hydrate_claims(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        attempt: u64,
        rows: &[ClaimRow],
    ) -> Result<Fenced<Hydration>, StoreError>;

    /// Ends the hydration: the coupon serves from here on. The numbers are of *distinct* users,
    /// devices and addresses in the rows, counted by the caller.
    async fn hydrate_finish(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        attempt: u64,
        users: u64,
        devices: u64,
        addresses: u64,
    ) -> Result<Fenced<Hydration>, StoreError>;

    /// Removes the state of a coupon whose leases are closed (retention, hard deletion) and marks
    /// it retired, so that a touch does not hydrate it again. Its definition stays. Claims on it
    /// answer `CouponNotReady`.
    async fn forget(&self, fence: LaneFence, coupon: CouponId) -> Result<Fenced<()>, StoreError>;

    /// The figures of a coupon; `None` where hot state has none (not hydrated, not hydrating). Used
    /// up leases are not on the list.
    async fn figures(
        &self,
        lane: LaneId,
        coupon: CouponId,
    ) -> Result<Option<CouponFigures>, StoreError>;

    /// The coupons known to a lane in its current epoch (retired ones included), each with whether
    /// it is hydrated; in the order of their ids.
    async fn coupons(&self, lane: LaneId) -> Result<Vec<(CouponId, bool)>, StoreError>;

    /// The figures of all coupons as the lane's current epoch left them, also on a server that
    /// changed, and of a lane that lost some of its keys: what is there is told. For the set-back
    /// check alone. Such a server may have forgotten what it knew, but what it knows was once in the
    /// ledger.
    async fn last_seen(&self, lane: LaneId) -> Result<Vec<CouponFigures>, StoreError>;

    /// All claims of a coupon that hot state remembers, for the audit. Paged by `cursor` (0
    /// begins); the next cursor is `None` at the end. A user may come twice over the pages.
    async fn claims(
        &self,
        lane: LaneId,
        coupon: CouponId,
        cursor: u64,
    ) -> Result<(Vec<(UserId, GrantRecord)>, Option<u64>), StoreError>;
}
