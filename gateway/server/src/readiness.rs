//! Whether claims can be served now, and why not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Asks one part whether it is ready; `Some` says what is wrong, in words.
pub(crate) type Check = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// All parts that must be ready.
#[derive(Default)]
pub(crate) struct Readiness {
    checks: Mutex<Vec<Check>>,
    draining: AtomicBool,
    was_ready: AtomicBool,
}

impl Readiness {
    /// Adds a part. Checks are quick and never block: they read what the part knows.
    pub(crate) fn add(&self, check: impl Fn() -> Option<String> + Send + Sync + 'static) {
        self.checks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(check));
    }

    /// From now on: stopping, not ready.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Everything that is wrong; empty where claims can be served.
    pub(crate) fn reasons(&self) -> Vec<String> {
        if self.draining.load(Ordering::Acquire) {
            return vec!["stopping".to_owned()];
        }
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.is_empty() {
            return vec!["starting".to_owned()];
        }
        let reasons: Vec<String> = checks.iter().filter_map(|check| check()).collect();
        if reasons.is_empty() {
            self.was_ready.store(true, Ordering::Release);
        }
        reasons
    }

    /// Whether it was ever ready.
    pub(crate) fn was_ready(&self) -> bool {
        self.was_ready.load(Ordering::Acquire)
    }
}
