//! The batcher: claims of many requests, few calls.
//!
//! Each lane has one task that owns its queue, its calls in flight and the claims themselves: a
//! request that goes away changes nothing. The task is self-clocked: it sends what waits whenever a
//! call may be sent. What it decides is in [`queue`]; here is the I/O around it.

mod queue;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sluice_domain::id::{CouponId, Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

pub(crate) use self::queue::BatchKey;
use self::queue::{Entry, LaneQueue, QueueLimits};
use crate::failure::{Failure, report};
use crate::port::{
    ClaimAnswer, ClaimCall, ClaimReply, ClaimRequest, ClaimStore, SoldOutProof, StoreError,
};
use crate::shared::Shared;
use crate::sold_out::{SoldOut, build_filter};

/// Winner filters that one lane makes at a time.
const BUILDS_MAX: usize = 2;

/// The entrance to all lanes.
pub(crate) struct Batcher<S> {
    lanes: Vec<mpsc::Sender<Entry<Job>>>,
    shared: Arc<Shared<S>>,
}

/// What the script decided, and in which epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decided {
    pub(crate) answer: ClaimAnswer,
    pub(crate) epoch: Epoch,
    /// When the answer was received.
    pub(crate) received: Instant,
}

/// One claim on its way.
pub(crate) struct Job {
    request: ClaimRequest,
    sold_out: Arc<SoldOut>,
    answer: oneshot::Sender<Result<Decided, Failure>>,
}

/// A call that is over.
struct Done {
    batch: Vec<Entry<Job>>,
    sent: Instant,
    received: Instant,
    result: Result<ClaimReply, StoreError>,
}

/// The task of one lane.
struct Lane<S> {
    lane: LaneId,
    shared: Arc<Shared<S>>,
    queue: LaneQueue<Job>,
}

/// A filter to make.
struct BuildOrder {
    coupon: CouponId,
    proof: SoldOutProof,
    sold_out: Arc<SoldOut>,
}

// === impl Batcher ===

impl<S: ClaimStore> Batcher<S> {
    /// Starts the tasks of all lanes.
    pub(crate) fn start(shared: &Arc<Shared<S>>, lanes: LaneCount) -> Self {
        let settings = shared.settings;
        let start = |lane| {
            let (entrance, jobs) = mpsc::channel(settings.queue_claims_max);
            let task = Lane {
                lane,
                shared: Arc::clone(shared),
                queue: LaneQueue::new(QueueLimits {
                    claims_max: settings.queue_claims_max,
                    batch_max: settings.batch_claims_max,
                    calls_max: settings.calls_in_flight_max,
                }),
            };
            // The task ends by itself when the entrance is dropped and what it holds is answered.
            drop(tokio::spawn(task.run(jobs)));
            entrance
        };
        Self {
            lanes: lanes.iter().map(start).collect(),
            shared: Arc::clone(shared),
        }
    }

    /// Has a claim decided. Gives up waiting at `deadline`, which leaves the outcome unknown.
    pub(crate) async fn decide(
        &self,
        lane: LaneId,
        key: BatchKey,
        request: ClaimRequest,
        sold_out: Arc<SoldOut>,
        deadline: Instant,
    ) -> Result<Decided, Failure> {
        let (answer, decided) = oneshot::channel();
        let entry = Entry {
            key,
            deadline: Instant::now() + self.shared.settings.queue_wait,
            awaits_keeper: false,
            item: Job {
                request,
                sold_out,
                answer,
            },
        };
        let entrance = self.lanes.get(usize::from(lane.0));
        if entrance.is_none_or(|lane| lane.try_send(entry).is_err()) {
            self.shared.metrics.shed_queue_full.increment(1);
            return Err(Failure::Overloaded);
        }
        match timeout_at(deadline, decided).await {
            Ok(Ok(result)) => result,
            // The lane's task is gone, or nothing came in time: it may have been sent.
            Ok(Err(_)) | Err(_) => Err(Failure::Unknown),
        }
    }
}

// === impl Lane ===

impl<S: ClaimStore> Lane<S> {
    async fn run(mut self, mut jobs: mpsc::Receiver<Entry<Job>>) {
        let mut calls = FuturesUnordered::new();
        let mut builds = FuturesUnordered::new();
        let mut open = true;
        while open || !self.queue.is_idle() {
            let now = Instant::now();
            self.expire(now);
            while let Some(batch) = self.queue.next_call(now) {
                calls.push(call(Arc::clone(&self.shared), self.lane, batch));
            }
            let wake = self.queue.wake_at();
            tokio::select! {
                biased;
                Some(done) = calls.next(), if !calls.is_empty() => {
                    self.queue.finished();
                    if let Some(order) = self.settle(done) {
                        if builds.len() < BUILDS_MAX {
                            self.hold_for_filter(order.coupon);
                            builds.push(build(Arc::clone(&self.shared), self.lane, order));
                        } else {
                            let retry_at = now + self.shared.settings.filter_retry;
                            order.sold_out.postpone(&order.proof, retry_at);
                        }
                    }
                }
                job = jobs.recv(), if open => match job {
                    Some(entry) => self.accept_all(entry, &mut jobs),
                    None => open = false,
                },
                Some(coupon) = builds.next(), if !builds.is_empty() => self.ask_filter(coupon),
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
                // The last claims that waited ran out just now, and nobody sends any more.
                else => {}
            }
        }
    }

    fn accept_all(&mut self, first: Entry<Job>, jobs: &mut mpsc::Receiver<Entry<Job>>) {
        let mut next = Some(first);
        while let Some(entry) = next {
            if let Err(refused) = self.queue.push(entry) {
                self.shared.metrics.shed_queue_full.increment(1);
                refused.item.fail(Failure::Overloaded);
            }
            next = jobs.try_recv().ok();
        }
    }

    fn expire(&mut self, now: Instant) {
        for entry in self.queue.expire(now) {
            if !entry.awaits_keeper {
                self.shared.metrics.shed_queue_wait.increment(1);
            }
            entry.give_up();
        }
    }

    /// Hands the answers of a call out, and puts back what has to wait for a lease.
    fn settle(&mut self, done: Done) -> Option<BuildOrder> {
        let reply = match done.result {
            Ok(reply) if reply.answers.len() == done.batch.len() => reply,
            Ok(_) => {
                tracing::error!(lane = %self.lane, "hot state answered for another batch");
                fail_all(done.batch, Failure::Unknown);
                return None;
            }
            Err(error) => {
                self.failed(&error, done.batch, done.received);
                return None;
            }
        };
        let key = done.batch.first()?.key;
        let sold_out = Arc::clone(&done.batch.first()?.item.sold_out);
        let shared = &self.shared;
        shared
            .clocks
            .observe(self.lane, done.sent, done.received, reply.lane_time);
        let order = sold_out.observe(&reply.answers, done.sent, done.received, &shared.filters);
        let mut again = Vec::new();
        let mut need_lease = false;
        for (entry, answer) in done.batch.into_iter().zip(reply.answers) {
            match answer {
                ClaimAnswer::NextLease | ClaimAnswer::NeedLease => {
                    need_lease |= answer == ClaimAnswer::NeedLease;
                    again.push(entry);
                }
                answer => entry.item.succeed(Decided {
                    answer,
                    epoch: reply.epoch,
                    received: done.received,
                }),
            }
        }
        if need_lease {
            shared.keeper.hydrate(self.lane, key.coupon);
        }
        self.put_back(again, done.received, need_lease);
        order.map(|proof| BuildOrder {
            coupon: key.coupon,
            proof,
            sold_out,
        })
    }

    /// The coupon is sold out, and its winner filter is being made: whoever asks now would be asked
    /// about in Redis, a crowd of them batch after batch. They wait for the filter instead, for at
    /// most half of what a claim may wait in the queue; who is not answered by then is asked about.
    fn hold_for_filter(&mut self, coupon: CouponId) {
        let wait = self.shared.settings.queue_wait / 2;
        self.queue.hold(coupon, Instant::now(), wait);
    }

    /// A filter was made, or could not be: whoever waited for it and is certainly no winner is
    /// answered, and everybody else is asked about.
    fn ask_filter(&mut self, coupon: CouponId) {
        let now = Instant::now();
        let shared = &self.shared;
        let mut ask = Vec::new();
        for entry in self.queue.release(coupon) {
            let Job {
                request, sold_out, ..
            } = &entry.item;
            match sold_out.answer_absent(request, now, &shared.filters, &shared.metrics) {
                Some((answer, epoch)) => entry.item.succeed(Decided {
                    answer,
                    epoch,
                    received: now,
                }),
                None => ask.push(entry),
            }
        }
        self.queue.put_back(ask, None);
    }

    /// Waits with these claims for what the keeper is at; those whose time is over are given up.
    fn put_back(&mut self, entries: Vec<Entry<Job>>, now: Instant, rest: bool) {
        let rest_until = rest.then(|| now + self.shared.settings.lease_pause);
        let mut again = Vec::with_capacity(entries.len());
        for mut entry in entries {
            entry.awaits_keeper = true;
            if entry.deadline > now {
                again.push(entry);
            } else {
                entry.give_up();
            }
        }
        self.queue.put_back(again, rest_until);
    }

    fn failed(&mut self, error: &StoreError, batch: Vec<Entry<Job>>, now: Instant) {
        report(self.shared.keeper.as_ref(), self.lane, error);
        if matches!(error, StoreError::CouponNotReady { .. }) {
            // Hydration is under way and nothing happened: it may be there within the wait.
            self.put_back(batch, now, true);
            return;
        }
        if matches!(error, StoreError::Backpressure { .. }) {
            self.shared.metrics.shed_backpressure.increment(1);
        }
        fail_all(batch, Failure::of(error));
    }
}

/// Makes a filter; says of which coupon.
async fn build<S: ClaimStore>(shared: Arc<Shared<S>>, lane: LaneId, order: BuildOrder) -> CouponId {
    let coupon = order.coupon;
    build_filter(shared, lane, coupon, order.proof, order.sold_out).await;
    coupon
}

async fn call<S: ClaimStore>(shared: Arc<Shared<S>>, lane: LaneId, batch: Vec<Entry<Job>>) -> Done {
    let sent = Instant::now();
    shared.metrics.batch_size.record(batch.len() as f64);
    let result = match batch.first() {
        Some(first) => {
            let decision = shared.store.decide(ClaimCall {
                lane,
                coupon: first.key.coupon,
                form: first.key.form,
                revision: first.key.revision,
                requests: batch.iter().map(|entry| entry.item.request).collect(),
            });
            let in_time = timeout(shared.settings.call_within, decision).await;
            in_time.unwrap_or_else(|_elapsed| {
                Err(StoreError::Unknown {
                    reason: "no answer in time".to_owned(),
                })
            })
        }
        None => Err(StoreError::Unavailable {
            reason: "an empty call".to_owned(),
        }),
    };
    // A call without an answer may have granted too: looking once in vain costs less than a claim
    // that waits for the next look.
    let may_have_granted = match &result {
        Ok(reply) => reply
            .answers
            .iter()
            .any(|answer| matches!(answer, ClaimAnswer::Granted(_))),
        Err(error) => matches!(error, StoreError::Unknown { .. }),
    };
    if may_have_granted {
        shared.keeper.granted(lane);
    }
    Done {
        batch,
        sent,
        received: Instant::now(),
        result,
    }
}

fn fail_all(batch: Vec<Entry<Job>>, failure: Failure) {
    for entry in batch {
        entry.item.fail(failure);
    }
}

// === impl Job, Entry ===

impl Job {
    fn succeed(self, decided: Decided) {
        self.tell(Ok(decided));
    }

    fn fail(self, failure: Failure) {
        self.tell(Err(failure));
    }

    fn tell(self, result: Result<Decided, Failure>) {
        let claim_id = self.request.claim_id;
        if self.answer.send(result).is_err() {
            tracing::trace!(%claim_id, "whoever asked is gone, which changes nothing");
        }
    }
}

impl Entry<Job> {
    /// Its deadline has come.
    fn give_up(self) {
        self.item.fail(if self.awaits_keeper {
            Failure::Warming
        } else {
            Failure::Overloaded
        });
    }
}
