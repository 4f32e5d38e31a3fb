//! The metrics of this crate. Handles are made once, when the engine is made: install the recorder
//! before.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use sluice_domain::reason::ReasonCode;

use crate::outcome::ClaimOutcome;

/// The handles.
pub(crate) struct Metrics {
    granted: Counter,
    replayed: Counter,
    pending: Counter,
    /// By the place of the code in [`ReasonCode::ALL`].
    by_code: Vec<Counter>,
    durability_seconds: Histogram,
    /// Claims per call.
    pub(crate) batch_size: Histogram,
    /// Definitions: answered from memory.
    pub(crate) definition_hit: Counter,
    /// Definitions: read from hot state.
    pub(crate) definition_load: Counter,
    /// Definitions: known to be unknown.
    pub(crate) definition_negative: Counter,
    /// Definitions: could not be read.
    pub(crate) definition_error: Counter,
    /// Sold out: refused without Redis.
    pub(crate) sold_out_hit: Counter,
    /// Sold out: may be a winner, asked in Redis.
    pub(crate) sold_out_maybe: Counter,
    /// Sold out: asked in Redis to renew the memory.
    pub(crate) sold_out_probe: Counter,
    /// Winner filters: taken from Redis.
    pub(crate) filter_shared: Counter,
    /// Winner filters: built here.
    pub(crate) filter_built: Counter,
    /// Winner filters: thrown away or not built.
    pub(crate) filter_failed: Counter,
    /// Shed: a queue was full.
    pub(crate) shed_queue_full: Counter,
    /// Shed: waited too long in a queue.
    pub(crate) shed_queue_wait: Counter,
    /// Shed: hot state is at its cap.
    pub(crate) shed_backpressure: Counter,
    /// Shed: too many coupons asked for that are not held.
    pub(crate) shed_first_loads: Counter,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new() -> Self {
        let outcome = |label: &'static str| counter!("sluice_claims_total", "outcome" => label);
        let cache = |cache: &'static str, result: &'static str| counter!("sluice_cache_requests_total", "cache" => cache, "result" => result);
        let shed = |reason: &'static str| counter!("sluice_shed_total", "reason" => reason);
        Self {
            granted: outcome("granted"),
            replayed: outcome("replayed"),
            pending: outcome("pending"),
            by_code: ReasonCode::ALL
                .iter()
                .map(|code| outcome(code.as_str()))
                .collect(),
            durability_seconds: histogram!("sluice_claim_durability_seconds"),
            batch_size: histogram!("sluice_claim_batch_size"),
            definition_hit: cache("definition", "hit"),
            definition_load: cache("definition", "load"),
            definition_negative: cache("definition", "negative"),
            definition_error: cache("definition", "error"),
            sold_out_hit: cache("sold_out", "hit"),
            sold_out_maybe: cache("sold_out", "maybe"),
            sold_out_probe: cache("sold_out", "probe"),
            filter_shared: cache("winner_filter", "shared"),
            filter_built: cache("winner_filter", "built"),
            filter_failed: cache("winner_filter", "failed"),
            shed_queue_full: shed("queue_full"),
            shed_queue_wait: shed("queue_wait"),
            shed_backpressure: shed("backpressure"),
            shed_first_loads: shed("first_loads"),
        }
    }

    /// Counts the outcome of a claim.
    pub(crate) fn claim(&self, outcome: &ClaimOutcome) {
        match outcome {
            ClaimOutcome::Granted(_) => self.granted.increment(1),
            ClaimOutcome::Replayed(_) => self.replayed.increment(1),
            ClaimOutcome::Pending(_) => self.pending.increment(1),
            ClaimOutcome::Refused(refusal) => self.code(refusal.code),
            ClaimOutcome::Unavailable(unavailable) => self.code(unavailable.code),
        }
    }

    /// Records how long a claim waited for its mark.
    pub(crate) fn durable_after(&self, wait: Duration) {
        self.durability_seconds.record(wait.as_secs_f64());
    }

    fn code(&self, code: ReasonCode) {
        if let Some(counter) = self.by_code.get(code as usize) {
            counter.increment(1);
        }
    }
}
