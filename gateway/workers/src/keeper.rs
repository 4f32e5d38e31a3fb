//! The keeper of one lane: the only one who writes to it, in Redis and in the ledger.
//!
//! # How it works
//!
//! [`Keeper::step`] does what is due now and says when it wants to be called again. Nothing in here
//! sleeps, spawns or opens a connection: the stores are traits, time comes from [`Clock`] and from
//! the replies of Redis, and what is to be decided is decided by the pure functions of [`decide`].
//! So the runner drives a keeper in production and a simulator drives the very same code.
//!
//! A keeper is in one [`Phase`]. It *watches* a lane until it may take it; it *serves* it; it
//! *recovers* it when Redis can no longer answer for its past; and it *halts* it when the ledger
//! is the one that forgot. Every step may fail anywhere: what a keeper knows is either in the
//! stores or may be forgotten, so a dropped future or a killed process costs a repetition only.
//!
//! The procedures are named by the words of the protocol: [`start`], [`renew`], [`drain`],
//! [`lease`], [`close`], [`clear`], [`hand_over`], [`hydrate`], [`recover`], [`salvage`],
//! [`shards`], [`sweep`].

mod clear;
mod close;
pub mod decide;
mod drain;
mod figures;
mod hand_over;
mod hydrate;
mod lease;
mod operate;
mod recover;
mod renew;
mod salvage;
mod shards;
mod start;
mod sweep;
mod trouble;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use sluice_claim::durability::MarkBoard;
use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, Epoch, KeeperNumber, LaneId, LeaseNumber};
use sluice_domain::lane::LaneFence;
use sluice_domain::time::Timestamp;
use sluice_hotstate::LaneStore;
use sluice_ledger::Ledger;
use sluice_ledger::lanes::LaneRow;

use self::clear::Clearing;
pub use self::clear::{LowerOutcome, LowerReply};
use self::close::Closing;
use self::figures::LaneFigures;
pub use self::figures::{Conservation, conservation};
use self::hydrate::HydrationJob;
use self::lease::Held;
pub use self::operate::{LaneStatus, OperateError, PhaseName};
use self::recover::Recovery;
pub use self::shards::{ShardNote, ShardWord};
use self::sweep::Sweep;
pub use self::trouble::Cause;
use self::trouble::Trouble;
use crate::clock::Clock;
use crate::settings::KeeperSettings;

/// Coupons that may wait to be looked at, per lane. More are dropped: the sweep finds them.
pub const TOUCHED_MAX: usize = 4_096;

/// What a keeper works with.
#[derive(Clone)]
pub struct KeeperParts {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Hot state.
    pub store: Arc<dyn LaneStore>,
    /// Where waiters learn how durable the lane is.
    pub board: Arc<MarkBoard>,
    /// Paces the work.
    pub clock: Arc<dyn Clock>,
}

/// When a keeper wants its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once: there is more to do.
    Now,
    /// When something happens, but at the latest after so many milliseconds.
    After(u64),
    /// After a fault: so many milliseconds, with jitter, whatever happens meanwhile.
    Backoff(u64),
    /// Never: the lane was given back.
    Stopped,
}

/// Where a keeper stands.
#[derive(Debug)]
enum Phase {
    /// Not in charge. The row as it was last seen, and since when.
    Watching(Option<(LaneRow, u64)>),
    /// In charge, bringing the lane back.
    Recovering,
    /// In charge of an open lane.
    Serving,
    /// In charge of a lane that is to be halted; not yet written everywhere.
    Halting(String),
    /// In charge of a lane that waits for an operator.
    Halted(String),
    /// Given back.
    Stopped,
}

/// How far the outbox of the current epoch is handled.
#[derive(Debug, Default)]
struct Outbox {
    /// Every entry up to here is in the ledger, or set aside and refused.
    handled: EntryNumber,
    /// What Redis was told of that.
    marked: EntryNumber,
    /// The highest tail seen.
    tail: EntryNumber,
    /// Claims that the mark passed without a row of their own.
    refused: Arc<HashSet<(ClaimId, EntryNumber)>>,
    /// The entry that cannot be read, once it was reported.
    stuck: Option<EntryNumber>,
    /// When the oldest entry that is not handled was first known of, by the own clock.
    waiting_since_ms: Option<u64>,
}

/// Coupons to be looked at, each once, in the order of their coming.
#[derive(Debug, Default)]
struct CouponQueue {
    order: VecDeque<CouponId>,
    members: HashSet<CouponId>,
}

/// The keeper of one lane. See the module's text.
pub struct Keeper {
    parts: KeeperParts,
    settings: Arc<KeeperSettings>,
    lane: LaneId,
    holder: String,
    phase: Phase,
    /// Under what everything is written. Of no meaning while watching.
    fence: LaneFence,
    /// The ledger's sequence, as last heard.
    seq: u64,
    /// Redis' clock, as last heard.
    lane_time: Timestamp,
    /// When the epoch began, or later: what grace is counted from.
    epoch_began: Timestamp,
    renew_at_ms: u64,
    outbox: Outbox,
    /// Something was granted: look into the outbox.
    nudged: bool,
    poll_ms: u64,
    coupons: HashMap<CouponId, Held>,
    /// Coupons to look at.
    touched: CouponQueue,
    /// Coupons to hydrate, after the one that is being hydrated.
    cold: CouponQueue,
    recovery: Recovery,
    hydration: Option<HydrationJob>,
    hydrations: u64,
    closing: BTreeMap<(CouponId, LeaseNumber), Closing>,
    clearing: BTreeMap<CouponId, Clearing>,
    sweep: Sweep,
    figures: LaneFigures,
    /// What is to be told to the keepers of other lanes.
    notes: Vec<ShardNote>,
    stopping: bool,
    /// The entry up to which a stopping keeper drains before it hands the lane over.
    hand_over_at: Option<EntryNumber>,
    /// An operator let this ledger be right for the recovery to come.
    accepted: bool,
    /// Faults in a row.
    failures: u32,
}

// === impl CouponQueue ===

impl CouponQueue {
    /// False where the queue is full.
    fn push(&mut self, coupon: CouponId) -> bool {
        if self.members.contains(&coupon) {
            return true;
        }
        if self.order.len() >= TOUCHED_MAX {
            return false;
        }
        self.members.insert(coupon);
        self.order.push_back(coupon);
        true
    }

    fn pop(&mut self) -> Option<CouponId> {
        let coupon = self.order.pop_front()?;
        self.members.remove(&coupon);
        Some(coupon)
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn len(&self) -> usize {
        self.order.len()
    }
}

// === impl Keeper ===

impl Keeper {
    /// A keeper that is not in charge yet. `holder` names it for people.
    #[must_use]
    pub fn new(
        parts: KeeperParts,
        settings: Arc<KeeperSettings>,
        lane: LaneId,
        holder: &str,
    ) -> Self {
        let poll_ms = settings.poll_ms_min;
        Self {
            parts,
            settings,
            lane,
            holder: holder.to_owned(),
            phase: Phase::Watching(None),
            fence: LaneFence {
                lane,
                epoch: Epoch(0),
                keeper: KeeperNumber(0),
            },
            seq: 0,
            lane_time: Timestamp::MIN,
            epoch_began: Timestamp::MIN,
            renew_at_ms: 0,
            outbox: Outbox::default(),
            nudged: false,
            poll_ms,
            coupons: HashMap::new(),
            touched: CouponQueue::default(),
            cold: CouponQueue::default(),
            recovery: Recovery::default(),
            hydration: None,
            hydrations: 0,
            closing: BTreeMap::new(),
            clearing: BTreeMap::new(),
            sweep: Sweep::default(),
            figures: LaneFigures::new(lane),
            notes: Vec::new(),
            stopping: false,
            hand_over_at: None,
            accepted: false,
            failures: 0,
        }
    }

    /// Does what is due now. Dropping the future is safe: the next step, of this keeper or of
    /// another, repeats what was not finished.
    pub async fn step(&mut self) -> Next {
        let outcome = match &self.phase {
            Phase::Watching(_) => self.start().await,
            Phase::Recovering => self.recover().await,
            Phase::Serving => self.serve().await,
            Phase::Halting(reason) => {
                let reason = reason.clone();
                self.halt(reason).await
            }
            Phase::Halted(_) if self.stopping => {
                self.phase = Phase::Stopped;
                Ok(Next::Stopped)
            }
            Phase::Halted(_) => Ok(Next::After(self.settings.poll_ms_max)),
            Phase::Stopped => Ok(Next::Stopped),
        };
        let next = match outcome {
            Ok(next) => {
                self.failures = 0;
                next
            }
            Err(trouble) => self.face(trouble),
        };
        let phase = self.phase_name();
        self.figures.phase(phase);
        if matches!(phase, PhaseName::Watching | PhaseName::Stopped) {
            // Whoever has the lane shows these.
            self.figures.nothing();
        } else {
            self.show_outbox();
        }
        next
    }

    /// A coupon was touched that is not in hot state, or needs a lease.
    pub fn touch(&mut self, coupon: CouponId) {
        if !self.touched.push(coupon) {
            tracing::debug!(lane = %self.lane, %coupon, "too many coupons wait for the keeper");
        }
    }

    /// Something was granted in the lane.
    pub fn nudge(&mut self) {
        self.nudged = true;
    }

    /// A script saw a loss in `epoch`. Reports about an epoch that is over are ignored.
    pub fn hear_of_loss(&mut self, epoch: Epoch, reason: NotReady) {
        if !matches!(self.phase, Phase::Serving) || epoch != self.fence.epoch {
            return;
        }
        match Cause::of_loss(reason) {
            Some(cause) => self.begin_recovery(cause),
            None if reason == NotReady::LeaseOver => self.renew_at_ms = 0,
            None => {}
        }
    }

    /// Stops leasing and brings back what is leased, so that a restart finds nothing to
    /// quarantine; or, where other processes can go on, hands the lane over with it.
    /// [`Next::Stopped`] follows when that is done.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// The work of an open lane, the most urgent first. Each part is bounded, so that the outbox
    /// is looked at again soon.
    async fn serve(&mut self) -> Result<Next, Trouble> {
        self.renew_if_due().await?;
        let drained = self.drain().await?;
        self.close_due().await?;
        self.clear_due().await?;
        if self.stopping {
            return self.stop_serving().await;
        }
        self.hydrate_some().await?;
        self.look_at_touched().await?;
        if !drained {
            self.sweep_some().await?;
        }
        Ok(self.next(drained))
    }

    fn next(&mut self, drained: bool) -> Next {
        let more = self.outbox.tail > self.outbox.handled && self.outbox.stuck.is_none();
        let busy = self.hydration.is_some()
            || !self.cold.is_empty()
            || self.sweep.is_at_work()
            || self.close_is_due();
        if drained || busy {
            self.poll_ms = self.settings.poll_ms_min;
        }
        if more || busy || self.nudged {
            return Next::Now;
        }
        let wait = self.poll_ms;
        self.poll_ms = wait.saturating_mul(2).min(self.settings.poll_ms_max);
        let renewal = self.renew_at_ms.saturating_sub(self.now_ms());
        let waiting_for_little = !self.touched.is_empty() || !self.clearing.is_empty();
        let wait = if waiting_for_little {
            self.settings.poll_ms_min
        } else {
            wait
        };
        Next::After(wait.min(renewal).max(1))
    }

    /// What follows a step that ended before its time.
    fn face(&mut self, trouble: Trouble) -> Next {
        let lane = self.lane;
        match trouble {
            Trouble::Ledger(error) => {
                tracing::warn!(%lane, %error, "the ledger failed; trying again");
                self.back_off()
            }
            Trouble::Store(error) => {
                tracing::warn!(%lane, %error, "hot state failed; trying again");
                self.back_off()
            }
            Trouble::Lost => {
                tracing::warn!(%lane, epoch = %self.fence.epoch, keeper = %self.fence.keeper,
                    "another keeper or epoch is in charge");
                self.parts.board.close(lane);
                self.phase = Phase::Watching(None);
                self.back_off()
            }
            Trouble::Recover(cause) => {
                // A second loss in the midst of a recovery waits a little: a server that restarts
                // over and over must not use up epochs as fast as the machine can.
                let again = matches!(self.phase, Phase::Recovering);
                self.begin_recovery(cause);
                if again { self.back_off() } else { Next::Now }
            }
            Trouble::Halt(reason) => {
                self.parts.board.close(lane);
                self.phase = Phase::Halting(reason);
                Next::Now
            }
        }
    }

    fn back_off(&mut self) -> Next {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let wait = self.settings.backoff_ms_min.saturating_mul(1 << doublings);
        Next::Backoff(wait.min(self.settings.backoff_ms_max))
    }

    fn now_ms(&self) -> u64 {
        self.parts.clock.monotonic_ms()
    }

    /// Until when the lane row says that this keeper holds the lane, for people.
    fn hold_until(&self) -> Timestamp {
        self.parts
            .clock
            .wall()
            .plus_millis(millis(self.settings.keeper_lease_ms))
    }

    /// The end of a lane lease that is counted from a time that Redis told.
    fn lane_lease_from(&self, lane_time: Timestamp) -> Timestamp {
        lane_time.plus_millis(millis(self.settings.lane_lease_ms))
    }

    /// Remembers the clock of Redis; it never goes back here.
    fn hear_time(&mut self, lane_time: Timestamp) {
        self.lane_time = self.lane_time.max(lane_time);
    }

    fn hear_seq(&mut self, seq: u64) {
        self.seq = self.seq.max(seq);
    }
}

/// Milliseconds as the domain's signed kind; nothing in the settings comes near the end.
fn millis(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// Hot state's words for "not now", where no loss is concerned: wait and try again.
fn wait_for_store(reason: impl Into<String>) -> Trouble {
    Trouble::Store(StoreError::Unavailable {
        reason: reason.into(),
    })
}
