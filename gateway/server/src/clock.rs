//! The one place where the machine's clocks are read; everything else is handed the time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sluice_domain::time::Timestamp;

/// The machine's clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Clocks whose monotonic side counts from now.
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// The wall clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that is handed in elsewhere"
    )]
    pub(crate) fn wall(self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl sluice_control::port::Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.wall()
    }
}

impl sluice_workers::Clock for SystemClock {
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn wall(&self) -> Timestamp {
        SystemClock::wall(*self)
    }
}
