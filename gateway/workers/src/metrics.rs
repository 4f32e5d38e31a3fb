//! The metrics of this crate, by the names in the operations guide.

use crate::keeper::Cause;

/// 1 for the state that the lane is in, by `lane` and `state`.
pub const LANE_STATE: &str = "sluice_lane_state";
/// The lane's epoch.
pub const LANE_EPOCH: &str = "sluice_lane_epoch";
/// Entries of the lane's outbox that are not in the ledger yet.
pub const OUTBOX_ENTRIES: &str = "sluice_outbox_entries";
/// For how long the oldest of them has been known of.
pub const OUTBOX_OLDEST_SECONDS: &str = "sluice_outbox_oldest_seconds";
/// 1 while an entry that cannot be read stops the lane's mark.
pub const OUTBOX_STUCK: &str = "sluice_outbox_stuck";
/// Leases of the lane that are not closed, by `state`.
pub const LEASES: &str = "sluice_leases";
/// Units of the lane that are blocked until grace is over.
pub const TICKETS_QUARANTINED: &str = "sluice_tickets_quarantined";
/// Units of a coupon that can still be granted.
pub const STOCK_REMAINING: &str = "sluice_stock_remaining";
/// Units of a coupon that are unaccounted for: 0, or something is wrong.
pub const CONSERVATION_DRIFT: &str = "sluice_conservation_drift";
/// Entries and claims that were set aside for a person to see.
pub const DEAD_LETTERS_TOTAL: &str = "sluice_dead_letters_total";
/// Recoveries, by `cause`.
pub const RECOVERIES_TOTAL: &str = "sluice_recoveries_total";
/// Seconds since the process's start at which the lane's keeper last made a step.
pub const KEEPER_HEARTBEAT_SECONDS: &str = "sluice_keeper_heartbeat_seconds";

/// Seconds since the process's start at which a worker last made a round, by `worker`.
pub const WORKER_HEARTBEAT_SECONDS: &str = "sluice_worker_heartbeat_seconds";

/// Reminders that were written.
pub const REMINDERS_SENT_TOTAL: &str = "sluice_reminders_sent_total";
/// How late the latest reminder of the last round was.
pub const REMINDERS_LAG_SECONDS: &str = "sluice_reminders_lag_seconds";
/// Versions of coupons whose due reminders the last round did not get through.
pub const REMINDERS_BACKLOG: &str = "sluice_reminders_backlog";

/// Counts what was set aside.
pub(crate) fn dead_letters(letters: usize) {
    metrics::counter!(DEAD_LETTERS_TOTAL).increment(letters as u64);
}

/// Counts a recovery, at the moment its epoch was raised.
pub(crate) fn recovery(cause: Cause) {
    metrics::counter!(RECOVERIES_TOTAL, "cause" => cause.label()).increment(1);
}
