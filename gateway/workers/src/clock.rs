//! The clock that a keeper is handed.

use sluice_domain::time::Timestamp;

/// Time as a keeper sees it. What grants and graces depend on comes from Redis with each reply;
/// this clock only paces the keeper's own work.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since some fixed moment; never goes back.
    fn monotonic_ms(&self) -> u64;

    /// The time of day, for the columns that people read (`until` in the lane row). Nothing is
    /// decided by it.
    fn wall(&self) -> Timestamp;
}
