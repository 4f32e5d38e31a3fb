use proptest::prelude::*;

use super::*;
use crate::claim::Durability;
use crate::coupon::ClaimWindow;
use crate::sample::{CONTRACT, SMALLEST, at, draft, live, published};
use crate::terms::Currency;

/// Before the contract's coupon opens, while it is open, and after.
const BEFORE: &str = "2026-11-20T00:00:00Z";
const DURING: &str = "2026-11-27T12:00:00Z";
const AFTER: &str = "2026-11-29T00:00:00Z";

fn in_state(lifecycle: Lifecycle) -> Coupon {
    let coupon = match lifecycle {
        Lifecycle::Draft => draft(CONTRACT),
        Lifecycle::Live | Lifecycle::Paused | Lifecycle::Ended | Lifecycle::Archived => {
            live(CONTRACT)
        }
    };
    Coupon {
        lifecycle,
        ..coupon
    }
}

/// The lifecycle after a move; `None` where it is refused.
fn after(result: Result<Coupon, Vec<ChangeError>>) -> Option<Lifecycle> {
    result.ok().map(|coupon| coupon.lifecycle)
}

#[test]
fn the_table_of_legal_moves() {
    use Lifecycle::{Archived, Draft, Ended, Live, Paused};
    let archived = Some(Archived);
    for (from, now, [publishing, pausing, resuming, ending]) in [
        (Draft, BEFORE, [Some(Live), None, None, None]),
        (Draft, AFTER, [None, None, None, None]),
        (
            Live,
            BEFORE,
            [Some(Live), Some(Paused), Some(Live), Some(Ended)],
        ),
        (
            Live,
            DURING,
            [Some(Live), Some(Paused), Some(Live), Some(Ended)],
        ),
        (Live, AFTER, [None, None, None, Some(Ended)]),
        (
            Paused,
            DURING,
            [None, Some(Paused), Some(Live), Some(Ended)],
        ),
        (Paused, AFTER, [None, None, None, Some(Ended)]),
        (Ended, DURING, [None, None, None, Some(Ended)]),
        (Archived, DURING, [None, None, None, None]),
    ] {
        let (coupon, now) = (in_state(from), at(now));
        assert_eq!(
            after(publish(&coupon, now)),
            publishing,
            "publish {from:?} {now}"
        );
        assert_eq!(after(pause(&coupon, now)), pausing, "pause {from:?} {now}");
        assert_eq!(
            after(resume(&coupon, now)),
            resuming,
            "resume {from:?} {now}"
        );
        assert_eq!(after(end(&coupon, now)), ending, "end {from:?} {now}");
        assert_eq!(Some(archive(&coupon, now).lifecycle), archived);
        let open = !matches!(coupon.status(now), Status::Ended | Status::Archived);
        let mut spec = coupon.spec.clone();
        spec.notes = "edited".to_owned();
        spec.window.ends_at = Some(at("2027-01-01T00:00:00Z"));
        assert_eq!(
            edit(&coupon, spec, now).is_ok(),
            open,
            "edit {from:?} {now}"
        );
        assert_eq!(
            set_total(&coupon, Some(2_000), now).is_ok(),
            open,
            "stock {from:?} {now}"
        );
    }
}

#[test]
fn a_repeated_move_changes_nothing() {
    let now = at(DURING);
    let running = live(CONTRACT);
    assert_eq!(publish(&running, now).as_ref(), Ok(&running));
    assert_eq!(resume(&running, now).as_ref(), Ok(&running));
    let paused = pause(&running, now).unwrap();
    assert_eq!(pause(&paused, now).as_ref(), Ok(&paused));
    let ended = end(&paused, now).unwrap();
    assert_eq!(end(&ended, now).as_ref(), Ok(&ended));
    let archived = archive(&ended, now);
    assert_eq!(archive(&archived, now), archived);
    assert_eq!(
        edit(&running, running.spec.clone(), now).as_ref(),
        Ok(&running)
    );
    assert_eq!(
        set_total(&running, Some(1_000), now),
        Ok(TotalChange::Unchanged)
    );
}

#[test]
fn refusals_say_what_to_do() {
    let now = at(DURING);
    let message = |result: Result<Coupon, Vec<ChangeError>>| result.unwrap_err()[0].to_string();
    assert_eq!(
        message(pause(&draft(CONTRACT), now)),
        "cannot pause: the coupon is a draft; publish it first"
    );
    assert_eq!(
        message(end(&draft(CONTRACT), now)),
        "cannot end: the coupon is a draft; archive it instead"
    );
    assert_eq!(
        message(publish(&in_state(Lifecycle::Paused), now)),
        "cannot publish: the coupon is paused; resume it instead"
    );
    assert_eq!(
        message(resume(&in_state(Lifecycle::Archived), now)),
        "cannot resume: the coupon is archived; that is final, duplicate it to go on"
    );
    let late = publish(&draft(CONTRACT), at(AFTER)).unwrap_err();
    assert_eq!(late[0].pointer(), "/claim_window/ends_at");
    assert!(!late[0].is_conflict());
    assert_eq!(
        late[0].to_string(),
        "is 2026-11-28T00:00:00Z, which is past; use an instant after now"
    );
}

#[test]
fn publishing_notes_when_it_opens_first() {
    let coupon = publish(&draft(CONTRACT), at(BEFORE)).unwrap();
    assert_eq!(coupon.first_open_at, Some(at("2026-11-27T00:00:00Z")));
    assert_eq!((coupon.revision, coupon.version), (Revision(2), Version(1)));
    assert_eq!(live(SMALLEST).first_open_at, Some(Timestamp::MIN));

    let moved = |coupon: &Coupon, start: Option<&str>| {
        let mut spec = coupon.spec.clone();
        spec.window = ClaimWindow {
            starts_at: start.map(at),
            ..spec.window
        };
        edit(coupon, spec, at(BEFORE)).unwrap()
    };
    let later = moved(&coupon, Some("2026-11-27T06:00:00Z"));
    assert_eq!(later.first_open_at, coupon.first_open_at);
    let earlier = moved(&later, Some("2026-11-26T00:00:00Z"));
    assert_eq!(earlier.first_open_at, Some(at("2026-11-26T00:00:00Z")));
    assert_eq!(moved(&earlier, None).first_open_at, Some(Timestamp::MIN));
}

#[test]
fn which_changes_raise_which_number() {
    let coupon = live(CONTRACT);
    let now = at(BEFORE);
    let edited = |change: fn(&mut CouponSpec)| {
        let mut spec = coupon.spec.clone();
        change(&mut spec);
        let next = edit(&coupon, spec, now).unwrap();
        assert_eq!(next.revision, coupon.revision.next());
        (
            next.version != coupon.version,
            next.terms_revision == next.revision,
        )
    };
    assert_eq!(
        edited(|spec| spec.terms.name = "Other".to_owned()),
        (true, true)
    );
    assert_eq!(
        edited(|spec| spec.durability = Durability::Hot),
        (true, true)
    );
    assert_eq!(edited(|spec| spec.window.ends_at = None), (false, true));
    assert_eq!(edited(|spec| spec.notes = "x".to_owned()), (false, true));
    assert_eq!(
        edited(|spec| spec.limits.total = Some(1_001)),
        (false, false)
    );
    assert_eq!(edited(|spec| spec.limits.total = None), (false, false));
    let paused = pause(&coupon, now).unwrap();
    assert_eq!(paused.terms_revision, paused.revision);
    assert_eq!(paused.version, coupon.version);
    assert_eq!(paused.updated_at, now);

    let mut spec = draft(CONTRACT).spec;
    spec.terms.name = "Other".to_owned();
    spec.limits.per_user = 9;
    let drafted = edit(&draft(CONTRACT), spec, now).unwrap();
    assert_eq!((drafted.version, drafted.first_open_at), (Version(1), None));
}

#[test]
fn what_is_fixed_once_published() {
    type Change = fn(&mut CouponSpec);
    let cases: [(Change, &str); 7] = [
        (|spec| spec.limits.per_user = 2, "/limits/per_user"),
        (
            |spec| spec.limits.per_device = Some(1),
            "/limits/per_device",
        ),
        (|spec| spec.limits.per_address = Some(1), "/limits/per_ip"),
        (|spec| spec.limits.total = Some(999), "/limits/total"),
        (|spec| spec.terms.currency = Currency(*b"EUR"), "/currency"),
        (|spec| spec.shards = 2, "/shards"),
        (
            |spec| spec.window.ends_at = Some(at("2026-11-19T00:00:00Z")),
            "/claim_window/ends_at",
        ),
    ];
    for (change, pointer) in cases {
        let mut spec = live(CONTRACT).spec;
        change(&mut spec);
        let errors = edit(&live(CONTRACT), spec.clone(), at(BEFORE)).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].pointer(), pointer);
        assert!(
            edit(&draft(CONTRACT), spec, at(BEFORE)).is_ok(),
            "{pointer}"
        );
    }
    // Everything that stands against an edit is said.
    let mut spec = live(CONTRACT).spec;
    spec.limits.per_user = 2;
    spec.limits.per_device = Some(1);
    spec.limits.total = Some(1);
    assert_eq!(
        edit(&live(CONTRACT), spec, at(BEFORE)).unwrap_err().len(),
        3
    );
}

#[test]
fn limits_that_were_counted_may_change_and_go() {
    let mut coupon = live(CONTRACT);
    coupon.spec.limits.per_user = 2;
    coupon.spec.limits.per_device = Some(3);
    for (per_user, per_device) in [(3, Some(3)), (2, Some(1)), (2, None)] {
        let mut spec = coupon.spec.clone();
        spec.limits.per_user = per_user;
        spec.limits.per_device = per_device;
        spec.notes = "edited".to_owned();
        assert!(edit(&coupon, spec, at(BEFORE)).is_ok());
    }
}

#[test]
fn versions_are_bounded() {
    let mut coupon = live(CONTRACT);
    coupon.version = Version(VERSIONS_MAX);
    let mut spec = coupon.spec.clone();
    spec.terms.name = "One more".to_owned();
    let errors = edit(&coupon, spec, at(BEFORE)).unwrap_err();
    assert_eq!(errors, [ChangeError::Versions]);
    assert!(errors[0].is_conflict());
    let mut spec = coupon.spec.clone();
    spec.notes = "no new version".to_owned();
    assert!(edit(&coupon, spec, at(BEFORE)).is_ok());
}

#[test]
fn the_total_goes_up_at_once_and_down_by_steps() {
    let coupon = live(CONTRACT);
    let now = at(DURING);
    for total in [Some(2_000), None] {
        let TotalChange::Set(next) = set_total(&coupon, total, now).unwrap() else {
            panic!("{total:?} is not lower");
        };
        assert_eq!(next.spec.limits.total, total);
        assert_eq!(next.revision, coupon.revision.next());
        assert_eq!(next.terms_revision, coupon.terms_revision);
        assert_eq!(next.version, coupon.version);
    }
    let TotalChange::Lower { target, settled } = set_total(&coupon, Some(0), now).unwrap() else {
        panic!("0 is lower than 1,000");
    };
    assert_eq!((target, settled.spec.limits.total), (0, Some(0)));
    assert_eq!(settled.revision, coupon.revision.next());
    let mut unlimited = coupon;
    unlimited.spec.limits.total = None;
    assert!(matches!(
        set_total(&unlimited, Some(1_000_000_000), now),
        Ok(TotalChange::Lower { .. })
    ));
    assert!(matches!(
        set_total(&draft(CONTRACT), Some(1), now),
        Ok(TotalChange::Set(_))
    ));
}

#[test]
fn a_duplicate_is_a_fresh_draft_without_the_code() {
    let mut coupon = in_state(Lifecycle::Archived);
    coupon.spec.code = Some("SUMMER20".to_owned());
    let copy = duplicate(&coupon, CouponId(9), CouponNumber(2), at(AFTER));
    assert_eq!(copy.status(at(AFTER)), Status::Draft);
    assert_eq!((copy.revision, copy.version), (Revision(1), Version(1)));
    assert_eq!(copy.first_open_at, None);
    assert_eq!(copy.spec.code, None);
    assert_eq!(copy.spec.terms, coupon.spec.terms);
    assert_eq!(copy.created_at, at(AFTER));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Publish,
    Pause,
    Resume,
    End,
    Archive,
    Rename(u8),
    Start(Option<u8>),
    PerUser(u16),
    Device(Option<u16>),
    Total(Option<u64>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Publish),
        2 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::End),
        1 => Just(Step::Archive),
        3 => (0_u8..3).prop_map(Step::Rename),
        3 => proptest::option::of(0_u8..28).prop_map(Step::Start),
        2 => (1_u16..4).prop_map(Step::PerUser),
        2 => proptest::option::of(1_u16..3).prop_map(Step::Device),
        3 => proptest::option::of(0_u64..2_000).prop_map(Step::Total),
    ]
}

fn apply(coupon: &Coupon, step: Step, now: Timestamp) -> Result<Coupon, Vec<ChangeError>> {
    let edited = |change: &dyn Fn(&mut CouponSpec)| {
        let mut spec = coupon.spec.clone();
        change(&mut spec);
        edit(coupon, spec, now)
    };
    match step {
        Step::Publish => publish(coupon, now),
        Step::Pause => pause(coupon, now),
        Step::Resume => resume(coupon, now),
        Step::End => end(coupon, now),
        Step::Archive => Ok(archive(coupon, now)),
        Step::Rename(name) => edited(&|spec| spec.terms.name = format!("Name {name}")),
        Step::Start(day) => edited(&|spec| {
            spec.window.starts_at =
                day.map(|day| at("2026-11-01T00:00:00Z").plus_millis(i64::from(day) * 86_400_000));
        }),
        Step::PerUser(most) => edited(&|spec| spec.limits.per_user = most),
        Step::Device(most) => edited(&|spec| spec.limits.per_device = most),
        Step::Total(total) => set_total(coupon, total, now).map(|change| match change {
            TotalChange::Unchanged => coupon.clone(),
            TotalChange::Set(next) | TotalChange::Lower { settled: next, .. } => *next,
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_is_done_the_numbers_only_rise(
        steps in proptest::collection::vec((step(), 0_i64..40), 1..25),
    ) {
        let mut coupon = draft(CONTRACT);
        let mut now = at("2026-11-02T00:00:00Z");
        for (step, hours) in steps {
            now = now.plus_millis(hours * 3_600_000);
            let status = coupon.status(now);
            let Ok(next) = apply(&coupon, step, now) else { continue };
            if next.revision == coupon.revision {
                prop_assert_eq!(&next, &coupon);
                continue;
            }
            prop_assert_eq!(next.revision, coupon.revision.next());
            prop_assert!(next.terms_revision == next.revision
                || next.terms_revision == coupon.terms_revision);
            prop_assert!(next.version >= coupon.version);
            prop_assert!(next.updated_at >= coupon.updated_at);
            let was_published = coupon.first_open_at.is_some();
            if was_published {
                prop_assert!(next.first_open_at <= coupon.first_open_at);
                prop_assert_eq!(next.spec.limits.form(), coupon.spec.limits.form());
                prop_assert!(next.spec.limits.per_device.is_none()
                    || coupon.spec.limits.per_device.is_some());
                let new_terms = next.spec.terms != coupon.spec.terms;
                prop_assert_eq!(next.version > coupon.version, new_terms);
                prop_assert_eq!(published(&next).first_open_at, next.first_open_at.unwrap());
            }
            if status == Status::Archived {
                prop_assert!(false, "an archived coupon changed: {:?}", step);
            }
            if status == Status::Ended {
                let final_step = matches!(step, Step::End | Step::Archive);
                prop_assert!(final_step, "an ended coupon changed: {:?}", step);
                prop_assert!(matches!(next.status(now), Status::Ended | Status::Archived));
            }
            coupon = next;
        }
    }
}
