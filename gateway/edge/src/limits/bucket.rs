//! Token buckets in this process, by governor's GCRA.

use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::{Quota, RateLimiter};

use super::store::BoundedStore;
use crate::settings::Rate;

/// A bucket per subject, bounded in number.
pub(super) struct Buckets<C: Clock = DefaultClock> {
    limiter: RateLimiter<u64, BoundedStore, C, NoOpMiddleware<C::Instant>>,
}

impl Buckets {
    /// Full buckets.
    pub(super) fn new(rate: Rate, keys_max: usize) -> Self {
        Self::with_clock(rate, keys_max, DefaultClock::default())
    }
}

impl<C: Clock> Buckets<C> {
    fn with_clock(rate: Rate, keys_max: usize, clock: C) -> Self {
        let at_least_one = |value| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
        let quota =
            Quota::per_second(at_least_one(rate.per_second)).allow_burst(at_least_one(rate.burst));
        Self {
            limiter: RateLimiter::new(quota, BoundedStore::new(keys_max), clock),
        }
    }

    /// Takes one from the subject's bucket, or says after how many milliseconds there is one.
    pub(super) fn check(&self, subject: u64) -> Result<(), u64> {
        self.limiter.check_key(&subject).map_err(|not_until| {
            let wait = not_until.wait_time_from(self.limiter.clock().now());
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)
        })
    }

    /// Forgets subjects whose bucket is full again; returns how many are held.
    pub(super) fn sweep(&self) -> usize {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
        self.limiter.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    #[test]
    fn a_flood_of_subjects_stays_bounded_and_known_ones_keep_their_bucket() {
        let clock = FakeRelativeClock::default();
        let rate = Rate {
            per_second: 1,
            burst: 3,
        };
        let buckets = Buckets::with_clock(rate, 1_000, clock.clone());
        assert_eq!(buckets.check(u64::MAX), Ok(()));
        let mut denied = 0;
        for subject in 0..1_000_000 {
            denied += u32::from(buckets.check(subject).is_err());
        }
        assert_eq!(buckets.limiter.len(), 1_000);
        assert!(denied > 900_000, "newcomers share buckets: {denied}");
        assert_eq!(buckets.check(u64::MAX), Ok(()), "a known one is untouched");
        clock.advance(Duration::from_secs(10));
        assert_eq!(buckets.sweep(), 0, "full buckets are forgotten");
        assert_eq!(buckets.check(2_000_000), Ok(()));
        assert_eq!(buckets.sweep(), 1);
    }

    #[test]
    fn the_wait_is_the_time_to_the_next_token() {
        let clock = FakeRelativeClock::default();
        let rate = Rate {
            per_second: 2,
            burst: 1,
        };
        let buckets = Buckets::with_clock(rate, 10, clock.clone());
        assert_eq!(buckets.check(7), Ok(()));
        assert_eq!(buckets.check(7), Err(500));
        clock.advance(Duration::from_millis(500));
        assert_eq!(buckets.check(7), Ok(()));
    }
}
