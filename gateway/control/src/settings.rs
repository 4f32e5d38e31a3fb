//! The control plane's limits and waits.

use std::time::Duration;

use crate::serving::Bounds;

/// Limits and waits. All bounded; [`Default`] holds what `config/default.toml` documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlSettings {
    /// Open connections, from 1. At the cap nothing is accepted; the kernel's backlog holds
    /// newcomers.
    pub connections_max: usize,
    /// How long the head of a request may take, idle time on a kept connection included.
    pub header_read_timeout: Duration,
    /// Largest request body in bytes.
    pub body_bytes_max: usize,
    /// Longest time for a body to arrive.
    pub body_timeout: Duration,
    /// Longest time until a request is answered; work on a change goes on behind a 503.
    pub request_timeout: Duration,
    /// Changes that may be under way at a time; more answer 503 `overloaded`.
    pub changes_max: u32,
    /// How long a change waits for its lane before it answers 503 and goes on in the background.
    pub publish_deadline: Duration,
    /// Longest time that one call to a lane may take inside that.
    pub lane_call_timeout: Duration,
    /// First pause between background attempts; doubles up to [`retry_pause_max`].
    ///
    /// [`retry_pause_max`]: Self::retry_pause_max
    pub retry_pause_min: Duration,
    /// Longest pause between background attempts.
    pub retry_pause_max: Duration,
    /// Coupons that wait for a background attempt; beyond it a sweep over all coupons follows.
    pub retries_max: usize,
    /// How long a lowering of a total is waited for.
    pub lowering_timeout: Duration,
    /// How long one call may grant; who has no answer by then is reported as failed.
    pub grants_timeout: Duration,
    /// How long a key is trusted without asking the ledger. A revocation is in force after it.
    pub key_cache_ttl: Duration,
    /// Keys remembered.
    pub key_cache_max: usize,
    /// How long a stop waits for changes under way.
    pub drain_timeout: Duration,
    /// Rounds in which an audit reads all figures before it says which ones moved.
    pub audit_rounds_max: u32,
    /// Pause between those rounds.
    pub audit_round_pause: Duration,
}

// === impl ControlSettings ===

impl ControlSettings {
    /// What the admin port bears.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            connections_max: self.connections_max,
            header_read_timeout: self.header_read_timeout,
            drain_timeout: self.drain_timeout,
        }
    }
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            connections_max: 256,
            header_read_timeout: Duration::from_secs(5),
            body_bytes_max: 1 << 20,
            body_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            changes_max: 64,
            publish_deadline: Duration::from_secs(2),
            lane_call_timeout: Duration::from_millis(500),
            retry_pause_min: Duration::from_millis(100),
            retry_pause_max: Duration::from_secs(5),
            retries_max: 1_024,
            lowering_timeout: Duration::from_secs(8),
            grants_timeout: Duration::from_secs(10),
            key_cache_ttl: Duration::from_secs(1),
            key_cache_max: 1_024,
            drain_timeout: Duration::from_secs(20),
            audit_rounds_max: 10,
            audit_round_pause: Duration::from_millis(200),
        }
    }
}
