//! What others tell a keeper: bounded, each thing once, never waiting.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_claim::port::NotReady;
use sluice_domain::id::{CouponId, Epoch};
use tokio::sync::{Notify, oneshot, watch};

use crate::keeper::{
    Keeper, LaneStatus, LowerReply, OperateError, PhaseName, ShardWord, TOUCHED_MAX,
};

/// Commands that may wait for one keeper.
const COMMANDS_MAX: usize = 64;

/// Something that an operator or the control plane asked for.
pub(crate) enum Command {
    /// Lower a coupon's total.
    Lower(CouponId, u64, LowerReply),
    /// Recover the lane; answers whether that began.
    Recover(oneshot::Sender<bool>),
    /// End a halt: this ledger is right.
    AcceptLedger(oneshot::Sender<Result<(), OperateError>>),
    /// End the quarantine of a coupon's units.
    Release(CouponId, oneshot::Sender<Result<u64, OperateError>>),
}

/// The mailbox of one keeper.
pub(crate) struct Mailbox {
    inbox: Mutex<Inbox>,
    granted: AtomicBool,
    wake: Notify,
    status: watch::Sender<LaneStatus>,
}

#[derive(Default)]
struct Inbox {
    /// In order, so that a keeper's work follows from what it was told.
    touched: BTreeSet<CouponId>,
    /// Of several losses in an epoch one is enough; the newest epoch counts.
    loss: Option<(Epoch, NotReady)>,
    commands: VecDeque<Command>,
    /// What keepers of other lanes say of coupons.
    words: BTreeSet<(CouponId, ShardWord)>,
    stop: bool,
}

// === impl Mailbox ===

impl Mailbox {
    pub(crate) fn new(status: LaneStatus) -> Self {
        Self {
            inbox: Mutex::default(),
            granted: AtomicBool::new(false),
            wake: Notify::new(),
            status: watch::Sender::new(status),
        }
    }

    pub(crate) fn touch(&self, coupon: CouponId) {
        let mut inbox = self.inbox();
        // What does not fit is asked for again, or found by the sweep.
        let is_new = inbox.touched.len() < TOUCHED_MAX && inbox.touched.insert(coupon);
        drop(inbox);
        if is_new {
            self.wake.notify_one();
        }
    }

    pub(crate) fn report_loss(&self, epoch: Epoch, reason: NotReady) {
        let mut inbox = self.inbox();
        let is_news = inbox
            .loss
            .is_none_or(|(held, why)| epoch > held || (epoch == held && !why.is_loss()));
        if is_news {
            inbox.loss = Some((epoch, reason));
        }
        drop(inbox);
        if is_news {
            self.wake.notify_one();
        }
    }

    pub(crate) fn granted(&self) {
        if !self.granted.swap(true, Ordering::AcqRel) {
            self.wake.notify_one();
        }
    }

    /// False where too many wait.
    pub(crate) fn command(&self, command: Command) -> bool {
        let mut inbox = self.inbox();
        let fits = inbox.commands.len() < COMMANDS_MAX;
        if fits {
            inbox.commands.push_back(command);
        }
        drop(inbox);
        self.wake.notify_one();
        fits
    }

    /// A word of another lane's keeper. What does not fit is said again.
    pub(crate) fn hear(&self, coupon: CouponId, word: ShardWord) {
        let mut inbox = self.inbox();
        let is_new = inbox.words.len() < TOUCHED_MAX && inbox.words.insert((coupon, word));
        drop(inbox);
        if is_new {
            self.wake.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.inbox().stop = true;
        self.wake.notify_one();
    }

    /// Until something came in since the last call.
    pub(crate) async fn something(&self) {
        self.wake.notified().await;
    }

    /// Hands everything to the keeper.
    pub(crate) async fn deliver(&self, keeper: &mut Keeper) {
        let came = std::mem::take(&mut *self.inbox());
        if self.granted.swap(false, Ordering::AcqRel) {
            keeper.nudge();
        }
        for coupon in came.touched {
            keeper.touch(coupon);
        }
        if let Some((epoch, reason)) = came.loss {
            keeper.hear_of_loss(epoch, reason);
        }
        for (coupon, word) in came.words {
            keeper.hear_word(coupon, word);
        }
        if came.stop {
            keeper.stop();
        }
        for command in came.commands {
            // Askers that are gone are no concern of the keeper.
            match command {
                Command::Lower(coupon, target, reply) => keeper.lower_total(coupon, target, reply),
                Command::Recover(reply) => {
                    let _gone = reply.send(keeper.recover_now());
                }
                Command::AcceptLedger(reply) => {
                    let _gone = reply.send(keeper.accept_ledger().await);
                }
                Command::Release(coupon, reply) => {
                    let _gone = reply.send(keeper.release_quarantine(coupon).await);
                }
            }
        }
    }

    /// Shows how the lane stands.
    pub(crate) fn show(&self, status: LaneStatus) {
        self.status.send_if_modified(|held| {
            let changed = *held != status;
            *held = status;
            changed
        });
    }

    /// Whether the keeper is in charge of its lane.
    pub(crate) fn keeps(&self) -> bool {
        !matches!(
            self.status.borrow().phase,
            PhaseName::Watching | PhaseName::Stopped
        )
    }

    pub(crate) fn status(&self) -> watch::Receiver<LaneStatus> {
        self.status.subscribe()
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Each change is one insertion: a panic elsewhere leaves nothing half done.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
