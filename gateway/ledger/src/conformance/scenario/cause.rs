//! Stories of grants because of orders.

use sluice_domain::cause::{CAUSES_PER_ORDER_MAX, Cause, CauseState};
use sluice_domain::id::{ClaimId, OrderId};

use super::{COUPON, must};
use crate::causes::{CauseSettled, Intended, OrderCauses};
use crate::conformance::sample;
use crate::{Ledger, LedgerError};

use CauseState::{Flagged, Granted, Intended as Intent, Refused, Revoked};

/// Runs all of them.
pub(super) async fn run_all<L: Ledger>(fresh: &impl AsyncFn() -> L) {
    an_intent_stands_before_the_grant(&fresh().await).await;
    a_cancelled_order_takes_no_more(&fresh().await).await;
    what_cannot_be_is_refused(&fresh().await).await;
    an_order_has_so_many(&fresh().await).await;
}

fn order(name: &str) -> OrderId {
    name.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn claim(n: u32) -> ClaimId {
    sample::claim_id(COUPON, n)
}

fn cause(name: &str, n: u32, state: CauseState) -> Cause {
    Cause {
        order: order(name),
        claim_id: claim(n),
        user: sample::user(n),
        at: sample::NOW,
        state,
    }
}

async fn intend(ledger: &dyn Ledger, name: &str, n: u32) -> Intended {
    must(ledger.intend(&cause(name, n, Intent)).await)
}

async fn settle(ledger: &dyn Ledger, n: u32, to: CauseState) -> Result<CauseSettled, LedgerError> {
    let entry = sample::entry("claim.settle", &claim(n).to_string());
    ledger
        .settle_cause(&order("o-1"), claim(n), to, Some(entry))
        .await
}

async fn state_of(ledger: &dyn Ledger, n: u32) -> Option<CauseState> {
    let known = must(ledger.order_causes(&order("o-1")).await);
    let mut causes = known.causes.iter();
    let found = causes.find(|cause| cause.claim_id == claim(n));
    found.map(|cause| cause.state)
}

async fn written(ledger: &dyn Ledger) -> usize {
    must(ledger.audit_entries(None, 0, 100).await).len()
}

async fn an_intent_stands_before_the_grant(ledger: &dyn Ledger) {
    let nothing = must(ledger.order_causes(&order("o-1")).await);
    assert_eq!(nothing, OrderCauses::default());
    assert_eq!(intend(ledger, "o-1", 1).await, Intended::Done);
    assert_eq!(intend(ledger, "o-1", 1).await, Intended::Done);
    let known = must(ledger.order_causes(&order("o-1")).await);
    assert_eq!(known.causes, [cause("o-1", 1, Intent)]);
    assert_eq!(known.cancelled_at, None);

    // Refused ones are intended anew, with the instant of that; granted ones stay granted.
    assert_eq!(must(settle(ledger, 1, Refused).await), CauseSettled::Done);
    let mut later = cause("o-1", 1, Intent);
    later.at = sample::NOW.plus_millis(5);
    assert_eq!(must(ledger.intend(&later).await), Intended::Done);
    let known = must(ledger.order_causes(&order("o-1")).await);
    assert_eq!(known.causes, [later]);
    assert_eq!(must(settle(ledger, 1, Granted).await), CauseSettled::Done);
    let before = written(ledger).await;
    assert_eq!(
        must(settle(ledger, 1, Granted).await),
        CauseSettled::Unchanged
    );
    assert_eq!(written(ledger).await, before, "nothing is written twice");
    assert_eq!(intend(ledger, "o-1", 1).await, Intended::Done);
    assert_eq!(state_of(ledger, 1).await, Some(Granted));

    // Orders are apart, and a claim id may be a cause's of several.
    assert_eq!(intend(ledger, "o-2", 1).await, Intended::Done);
    assert_eq!(
        must(ledger.order_causes(&order("o-2")).await).causes.len(),
        1
    );
    assert_eq!(
        must(ledger.order_causes(&order("o-1")).await).causes.len(),
        1
    );
}

async fn a_cancelled_order_takes_no_more(ledger: &dyn Ledger) {
    intend(ledger, "o-1", 1).await;
    intend(ledger, "o-1", 2).await;
    must(settle(ledger, 2, Granted).await);
    let at = must(ledger.cancel_order(&order("o-1"), sample::NOW).await);
    assert_eq!(at, sample::NOW);
    let later = sample::NOW.plus_millis(1);
    let again = must(ledger.cancel_order(&order("o-1"), later).await);
    assert_eq!(again, sample::NOW, "the first time counts");
    let known = must(ledger.order_causes(&order("o-1")).await);
    assert_eq!(known.cancelled_at, Some(sample::NOW));

    assert_eq!(intend(ledger, "o-1", 3).await, Intended::OrderCancelled);
    assert_eq!(intend(ledger, "o-1", 1).await, Intended::OrderCancelled);
    assert_eq!(state_of(ledger, 3).await, None, "nothing was written");
    let before = written(ledger).await;
    for to in [Granted, Refused] {
        let settled = must(settle(ledger, 1, to).await);
        assert_eq!(settled, CauseSettled::OrderCancelled, "{to:?}");
    }
    assert_eq!(state_of(ledger, 1).await, Some(Intent));
    assert_eq!(written(ledger).await, before);
    // A claim in use is flagged, and taken back when it is free again.
    for (to, settled) in [
        (Flagged, CauseSettled::Done),
        (Flagged, CauseSettled::Unchanged),
        (Revoked, CauseSettled::Done),
    ] {
        assert_eq!(must(settle(ledger, 2, to).await), settled, "{to:?}");
    }
    assert_eq!(written(ledger).await, before + 2);
    assert_eq!(state_of(ledger, 2).await, Some(Revoked));
}

async fn what_cannot_be_is_refused(ledger: &dyn Ledger) {
    let corrupt = |settled| matches!(settled, Err(LedgerError::Corrupt { .. }));
    assert!(corrupt(settle(ledger, 1, Granted).await), "there is none");
    intend(ledger, "o-1", 1).await;
    for to in [Intent, Revoked, Flagged] {
        assert!(
            corrupt(settle(ledger, 1, to).await),
            "{to:?} of a live order"
        );
    }
    assert_eq!(state_of(ledger, 1).await, Some(Intent));
}

async fn an_order_has_so_many(ledger: &dyn Ledger) {
    let most = u32::try_from(CAUSES_PER_ORDER_MAX).unwrap_or(u32::MAX);
    for n in 0..most {
        assert_eq!(intend(ledger, "o-1", n).await, Intended::Done);
    }
    assert_eq!(intend(ledger, "o-1", most).await, Intended::TooMany);
    assert_eq!(intend(ledger, "o-1", 0).await, Intended::Done, "it stands");
    assert_eq!(state_of(ledger, most).await, None);
    let known = must(ledger.order_causes(&order("o-1")).await);
    let ids: Vec<ClaimId> = known.causes.iter().map(|cause| cause.claim_id).collect();
    assert!(ids.is_sorted(), "by claim id");
}
