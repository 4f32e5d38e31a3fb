use jiff::civil;
use proptest::prelude::*;

use super::*;
use crate::sample::at;

const MINUTE: i64 = 60_000;
/// Zones with every habit: none, an hour, half an hour, two hours, midnight changes, odd offsets, a
/// day left out, changes around Ramadan.
const ZONES: &[&str] = &[
    "UTC",
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "America/Havana",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Pacific/Kiritimati",
];
const DAYS: [Weekday; 7] = [
    Weekday::Mon,
    Weekday::Tue,
    Weekday::Wed,
    Weekday::Thu,
    Weekday::Fri,
    Weekday::Sat,
    Weekday::Sun,
];

fn window(days: &[Weekday], from: u16, to: u16, zone: &str) -> WeeklyWindow {
    WeeklyWindow {
        days: days.to_vec(),
        from_minute: from,
        to_minute: to,
        zone: zone.to_owned(),
    }
}

/// The rule in its plainest form, on jiff's calendar.
fn shows_a_time_inside(windows: &[WeeklyWindow], now: Timestamp) -> bool {
    windows.iter().any(|window| {
        let wall = zone(&window.zone).unwrap().to_datetime(instant(now));
        let today = wall.weekday().to_monday_zero_offset();
        let minute = u16::try_from(i32::from(wall.hour()) * 60 + i32::from(wall.minute())).unwrap();
        window.days.iter().any(|day| {
            let day = DAYS.iter().position(|known| known == day).unwrap();
            let today = usize::try_from(today).unwrap();
            if window.to_minute > window.from_minute {
                today == day && (window.from_minute..window.to_minute).contains(&minute)
            } else {
                (today == day && minute >= window.from_minute)
                    || (today == (day + 1) % 7 && minute < window.to_minute)
            }
        })
    })
}

/// Looks at every minute of three weeks.
fn scan(windows: &[WeeklyWindow], now: Timestamp) -> Option<Timestamp> {
    let whole = now.as_millis() - now.as_millis() % MINUTE;
    std::iter::once(now)
        .chain((1..=21 * 1_440).map(|minutes| Timestamp::from_millis(whole + minutes * MINUTE)))
        .find(|&minute| shows_a_time_inside(windows, minute))
}

#[test]
fn the_edges_of_a_window() {
    let evening = [window(&[Weekday::Fri], 18 * 60, 2 * 60, "Asia/Shanghai")];
    let weekly = Weekly::new(&evening);
    // Shanghai is 8 hours ahead all year.
    for (now, open) in [
        ("2026-11-27T09:59:59.999Z", false),
        ("2026-11-27T10:00:00Z", true),
        ("2026-11-27T15:59:59Z", true),
        ("2026-11-27T16:00:00Z", true),
        ("2026-11-27T17:59:59.999Z", true),
        ("2026-11-27T18:00:00Z", false),
        ("2026-11-26T17:00:00Z", false),
    ] {
        assert_eq!(weekly.is_open(at(now)), open, "{now}");
    }
    assert_eq!(
        weekly.next_opening(at("2026-11-27T18:00:00Z")),
        Some(at("2026-12-04T10:00:00Z"))
    );
}

#[test]
fn a_window_from_sunday_reaches_into_monday() {
    let weekly = Weekly::new(&[window(&[Weekday::Sun], 23 * 60, 60, "UTC")]);
    for (now, open) in [
        ("2026-11-29T22:59:00Z", false),
        ("2026-11-29T23:00:00Z", true),
        ("2026-11-30T00:59:00Z", true),
        ("2026-11-30T01:00:00Z", false),
    ] {
        assert_eq!(weekly.is_open(at(now)), open, "{now}");
    }
}

#[test]
fn a_whole_day_in_each_way_of_writing_it() {
    for (from, to) in [(0, 1_440), (0, 0)] {
        let weekly = Weekly::new(&[window(&[Weekday::Sun], from, to, "Europe/Berlin")]);
        // 2026-10-25 has 25 hours in Berlin.
        for (now, open) in [
            ("2026-10-24T21:59:59Z", false),
            ("2026-10-24T22:00:00Z", true),
            ("2026-10-25T22:59:59Z", true),
            ("2026-10-25T23:00:00Z", false),
        ] {
            assert_eq!(weekly.is_open(at(now)), open, "{from}-{to} {now}");
        }
    }
    let shifted = Weekly::new(&[window(&[Weekday::Mon], 600, 600, "UTC")]);
    assert!(!shifted.is_open(at("2026-11-30T09:59:59Z")));
    assert!(shifted.is_open(at("2026-11-30T10:00:00Z")));
    assert!(shifted.is_open(at("2026-12-01T09:59:59Z")));
    assert!(!shifted.is_open(at("2026-12-01T10:00:00Z")));
}

#[test]
fn skipped_minutes_do_not_open_and_repeated_ones_open_twice() {
    // Berlin goes from 02:00 to 03:00 on 2026-03-29, and from 03:00 to 02:00 on 2026-10-25.
    let weekly = Weekly::new(&[window(&[Weekday::Sun], 130, 170, "Europe/Berlin")]);
    assert_eq!(
        weekly.next_opening(at("2026-03-28T12:00:00Z")),
        Some(at("2026-04-05T00:10:00Z"))
    );
    for (now, open) in [
        ("2026-10-25T00:10:00Z", true),
        ("2026-10-25T00:50:00Z", false),
        ("2026-10-25T01:10:00Z", true),
        ("2026-10-25T01:50:00Z", false),
    ] {
        assert_eq!(weekly.is_open(at(now)), open, "{now}");
    }
}

#[test]
fn no_windows_are_always_open_and_an_unknown_zone_never() {
    let now = at("2026-11-27T12:00:00Z");
    assert!(Weekly::new(&[]).is_open(now));
    assert_eq!(Weekly::new(&[]).next_opening(now), Some(now));
    let unknown = Weekly::new(&[window(&DAYS, 0, 1_440, "Mars/Olympus")]);
    assert!(!unknown.is_open(now));
    assert_eq!(unknown.next_opening(now), None);
}

#[test]
fn the_epoch_is_a_thursday() {
    let date = civil::date(1970, 1, 1);
    assert_eq!(
        i64::from(date.weekday().to_monday_zero_offset()),
        EPOCH_WEEKDAY
    );
}

fn any_window() -> impl Strategy<Value = WeeklyWindow> {
    let days = proptest::sample::subsequence(DAYS.to_vec(), 1..=7);
    // Small hours often: that is when clocks are changed.
    let from = prop_oneof![0_u16..240, 0_u16..1_440];
    let to = prop_oneof![0_u16..240, 0_u16..=1_440];
    (days, from, to, proptest::sample::select(ZONES))
        .prop_map(|(days, from, to, zone)| window(&days, from, to, zone))
}

/// An instant of 1990 to 2060, often within some hours of a change of the first window's clock.
fn near_changes(window: &WeeklyWindow, millis: i64, hours: Option<i64>) -> Timestamp {
    let now = Timestamp::from_millis(millis);
    let Some(hours) = hours else {
        return now;
    };
    let zone = zone(&window.zone).unwrap();
    match zone.following(instant(now)).next() {
        Some(change) => Timestamp::from_millis(
            change.timestamp().as_millisecond() + hours * 3_600_000 + millis % 3_600_000,
        ),
        None => now,
    }
}

const FROM_1990: i64 = 631_152_000_000;
const TO_2060: i64 = 2_840_140_800_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn open_is_what_a_clock_on_the_wall_shows(
        windows in proptest::collection::vec(any_window(), 1..4),
        millis in FROM_1990..TO_2060,
        hours in proptest::option::of(-5_i64..5),
    ) {
        let now = near_changes(&windows[0], millis, hours);
        prop_assert_eq!(
            Weekly::new(&windows).is_open(now),
            shows_a_time_inside(&windows, now),
            "{:?} at {}", windows, now
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_next_opening_is_the_first_open_minute(
        windows in proptest::collection::vec(any_window(), 1..3),
        millis in FROM_1990..TO_2060,
        hours in proptest::option::of(-60_i64..5),
    ) {
        let now = near_changes(&windows[0], millis, hours);
        prop_assert_eq!(
            Weekly::new(&windows).next_opening(now),
            scan(&windows, now),
            "{:?} at {}", windows, now
        );
    }
}
