//! The history of a storm, written by many tasks at once.

use std::sync::{Mutex, PoisonError};

use sluice_domain::invariant::checkout::CheckoutAttempt;
use sluice_domain::invariant::history::{Attempt, History, LaneSample, OperatorCall};
use sluice_domain::time::Timestamp;

/// A history that grows.
#[derive(Debug, Default)]
pub struct Tally {
    claims: Mutex<History>,
    checkout: Mutex<Vec<CheckoutAttempt>>,
}

impl Tally {
    /// Records a claim request.
    pub fn attempt(&self, attempt: Attempt) {
        self.lock().attempts.push(attempt);
    }

    /// Records a request at the checkout.
    pub fn checkout(&self, attempt: CheckoutAttempt) {
        let mut attempts = self.checkout.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.push(attempt);
    }

    /// Records an operator's call.
    pub fn operator_call(&self, call: OperatorCall) {
        self.lock().operator_calls.push(call);
    }

    /// Records a fault after which hot state may have forgotten what it had answered.
    pub fn loss(&self, at: Timestamp) {
        self.lock().losses.push(at);
    }

    /// Records a look at a lane.
    pub fn lane(&self, sample: LaneSample) {
        self.lock().lane_samples.push(sample);
    }

    /// What was recorded of claims so far.
    #[must_use]
    pub fn history(&self) -> History {
        self.lock().clone()
    }

    /// What was recorded of the checkout so far.
    #[must_use]
    pub fn checkouts(&self) -> Vec<CheckoutAttempt> {
        let attempts = self.checkout.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.clone()
    }

    /// All of it: of claims, and of the checkout.
    #[must_use]
    pub fn into_history(self) -> (History, Vec<CheckoutAttempt>) {
        (
            self.claims
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            self.checkout
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, History> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wall clock, as a history's instants are written.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "a storm is timed by the machine's clock"
)]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
