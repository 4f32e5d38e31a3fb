//! Looking claims up.

use sluice_claim::outcome::{ClaimOutcome, LookupOutcome};
use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::claim::{ClaimStatus, Durability};
use sluice_domain::id::{ClaimId, Epoch};
use sluice_domain::reason::ReasonCode;

use crate::fake::{BEGIN, Bench, COUPON, EPOCH, code, keys};
use crate::values::{published, row, user};

fn id(n: usize) -> ClaimId {
    keys().single_claim_id(COUPON, &user(n))
}

async fn status(bench: &Bench, n: usize) -> Option<ClaimStatus> {
    match bench.engine.lookup(id(n), &user(n)).await {
        LookupOutcome::Found(view) => Some(view.status),
        LookupOutcome::NotFound => None,
        LookupOutcome::Unavailable(fault) => panic!("unavailable: {fault:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_pending_claim_becomes_usable_with_the_mark() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.mark(Some(EPOCH), 0, &[]);
    assert!(matches!(bench.claim(1).await, ClaimOutcome::Pending(_)));
    assert_eq!(status(&bench, 1).await, Some(ClaimStatus::Pending));
    bench.mark(Some(EPOCH), 1, &[]);
    assert_eq!(status(&bench, 1).await, Some(ClaimStatus::Usable));
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_claim_is_not_found_without_a_question() {
    let bench = Bench::new(published(Durability::Hot));
    bench.claim(1).await;
    let calls = bench.calls();
    let foreign = bench.engine.lookup(id(1), &user(2)).await;
    assert!(matches!(foreign, LookupOutcome::NotFound));
    assert_eq!((bench.calls(), bench.rows(|rows| rows.asked)), (calls, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_neither_was_lost_if_the_epoch_is_still_the_same() {
    let bench = Bench::new(published(Durability::Ledger));
    assert_eq!(status(&bench, 1).await, None);
    bench.rows(|rows| rows.epoch = Epoch(4));
    let moved = bench.engine.lookup(id(1), &user(1)).await;
    assert!(matches!(moved, LookupOutcome::Unavailable(_)), "{moved:?}");
    bench.shop(|shop| shop.epoch = Epoch(4));
    assert_eq!(status(&bench, 1).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_row_is_found_while_hot_state_is_down_and_nothing_is_called_lost() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.rows(|rows| rows.rows.insert(id(1), row(user(1), id(1))));
    let down = StoreError::LaneNotReady {
        lane: bench.lane,
        epoch: EPOCH,
        reason: NotReady::Recovering,
    };
    bench.shop(|shop| shop.next_errors.extend([down.clone(), down]));
    assert_eq!(status(&bench, 1).await, Some(ClaimStatus::Usable));
    let absent = bench.engine.lookup(id(2), &user(2)).await;
    assert!(
        matches!(absent, LookupOutcome::Unavailable(_)),
        "{absent:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_row_of_somebody_else_and_a_revoked_one() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.rows(|rows| {
        rows.rows.insert(id(1), row(user(2), id(1)));
        let mut revoked = row(user(3), id(3));
        revoked.revoked = true;
        rows.rows.insert(id(3), revoked);
    });
    assert_eq!(status(&bench, 1).await, None);
    assert_eq!(status(&bench, 3).await, Some(ClaimStatus::Revoked));
}

#[tokio::test(start_paused = true)]
async fn after_retirement_winners_are_answered_from_the_ledger_and_others_are_too_late() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.shop(|shop| shop.retired = true);
    bench.rows(|rows| rows.rows.insert(id(1), row(user(1), id(1))));
    let ClaimOutcome::Replayed(view) = bench.claim(1).await else {
        panic!("not replayed");
    };
    assert_eq!((view.claim_id, view.granted_at), (id(1), BEGIN));
    assert_eq!(code(&bench.claim(2).await), ReasonCode::Ended);
    assert_eq!(status(&bench, 2).await, None);
    assert_eq!(bench.calls(), 0);
    bench.rows(|rows| rows.broken = true);
    assert_eq!(code(&bench.claim(1).await), ReasonCode::Recovering);
}
