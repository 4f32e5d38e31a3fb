//! When one claim may be used, and where it stands at an instant.

use crate::claim::ClaimStatus;
use crate::terms::{RelativeEnd, Validity};
use crate::time::Timestamp;
use crate::weekly;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;

/// What is known of a claim apart from the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Granted in hot state, not yet a row in the ledger.
    Pending,
    /// A row in the ledger.
    Durable,
    /// Taken back.
    Revoked,
}

impl Validity {
    /// First instant at which a claim granted at `granted_at` may be used.
    #[must_use]
    pub fn valid_from(&self, granted_at: Timestamp) -> Timestamp {
        match self {
            Self::Fixed { starts_at, .. } => granted_at.max(*starts_at),
            Self::Relative { .. } | Self::Permanent => granted_at,
        }
    }

    /// First instant at which a claim granted at `granted_at` may not be used any more; `None` is
    /// never.
    ///
    /// `minute` is that many times 24 hours later, cut to the minute. `end_of_day` is the end of
    /// the local day that many days after the local day of the claim: the first instant of the day
    /// after it, whatever clocks did in between. Where this build does not know the zone (it takes
    /// an older zone database), the day is one of UTC.
    #[must_use]
    pub fn expires_at(&self, granted_at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Fixed { ends_at, .. } => Some(*ends_at),
            Self::Relative { days, until, zone } => Some(match until {
                RelativeEnd::Minute => minute(granted_at, *days),
                RelativeEnd::EndOfDay => end_of_day(granted_at, *days, zone),
            }),
            Self::Permanent => None,
        }
    }
}

/// Where a claim that nobody holds or has used stands at `now`.
#[must_use]
pub fn status(standing: Standing, expires_at: Option<Timestamp>, now: Timestamp) -> ClaimStatus {
    match standing {
        Standing::Revoked => ClaimStatus::Revoked,
        Standing::Pending => ClaimStatus::Pending,
        Standing::Durable if expires_at.is_some_and(|end| now >= end) => ClaimStatus::Expired,
        Standing::Durable => ClaimStatus::Usable,
    }
}

fn minute(granted_at: Timestamp, days: u16) -> Timestamp {
    let end = granted_at.plus_millis(i64::from(days) * DAY_MS);
    end.plus_millis(-(end.as_millis() % MINUTE_MS))
}

fn end_of_day(granted_at: Timestamp, days: u16, zone: &str) -> Timestamp {
    let zone = weekly::zone(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    let date = zone.to_datetime(weekly::instant(granted_at)).date();
    let after = jiff::Span::new()
        .try_days(i64::from(days) + 1)
        .and_then(|span| date.checked_add(span))
        .and_then(|day_after| day_after.to_zoned(zone));
    match after {
        Ok(midnight) => Timestamp::from_millis(midnight.timestamp().as_millisecond()),
        // Beyond the last year there is a name for.
        Err(_) => Timestamp::MAX,
    }
}

#[cfg(test)]
mod tests;
