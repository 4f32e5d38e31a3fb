//! Lane clocks: what Redis said the time was, carried on by this machine's monotonic clock.
//!
//! The wall clock of a gateway decides nothing. Each answer of a lane brings its Redis `TIME`; it
//! was read somewhere between sending and receiving, so half of that gap is doubt. Between answers
//! the doubt grows with the drift of two quartz clocks. Whoever decides with this clock must be
//! right for every instant inside the doubt, or ask the script.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sluice_domain::coupon::ClaimWindow;
use sluice_domain::id::LaneId;
use sluice_domain::lane::LaneCount;
use sluice_domain::time::Timestamp;
use tokio::time::Instant;

/// Two free-running clocks part by less than this (twice the worst quartz).
const DRIFT_PARTS_PER_MILLION: u64 = 500;
/// A sample is not used beyond this age: the lane may have moved to a server with another clock.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(10);

/// The clocks of all lanes.
#[derive(Debug)]
pub(crate) struct LaneClocks {
    lanes: Vec<Mutex<Option<Sample>>>,
}

/// An instant of a lane's clock, and how far off it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LaneTime {
    now: Timestamp,
    doubt_ms: i64,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    lane_time: Timestamp,
    /// The middle between sending and receiving: when `lane_time` was, give or take `doubt`.
    at: Instant,
    doubt: Duration,
}

// === impl LaneClocks ===

impl LaneClocks {
    pub(crate) fn new(lanes: LaneCount) -> Self {
        Self {
            lanes: lanes.iter().map(|_lane| Mutex::new(None)).collect(),
        }
    }

    /// Takes in what an answer said. The tighter knowledge stays, unless the two contradict each
    /// other (another server, or its clock was set): then the newer one does.
    pub(crate) fn observe(
        &self,
        lane: LaneId,
        sent: Instant,
        received: Instant,
        lane_time: Timestamp,
    ) {
        let half = received.saturating_duration_since(sent) / 2;
        // `TIME` is cut to whole milliseconds here.
        let fresh = Sample {
            lane_time,
            at: sent + half,
            doubt: half + Duration::from_millis(1),
        };
        let Some(cell) = self.lanes.get(usize::from(lane.0)) else {
            return;
        };
        let mut held = cell.lock().unwrap_or_else(PoisonError::into_inner);
        let keep = held.is_some_and(|old| {
            let believed = old.at(received);
            let seen = fresh.at(received);
            let contradict = (believed.now.as_millis() - seen.now.as_millis()).abs()
                > believed.doubt_ms + seen.doubt_ms;
            !contradict && believed.doubt_ms < seen.doubt_ms
        });
        if !keep {
            *held = Some(fresh);
        }
    }

    /// The lane's time at `now`; `None` when no recent answer tells.
    pub(crate) fn read(&self, lane: LaneId, now: Instant) -> Option<LaneTime> {
        let held = *self
            .lanes
            .get(usize::from(lane.0))?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.filter(|sample| now.saturating_duration_since(sample.at) <= SAMPLE_AGE_MAX)
            .map(|sample| sample.at(now))
    }
}

// === impl Sample ===

impl Sample {
    fn at(&self, now: Instant) -> LaneTime {
        let age = now.saturating_duration_since(self.at);
        let drift_us = age.as_micros() * u128::from(DRIFT_PARTS_PER_MILLION) / 1_000_000;
        let doubt_us = self.doubt.as_micros() + drift_us;
        LaneTime {
            now: self.lane_time.plus_millis(millis(age.as_micros())),
            doubt_ms: millis(doubt_us) + 1,
        }
    }
}

// === impl LaneTime ===

impl LaneTime {
    /// The best guess.
    pub(crate) const fn now(self) -> Timestamp {
        self.now
    }

    /// Whether the lane's clock is certainly still before `edge`.
    pub(crate) fn is_before(self, edge: Timestamp) -> bool {
        self.now.plus_millis(self.doubt_ms) < edge
    }

    /// The instant to judge a claim window by. Inside the doubt around an end of the window this
    /// is an instant at which it is open: then the script decides, which knows the time exactly.
    pub(crate) fn for_window(self, window: ClaimWindow) -> Timestamp {
        if let Some(start) = window.starts_at
            && self.now < start
            && !self.is_before(start)
        {
            return start;
        }
        if let Some(end) = window.ends_at
            && self.now >= end
            && self.now.plus_millis(-self.doubt_ms) <= end
        {
            return end.plus_millis(-1);
        }
        self.now
    }
}

fn millis(micros: u128) -> i64 {
    i64::try_from(micros / 1_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: LaneId = LaneId(0);

    fn clocks() -> LaneClocks {
        LaneClocks::new(LaneCount::new(1).unwrap())
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn nothing_is_known_before_the_first_answer_and_long_after_the_last() {
        let (clocks, start) = (clocks(), Instant::now());
        assert_eq!(clocks.read(LANE, start), None);
        clocks.observe(LANE, start, start, at(5_000));
        assert!(clocks.read(LANE, start + SAMPLE_AGE_MAX).is_some());
        let late = start + SAMPLE_AGE_MAX + Duration::from_millis(1);
        assert_eq!(clocks.read(LANE, late), None);
    }

    #[test]
    fn the_doubt_covers_every_instant_at_which_time_may_have_been_read() {
        let (clocks, sent) = (clocks(), Instant::now());
        let received = sent + Duration::from_millis(40);
        clocks.observe(LANE, sent, received, at(10_000));
        // Read at sending: 40 ms have gone since. Read at receiving: none have.
        let seen = clocks.read(LANE, received).unwrap();
        assert!(seen.now.as_millis() - seen.doubt_ms <= 10_000);
        assert!(seen.now.as_millis() + seen.doubt_ms >= 10_040);
    }

    #[test]
    fn a_tight_sample_outlives_a_loose_one_but_not_a_contradiction() {
        let (clocks, start) = (clocks(), Instant::now());
        clocks.observe(LANE, start, start, at(10_000));
        let later = start + Duration::from_millis(100);
        clocks.observe(LANE, start, later, at(10_020));
        assert_eq!(clocks.read(LANE, later).unwrap().now(), at(10_100));
        clocks.observe(LANE, later, later, at(50_000));
        assert_eq!(clocks.read(LANE, later).unwrap().now(), at(50_000));
    }

    #[test]
    fn inside_the_doubt_the_window_counts_as_open() {
        let window = ClaimWindow {
            starts_at: Some(at(1_000)),
            ends_at: Some(at(2_000)),
        };
        let time = |now| LaneTime {
            now: at(now),
            doubt_ms: 5,
        };
        assert_eq!(time(990).for_window(window), at(990));
        assert_eq!(time(995).for_window(window), at(1_000));
        assert_eq!(time(1_500).for_window(window), at(1_500));
        assert_eq!(time(2_003).for_window(window), at(1_999));
        assert_eq!(time(2_006).for_window(window), at(2_006));
    }
}
