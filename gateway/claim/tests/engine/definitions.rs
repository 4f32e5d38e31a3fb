//! The definition cache.

use std::net::IpAddr;
use std::time::Duration;

use sluice_claim::outcome::ClaimOutcome;
use sluice_claim::port::StoreError;
use sluice_domain::claim::Durability;
use sluice_domain::id::CouponId;
use sluice_domain::reason::ReasonCode;

use crate::fake::{Bench, code};
use crate::values::{published, shopper};

async fn claim_of(bench: &Bench, coupon: u32) -> ClaimOutcome {
    let address = IpAddr::from([127, 0, 0, 1]);
    let shopper = shopper(1);
    bench
        .engine
        .claim(CouponId(coupon), &shopper, address, None)
        .await
}

#[tokio::test(start_paused = true)]
async fn a_crowd_costs_one_read_per_second() {
    let bench = Bench::new(published(Durability::Hot));
    bench.crowd(0..300).await;
    assert_eq!(bench.shop(|shop| shop.definition_calls), 1);
    for second in 1..4 {
        tokio::time::advance(Duration::from_secs(1)).await;
        bench.crowd(0..300).await;
        assert_eq!(bench.shop(|shop| shop.definition_calls), second + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_coupon_is_remembered_and_found_once_it_is_published() {
    let bench = Bench::new(published(Durability::Hot));
    for _again in 0..50 {
        assert_eq!(code(&claim_of(&bench, 5).await), ReasonCode::NotFound);
    }
    assert_eq!(bench.shop(|shop| shop.definition_calls), 1);
    bench.edit(|coupon| coupon.id = CouponId(5));
    bench.engine.invalidate(CouponId(5));
    assert!(matches!(
        claim_of(&bench, 5).await,
        ClaimOutcome::Granted(_)
    ));
}

#[tokio::test(start_paused = true)]
async fn made_up_coupons_cannot_flood_redis_nor_push_real_ones_out() {
    let bench = Bench::new(published(Durability::Hot));
    bench.shop(|shop| shop.delay = Duration::ZERO);
    bench.claim(1).await;
    bench.shop(|shop| shop.definition_calls = 0);
    let mut shed = 0;
    for coupon in 1_000..6_000 {
        shed += usize::from(code(&claim_of(&bench, coupon).await) == ReasonCode::Overloaded);
    }
    let read = bench.shop(|shop| shop.definition_calls);
    assert_eq!(read + shed, 5_000);
    assert!(read <= 2_000, "{read} reads");
    assert!(matches!(bench.claim(1).await, ClaimOutcome::Replayed(_)));
    assert_eq!(bench.shop(|shop| shop.definition_calls), read, "still held");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_is_shared_and_soon_tried_again() {
    let bench = Bench::new(published(Durability::Hot));
    let down = || StoreError::Unavailable {
        reason: "closed".to_owned(),
    };
    bench.shop(|shop| shop.definition_error = Some(down()));
    for outcome in bench.crowd(0..100).await {
        assert_eq!(code(&outcome), ReasonCode::Recovering);
    }
    assert_eq!(bench.shop(|shop| shop.definition_calls), 1);
    bench.shop(|shop| shop.definition_error = None);
    tokio::time::advance(Duration::from_millis(50)).await;
    assert!(matches!(bench.claim(1).await, ClaimOutcome::Granted(_)));
}
