//! What a claim ends in, phase by phase.

use std::time::Duration;

use sluice_claim::outcome::{ClaimOutcome, CouponLookup, StockLevel};
use sluice_claim::settings::EngineSettings;
use sluice_domain::claim::{ClaimForm, ClaimStatus, Durability};
use sluice_domain::coupon::{Distribution, Lifecycle};
use sluice_domain::reason::ReasonCode;
use sluice_domain::terms::Users;

use crate::fake::{BEGIN, Bench, COUPON, code, keys};
use crate::values::{published, shopper, user};

#[tokio::test(start_paused = true)]
async fn a_hot_claim_is_granted_after_the_script_and_a_repeat_says_the_same() {
    let bench = Bench::new(published(Durability::Hot));
    let ClaimOutcome::Granted(first) = bench.claim(1).await else {
        panic!("not granted");
    };
    assert_eq!(first.claim_id, keys().single_claim_id(COUPON, &user(1)));
    assert_eq!((first.user, first.durability), (user(1), Durability::Hot));
    assert_eq!(first.status, ClaimStatus::Usable);
    let ClaimOutcome::Replayed(again) = bench.claim(1).await else {
        panic!("not replayed");
    };
    assert_eq!(first, again);
    assert_eq!(bench.rows(|rows| rows.asked), 0);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_shares_calls_and_two_are_in_flight_at_most() {
    let bench = Bench::new(published(Durability::Hot));
    bench.claim(0).await;
    bench.shop(|shop| shop.decide_calls.clear());
    let outcomes = bench.crowd(1..401).await;
    assert!(
        outcomes
            .iter()
            .all(|o| matches!(o, ClaimOutcome::Granted(_)))
    );
    let calls = bench.shop(|shop| shop.decide_calls.clone());
    assert_eq!(calls.iter().sum::<usize>(), 400);
    assert!(
        calls.len() <= 6 && calls.iter().all(|size| *size <= 128),
        "{calls:?}"
    );
    assert_eq!(bench.shop(|shop| shop.in_flight_max), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_changes_nothing() {
    let bench = Bench::new(published(Durability::Hot));
    bench.claim(0).await;
    let gone = tokio::time::timeout(Duration::from_micros(100), bench.claim(1)).await;
    assert!(
        gone.is_err(),
        "the client left while the call was under way"
    );
    assert!(matches!(bench.claim(1).await, ClaimOutcome::Replayed(_)));
}

#[tokio::test(start_paused = true)]
async fn several_claims_per_user_need_a_key_and_are_named_by_it() {
    let mut coupon = published(Durability::Hot);
    coupon.form = ClaimForm::Keyed;
    coupon.limits.per_user = 3;
    let bench = Bench::new(coupon);
    assert_eq!(code(&bench.claim(1).await), ReasonCode::KeyRequired);
    assert_eq!(bench.calls(), 0);
    let address = std::net::IpAddr::from([127, 0, 0, 1]);
    let shopper = shopper(1);
    let granted = bench
        .engine
        .claim(COUPON, &shopper, address, Some("k1"))
        .await;
    let ClaimOutcome::Granted(view) = granted else {
        panic!("not granted: {granted:?}");
    };
    assert_eq!(view.claim_id, keys().keyed_claim_id(COUPON, &user(1), "k1"));
}

#[tokio::test(start_paused = true)]
async fn a_limit_per_device_asks_for_a_device() {
    let mut coupon = published(Durability::Hot);
    coupon.limits.per_device = Some(1);
    let bench = Bench::new(coupon);
    assert_eq!(
        code(&bench.claim(1).await),
        ReasonCode::VerificationRequired
    );
    assert_eq!(bench.calls(), 0);
    let mut known = shopper(1);
    known.device = Some("phone".into());
    assert!(matches!(
        bench.claim_as(&known).await,
        ClaimOutcome::Granted(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn who_is_not_eligible_any_more_still_gets_the_old_claim() {
    let bench = Bench::new(published(Durability::Hot));
    bench.claim(1).await;
    bench.edit(|coupon| {
        coupon.terms.conditions.users = Users::Groups {
            groups: vec!["vip".to_owned()],
        };
    });
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(matches!(bench.claim(1).await, ClaimOutcome::Replayed(_)));
    let ClaimOutcome::Refused(refusal) = bench.claim(2).await else {
        panic!("not refused");
    };
    assert_eq!(refusal.code, ReasonCode::NotEligible);
    assert_eq!(refusal.reasons.len(), 1);
    assert_eq!(
        bench.shop(|shop| shop.replay_only),
        2,
        "both were asked without a grant"
    );
    assert_eq!(bench.shop(|shop| shop.winners.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_coupon_that_was_never_open_is_refused_without_redis_once_the_time_is_known() {
    let mut coupon = published(Durability::Hot);
    let start = BEGIN.plus_millis(5_000);
    coupon.window.starts_at = Some(start);
    coupon.first_open_at = start;
    let bench = Bench::new(coupon);
    let ClaimOutcome::Refused(refusal) = bench.claim(1).await else {
        panic!("not refused");
    };
    assert_eq!(
        (refusal.code, refusal.starts_at),
        (ReasonCode::NotStarted, Some(start))
    );
    assert_eq!(bench.calls(), 1, "the lane's time was not known");
    for n in 2..50 {
        let ClaimOutcome::Refused(refusal) = bench.claim(n).await else {
            panic!("not refused");
        };
        assert_eq!(
            (refusal.code, refusal.starts_at),
            (ReasonCode::NotStarted, Some(start))
        );
    }
    assert_eq!(bench.calls(), 1, "nobody can have a claim");
    // A few milliseconds around the start only the script knows.
    tokio::time::advance(Duration::from_millis(4_900)).await;
    while !matches!(bench.claim(60).await, ClaimOutcome::Granted(_)) {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let granted_at = bench.shop(|shop| shop.winners[&user(60)].granted_at);
    assert!(
        granted_at.millis_since(start) <= 2,
        "granted late: {granted_at}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_coupon_that_was_open_once_is_asked_about_in_redis() {
    let mut coupon = published(Durability::Hot);
    coupon.window.starts_at = Some(BEGIN.plus_millis(60_000));
    let bench = Bench::new(coupon);
    for n in 1..5 {
        assert_eq!(code(&bench.claim(n).await), ReasonCode::NotStarted);
    }
    assert_eq!(
        bench.calls(),
        4,
        "one of them might be a winner of an earlier revision"
    );
}

#[tokio::test(start_paused = true)]
async fn an_edit_between_reading_and_deciding_is_decided_again_with_the_new_terms() {
    let bench = Bench::new(published(Durability::Hot));
    bench.claim(1).await;
    bench.edit(|coupon| coupon.lifecycle = Lifecycle::Paused);
    assert_eq!(code(&bench.claim(2).await), ReasonCode::Paused);
    assert_eq!(bench.shop(|shop| shop.definition_calls), 2);
    bench.edit(|coupon| coupon.lifecycle = Lifecycle::Live);
    bench.engine.invalidate(COUPON);
    assert!(matches!(bench.claim(2).await, ClaimOutcome::Granted(_)));
}

#[tokio::test(start_paused = true)]
async fn a_coupon_is_shown_with_the_lanes_time_and_a_coarse_stock() {
    let mut coupon = published(Durability::Hot);
    coupon.limits.total = Some(100);
    let bench = Bench::new(coupon);
    bench.shop(|shop| shop.left = 100);
    let level = async || match bench.engine.coupon(COUPON).await {
        CouponLookup::Found { stock, now, .. } => {
            assert!(now >= BEGIN && now.millis_since(BEGIN) < 60_000);
            stock
        }
        other => panic!("not found: {other:?}"),
    };
    assert_eq!(level().await, StockLevel::Plenty);
    bench.crowd(0..90).await;
    assert_eq!(level().await, StockLevel::Low);
    bench.crowd(90..99).await;
    assert_eq!(level().await, StockLevel::Last);
    bench.crowd(99..101).await;
    assert_eq!(level().await, StockLevel::SoldOut);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(
        level().await,
        StockLevel::SoldOut,
        "nothing speaks against it"
    );
    bench.edit(|coupon| coupon.limits.total = Some(200));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(level().await, StockLevel::Plenty);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_get_every_unit_once() {
    // Real time: on a busy machine the waits of production would shed.
    let patient = EngineSettings {
        decide_within: Duration::from_secs(10),
        queue_wait: Duration::from_secs(5),
        call_within: Duration::from_secs(5),
        ..EngineSettings::default()
    };
    let shop = Bench::new(published(Durability::Hot));
    let bench = Bench::with(shop.store.clone(), shop.reader.clone(), patient);
    let bench = std::sync::Arc::new(bench);
    let tasks = (0..4).map(|part: usize| {
        let bench = std::sync::Arc::clone(&bench);
        tokio::spawn(async move { bench.crowd(part * 400..(part + 1) * 400).await })
    });
    let mut granted = 0;
    for part in futures_util::future::join_all(tasks).await {
        for outcome in part.unwrap() {
            match outcome {
                ClaimOutcome::Granted(_) => granted += 1,
                other => assert_eq!(code(&other), ReasonCode::SoldOut),
            }
        }
    }
    assert_eq!(granted, 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_coupon_by_code_only_is_granted_with_the_code() {
    let mut coupon = published(Durability::Ledger);
    coupon.distribution = vec![Distribution::Code];
    let bench = Bench::new(coupon);
    assert_eq!(code(&bench.claim(1).await), ReasonCode::NotEligible);
    let address = std::net::IpAddr::from([127, 0, 0, 1]);
    let (ann, bob) = (shopper(1), shopper(2));
    let granted = bench
        .engine
        .claim_by_code(COUPON, &ann, address, None)
        .await;
    let claim_id = match granted {
        ClaimOutcome::Granted(view) => view.claim_id,
        ClaimOutcome::Pending(claim_id) => claim_id,
        other => panic!("not granted: {other:?}"),
    };
    assert_eq!(claim_id, keys().single_claim_id(COUPON, &user(1)));
    // Everything else still counts.
    bench.edit(|coupon| coupon.lifecycle = Lifecycle::Ended);
    let late = bench.engine.claim_by_code(COUPON, &bob, address, None);
    assert_eq!(code(&late.await), ReasonCode::Ended);
}
