use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn the_table_of_statuses() {
    use Lifecycle as L;
    use Status as S;
    let window = ClaimWindow {
        starts_at: Some(at(10)),
        ends_at: Some(at(20)),
    };
    // Before the start, at it, before the end, at it.
    for (lifecycle, expected) in [
        (L::Draft, [S::Draft; 4]),
        (L::Live, [S::Scheduled, S::Active, S::Active, S::Ended]),
        (L::Paused, [S::Paused, S::Paused, S::Paused, S::Ended]),
        (L::Ended, [S::Ended; 4]),
        (L::Archived, [S::Archived; 4]),
    ] {
        let found = [9, 10, 19, 20].map(|now| status(lifecycle, window, at(now)));
        assert_eq!(found, expected, "{lifecycle:?}");
    }
    let open = ClaimWindow::default();
    for now in [Timestamp::MIN, Timestamp::MAX] {
        assert_eq!(status(L::Live, open, now), S::Active);
    }
}

#[test]
fn the_form_of_claim_ids_follows_the_limit_per_user() {
    let limits = |per_user| ClaimLimits {
        total: None,
        per_user,
        per_device: None,
        per_address: None,
    };
    assert_eq!(limits(1).form(), ClaimForm::Single);
    assert_eq!(limits(2).form(), ClaimForm::Keyed);
}
