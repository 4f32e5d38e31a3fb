use proptest::prelude::*;

use super::*;
use crate::sample::at;

fn relative(days: u16, until: RelativeEnd, zone: &str) -> Validity {
    Validity::Relative {
        days,
        until,
        zone: zone.to_owned(),
    }
}

#[test]
fn the_kinds_of_validity() {
    let fixed = Validity::Fixed {
        starts_at: at("2026-12-01T00:00:00Z"),
        ends_at: at("2027-01-01T00:00:00Z"),
    };
    let granted = at("2026-11-27T10:20:30.456Z");
    assert_eq!(fixed.valid_from(granted), at("2026-12-01T00:00:00Z"));
    assert_eq!(fixed.expires_at(granted), Some(at("2027-01-01T00:00:00Z")));
    let later = at("2026-12-24T00:00:00Z");
    assert_eq!(fixed.valid_from(later), later);
    let minute = relative(7, RelativeEnd::Minute, "UTC");
    assert_eq!(minute.valid_from(granted), granted);
    assert_eq!(minute.expires_at(granted), Some(at("2026-12-04T10:20:00Z")));
    assert_eq!(Validity::Permanent.valid_from(granted), granted);
    assert_eq!(Validity::Permanent.expires_at(granted), None);
}

#[test]
fn the_end_of_the_local_day() {
    for (granted, days, zone, end) in [
        ("2026-11-27T10:20:30Z", 1, "UTC", "2026-11-29T00:00:00Z"),
        // Already the 28th in Shanghai.
        (
            "2026-11-27T17:00:00Z",
            1,
            "Asia/Shanghai",
            "2026-11-29T16:00:00Z",
        ),
        // Over the autumn change: midnight is one hour later in UTC.
        (
            "2026-10-24T10:00:00Z",
            1,
            "Europe/Berlin",
            "2026-10-25T23:00:00Z",
        ),
        // Over the spring change.
        (
            "2026-03-27T10:00:00Z",
            2,
            "Europe/Berlin",
            "2026-03-29T22:00:00Z",
        ),
        // 2018-11-04 began at 01:00 in São Paulo.
        (
            "2018-11-02T12:00:00Z",
            1,
            "America/Sao_Paulo",
            "2018-11-04T03:00:00Z",
        ),
        // Midnight comes twice on 2026-11-01 in Havana: the day began with the first.
        (
            "2026-10-30T12:00:00Z",
            1,
            "America/Havana",
            "2026-11-01T04:00:00Z",
        ),
        // There was no 2011-12-30 in Apia.
        (
            "2011-12-28T20:00:00Z",
            1,
            "Pacific/Apia",
            "2011-12-30T10:00:00Z",
        ),
        (
            "2026-11-27T10:20:30Z",
            1,
            "Mars/Olympus",
            "2026-11-29T00:00:00Z",
        ),
    ] {
        let validity = relative(days, RelativeEnd::EndOfDay, zone);
        assert_eq!(
            validity.expires_at(at(granted)),
            Some(at(end)),
            "{granted} {zone}"
        );
    }
    let last = relative(3_650, RelativeEnd::EndOfDay, "UTC");
    assert_eq!(last.expires_at(Timestamp::MAX), Some(Timestamp::MAX));
}

#[test]
fn where_a_claim_stands() {
    let end = Some(at("2026-12-04T10:20:00Z"));
    let (before, after) = (at("2026-12-04T10:19:59.999Z"), at("2026-12-04T10:20:00Z"));
    for (standing, end, now, expected) in [
        (Standing::Durable, end, before, ClaimStatus::Usable),
        (Standing::Durable, end, after, ClaimStatus::Expired),
        (Standing::Durable, None, Timestamp::MAX, ClaimStatus::Usable),
        (Standing::Pending, end, before, ClaimStatus::Pending),
        (Standing::Pending, end, after, ClaimStatus::Pending),
        (Standing::Revoked, end, before, ClaimStatus::Revoked),
        (Standing::Revoked, None, after, ClaimStatus::Revoked),
    ] {
        assert_eq!(status(standing, end, now), expected, "{standing:?} {now}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn a_day_ends_where_the_local_date_changes(
        millis in 631_152_000_000_i64..2_840_140_800_000,
        days in 1_u16..60,
        zone in proptest::sample::select(vec![
            "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana",
            "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "Asia/Tehran",
        ]),
    ) {
        let granted = Timestamp::from_millis(millis);
        let end = relative(days, RelativeEnd::EndOfDay, zone).expires_at(granted).unwrap();
        let date = |at: Timestamp| {
            weekly::zone(zone).unwrap().to_datetime(weekly::instant(at)).date()
        };
        let last = date(granted)
            .checked_add(jiff::Span::new().days(i64::from(days)))
            .unwrap();
        prop_assert!(date(end) > last);
        prop_assert_eq!(date(end.plus_millis(-1)), last);
    }

    #[test]
    fn to_the_minute_is_never_later_and_less_than_a_minute_earlier(
        millis in 0_i64..2_840_140_800_000,
        days in 1_u16..3_650,
    ) {
        let granted = Timestamp::from_millis(millis);
        let end = relative(days, RelativeEnd::Minute, "UTC").expires_at(granted).unwrap();
        let exact = granted.plus_millis(i64::from(days) * 86_400_000);
        prop_assert_eq!(end.as_millis() % 60_000, 0);
        prop_assert!(end <= exact && exact.millis_since(end) < 60_000);
    }
}
