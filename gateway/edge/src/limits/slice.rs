//! Quotas shared by several gateways, in slices.
//!
//! No request ever waits for the shared store, and subjects that ask seldom never reach it. Each
//! gateway first gives on credit from a bucket of half the quota. A subject that used a quarter of
//! the burst that way is worth a slice: the gateway asks for one in the background and says how
//! much it gave on credit, so that the shared count is complete. From then on requests are taken
//! from slices; when the shared quota is empty the subject is refused from memory until it has
//! refilled. While the source is away, the bucket of half the quota goes on alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::LimiterKind;
use crate::settings::Rate;

/// Asks waiting to be sent; more are dropped and asked again by a later request.
pub(super) const ASKS_QUEUED_MAX: usize = 4_096;
/// Asks in one call of the source.
const ASKS_PER_CALL_MAX: usize = 128;
/// A call of the source that takes longer is given up.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);
/// After a failed call no slice is asked for so long.
const BACKOFF: Duration = Duration::from_secs(1);
/// A subject without requests for so long is forgotten, with what is left of its slice.
const IDLE: Duration = Duration::from_secs(10);
const SHARDS: usize = 32;

/// The shared quotas, outside this process. The server implements it over hot state's limiter.
#[async_trait::async_trait]
pub trait QuotaSource: Send + Sync + 'static {
    /// Takes a slice for each ask, in order. One call per batch.
    ///
    /// # Errors
    /// When the source is away; nothing is assumed to have been taken.
    async fn take_slices(&self, asks: &[SliceAsk]) -> Result<Vec<SliceGrant>, QuotaError>;
}

/// A wish for part of a subject's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceAsk {
    /// The limiter.
    pub limiter: LimiterKind,
    /// The subject: a keyed hash, the same on every gateway.
    pub subject: u64,
    /// The quota.
    pub rate: Rate,
    /// Given on credit since the last ask: to be taken off in any case.
    pub used: u32,
    /// How much is wanted on top.
    pub wanted: u32,
}

/// The answer to an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceGrant {
    /// 0 to what was wanted.
    pub granted: u32,
    /// Where nothing was granted: when the quota has something again, in milliseconds.
    pub retry_after_ms: u32,
}

/// The source did not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("shared quotas are away: {reason}")]
pub struct QuotaError {
    /// What happened.
    pub reason: String,
}

/// An ask and what came of it.
pub(super) struct Settled {
    pub(super) limiter: LimiterKind,
    ask: SliceAsk,
    grant: Option<SliceGrant>,
}

/// The slices that one limiter holds.
pub(super) struct SharedQuota {
    kind: LimiterKind,
    rate: Rate,
    subjects: Box<[Mutex<HashMap<u64, Subject>>]>,
    subjects_per_shard_max: usize,
    asks: mpsc::Sender<SliceAsk>,
}

#[derive(Debug)]
struct Subject {
    /// Left of the slices.
    slice: u32,
    /// Given on credit and not yet reported.
    credit: u32,
    asked: bool,
    no_ask_before: Option<Instant>,
    denied_until: Option<Instant>,
    last_used: Instant,
}

// === impl SharedQuota ===

impl SharedQuota {
    pub(super) fn new(
        kind: LimiterKind,
        rate: Rate,
        keys_max: usize,
        asks: mpsc::Sender<SliceAsk>,
    ) -> Self {
        Self {
            kind,
            rate,
            subjects: (0..SHARDS).map(|_shard| Mutex::default()).collect(),
            subjects_per_shard_max: (keys_max / SHARDS).max(1),
            asks,
        }
    }

    /// Decides by slices, or by `local` (the bucket of half the quota) where there are none.
    pub(super) fn check(
        &self,
        key: u64,
        local: impl FnOnce() -> Result<(), u64>,
    ) -> Result<(), u64> {
        let now = Instant::now();
        let mut shard = self.lock(key);
        if !shard.contains_key(&key) && shard.len() >= self.subjects_per_shard_max {
            drop(shard);
            return local();
        }
        let subject = shard.entry(key).or_insert_with(|| Subject::new(now));
        subject.last_used = now;
        if let Some(until) = subject.denied_until {
            if now < until {
                let wait = until.duration_since(now).as_millis();
                return Err(u64::try_from(wait).unwrap_or(u64::MAX).max(1));
            }
            subject.denied_until = None;
        }
        if subject.slice > 0 {
            subject.slice -= 1;
        } else {
            local()?;
            subject.credit = subject.credit.saturating_add(1);
        }
        self.ask_if_due(key, subject, now);
        Ok(())
    }

    /// Books what came of an ask.
    pub(super) fn settle(&self, settled: &Settled) {
        let now = Instant::now();
        let mut shard = self.lock(settled.ask.subject);
        let Some(subject) = shard.get_mut(&settled.ask.subject) else {
            return;
        };
        subject.asked = false;
        match settled.grant {
            Some(grant) => {
                subject.credit = subject.credit.saturating_sub(settled.ask.used);
                subject.slice = subject
                    .slice
                    .saturating_add(grant.granted.min(settled.ask.wanted));
                if grant.granted == 0 {
                    let wait = Duration::from_millis(u64::from(grant.retry_after_ms.max(1)));
                    subject.denied_until = Some(now + wait.min(IDLE));
                }
            }
            None => subject.no_ask_before = Some(now + BACKOFF),
        }
    }

    /// Forgets idle subjects.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        for shard in &self.subjects {
            shard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|_key, subject| now.duration_since(subject.last_used) < IDLE);
        }
    }

    fn ask_if_due(&self, key: u64, subject: &mut Subject, now: Instant) {
        let portion = (self.rate.burst / 4).max(1);
        let low = subject.slice <= portion / 2;
        let busy = subject.credit >= portion || subject.slice > 0;
        let allowed = subject.no_ask_before.is_none_or(|until| now >= until);
        if subject.asked || !low || !busy || !allowed {
            return;
        }
        let ask = SliceAsk {
            limiter: self.kind,
            subject: key,
            rate: self.rate,
            used: subject.credit,
            wanted: portion,
        };
        // A full queue is no reason to wait: a later request asks again.
        subject.asked = self.asks.try_send(ask).is_ok();
    }

    fn lock(&self, key: u64) -> MutexGuard<'_, HashMap<u64, Subject>> {
        let index = usize::try_from(key % SHARDS as u64).unwrap_or(0);
        self.subjects[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Subject ===

impl Subject {
    const fn new(now: Instant) -> Self {
        Self {
            slice: 0,
            credit: 0,
            asked: false,
            no_ask_before: None,
            denied_until: None,
            last_used: now,
        }
    }
}

/// Sends asks in batches, one call at a time, and hands each result to `settle`.
pub(super) async fn fetch(
    mut asks: mpsc::Receiver<SliceAsk>,
    source: Arc<dyn QuotaSource>,
    settle: impl Fn(Settled) + Send + Sync,
) {
    let mut batch = Vec::with_capacity(ASKS_PER_CALL_MAX);
    while asks.recv_many(&mut batch, ASKS_PER_CALL_MAX).await > 0 {
        let answer = tokio::time::timeout(CALL_TIMEOUT, source.take_slices(&batch)).await;
        let grants = match answer {
            Ok(Ok(grants)) => grants,
            Ok(Err(error)) => {
                tracing::warn!(%error, asks = batch.len(), "no slices of shared quotas");
                Vec::new()
            }
            Err(_elapsed) => {
                tracing::warn!(asks = batch.len(), "shared quotas took too long");
                Vec::new()
            }
        };
        for (index, ask) in batch.drain(..).enumerate() {
            settle(Settled {
                limiter: ask.limiter,
                ask,
                grant: grants.get(index).copied(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 8,
    };

    fn quota() -> (SharedQuota, mpsc::Receiver<SliceAsk>) {
        let (asks, receiver) = mpsc::channel(16);
        (
            SharedQuota::new(LimiterKind::User, RATE, 1_000, asks),
            receiver,
        )
    }

    fn settled(ask: SliceAsk, grant: Option<SliceGrant>) -> Settled {
        Settled {
            limiter: ask.limiter,
            ask,
            grant,
        }
    }

    #[test]
    fn seldom_subjects_never_ask() {
        let (quota, mut asks) = quota();
        for subject in 0..100 {
            assert_eq!(quota.check(subject, || Ok(())), Ok(()));
        }
        assert!(asks.try_recv().is_err());
    }

    #[test]
    fn credit_is_reported_and_slices_replace_the_local_bucket() {
        let (quota, mut asks) = quota();
        assert_eq!(quota.check(1, || Ok(())), Ok(()));
        assert_eq!(quota.check(1, || Ok(())), Ok(()));
        let ask = asks.try_recv().unwrap();
        assert_eq!((ask.used, ask.wanted), (2, 2));
        assert_eq!(quota.check(1, || Ok(())), Ok(()), "one more on credit");
        assert!(asks.try_recv().is_err(), "one ask at a time");
        let grant = SliceGrant {
            granted: 2,
            retry_after_ms: 0,
        };
        quota.settle(&settled(ask, Some(grant)));
        let never = || panic!("a slice is there");
        assert_eq!(quota.check(1, never), Ok(()));
        let ask = asks.try_recv().unwrap();
        assert_eq!(ask.used, 1, "the credit given meanwhile");
    }

    #[test]
    fn an_empty_quota_is_remembered() {
        let (quota, mut asks) = quota();
        assert_eq!(quota.check(1, || Ok(())), Ok(()));
        assert_eq!(quota.check(1, || Ok(())), Ok(()));
        let ask = asks.try_recv().unwrap();
        let grant = SliceGrant {
            granted: 0,
            retry_after_ms: 5_000,
        };
        quota.settle(&settled(ask, Some(grant)));
        let wait = quota.check(1, || Ok(())).unwrap_err();
        assert!((4_000..=5_000).contains(&wait), "{wait}");
        assert_eq!(quota.check(2, || Ok(())), Ok(()), "others are not meant");
    }

    #[test]
    fn without_a_source_the_local_bucket_decides() {
        let (quota, mut asks) = quota();
        assert_eq!(quota.check(1, || Ok(())), Ok(()));
        assert_eq!(quota.check(1, || Ok(())), Ok(()));
        let ask = asks.try_recv().unwrap();
        quota.settle(&settled(ask, None));
        assert_eq!(quota.check(1, || Err(70)), Err(70));
        assert_eq!(quota.check(1, || Ok(())), Ok(()));
        assert!(asks.try_recv().is_err(), "no ask while the source is away");
    }
}
