//! Weekly windows: is it open now, and when does it open next.
//!
//! A window is open whenever a clock on a wall in its zone shows a time inside it. That one rule
//! settles the days on which clocks are changed: minutes that are skipped are never shown, so a
//! window wholly inside the gap stays closed that day; minutes that come twice are open twice. It
//! needs one look-up of the zone's offset per question and no calendar.
//!
//! Where `to` is not after `from`, the window ends on the next day; `to` = `from` is a whole day.

use jiff::tz::TimeZone;

use crate::terms::{Weekday, WeeklyWindow};
use crate::time::Timestamp;

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const DAY_MS: i64 = 1_440 * MINUTE_MS;
const WEEK_MS: i64 = 7 * DAY_MS;
/// Day of the week of 1970-01-01, counted from Monday.
const EPOCH_WEEKDAY: i64 = 3;
/// Changes of a zone's clock that a search for the next opening looks past. No zone has that many
/// in the two weeks within which every window that is not swallowed by a gap opens.
const CLOCK_CHANGES_MAX: usize = 16;

/// The windows of a coupon, with their zones looked up once.
#[derive(Debug, Clone, Default)]
pub struct Weekly {
    windows: Vec<Prepared>,
}

#[derive(Debug, Clone)]
struct Prepared {
    /// Open stretches of the local week, each from the first to before the second, in milliseconds
    /// from Monday 00:00. The second may lie past the end of the week.
    stretches: Vec<(i64, i64)>,
    zone: TimeZone,
}

/// The time zone with this IANA name, from the database inside the program.
#[must_use]
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())
}

impl Weekly {
    /// Prepares windows. One whose zone this build does not know never opens: closed is the safe
    /// side of not knowing (validation refuses such names, so it takes an older zone database).
    #[must_use]
    pub fn new(windows: &[WeeklyWindow]) -> Self {
        Self {
            windows: windows.iter().map(Prepared::new).collect(),
        }
    }

    /// Whether `now` is in any of the windows; always true without windows.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.windows.is_empty() || self.windows.iter().any(|window| window.is_open(now))
    }

    /// The first instant from `now` on at which it is open: `now` itself where it is. `None` where
    /// none can be told.
    #[must_use]
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        if self.windows.is_empty() {
            return Some(now);
        }
        self.windows
            .iter()
            .filter_map(|window| window.next_opening(now))
            .min()
    }
}

impl Prepared {
    fn new(window: &WeeklyWindow) -> Self {
        let (from, to) = (i64::from(window.from_minute), i64::from(window.to_minute));
        let to = if to > from { to } else { to + 1_440 };
        let stretches = window.days.iter().map(|&day| {
            let midnight = day_index(day) * DAY_MS;
            (midnight + from * MINUTE_MS, midnight + to * MINUTE_MS)
        });
        match zone(&window.zone) {
            Some(zone) => Self {
                stretches: stretches.collect(),
                zone,
            },
            None => Self {
                stretches: Vec::new(),
                zone: TimeZone::UTC,
            },
        }
    }

    fn is_open(&self, now: Timestamp) -> bool {
        self.wait(now.as_millis() + self.offset(now)) == Some(0)
    }

    fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        let mut at = now;
        for _ in 0..CLOCK_CHANGES_MAX {
            let opening = at.plus_millis(self.wait(at.as_millis() + self.offset(at))?);
            match self.next_clock_change(at) {
                // The clock is changed first: go on from there, with the new offset.
                Some(change) if change <= opening => at = change,
                _ => return Some(opening),
            }
        }
        None
    }

    /// Milliseconds by the wall clock from this local time to the next open one; 0 where it is
    /// open.
    fn wait(&self, local_ms: i64) -> Option<i64> {
        let now = (local_ms + EPOCH_WEEKDAY * DAY_MS).rem_euclid(WEEK_MS);
        self.stretches
            .iter()
            .map(|&(from, to)| {
                let into = (now - from).rem_euclid(WEEK_MS);
                if into < to - from { 0 } else { WEEK_MS - into }
            })
            .min()
    }

    fn offset(&self, at: Timestamp) -> i64 {
        let offset = self.zone.to_offset(instant(at));
        i64::from(offset.seconds()) * SECOND_MS
    }

    fn next_clock_change(&self, after: Timestamp) -> Option<Timestamp> {
        let change = self.zone.following(instant(after)).next()?;
        Some(Timestamp::from_millis(change.timestamp().as_millisecond()))
    }
}

/// Every [`Timestamp`] is inside jiff's range.
pub(crate) fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::MAX)
}

const fn day_index(day: Weekday) -> i64 {
    match day {
        Weekday::Mon => 0,
        Weekday::Tue => 1,
        Weekday::Wed => 2,
        Weekday::Thu => 3,
        Weekday::Fri => 4,
        Weekday::Sat => 5,
        Weekday::Sun => 6,
    }
}

#[cfg(test)]
mod tests;
