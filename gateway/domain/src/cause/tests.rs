use proptest::prelude::*;

use super::*;
use crate::id::{CouponId, RedemptionId};
use crate::sample::user;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

const STATES: [CauseState; 5] = [
    CauseState::Intended,
    CauseState::Granted,
    CauseState::Refused,
    CauseState::Revoked,
    CauseState::Flagged,
];

fn cause(state: CauseState) -> Cause {
    Cause {
        order: "o-1".parse().unwrap(),
        claim_id: ClaimId::new(CouponId(7), [1; 12]),
        user: user("u1"),
        at: NOW,
        state,
    }
}

/// A use that is spent, or held for so many milliseconds from now.
fn use_of(number: u32, held_ms: Option<i64>) -> ClaimUse {
    ClaimUse {
        claim_id: cause(CauseState::Granted).claim_id,
        use_number: number,
        redemption: RedemptionId([9; 16]),
        order: "o-2".parse().unwrap(),
        held_until: held_ms.map(|millis| NOW.plus_millis(millis)),
        value: 500,
        period: None,
    }
}

#[test]
fn a_grant_goes_on_where_it_stopped_and_not_after_the_end() {
    assert_eq!(next_step(None, false), NextStep::Look);
    for state in STATES {
        let cause = cause(state);
        assert_eq!(next_step(Some(&cause), true), NextStep::Refuse, "{state:?}");
        let expected = match state {
            CauseState::Intended | CauseState::Granted => NextStep::Grant,
            CauseState::Refused => NextStep::Look,
            CauseState::Revoked | CauseState::Flagged => NextStep::Refuse,
        };
        assert_eq!(next_step(Some(&cause), false), expected, "{state:?}");
    }
    assert_eq!(next_step(None, true), NextStep::Refuse);
}

fn states() -> impl Strategy<Value = CauseState> {
    proptest::sample::select(STATES.to_vec())
}

proptest! {
    /// A claim is taken back exactly where the order granted it and nobody uses it; what is in use
    /// is never taken back, and what is not there is never touched.
    #[test]
    fn only_unused_claims_of_the_order_are_taken_back(
        state in states(),
        revoked in proptest::option::of(any::<bool>()),
        held in proptest::collection::vec(proptest::option::of(-2_i64..3), 0..4),
    ) {
        let uses: Vec<ClaimUse> = held.iter().zip(1..).map(|(held, n)| use_of(n, *held)).collect();
        let in_use = held.iter().filter(|held| held.is_none_or(|millis| millis > 0)).count();
        let done = on_cancel(&cause(state), revoked, &uses, NOW);
        let caused = state != CauseState::Refused;
        match done {
            OnCancel::NotGranted => prop_assert!(!caused || revoked.is_none()),
            OnCancel::Revoked => prop_assert!(caused && revoked == Some(true)),
            OnCancel::Revoke => prop_assert!(caused && revoked == Some(false) && in_use == 0),
            OnCancel::Flag(by) => {
                prop_assert!(caused && revoked == Some(false));
                prop_assert_eq!(by.len(), in_use);
                prop_assert!(in_use > 0);
            }
        }
    }
}
