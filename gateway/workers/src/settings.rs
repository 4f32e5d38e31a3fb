//! All times, sizes and counts of the keeper, in one place, checked to fit each other.

/// How a keeper behaves. Every time is in milliseconds; minutes in production, less in tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperSettings {
    /// A lane whose row stood unchanged for so long may be taken by another keeper.
    pub keeper_lease_ms: u64,
    /// How long a lane grants without its keeper.
    pub lane_lease_ms: u64,
    /// How long leases that may have granted `hot` claims stay blocked after their epoch ended.
    /// Longer than the lane lease: a cut-off old primary has stopped by then.
    pub grace_ms: u64,
    /// How often the two leases are renewed.
    pub renewal_ms: u64,
    /// How long the state of an ended coupon stays in Redis.
    pub retention_ms: u64,
    /// How long it takes from one look at all live leases to the next.
    pub sweep_ms: u64,
    /// Every so many sweeps, all published coupons are looked at; 1 or more.
    pub full_sweep_every: u32,
    /// The shortest time between two looks into an outbox that nobody reported as filled.
    pub poll_ms_min: u64,
    /// The longest: an idle lane is looked at so often.
    pub poll_ms_max: u64,
    /// The first wait after a fault; doubles with each.
    pub backoff_ms_min: u64,
    /// The longest wait after a fault.
    pub backoff_ms_max: u64,
    /// Entries read from the outbox at once, 1 to 1,024.
    pub drain_entries_max: usize,
    /// Claims in one ledger append, from 128 (the most an entry has).
    pub append_rows_max: usize,
    /// Tickets kept ready for a coupon of which no rate has been measured; 1 or more.
    pub lease_floor: u32,
    /// What the floor may grow to when a list ran dry; at least the floor.
    pub lease_floor_max: u32,
    /// Claims filled in by one call of a hydration, 100 (a user's most) to 400.
    pub hydrate_rows_max: usize,
    /// How long a shard keeps what it has just leased before it gives it to another one that ran
    /// dry: longer than a claim waits in the queue, so that whoever asked here gets it.
    pub shard_hold_ms: u64,
    /// How often a lowering looks whether the leases of all lanes are closed.
    pub shard_wait_ms: u64,
    /// Coupons per lane that have gauges of their own.
    pub coupon_gauges_max: usize,
    /// How long a graceful stop may take.
    pub stop_ms_max: u64,
    /// True where holding the ledger means being the only process (the SQLite lock): lanes are
    /// taken at once.
    pub exclusive: bool,
}

/// Settings that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("keeper.{key} {problem}")]
pub struct SettingsError {
    /// Which key.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Default for KeeperSettings {
    fn default() -> Self {
        Self {
            keeper_lease_ms: 10_000,
            lane_lease_ms: 120_000,
            grace_ms: 600_000,
            renewal_ms: 3_000,
            retention_ms: 7 * 86_400_000,
            sweep_ms: 10_000,
            full_sweep_every: 60,
            poll_ms_min: 2,
            poll_ms_max: 1_000,
            backoff_ms_min: 20,
            backoff_ms_max: 2_000,
            drain_entries_max: 256,
            append_rows_max: 1_024,
            lease_floor: 1_024,
            lease_floor_max: 65_536,
            hydrate_rows_max: 400,
            shard_hold_ms: 250,
            shard_wait_ms: 20,
            coupon_gauges_max: 12,
            stop_ms_max: 10_000,
            exclusive: true,
        }
    }
}

impl KeeperSettings {
    /// Checks that the times fit each other.
    ///
    /// # Errors
    /// Names the first key that does not fit, and why.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let checks = [
            (self.renewal_ms > 0, "renewal_ms", "must be above 0"),
            (
                self.renewal_ms.saturating_mul(2) <= self.keeper_lease_ms,
                "keeper_lease_ms",
                "must be at least twice renewal_ms",
            ),
            (
                self.lane_lease_ms > self.keeper_lease_ms,
                "lane_lease_ms",
                "must be longer than keeper_lease_ms",
            ),
            (
                self.grace_ms > self.lane_lease_ms,
                "grace_ms",
                "must be longer than lane_lease_ms",
            ),
            (
                self.retention_ms > self.grace_ms,
                "retention_ms",
                "must be longer than grace_ms",
            ),
            (self.sweep_ms > 0, "sweep_ms", "must be above 0"),
            (
                self.full_sweep_every > 0,
                "full_sweep_every",
                "must be above 0",
            ),
            (
                self.poll_ms_min > 0 && self.poll_ms_min <= self.poll_ms_max,
                "poll_ms_min",
                "must be above 0 and not above poll_ms_max",
            ),
            (
                self.backoff_ms_min > 0 && self.backoff_ms_min <= self.backoff_ms_max,
                "backoff_ms_min",
                "must be above 0 and not above backoff_ms_max",
            ),
            (
                (1..=1_024).contains(&self.drain_entries_max),
                "drain_entries_max",
                "must be 1 to 1024",
            ),
            (
                (128..=65_536).contains(&self.append_rows_max),
                "append_rows_max",
                "must be 128 to 65536",
            ),
            (
                self.lease_floor > 0 && self.lease_floor <= self.lease_floor_max,
                "lease_floor",
                "must be above 0 and not above lease_floor_max",
            ),
            (
                (100..=400).contains(&self.hydrate_rows_max),
                "hydrate_rows_max",
                "must be 100 to 400",
            ),
            (self.stop_ms_max > 0, "stop_ms_max", "must be above 0"),
        ];
        match checks.iter().find(|(fits, ..)| !fits) {
            Some(&(_fits, key, problem)) => Err(SettingsError { key, problem }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fits() {
        assert_eq!(KeeperSettings::default().validate(), Ok(()));
    }

    #[test]
    fn grace_must_outlast_the_lane_lease() {
        let settings = KeeperSettings {
            grace_ms: 120_000,
            ..KeeperSettings::default()
        };
        assert_eq!(
            settings.validate().map_err(|error| error.key),
            Err("grace_ms")
        );
    }

    #[test]
    fn seconds_are_allowed_for_tests() {
        let settings = KeeperSettings {
            renewal_ms: 100,
            keeper_lease_ms: 300,
            lane_lease_ms: 1_000,
            grace_ms: 2_000,
            ..KeeperSettings::default()
        };
        assert_eq!(settings.validate(), Ok(()));
    }
}
