//! Runs a keeper: one task per lane that steps, waits, and steps again.

use std::sync::Arc;
use std::time::Duration;

use sluice_domain::id::LaneId;

use crate::clock::Clock;
use crate::keeper::{Keeper, Next};
use crate::lanes::Posts;
use crate::metrics::KEEPER_HEARTBEAT_SECONDS;

/// How long a lane whose keeper panicked waits for a new one.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// Spreads waits after faults, so that the lanes do not all come back at once. Not for secrets.
#[derive(Debug)]
struct Jitter(u64);

/// Runs keepers of one lane until one of them has stopped. A panic is a defect: it is logged, and
/// a new keeper takes the lane as after the end of a process.
pub(crate) async fn supervise(
    make: impl Fn() -> Keeper + Send,
    lane: LaneId,
    posts: Arc<Posts>,
    clock: Arc<dyn Clock>,
) {
    loop {
        // A set, because its tasks end with it.
        let mut task = tokio::task::JoinSet::new();
        task.spawn(run(make(), lane, Arc::clone(&posts), Arc::clone(&clock)));
        match task.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!(%lane, %error, "a keeper panicked; another takes its place");
                tokio::time::sleep(AFTER_PANIC).await;
            }
            Some(Ok(()) | Err(_)) | None => return,
        }
    }
}

async fn run(mut keeper: Keeper, lane: LaneId, posts: Arc<Posts>, clock: Arc<dyn Clock>) {
    let Some(mailbox) = posts.mailbox(lane) else {
        return;
    };
    let heartbeat = metrics::gauge!(KEEPER_HEARTBEAT_SECONDS, "lane" => lane.to_string());
    let mut jitter = Jitter::new(lane, clock.monotonic_ms());
    loop {
        mailbox.deliver(&mut keeper).await;
        let next = keeper.step().await;
        for note in keeper.take_notes() {
            posts.deliver(note);
        }
        mailbox.show(keeper.status());
        heartbeat.set(Duration::from_millis(clock.monotonic_ms()).as_secs_f64());
        match next {
            Next::Now => tokio::task::yield_now().await,
            Next::After(millis) => {
                // In this order, not at random: a run can be repeated.
                tokio::select! {
                    biased;
                    () = mailbox.something() => {}
                    () = tokio::time::sleep(Duration::from_millis(millis)) => {}
                }
            }
            Next::Backoff(millis) => tokio::time::sleep(jitter.around(millis)).await,
            Next::Stopped => return,
        }
    }
}

// === impl Jitter ===

impl Jitter {
    fn new(lane: LaneId, now_ms: u64) -> Self {
        Self((now_ms << 16) ^ u64::from(lane.0) ^ 0x9E37_79B9_7F4A_7C15)
    }

    /// Between three quarters and five quarters of `millis`.
    fn around(&mut self, millis: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let spread = (millis / 2).max(1);
        Duration::from_millis(millis - millis / 4 + self.0 % spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_quarter() {
        let mut jitter = Jitter::new(LaneId(3), 17);
        for _round in 0..1_000 {
            let waited = jitter.around(100).as_millis();
            assert!((75..125).contains(&waited), "{waited}");
        }
    }
}
