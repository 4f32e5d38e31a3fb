//! Slices of a shared quota.

use std::time::Duration;

use sluice_hotstate::redis::limits::LimiterRedis;

use super::fixture::Stage;

#[tokio::test]
async fn all_together_get_no_more_than_the_limit_in_a_window() {
    let stage = Stage::bare(|_settings| {}).await;
    let gateways = [0, 1].map(|_gateway| LimiterRedis::connect(&stage.server.url()).unwrap());
    let mut granted = Vec::new();
    for turn in 0..4 {
        let slice = gateways[turn % 2]
            .take_slice("ip", 60_000, 40, 100)
            .await
            .unwrap();
        assert!(slice.window_left <= Duration::from_mins(1));
        granted.push(slice.granted);
    }
    assert_eq!(granted, [40, 40, 20, 0]);
    assert_eq!(
        gateways[0]
            .take_slice("other", 60_000, 40, 100)
            .await
            .unwrap()
            .granted,
        40
    );
}

#[tokio::test]
async fn a_new_window_begins_when_the_old_one_is_over() {
    let stage = Stage::bare(|_settings| {}).await;
    let gateway = LimiterRedis::connect(&stage.server.url()).unwrap();
    assert_eq!(
        gateway.take_slice("ip", 50, 10, 10).await.unwrap().granted,
        10
    );
    let begun = tokio::time::Instant::now();
    while gateway.take_slice("ip", 50, 10, 10).await.unwrap().granted == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "the window does not end"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
