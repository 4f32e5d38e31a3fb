//! Frees holds that ran out.
//!
//! Cadence: the given interval, and at once again while a round finds a full page. Nothing depends
//! on it: a hold that ran out holds nothing, for whoever asks; the sweeper gives its budget and its
//! uses back. A rerun is harmless: each release is one compare-and-set against a confirm.

use std::sync::Arc;
use std::time::Duration;

use sluice_checkout::Checkout;

use crate::clock::Clock;
use crate::metrics::WORKER_HEARTBEAT_SECONDS;

/// Holds freed in one round, at most.
const ROUND_MAX: usize = 500;

/// Sweeps until the task is dropped.
pub async fn run(checkout: Checkout, clock: Arc<dyn Clock>, every: Duration) {
    let heartbeat = metrics::gauge!(WORKER_HEARTBEAT_SECONDS, "worker" => "hold_sweeper");
    let mut failing = false;
    loop {
        let swept = checkout.sweep(clock.wall(), ROUND_MAX).await;
        heartbeat.set(Duration::from_millis(clock.monotonic_ms()).as_secs_f64());
        match swept {
            Ok(freed) => {
                failing = false;
                if freed == ROUND_MAX {
                    tokio::task::yield_now().await;
                    continue;
                }
            }
            // Said once per outage: the next round tries again by itself.
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "holds that ran out cannot be freed now");
            }
            Err(_still) => {}
        }
        tokio::time::sleep(every).await;
    }
}
