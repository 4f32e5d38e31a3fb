//! What of checkout is counted.

/// Transitions by kind and by how they ended.
pub(crate) const TRANSITIONS_TOTAL: &str = "sluice_checkout_transitions_total";
/// Claims looked at for one quote.
pub(crate) const CANDIDATES: &str = "sluice_checkout_candidates";
/// Holds that ran out and were freed, by the sweeper or by the next one who wanted their claim.
pub(crate) const FREED_TOTAL: &str = "sluice_checkout_holds_freed_total";
/// Times that a hold which ran out could not be freed, because the ledger holds what cannot be.
pub(crate) const STUCK_TOTAL: &str = "sluice_checkout_holds_stuck_total";

pub(crate) fn candidates(count: usize) {
    metrics::histogram!(CANDIDATES).record(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
}

pub(crate) fn transition(kind: &'static str, outcome: &'static str) {
    metrics::counter!(TRANSITIONS_TOTAL, "kind" => kind, "outcome" => outcome).increment(1);
}

pub(crate) fn freed() {
    metrics::counter!(FREED_TOTAL).increment(1);
}

pub(crate) fn stuck() {
    metrics::counter!(STUCK_TOTAL).increment(1);
}
