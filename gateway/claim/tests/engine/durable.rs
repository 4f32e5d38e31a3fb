//! The wait for the durable mark (decision 24 among others).

use std::time::Duration;

use sluice_claim::outcome::{AttemptOutcome, ClaimOutcome};
use sluice_domain::claim::{ClaimRow, Durability};
use sluice_domain::id::{ClaimId, Epoch};
use sluice_domain::reason::ReasonCode;
use tokio::time::Instant;

use crate::fake::{Bench, COUPON, EPOCH, code, keys};
use crate::values::{published, row, user};

const BUDGET: Duration = Duration::from_millis(250);

fn id(n: usize) -> ClaimId {
    keys().single_claim_id(COUPON, &user(n))
}

/// Claims while something happens to the lane a little later.
async fn claim_while(bench: &Bench, n: usize, happens: impl FnOnce()) -> (ClaimOutcome, Duration) {
    let begun = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        happens();
    };
    let (outcome, ()) = tokio::join!(bench.claim(n), later);
    (outcome, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_ledger_claim_is_answered_when_the_mark_passes_its_entry() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.mark(Some(EPOCH), 0, &[]);
    let (outcome, took) = claim_while(&bench, 1, || bench.mark(Some(EPOCH), 1, &[])).await;
    assert!(matches!(outcome, ClaimOutcome::Granted(_)));
    assert!(
        took >= Duration::from_millis(30),
        "before the mark: {took:?}"
    );
    let begun = Instant::now();
    assert!(matches!(bench.claim(1).await, ClaimOutcome::Replayed(_)));
    assert!(
        begun.elapsed() < Duration::from_millis(5),
        "its entry is durable"
    );
}

#[tokio::test(start_paused = true)]
async fn a_grant_tells_the_keeper_at_once_and_a_repeat_does_not() {
    let bench = Bench::new(published(Durability::Hot));
    bench.claim(1).await;
    let told = bench.keeper.0.lock().unwrap().granted.len();
    assert_eq!(told, 1, "or the claim waits for the keeper's next look");
    bench.claim(1).await;
    assert_eq!(bench.keeper.0.lock().unwrap().granted.len(), told);
}

#[tokio::test(start_paused = true)]
async fn decision_24_with_the_keeper_paused_every_ledger_claim_answers_202_within_its_budget() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.mark(Some(EPOCH), 0, &[]);
    let begun = Instant::now();
    let outcomes = bench.crowd(0..300).await;
    let took = begun.elapsed();
    for (n, outcome) in outcomes.iter().enumerate() {
        assert!(
            matches!(outcome, ClaimOutcome::Pending(claim) if *claim == id(n)),
            "{outcome:?}"
        );
    }
    assert!(
        took >= BUDGET && took < BUDGET + Duration::from_millis(50),
        "{took:?}"
    );
    assert_eq!(bench.rows(|rows| rows.asked), 0, "no claim asks the ledger");
    // A repeat waits for the same entry, and for no longer.
    assert!(matches!(bench.claim(7).await, ClaimOutcome::Pending(_)));
    bench.mark(Some(EPOCH), 300, &[]);
    assert!(matches!(bench.claim(7).await, ClaimOutcome::Replayed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_pair_is_not_applied_and_another_entry_of_the_same_claim_is() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.mark(Some(EPOCH), 0, &[]);
    let refused = [(id(1), 1)];
    let (outcome, _) = claim_while(&bench, 1, || bench.mark(Some(EPOCH), 1, &refused)).await;
    let ClaimOutcome::Unavailable(fault) = outcome else {
        panic!("not refused: {outcome:?}");
    };
    assert_eq!(fault.outcome, AttemptOutcome::NotApplied);
    // The script took it back; the claim is made again under another entry.
    bench.shop(|shop| shop.winners.clear());
    let (outcome, _) = claim_while(&bench, 1, || bench.mark(Some(EPOCH), 2, &refused)).await;
    assert!(matches!(outcome, ClaimOutcome::Granted(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn an_epoch_that_ends_first_gives_a_grant_only_with_its_row() {
    for (stored, broken) in [(true, false), (false, false), (false, true)] {
        let bench = Bench::new(published(Durability::Ledger));
        bench.mark(Some(EPOCH), 0, &[]);
        bench.rows(|rows| {
            rows.broken = broken;
            if stored {
                rows.rows.insert(id(1), row(user(1), id(1)));
            }
        });
        let (outcome, took) = claim_while(&bench, 1, || bench.mark(Some(Epoch(4)), 900, &[])).await;
        assert!(took < BUDGET);
        match outcome {
            ClaimOutcome::Granted(_) | ClaimOutcome::Replayed(_) => assert!(stored),
            ClaimOutcome::Pending(claim) => assert!(!stored && !broken && claim == id(1)),
            other => {
                assert!(broken);
                assert_eq!(code(&other), ReasonCode::OutcomeUnknown);
            }
        }
    }
}

/// The epoch's server was left behind, and the claim was granted again in a later one.
#[tokio::test(start_paused = true)]
async fn a_row_of_another_grant_of_the_claim_is_the_answer() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.mark(Some(EPOCH), 0, &[]);
    let kept = ClaimRow {
        granted_at: row(user(1), id(1)).granted_at.plus_millis(-700),
        ..row(user(1), id(1))
    };
    let granted_at = kept.granted_at;
    bench.rows(|rows| {
        rows.rows.insert(id(1), kept);
    });
    let (outcome, _took) = claim_while(&bench, 1, || bench.mark(Some(Epoch(4)), 900, &[])).await;
    let ClaimOutcome::Replayed(view) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(view.granted_at, granted_at);
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_row_is_no_proof() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.mark(Some(EPOCH), 0, &[]);
    bench.rows(|rows| rows.rows.insert(id(1), row(user(2), id(1))));
    let (outcome, _) = claim_while(&bench, 1, || bench.marks.close(bench.lane)).await;
    assert_eq!(code(&outcome), ReasonCode::OutcomeUnknown);
}

#[tokio::test(start_paused = true)]
async fn the_word_of_an_earlier_epoch_proves_nothing() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.mark(Some(Epoch(2)), 900, &[]);
    assert!(matches!(bench.claim(1).await, ClaimOutcome::Pending(_)));
}

#[tokio::test(start_paused = true)]
async fn the_class_is_that_of_the_version_that_was_granted() {
    let bench = Bench::new(published(Durability::Ledger));
    bench.mark(Some(EPOCH), 0, &[]);
    assert!(matches!(bench.claim(1).await, ClaimOutcome::Pending(_)));
    bench.edit(|coupon| {
        coupon.version = coupon.version.next();
        coupon.durability = Durability::Hot;
        let mut hot = coupon.versions[0].clone();
        hot.version = coupon.version;
        hot.durability = Durability::Hot;
        coupon.versions.push(hot);
    });
    bench.engine.invalidate(COUPON);
    assert!(
        matches!(bench.claim(2).await, ClaimOutcome::Granted(_)),
        "hot waits for nothing"
    );
    assert!(
        matches!(bench.claim(1).await, ClaimOutcome::Pending(_)),
        "an old claim still does"
    );
}
