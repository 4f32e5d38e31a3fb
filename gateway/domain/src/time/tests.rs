use proptest::prelude::*;

use super::*;

#[test]
fn instants_are_rfc_3339_in_utc() {
    for (text, written) in [
        ("2026-11-27T00:00:00Z", "2026-11-27T00:00:00Z"),
        ("2026-11-27T01:30:00+01:30", "2026-11-27T00:00:00Z"),
        ("2026-11-27T00:00:00.250Z", "2026-11-27T00:00:00.25Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z"),
    ] {
        assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), written);
    }
    for text in [
        "",
        "2026-11-27",
        "2026-11-27T00:00:00",
        "1969-12-31T23:59:59Z",
        "now",
        "1700000000",
    ] {
        assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
    }
}

#[test]
fn sums_stay_in_range() {
    assert_eq!(Timestamp::MAX.plus_millis(i64::MAX), Timestamp::MAX);
    assert_eq!(Timestamp::MIN.plus_millis(-1), Timestamp::MIN);
    assert_eq!(Timestamp::MIN.millis_since(Timestamp::MAX), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn every_instant_reads_back(millis in 0..=Timestamp::MAX.as_millis()) {
        let instant = Timestamp::from_millis(millis);
        prop_assert_eq!(instant.to_string().parse(), Ok(instant));
        let json = serde_json::to_string(&instant).unwrap();
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), instant);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}|[-0-9T:.Z+]{0,40}") {
        let _answer = text.parse::<Timestamp>();
    }
}
