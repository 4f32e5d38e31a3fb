//! Names of figures that are no CPU time.

/// Redis script calls per refusal of a sold-out coupon.
pub const CALLS: &str = "script calls per refusal";
/// Rows written to the ledger per claim granted at the peak, in the second half of the load.
pub const DRAINED: &str = "rows written per claim granted at the peak";
/// Latencies at 5 % load, in milliseconds.
pub const LOW: [&str; 4] = [
    "5 % load: p50 ms",
    "5 % load: p99 ms",
    "5 % load, batches of 1: p50 ms",
    "5 % load, batches of 1: p99 ms",
];
/// Accepted claims a second at the peak of a closed loop.
pub const PEAK: &str = "overload: peak claims/s";
/// Of what was offered at three times the peak: accepted a second.
pub const ACCEPTED: &str = "overload: accepted/s at 3x";
/// Latencies of accepted claims, in milliseconds.
pub const P99: [&str; 2] = ["overload: p99 ms at 0.7x", "overload: p99 ms at 3x"];
/// What became of the others at three times the peak, as shares of what was due.
pub const SHED: [&str; 2] = [
    "overload: share answered 503/429",
    "overload: share not sent",
];
/// CPU per claim with one and with ten times the data, in microseconds.
pub const GROWTH: [&str; 2] = ["growth: us per claim at 1x", "growth: us per claim at 10x"];
