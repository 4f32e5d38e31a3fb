//! Failure limits on codes: who types wrong codes too often has to wait.
//!
//! Only failures count, so nobody who types right is ever slowed down. A subject (a user, an
//! address) that failed as often as allowed is not listened to until its window is over, which
//! began with its first failure. The number of subjects is bounded; the least recently used are
//! forgotten first, and an attacker who makes that many subjects has that many tries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

use crate::settings::CodeFailureLimit;

/// Failures per subject.
pub(crate) struct CodeFailures {
    failures_max: u32,
    window: Duration,
    subjects: Cache<u64, Arc<Window>>,
}

struct Window {
    began: Instant,
    failures: AtomicU32,
}

// === impl CodeFailures ===

impl CodeFailures {
    pub(super) fn new(failures_max: u32, limit: &CodeFailureLimit, keys_max: usize) -> Self {
        Self {
            failures_max,
            window: limit.window,
            subjects: Cache::builder()
                .max_capacity(u64::try_from(keys_max).unwrap_or(u64::MAX))
                .time_to_live(limit.window)
                .build(),
        }
    }

    /// Whether this subject may try, or after how many milliseconds it may.
    pub(super) fn check(&self, subject: u64) -> Result<(), u64> {
        let Some(window) = self.live(subject) else {
            return Ok(());
        };
        // Relaxed: an attempt more or less under way at the same time does not matter.
        if window.failures.load(Ordering::Relaxed) < self.failures_max {
            return Ok(());
        }
        let left = self.window.saturating_sub(window.began.elapsed());
        Err(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1))
    }

    /// Counts a failure. Atomic per subject: those that fail at the same time all count.
    pub(super) fn count(&self, subject: u64) {
        let _counted = self.subjects.entry(subject).and_upsert_with(|held| {
            let live = held
                .map(moka::Entry::into_value)
                .filter(|window| self.is_live(window));
            let window = live.unwrap_or_else(|| {
                Arc::new(Window {
                    began: Instant::now(),
                    failures: AtomicU32::new(0),
                })
            });
            window.failures.fetch_add(1, Ordering::Relaxed);
            window
        });
    }

    /// The cache forgets by its own clock; ours decides.
    fn live(&self, subject: u64) -> Option<Arc<Window>> {
        let window = self.subjects.get(&subject);
        window.filter(|window| self.is_live(window))
    }

    fn is_live(&self, window: &Window) -> bool {
        window.began.elapsed() < self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_per_subject_and_forgotten_with_the_window() {
        let limit = CodeFailureLimit {
            window: Duration::from_secs(60),
            ..CodeFailureLimit::default()
        };
        let failures = CodeFailures::new(3, &limit, 100);
        for _failure in 0..3 {
            assert_eq!(failures.check(1), Ok(()));
            failures.count(1);
        }
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(failures.check(1), Err(40_000));
        assert_eq!(failures.check(2), Ok(()), "another subject");
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(failures.check(1), Ok(()));
        failures.count(1);
        assert_eq!(failures.check(1), Ok(()), "a window of its own");
    }
}
