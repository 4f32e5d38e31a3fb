//! Hot state that is slow, full, gone or not ready: 503, never a business answer, and in time.

use std::time::Duration;

use sluice_claim::outcome::{AttemptOutcome, ClaimOutcome, Unavailable};
use sluice_claim::port::{NotReady, StoreError};
use sluice_claim::settings::EngineSettings;
use sluice_domain::claim::Durability;
use sluice_domain::reason::ReasonCode;
use tokio::time::Instant;

use crate::fake::{Bench, COUPON, EPOCH, code};
use crate::values::published;

const OVERALL: Duration = Duration::from_millis(251);

fn fault(outcome: &ClaimOutcome) -> Unavailable {
    match outcome {
        ClaimOutcome::Unavailable(fault) => *fault,
        other => panic!("not a fault: {other:?}"),
    }
}

async fn after(error: StoreError) -> (Bench, Unavailable) {
    let bench = Bench::new(published(Durability::Hot));
    bench.shop(|shop| shop.next_errors.push_back(error));
    let outcome = fault(&bench.claim(1).await);
    (bench, outcome)
}

fn not_ready(reason: NotReady) -> StoreError {
    StoreError::LaneNotReady {
        lane: Bench::new(published(Durability::Hot)).lane,
        epoch: EPOCH,
        reason,
    }
}

#[tokio::test(start_paused = true)]
async fn every_error_has_its_answer() {
    let text = || "why".to_owned();
    let applied_not = AttemptOutcome::NotApplied;
    let unknown = AttemptOutcome::Unknown;
    for (error, code, outcome) in [
        (
            not_ready(NotReady::LeaseOver),
            ReasonCode::Recovering,
            applied_not,
        ),
        (
            StoreError::Unavailable { reason: text() },
            ReasonCode::Recovering,
            applied_not,
        ),
        (
            StoreError::Backpressure { reason: "outbox" },
            ReasonCode::Overloaded,
            applied_not,
        ),
        (
            StoreError::Unknown { reason: text() },
            ReasonCode::OutcomeUnknown,
            unknown,
        ),
        (
            StoreError::Protocol { reason: text() },
            ReasonCode::OutcomeUnknown,
            unknown,
        ),
    ] {
        let (bench, fault) = after(error.clone()).await;
        assert_eq!((fault.code, fault.outcome), (code, outcome), "{error}");
        assert!(
            matches!(bench.claim(1).await, ClaimOutcome::Granted(_)),
            "back by itself"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_loss_is_reported_with_the_epoch_that_saw_it() {
    let (bench, _) = after(not_ready(NotReady::ServerChanged)).await;
    let losses = bench.keeper.0.lock().unwrap().losses.clone();
    assert_eq!(losses, [(bench.lane, EPOCH, NotReady::ServerChanged)]);
    let (bench, _) = after(not_ready(NotReady::Recovering)).await;
    assert!(bench.keeper.0.lock().unwrap().losses.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cold_coupon_is_asked_for_and_waited_for_briefly() {
    let bench = Bench::new(published(Durability::Hot));
    bench.shop(|shop| shop.hydrated = false);
    let begun = Instant::now();
    let cold = fault(&bench.claim(1).await);
    assert_eq!(
        (cold.code, cold.outcome),
        (ReasonCode::Warming, AttemptOutcome::NotApplied)
    );
    assert!(
        begun.elapsed() <= Duration::from_millis(60),
        "{:?}",
        begun.elapsed()
    );
    assert!(bench.calls() <= 12, "paced: {} calls", bench.calls());
    assert!(bench.keeper.0.lock().unwrap().hydrated.contains(&COUPON));
    let warm = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        bench.shop(|shop| shop.hydrated = true);
    };
    let (outcome, ()) = tokio::join!(bench.claim(1), warm);
    assert!(matches!(outcome, ClaimOutcome::Granted(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_claims_wait_their_time_and_are_never_sold_out() {
    let bench = Bench::new(published(Durability::Hot));
    bench.shop(|shop| shop.calls_without_lease = 3);
    assert!(matches!(bench.claim(1).await, ClaimOutcome::Granted(_)));
    assert_eq!(bench.calls(), 4);
    bench.shop(|shop| shop.calls_without_lease = u64::MAX);
    for outcome in bench.crowd(2..200).await {
        assert_eq!(code(&outcome), ReasonCode::Warming);
    }
    assert!(bench.keeper.0.lock().unwrap().hydrated.contains(&COUPON));
}

#[tokio::test(start_paused = true)]
async fn f11_a_redis_that_hangs_is_answered_in_time_and_sent_claims_are_unknown() {
    let bench = Bench::new(published(Durability::Hot));
    bench.claim(0).await;
    bench.shop(|shop| {
        shop.delay = Duration::from_secs(5);
        shop.decide_calls.clear();
    });
    let begun = Instant::now();
    let first = bench.crowd(1..3);
    let rest = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        bench.crowd(3..500).await
    };
    let (first, rest) = tokio::join!(first, rest);
    assert!(begun.elapsed() <= OVERALL, "{:?}", begun.elapsed());
    for outcome in &first {
        assert_eq!(fault(outcome), Unavailable::unknown(1_000));
    }
    // Two calls hang, so at most one more was sent; whoever was not sent is told so.
    let sent: usize = bench.shop(|shop| shop.decide_calls.iter().sum());
    let unknown = |o: &&ClaimOutcome| fault(o).outcome == AttemptOutcome::Unknown;
    assert_eq!(first.iter().chain(&rest).filter(unknown).count(), sent);
    let shed = rest
        .iter()
        .filter(|o| fault(o).code == ReasonCode::Overloaded);
    assert!(shed.count() >= 300);
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_hangs_is_given_up_in_time() {
    let bench = Bench::new(published(Durability::Hot));
    bench.shop(|shop| shop.delay = Duration::from_secs(5));
    let begun = Instant::now();
    let hung = fault(&bench.claim(1).await);
    assert_eq!(
        (hung.code, hung.outcome),
        (ReasonCode::Recovering, AttemptOutcome::NotApplied)
    );
    assert!(begun.elapsed() <= OVERALL);
}

#[tokio::test(start_paused = true)]
async fn f31_a_full_queue_sheds_and_what_it_holds_is_decided() {
    let settings = EngineSettings {
        queue_claims_max: 50,
        batch_claims_max: 10,
        ..EngineSettings::default()
    };
    let full = Bench::new(published(Durability::Hot));
    let bench = Bench::with(full.store.clone(), full.reader.clone(), settings);
    let outcomes = bench.crowd(0..500).await;
    let granted = outcomes
        .iter()
        .filter(|o| matches!(o, ClaimOutcome::Granted(_)))
        .count();
    let shed = outcomes.len() - granted;
    assert!(granted >= 50 && shed > 0, "{granted} granted, {shed} shed");
    assert_eq!(
        bench.shop(|shop| shop.winners.len()),
        granted,
        "shed means not applied"
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let fine = EngineSettings::default();
    assert_eq!(fine.validate(), Ok(()));
    let ms = Duration::from_millis;
    let refused = [
        EngineSettings {
            sold_out_memory: ms(1_001),
            ..fine
        },
        EngineSettings {
            queue_wait: ms(150),
            ..fine
        },
        EngineSettings {
            batch_claims_max: 129,
            ..fine
        },
        EngineSettings {
            calls_in_flight_max: 0,
            ..fine
        },
        EngineSettings {
            lease_pause: ms(51),
            ..fine
        },
        EngineSettings {
            definition_age_max: ms(2_000),
            ..fine
        },
        EngineSettings {
            durable_within: Duration::ZERO,
            ..fine
        },
    ];
    for settings in refused {
        assert!(settings.validate().is_err(), "{settings:?}");
    }
}
