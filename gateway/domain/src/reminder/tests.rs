use proptest::prelude::*;

use super::*;
use crate::claim::Durability;
use crate::id::{ClaimId, CouponId, LeaseNumber, RedemptionId, Revision, Ticket, Version};
use crate::sample::user;
use crate::terms::RelativeEnd;

const DAY_MS: i64 = 86_400_000;
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn row(granted_at: Timestamp, revoked: bool) -> ClaimRow {
    ClaimRow {
        claim_id: ClaimId::new(CouponId(7), [1; 12]),
        coupon: CouponId(7),
        user: user("u1"),
        lease: LeaseNumber(1),
        ticket: Ticket(1),
        revision: Revision(1),
        version: Version(1),
        granted_at,
        durability: Durability::Ledger,
        device: None,
        address: None,
        revoked,
    }
}

fn use_of(held_ms: Option<i64>) -> ClaimUse {
    ClaimUse {
        claim_id: row(NOW, false).claim_id,
        use_number: 1,
        redemption: RedemptionId([9; 16]),
        order: "o-2".parse().unwrap(),
        held_until: held_ms.map(|millis| NOW.plus_millis(millis)),
        value: 500,
        period: None,
    }
}

fn fixed(in_ms: i64) -> Validity {
    Validity::Fixed {
        starts_at: Timestamp::MIN,
        ends_at: NOW.plus_millis(in_ms),
    }
}

fn validities() -> impl Strategy<Value = Validity> {
    let zones = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Pacific/Apia",
        "Asia/Kathmandu",
    ];
    let relative = (
        1..40_u16,
        any::<bool>(),
        proptest::sample::select(zones.to_vec()),
    )
        .prop_map(|(days, minute, zone)| Validity::Relative {
            days,
            until: if minute {
                RelativeEnd::Minute
            } else {
                RelativeEnd::EndOfDay
            },
            zone: zone.to_owned(),
        });
    prop_oneof![
        1 => Just(Validity::Permanent),
        2 => (-30..30_i64).prop_map(|days| fixed(days * DAY_MS)),
        6 => relative,
    ]
}

#[test]
fn a_reminder_is_due_so_long_before_the_end_and_not_after_it() {
    let day = 86_400_000;
    let ask = |in_ms, now_ms| {
        let now = NOW.plus_millis(now_ms);
        decide(&row(NOW, false), &fixed(in_ms), 1, &[], day, now)
    };
    let end = NOW.plus_millis(2 * DAY_MS);
    assert_eq!(
        ask(2 * DAY_MS, DAY_MS - 1),
        Reminder::NotYet(NOW.plus_millis(DAY_MS))
    );
    assert_eq!(ask(2 * DAY_MS, DAY_MS), Reminder::Remind(end));
    assert_eq!(ask(2 * DAY_MS, 2 * DAY_MS - 1), Reminder::Remind(end));
    assert_eq!(
        ask(2 * DAY_MS, 2 * DAY_MS),
        Reminder::Pass,
        "it has expired"
    );
    let soon = NOW.plus_millis(1_000);
    assert_eq!(
        ask(1_000, 0),
        Reminder::Remind(soon),
        "granted within the lead"
    );
    let permanent = decide(&row(NOW, false), &Validity::Permanent, 1, &[], day, NOW);
    assert_eq!(permanent, Reminder::Pass);
}

#[test]
fn who_cannot_use_it_is_not_reminded() {
    let ask = |revoked, uses_per_claim, uses: &[ClaimUse]| {
        decide(
            &row(NOW, revoked),
            &fixed(1_000),
            uses_per_claim,
            uses,
            2_000,
            NOW,
        )
    };
    let reminded = Reminder::Remind(NOW.plus_millis(1_000));
    assert_eq!(ask(false, 1, &[]), reminded);
    assert_eq!(ask(true, 1, &[]), Reminder::Pass, "taken back");
    assert_eq!(ask(false, 1, &[use_of(None)]), Reminder::Pass, "used");
    assert_eq!(ask(false, 2, &[use_of(None)]), reminded, "a use is left");
    assert_eq!(ask(false, 2, &[use_of(Some(1))]), Reminder::Pass, "held");
    assert_eq!(
        ask(false, 1, &[use_of(Some(0))]),
        reminded,
        "the hold ran out"
    );
    let other = ClaimUse {
        claim_id: ClaimId::new(CouponId(7), [2; 12]),
        ..use_of(None)
    };
    assert_eq!(ask(false, 1, &[other]), reminded, "another claim's use");
}

proptest! {
    /// What a walk by ticket relies on: who is granted later is due no earlier.
    #[test]
    fn later_grants_are_due_no_earlier(
        validity in validities(),
        first in 0..800 * DAY_MS,
        gap in prop_oneof![0..1_000_i64, 0..3 * DAY_MS],
        lead in 0..40 * 86_400_000_u64,
    ) {
        let earlier = NOW.plus_millis(first);
        let later = earlier.plus_millis(gap);
        let (one, other) = (due_at(&validity, earlier, lead), due_at(&validity, later, lead));
        prop_assert!(one <= other, "{one:?} {other:?}");
    }

    /// A claim is reminded of exactly from its due instant until it expires.
    #[test]
    fn a_claim_is_reminded_of_between_due_and_end(
        validity in validities(),
        granted in -40 * DAY_MS..DAY_MS,
        lead in 0..10 * 86_400_000_u64,
    ) {
        let row = row(NOW.plus_millis(granted), false);
        let decided = decide(&row, &validity, 1, &[], lead, NOW);
        let due = due_at(&validity, row.granted_at, lead);
        let end = validity.expires_at(row.granted_at);
        match decided {
            Reminder::NotYet(at) => prop_assert!(due == Some(at) && NOW < at),
            Reminder::Remind(at) => {
                prop_assert!(end == Some(at) && NOW < at);
                prop_assert!(due.is_some_and(|due| due <= NOW));
            }
            Reminder::Pass => prop_assert!(end.is_none_or(|end| end <= NOW)),
        }
    }
}
