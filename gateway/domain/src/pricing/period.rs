//! The periods that uses per user are counted in.
//!
//! A period is one of the calendar, in the zone of the terms' relative validity, else in UTC, and
//! is named by its key: `2026-11-27`, `2026-W48` (ISO 8601 week, from Monday), `2026-11` or `ever`.
//! A use counts in the period of its hold.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan as _};

use crate::terms::{Period, Terms, Validity};
use crate::time::Timestamp;
use crate::weekly;

/// The key of the period that a use at `now` counts in; `None` where the terms do not limit uses
/// per user.
#[must_use]
pub fn period_key(terms: &Terms, now: Timestamp) -> Option<String> {
    let limit = terms.uses_per_user?;
    let date = date(terms, now);
    Some(match limit.period {
        Period::Day => date.to_string(),
        Period::Week => {
            let week = date.iso_week_date();
            format!("{:04}-W{:02}", week.year(), week.week())
        }
        Period::Month => format!("{:04}-{:02}", date.year(), date.month()),
        Period::Lifetime => "ever".to_owned(),
    })
}

/// The first instant after the period of `now`; `None` where it never ends, or where the terms do
/// not limit uses per user.
#[must_use]
pub fn period_end(terms: &Terms, now: Timestamp) -> Option<Timestamp> {
    let limit = terms.uses_per_user?;
    let date = date(terms, now);
    let next = match limit.period {
        Period::Day => after(date, 1.day())?,
        Period::Week => {
            let since_monday = date.weekday().since(Weekday::Monday);
            after(date, (7 - i64::from(since_monday)).days())?
        }
        Period::Month => after(date.first_of_month(), 1.month())?,
        Period::Lifetime => return None,
    };
    let midnight = next.to_zoned(zone(terms)).ok()?;
    Some(Timestamp::from_millis(
        midnight.timestamp().as_millisecond(),
    ))
}

fn after(date: Date, span: Span) -> Option<Date> {
    date.checked_add(span).ok()
}

fn date(terms: &Terms, now: Timestamp) -> Date {
    zone(terms).to_datetime(weekly::instant(now)).date()
}

/// Where this build does not know the zone (it takes an older zone database), it is UTC.
fn zone(terms: &Terms) -> TimeZone {
    match &terms.validity {
        Validity::Relative { zone, .. } => weekly::zone(zone).unwrap_or(TimeZone::UTC),
        Validity::Fixed { .. } | Validity::Permanent => TimeZone::UTC,
    }
}

#[cfg(test)]
mod tests;
