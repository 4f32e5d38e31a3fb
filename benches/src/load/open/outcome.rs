//! What became of an open load, and whether the generator itself was good enough.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use hdrhistogram::Histogram;

/// Longest latency that is told apart, in microseconds: a minute.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// What became of an open load. Latencies in microseconds.
#[derive(Debug)]
pub struct Outcome {
    /// Requests that were due.
    pub due: usize,
    /// Requests that found no connection waiting, and were not sent.
    pub unsent: usize,
    /// Requests whose connection broke before their answer was whole.
    pub lost: usize,
    /// How many answers had which status.
    pub by_status: BTreeMap<u16, usize>,
    /// Latencies of answers that were no 429 and no 5xx.
    pub accepted: Histogram<u64>,
    /// Latencies of the others.
    pub shed: Histogram<u64>,
    /// How much later than due requests were written.
    pub lag: Histogram<u64>,
    /// From the first instant to the last one that was due.
    pub took: Duration,
    /// Cores that the generator kept busy meanwhile.
    pub busy_cores: f64,
}

impl Outcome {
    pub(super) fn new(due: usize) -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS);
        Ok(Self {
            due,
            unsent: 0,
            lost: 0,
            by_status: BTreeMap::new(),
            accepted: histogram()?,
            shed: histogram()?,
            lag: histogram()?,
            took: Duration::ZERO,
            busy_cores: 0.0,
        })
    }

    /// Answers a second that were no refusal for want of capacity.
    #[must_use]
    pub fn accepted_rate(&self) -> f64 {
        self.accepted.len() as f64 / self.took.as_secs_f64()
    }

    /// Refuses a run that says more of the generator than of the server.
    ///
    /// # Errors
    /// Where a connection broke, where the generator's thread had no time to spare, or where its
    /// requests were later than `lag_ms_max` in one of a hundred cases.
    pub fn judge_generator(&self, lag_ms_max: f64) -> anyhow::Result<()> {
        let lag_ms = self.lag.value_at_quantile(0.99) as f64 / 1e3;
        if self.lost > 0 {
            bail!("void: {} requests lost their connection", self.lost);
        }
        if self.busy_cores > 0.9 {
            bail!(
                "void: the generator was busy for {:.2} of its core",
                self.busy_cores
            );
        }
        if lag_ms > lag_ms_max {
            bail!("void: the generator was {lag_ms:.2} ms late, at most {lag_ms_max:.2}");
        }
        Ok(())
    }

    pub(super) fn answered(&mut self, status: u16, latency: Duration) {
        *self.by_status.entry(status).or_default() += 1;
        let shed = status == 429 || status >= 500;
        let of = if shed {
            &mut self.shed
        } else {
            &mut self.accepted
        };
        of.saturating_record(microseconds(latency));
    }
}

/// Whole microseconds.
pub(super) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
