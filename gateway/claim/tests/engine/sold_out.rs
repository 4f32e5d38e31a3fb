//! Sold out, answered without Redis (decision 23 among others).

use std::time::Duration;

use sluice_claim::outcome::ClaimOutcome;
use sluice_domain::claim::Durability;
use sluice_domain::reason::ReasonCode;
use sluice_domain::terms::Users;

use crate::fake::{Bench, code};
use crate::values::published;

const WINNERS: usize = 1_000;

async fn sold_out() -> Bench {
    let bench = Bench::new(published(Durability::Hot));
    for n in (0..WINNERS).step_by(250) {
        bench.crowd(n..n + 250).await;
    }
    assert_eq!(
        bench.shop(|shop| (shop.winners.len(), shop.left)),
        (WINNERS, 0)
    );
    bench
}

/// Strangers, one after the other, until the filter is there and answers for itself.
async fn settle(bench: &Bench) {
    for n in 1_000_000..1_000_100 {
        assert_eq!(code(&bench.claim(n).await), ReasonCode::SoldOut);
        let before = bench.calls();
        assert_eq!(code(&bench.claim(n + 500).await), ReasonCode::SoldOut);
        if bench.calls() == before {
            return;
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the filter never came");
}

#[tokio::test(start_paused = true)]
async fn decision_23_after_a_restart_winners_get_their_claim_and_strangers_cost_nothing() {
    let before = sold_out().await;
    settle(&before).await;
    let bench = before.restarted();
    settle(&bench).await;
    assert_eq!(
        bench.shop(|shop| shop.winners_calls),
        11,
        "read once, then shared"
    );

    // Two seconds of strangers at 5,000 a second, winners among them.
    bench.shop(|shop| shop.decide_calls.clear());
    let strangers = 10_000;
    for n in 0..strangers {
        let outcome = bench.claim(2_000_000 + n).await;
        assert_eq!(code(&outcome), ReasonCode::SoldOut);
        tokio::time::advance(Duration::from_micros(200)).await;
    }
    let calls = bench.calls();
    assert!(
        calls * 100 <= strangers,
        "{calls} calls for {strangers} strangers"
    );

    for n in 0..WINNERS {
        let outcome = bench.claim(n).await;
        assert!(
            matches!(outcome, ClaimOutcome::Replayed(_)),
            "{n}: {outcome:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_right_after_a_restart_waits_for_the_filter_in_one_place() {
    let bench = sold_out().await.restarted();
    bench.shop(|shop| {
        shop.decide_calls.clear();
        shop.definition_calls = 0;
    });
    let crowd = bench.crowd(1_000_000..1_002_000).await;
    assert!(crowd.iter().all(|said| code(said) == ReasonCode::SoldOut));
    let (asked, read) = bench.shop(|shop| (shop.decide_calls.clone(), shop.definition_calls));
    // Those that were in flight when the first answer came; the others were told by the filter,
    // but for the one or other stranger whom it takes for a winner (1 in 65,536 each).
    let crowds = asked.iter().filter(|&&claims| claims > 2).count();
    assert!(crowds <= 2, "calls of so many claims: {asked:?}");
    assert!(asked.len() <= 6, "calls of so many claims: {asked:?}");
    assert_eq!(read, 1);
    for n in 0..WINNERS {
        assert!(matches!(bench.claim(n).await, ClaimOutcome::Replayed(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn winners_in_that_storm_get_their_claim() {
    let bench = sold_out().await.restarted();
    let mixed = bench.crowd(WINNERS - 500..WINNERS + 500).await;
    for (n, said) in mixed.iter().enumerate() {
        if n < 500 {
            assert!(matches!(said, ClaimOutcome::Replayed(_)), "{n}: {said:?}");
        } else {
            assert_eq!(code(said), ReasonCode::SoldOut, "{n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_takes_long_is_waited_for_only_so_long() {
    let bench = sold_out().await.restarted();
    bench.shop(|shop| shop.winners_delay = Duration::from_millis(500));
    let begun = tokio::time::Instant::now();
    let mixed = bench.crowd(WINNERS - 300..WINNERS + 300).await;
    assert!(
        begun.elapsed() < Duration::from_millis(50),
        "{:?}",
        begun.elapsed()
    );
    for (n, said) in mixed.iter().enumerate() {
        if n < 300 {
            assert!(matches!(said, ClaimOutcome::Replayed(_)), "{n}: {said:?}");
        } else {
            assert_eq!(code(said), ReasonCode::SoldOut, "{n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_filter_every_caller_is_asked_about() {
    let bench = sold_out().await;
    bench.shop(|shop| shop.scan_skips = 1);
    for n in 0..50 {
        assert_eq!(code(&bench.claim(1_000_000 + n).await), ReasonCode::SoldOut);
    }
    assert!(bench.calls() >= 50, "a filter with a wrong count was used");
    for n in 0..WINNERS {
        assert!(matches!(bench.claim(n).await, ClaimOutcome::Replayed(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_ends_in_a_second_so_new_stock_is_found() {
    let bench = sold_out().await;
    settle(&bench).await;
    bench.shop(|shop| {
        shop.left = 1_000;
        shop.stock_seq += 1;
    });
    // A few strangers are taken for winners, and asked about.
    let late = bench.crowd(3_000_000..3_000_050).await;
    let refused = late
        .iter()
        .filter(|o| matches!(o, ClaimOutcome::Refused(_)));
    assert!(refused.count() >= 40, "the memory holds for now");
    tokio::time::advance(Duration::from_secs(1)).await;
    let outcomes = bench.crowd(4_000_000..4_000_010).await;
    assert!(
        outcomes
            .iter()
            .all(|o| matches!(o, ClaimOutcome::Granted(_)))
    );
}

#[tokio::test(start_paused = true)]
async fn more_may_come_is_passed_on() {
    let bench = sold_out().await;
    bench.shop(|shop| shop.more_may_come = true);
    settle(&bench).await;
    let ClaimOutcome::Refused(refusal) = bench.claim(5_000_000).await else {
        panic!("not refused");
    };
    assert!(refusal.more_may_come);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_shared_filter_is_made_again() {
    let bench = sold_out().await;
    settle(&bench).await;
    let bad = bench.shop(|shop| {
        shop.winners_calls = 0;
        let mut bad = shop.shared_filter.clone().unwrap();
        bad[60] ^= 1;
        shop.shared_filter = Some(bad.clone());
        bad
    });
    let other = bench.restarted();
    settle(&other).await;
    let (read, shared) = other.shop(|shop| (shop.winners_calls, shop.shared_filter.clone()));
    assert!(
        read > 0 && shared != Some(bad),
        "made again and shared again"
    );
    for n in 0..WINNERS {
        assert!(matches!(other.claim(n).await, ClaimOutcome::Replayed(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_filter_strangers_who_are_not_eligible_cost_nothing_either() {
    let mut coupon = published(Durability::Hot);
    coupon.terms.conditions.users = Users::Groups {
        groups: vec!["vip".to_owned()],
    };
    let bench = Bench::new(coupon);
    let vip = |n| {
        let mut shopper = crate::values::shopper(n);
        shopper.groups = std::sync::Arc::new(["vip".into()]);
        shopper
    };
    bench.shop(|shop| shop.left = 1);
    bench.claim_as(&vip(0)).await;
    for n in 1..100 {
        assert_eq!(code(&bench.claim_as(&vip(n)).await), ReasonCode::SoldOut);
        tokio::task::yield_now().await;
    }
    bench.shop(|shop| shop.replay_only = 0);
    for n in 200..400 {
        assert_eq!(code(&bench.claim(n).await), ReasonCode::NotEligible);
    }
    let asked = bench.shop(|shop| shop.replay_only);
    assert!(asked <= 10, "{asked} of 200 were asked about");
    let ClaimOutcome::Replayed(_) = bench.claim(0).await else {
        panic!("the winner left the group and still has the claim");
    };
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_remembered_from_when_its_call_was_sent() {
    let bench = sold_out().await;
    settle(&bench).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    bench.shop(|shop| shop.delay = Duration::from_millis(120));
    let sent = tokio::time::Instant::now();
    assert_eq!(code(&bench.claim(6_000_000).await), ReasonCode::SoldOut);
    assert!(sent.elapsed() >= Duration::from_millis(120));
    let over = Duration::from_millis(1_010) - sent.elapsed();
    tokio::time::advance(over).await;
    let before = bench.calls();
    assert_eq!(code(&bench.claim(6_000_001).await), ReasonCode::SoldOut);
    assert_eq!(bench.calls(), before + 1, "the memory was over");
}
