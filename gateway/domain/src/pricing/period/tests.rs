use super::*;
use crate::sample::{SMALLEST, at, spec};
use crate::terms::{RelativeEnd, UsesPerUser};

fn limited(period: Period, zone: Option<&str>) -> Terms {
    let mut terms = spec(SMALLEST).terms;
    terms.uses_per_user = Some(UsesPerUser { count: 1, period });
    if let Some(zone) = zone {
        terms.validity = Validity::Relative {
            days: 7,
            until: RelativeEnd::EndOfDay,
            zone: zone.to_owned(),
        };
    }
    terms
}

#[test]
fn periods_are_named_and_end() {
    let evening = "2026-11-27T20:00:00Z";
    for (period, zone, now, key, end) in [
        (
            Period::Day,
            None,
            evening,
            "2026-11-27",
            Some("2026-11-28T00:00:00Z"),
        ),
        (
            Period::Week,
            None,
            evening,
            "2026-W48",
            Some("2026-11-30T00:00:00Z"),
        ),
        (
            Period::Month,
            None,
            evening,
            "2026-11",
            Some("2026-12-01T00:00:00Z"),
        ),
        (Period::Lifetime, None, evening, "ever", None),
        // It is Saturday in Shanghai already.
        (
            Period::Day,
            Some("Asia/Shanghai"),
            evening,
            "2026-11-28",
            Some("2026-11-28T16:00:00Z"),
        ),
        // A Monday starts a week; the first days of January may belong to the last year's.
        (
            Period::Week,
            None,
            "2026-11-30T00:00:00Z",
            "2026-W49",
            Some("2026-12-07T00:00:00Z"),
        ),
        (
            Period::Week,
            None,
            "2027-01-03T12:00:00Z",
            "2026-W53",
            Some("2027-01-04T00:00:00Z"),
        ),
        (
            Period::Month,
            None,
            "2026-12-31T23:59:59.999Z",
            "2026-12",
            Some("2027-01-01T00:00:00Z"),
        ),
        // The day on which clocks go back has 25 hours.
        (
            Period::Day,
            Some("Europe/Berlin"),
            "2026-10-24T22:00:00Z",
            "2026-10-25",
            Some("2026-10-25T23:00:00Z"),
        ),
    ] {
        let terms = limited(period, zone);
        assert_eq!(period_key(&terms, at(now)).as_deref(), Some(key), "{now}");
        assert_eq!(period_end(&terms, at(now)), end.map(at), "{now}");
    }
    let unlimited = spec(SMALLEST).terms;
    assert_eq!(period_key(&unlimited, at(evening)), None);
    assert_eq!(period_end(&unlimited, at(evening)), None);
}
