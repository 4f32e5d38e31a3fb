//! All lanes of a process: their keepers, and the handle by which others reach them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sluice_claim::port::{KeeperRequests, NotReady};
use sluice_domain::id::{CouponId, Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use sluice_hotstate::redis::bus::Order;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::keeper::{
    Keeper, KeeperParts, LaneStatus, LowerOutcome, OperateError, PhaseName, ShardNote,
};
use crate::mailbox::{Command, Mailbox};
use crate::runner;
use crate::settings::{KeeperSettings, SettingsError};

/// The keepers of all lanes.
pub struct Keepers {
    handle: KeeperHandle,
    tasks: JoinSet<()>,
    settings: Arc<KeeperSettings>,
}

/// Reaches the keepers of all lanes. Cheap to clone; outlives them harmlessly.
#[derive(Clone)]
pub struct KeeperHandle {
    lanes: LaneCount,
    posts: Arc<Posts>,
}

/// The mailboxes of this process's keepers, and the way to those of others.
pub(crate) struct Posts {
    mailboxes: Vec<Arc<Mailbox>>,
    elsewhere: OnceLock<Elsewhere>,
}

/// Takes notes for keepers of other processes. Must not wait.
pub type Elsewhere = Box<dyn Fn(ShardNote) + Send + Sync>;

/// Why a keeper did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The ledger has no such lane.
    #[error("there is no lane {0}")]
    NoSuchLane(LaneId),
    /// Too much waits for this keeper, or it has stopped.
    #[error("the keeper of lane {0} takes no orders now")]
    Unavailable(LaneId),
    /// It did not follow.
    #[error(transparent)]
    Refused(#[from] OperateError),
}

// === impl Keepers ===

impl Keepers {
    /// Starts a keeper for every lane of the ledger, on the current runtime. `holder` names this
    /// process for people (host and process id).
    ///
    /// # Errors
    /// Where the settings contradict each other.
    pub fn spawn(
        parts: &KeeperParts,
        settings: KeeperSettings,
        holder: &str,
    ) -> Result<Self, SettingsError> {
        settings.validate()?;
        let settings = Arc::new(settings);
        let lanes = parts.ledger.identity().lanes;
        let makers: Vec<_> = lanes
            .iter()
            .map(|lane| {
                let (parts, settings) = (parts.clone(), Arc::clone(&settings));
                let holder = holder.to_owned();
                move || Keeper::new(parts.clone(), Arc::clone(&settings), lane, &holder)
            })
            .collect();
        let mailboxes = makers
            .iter()
            .map(|make| Arc::new(Mailbox::new(make().status())))
            .collect();
        let posts = Arc::new(Posts {
            mailboxes,
            elsewhere: OnceLock::new(),
        });
        let mut tasks = JoinSet::new();
        for (lane, make) in lanes.iter().zip(makers) {
            let (all, clock) = (Arc::clone(&posts), Arc::clone(&parts.clock));
            tasks.spawn(runner::supervise(make, lane, all, clock));
        }
        Ok(Self {
            handle: KeeperHandle { lanes, posts },
            tasks,
            settings,
        })
    }

    /// The handle, for the engine, the control plane and the operator's commands.
    #[must_use]
    pub fn handle(&self) -> KeeperHandle {
        self.handle.clone()
    }

    /// Stops gracefully: nothing is leased any more, what was granted becomes rows. The only process
    /// there is calls back what is leased; one of several leaves it where it is and gives its lanes
    /// back, and another goes on with them. Takes `deadline` at most, and not longer than `stop_ms_max`; true where all
    /// lanes were through by then. What was not is found and settled at the next start.
    pub async fn shutdown(mut self, deadline: Duration) -> bool {
        for mailbox in &self.handle.posts.mailboxes {
            mailbox.stop();
        }
        let most = Duration::from_millis(self.settings.stop_ms_max);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(deadline.min(most), all).await.is_ok();
        if !in_time {
            tracing::warn!("some lanes did not stop in time");
            self.tasks.shutdown().await;
        }
        in_time
    }
}

// === impl KeeperHandle ===

impl KeeperHandle {
    /// Something was granted in the lane: the keeper drains it now.
    pub fn nudge(&self, lane: LaneId) {
        if let Some(mailbox) = self.mailbox(lane) {
            mailbox.granted();
        }
    }

    /// A coupon with one shard was changed or touched: its keeper looks at it now (definition,
    /// hydration, leases, "final").
    pub fn look_at(&self, coupon: CouponId) {
        self.look_at_shards(coupon, 1);
    }

    /// As [`look_at`](Self::look_at), of a coupon with so many shards: all their keepers look.
    pub fn look_at_shards(&self, coupon: CouponId, shards: u16) {
        for lane in self.lanes.lanes_of(coupon, shards) {
            self.hydrate(lane, coupon);
        }
    }

    /// Lowers a coupon's total. The answer comes when its leases are closed, which waits for the
    /// outbox; a caller that gives up leaves the lowering under way.
    ///
    /// # Errors
    /// Where the keeper takes no orders, or ends before it has answered.
    pub async fn lower_total(
        &self,
        coupon: CouponId,
        target: u64,
    ) -> Result<LowerOutcome, AskError> {
        let lane = self.lanes.lane_of(coupon);
        self.ask(lane, |reply| Command::Lower(coupon, target, reply))
            .await
    }

    /// Recovers a lane: a new epoch, built from the ledger. False where it is not served now.
    ///
    /// # Errors
    /// Where there is no such lane or its keeper takes no orders.
    pub async fn recover(&self, lane: LaneId) -> Result<bool, AskError> {
        self.ask(lane, Command::Recover).await
    }

    /// Ends a halt by the operator's word that this ledger is right. What only Redis knew of is
    /// lost for good.
    ///
    /// # Errors
    /// Where the lane is not halted, a store fails, or the keeper takes no orders.
    pub async fn accept_ledger(&self, lane: LaneId) -> Result<(), AskError> {
        Ok(self.ask(lane, Command::AcceptLedger).await??)
    }

    /// Ends the quarantine of a coupon's units in a lane before its time; answers how many came free. Only
    /// where it is certain that no cut-off server has granted from them: ask for a typed
    /// confirmation first.
    ///
    /// # Errors
    /// Where the lane is not served, a store fails, or the keeper takes no orders.
    pub async fn release(&self, lane: LaneId, coupon: CouponId) -> Result<u64, AskError> {
        Ok(self
            .ask(lane, |reply| Command::Release(coupon, reply))
            .await??)
    }

    /// How all lanes stand, in order.
    #[must_use]
    pub fn status(&self) -> Vec<LaneStatus> {
        self.posts
            .mailboxes
            .iter()
            .map(|mailbox| mailbox.status().borrow().clone())
            .collect()
    }

    /// Whether every lane is served.
    #[must_use]
    pub fn all_open(&self) -> bool {
        self.posts
            .mailboxes
            .iter()
            .all(|mailbox| mailbox.status().borrow().phase == PhaseName::Open)
    }

    /// Watches how a lane stands; `None` for a lane that does not exist.
    #[must_use]
    pub fn watch(&self, lane: LaneId) -> Option<watch::Receiver<LaneStatus>> {
        self.mailbox(lane).map(Mailbox::status)
    }

    async fn ask<T>(
        &self,
        lane: LaneId,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, AskError> {
        let mailbox = self.mailbox(lane).ok_or(AskError::NoSuchLane(lane))?;
        let (reply, answer) = oneshot::channel();
        if !mailbox.command(command(reply)) {
            return Err(AskError::Unavailable(lane));
        }
        answer.await.map_err(|_ended| AskError::Unavailable(lane))
    }

    fn mailbox(&self, lane: LaneId) -> Option<&Mailbox> {
        self.posts.mailbox(lane)
    }

    /// Whether a keeper of this process is in charge of the lane.
    #[must_use]
    pub fn keeps(&self, lane: LaneId) -> bool {
        self.mailbox(lane).is_some_and(Mailbox::keeps)
    }

    /// Hands a word of another lane's keeper, maybe in another process, to this lane's.
    pub fn hear(&self, note: ShardNote) {
        if let Some(mailbox) = self.mailbox(note.to) {
            mailbox.hear(note.coupon, note.word);
        }
    }

    /// Gives an order and does not wait for the end of it: the ledger shows that.
    pub fn begin(&self, lane: LaneId, order: Order) {
        let command = match order {
            Order::Lower(coupon, target) => Command::Lower(coupon, target, nobody()),
            Order::Recover => Command::Recover(nobody()),
            Order::AcceptLedger => Command::AcceptLedger(nobody()),
            Order::Release(coupon) => Command::Release(coupon, nobody()),
        };
        let given = |mailbox: &Mailbox| mailbox.command(command);
        if !self.mailbox(lane).is_some_and(given) {
            tracing::warn!(%lane, ?order, "too much waits for the keeper; an order was dropped");
        }
    }

    /// Says where notes go whose lane another process keeps; set once, when it joins the others.
    pub fn send_elsewhere(&self, post: Elsewhere) {
        if self.posts.elsewhere.set(post).is_err() {
            tracing::error!("a second way to the keepers of other processes was refused");
        }
    }
}

/// Where an answer goes that nobody waits for.
fn nobody<T>() -> oneshot::Sender<T> {
    oneshot::channel().0
}

// === impl Posts ===

impl Posts {
    pub(crate) fn mailbox(&self, lane: LaneId) -> Option<&Mailbox> {
        self.mailboxes.get(usize::from(lane.0)).map(Arc::as_ref)
    }

    /// Delivers a note: to this process's keeper of the lane, or to whoever else is in charge.
    pub(crate) fn deliver(&self, note: ShardNote) {
        let Some(mailbox) = self.mailbox(note.to) else {
            return;
        };
        match self.elsewhere.get() {
            Some(post) if !mailbox.keeps() => post(note),
            Some(_) | None => mailbox.hear(note.coupon, note.word),
        }
    }
}

impl KeeperRequests for KeeperHandle {
    fn hydrate(&self, lane: LaneId, coupon: CouponId) {
        if let Some(mailbox) = self.mailbox(lane) {
            mailbox.touch(coupon);
        }
    }

    fn report_loss(&self, lane: LaneId, epoch: Epoch, reason: NotReady) {
        if let Some(mailbox) = self.mailbox(lane) {
            mailbox.report_loss(epoch, reason);
        }
    }

    fn granted(&self, lane: LaneId) {
        self.nudge(lane);
    }
}
