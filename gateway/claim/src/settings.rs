//! The settings of the engine: every bound and every wait, with the rules that tie them together.

use std::time::Duration;

use crate::port::BATCH_CLAIMS_MAX;

/// Bounds and waits of an [`Engine`](crate::engine::Engine).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineSettings {
    /// Everything up to the decision is over after this; then the answer is a 503. Contains the
    /// definition, the wait in the queue and the call.
    pub decide_within: Duration,
    /// How long a claim of class `ledger` waits for its durable mark before it is answered 202.
    pub durable_within: Duration,
    /// How long a claim may wait in its lane's queue before it is dropped unsent.
    pub queue_wait: Duration,
    /// Claims that may wait in the queue of one lane.
    pub queue_claims_max: usize,
    /// Claims per call, 1 to [`BATCH_CLAIMS_MAX`].
    pub batch_claims_max: usize,
    /// Calls in flight per lane.
    pub calls_in_flight_max: usize,
    /// How long one call may take before its outcome counts as unknown.
    pub call_within: Duration,
    /// How long a coupon rests after "the keeper has to install a lease first".
    pub lease_pause: Duration,
    /// How old a definition may be when it decides.
    pub definition_age_max: Duration,
    /// How long an unknown coupon stays unknown.
    pub unknown_age_max: Duration,
    /// Definitions held.
    pub definitions_max: u64,
    /// Unknown coupons held.
    pub unknown_max: u64,
    /// Loads per second of coupons that are not held: bounds what made-up ids can cost Redis.
    pub first_loads_per_second_max: u32,
    /// How long "sold out" is believed, from the moment the call was sent.
    pub sold_out_memory: Duration,
    /// How long before the end of that memory one claim goes to Redis to renew it.
    pub probe_lead: Duration,
    /// Bytes of all winner filters together.
    pub filter_bytes_max: usize,
    /// After a filter could not be built: how long until the next try.
    pub filter_retry: Duration,
}

/// Why settings were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("claim.{key} {problem}")]
pub struct SettingsError {
    /// The key, as in the configuration file.
    pub key: &'static str,
    /// What is wrong and what would be accepted.
    pub problem: String,
}

// === impl EngineSettings ===

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            decide_within: Duration::from_millis(250),
            durable_within: Duration::from_millis(250),
            queue_wait: Duration::from_millis(50),
            queue_claims_max: 4_096,
            batch_claims_max: BATCH_CLAIMS_MAX,
            calls_in_flight_max: 2,
            call_within: Duration::from_millis(150),
            lease_pause: Duration::from_millis(5),
            definition_age_max: Duration::from_secs(1),
            unknown_age_max: Duration::from_secs(1),
            definitions_max: 100_000,
            unknown_max: 10_000,
            first_loads_per_second_max: 2_000,
            sold_out_memory: Duration::from_secs(1),
            probe_lead: Duration::from_millis(100),
            filter_bytes_max: 64 << 20,
            filter_retry: Duration::from_secs(1),
        }
    }
}

impl EngineSettings {
    /// Refuses settings that contradict each other or the protocol.
    ///
    /// # Errors
    /// With the first key that is out of its range, and what would be accepted.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let second = Duration::from_secs(1);
        between("queue_claims_max", self.queue_claims_max, 1, 1 << 20)?;
        between(
            "batch_claims_max",
            self.batch_claims_max,
            1,
            BATCH_CLAIMS_MAX,
        )?;
        between("calls_in_flight_max", self.calls_in_flight_max, 1, 16)?;
        between("filter_bytes_max", self.filter_bytes_max, 1 << 10, 4 << 30)?;
        within(
            "call_within",
            self.call_within,
            self.decide_within,
            "decide_within",
        )?;
        within(
            "queue_wait",
            self.queue_wait,
            self.decide_within,
            "decide_within",
        )?;
        if self.queue_wait + self.call_within > self.decide_within {
            return Err(SettingsError {
                key: "decide_within",
                problem: "must be at least queue_wait + call_within".to_owned(),
            });
        }
        within(
            "lease_pause",
            self.lease_pause,
            self.queue_wait,
            "queue_wait",
        )?;
        within("decide_within", self.decide_within, 10 * second, "10 s")?;
        within("durable_within", self.durable_within, 10 * second, "10 s")?;
        // The protocol opens new stock 1.2 s after it was installed, because every memory of "sold
        // out" is over after 1 s. A longer memory would refuse what can be granted.
        within("sold_out_memory", self.sold_out_memory, second, "1 s")?;
        within(
            "probe_lead",
            self.probe_lead,
            self.sold_out_memory,
            "sold_out_memory",
        )?;
        within("definition_age_max", self.definition_age_max, second, "1 s")?;
        within("unknown_age_max", self.unknown_age_max, second, "1 s")?;
        within("filter_retry", self.filter_retry, 60 * second, "60 s")?;
        if self.definitions_max == 0
            || self.unknown_max == 0
            || self.first_loads_per_second_max == 0
        {
            return Err(SettingsError {
                key: "definitions_max",
                problem: "and unknown_max and first_loads_per_second_max must be at least 1"
                    .to_owned(),
            });
        }
        Ok(())
    }
}

fn between(key: &'static str, value: usize, min: usize, max: usize) -> Result<(), SettingsError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(SettingsError {
        key,
        problem: format!("is {value}; {min} to {max} is accepted"),
    })
}

fn within(
    key: &'static str,
    value: Duration,
    max: Duration,
    max_name: &str,
) -> Result<(), SettingsError> {
    if !value.is_zero() && value <= max {
        return Ok(());
    }
    Err(SettingsError {
        key,
        problem: format!("is {value:?}; more than 0 and at most {max_name} ({max:?}) is accepted"),
    })
}
