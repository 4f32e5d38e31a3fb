//! What could not be put in force at once is tried again until it is.
//!
//! The queue holds coupons, not definitions: each attempt installs what the ledger holds then. It
//! is bounded; what does not fit raises a flag, and the next pass sweeps over all published
//! coupons, as the first pass after a start does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_domain::id::{CouponId, LaneId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::{Behind, Publisher};

/// Coupons to be tried again.
pub(super) struct Retries {
    waiting_max: usize,
    state: Mutex<Waiting>,
    wake: Notify,
}

struct Waiting {
    /// In order, so that what is tried again follows from what was left behind.
    coupons: BTreeMap<CouponId, Attempt>,
    /// When to go over everything; `None` where that is not needed.
    sweep_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Attempt {
    due: Instant,
    pause: Duration,
}

// === impl Retries ===

impl Retries {
    /// An empty queue that begins with a sweep.
    pub(super) fn new(waiting_max: usize) -> Self {
        Self {
            waiting_max,
            state: Mutex::new(Waiting {
                coupons: BTreeMap::new(),
                sweep_at: Some(Instant::now()),
            }),
            wake: Notify::new(),
        }
    }

    /// Queues a coupon; at the bound, a sweep in its place.
    pub(super) fn add(&self, id: CouponId) {
        let mut state = self.lock();
        if state.coupons.len() >= self.waiting_max && !state.coupons.contains_key(&id) {
            state.sweep_at.get_or_insert_with(Instant::now);
        } else {
            let attempt = Attempt {
                due: Instant::now(),
                pause: Duration::ZERO,
            };
            state.coupons.insert(id, attempt);
        }
        drop(state);
        self.wake.notify_one();
    }

    fn put_off(&self, id: CouponId, pause: Duration) {
        let due = Instant::now() + pause;
        self.lock().coupons.insert(id, Attempt { due, pause });
    }

    fn sweep_after(&self, pause: Duration) {
        self.lock().sweep_at = Some(Instant::now() + pause);
    }

    /// Takes what is due out of the queue.
    fn take_due(&self) -> (Vec<(CouponId, Duration)>, bool) {
        let now = Instant::now();
        let mut state = self.lock();
        let due: Vec<(CouponId, Duration)> = state
            .coupons
            .extract_if(.., |_id, attempt| attempt.due <= now)
            .map(|(id, attempt)| (id, attempt.pause))
            .collect();
        let sweep = state.sweep_at.take_if(|at| *at <= now).is_some();
        (due, sweep)
    }

    fn next_due(&self) -> Option<Instant> {
        let state = self.lock();
        let coupons = state.coupons.values().map(|attempt| attempt.due);
        coupons.chain(state.sweep_at).min()
    }

    /// How many coupons wait.
    fn len(&self) -> usize {
        self.lock().coupons.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Publisher ===

impl Publisher {
    /// Works on the queue until told to stop. A rerun is harmless: an install of a revision that is
    /// in force changes nothing.
    pub async fn run_retries(&self, mut stop: watch::Receiver<bool>) {
        let waiting = metrics::gauge!("sluice_publish_waiting");
        loop {
            let (due, sweep) = self.retries.take_due();
            for (id, pause) in due {
                if *stop.borrow() {
                    return;
                }
                self.retry(id, pause).await;
            }
            if sweep {
                self.sweep().await;
            }
            #[expect(clippy::cast_precision_loss, reason = "a gauge of a bounded queue")]
            waiting.set(self.retries.len() as f64);
            let pause = async {
                match self.retries.next_due() {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _stopped = stop.wait_for(|stop| *stop) => return,
                () = pause => {}
                () = self.retries.wake.notified() => {}
            }
        }
    }

    async fn retry(&self, id: CouponId, pause: Duration) {
        match self.reinstall(id).await {
            Ok(()) => {
                count("ok");
                tracing::info!(coupon = %id, "a change left behind is in force now");
            }
            Err(behind) => {
                count("failed");
                let pause =
                    (pause * 2).clamp(self.settings.retry_pause_min, self.settings.retry_pause_max);
                tracing::debug!(coupon = %id, reason = %behind, "still not in force");
                self.retries.put_off(id, pause);
            }
        }
    }

    /// Goes over all published coupons and installs what a lane does not have. A lane that does
    /// not answer is left, and the sweep repeated.
    async fn sweep(&self) {
        let mut complete = true;
        for lane in self.lanes.iter() {
            if let Err(behind) = self.sweep_lane(lane).await {
                tracing::debug!(%lane, reason = %behind, "a lane could not be swept");
                complete = false;
            }
        }
        if !complete {
            self.retries.sweep_after(self.settings.retry_pause_max);
        }
    }

    async fn sweep_lane(&self, lane: LaneId) -> Result<(), Behind> {
        for (id, retired) in self.ledger.published_coupons(lane).await? {
            if retired {
                continue;
            }
            let Some(coupon) = self.ledger.coupon(id).await? else {
                continue;
            };
            let reading = self.lanes_store.figures(lane, id);
            let held = tokio::time::timeout(self.settings.lane_call_timeout, reading)
                .await
                .map_err(|_elapsed| Behind::Silent)??;
            if held.is_none_or(|figures| figures.revision < coupon.revision) {
                let attempted = self.attempt(&coupon).await;
                attempted.map_err(|(_lane, behind)| behind)?;
            }
        }
        Ok(())
    }
}

fn count(result: &'static str) {
    metrics::counter!("sluice_jobs_total", "kind" => "publish_retry", "result" => result)
        .increment(1);
}
