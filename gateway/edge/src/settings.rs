//! Every number the data plane can be given, with its default, and the check that refuses
//! senseless ones before a port is bound.

use std::time::Duration;

use ipnet::IpNet;

/// Settings of the data plane. The defaults are those of the security page.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// Open connections in all, 1 to 1,000,000. At the limit nothing is accepted; the kernel's
    /// backlog holds newcomers.
    pub connections_max: usize,
    /// Open connections per client address (IPv6: per /64), from 1. Off when limits are off.
    pub connections_per_address_max: usize,
    /// Requests served on one connection before it is closed in good order, from 1.
    pub requests_per_connection_max: u32,
    /// Requests being handled at once; more are answered 503 `overloaded`, each class of requests from
    /// a share of it on (`docs/overload.md`). From 1.
    pub in_flight_max: usize,
    /// How long a new connection may be silent (or stay inside the HTTP/2 preface).
    pub first_byte_timeout: Duration,
    /// How long the head of an HTTP/1 request may take, idle time between requests included.
    pub header_read_timeout: Duration,
    /// How long a request body may take.
    pub body_timeout: Duration,
    /// How long connections may finish after a shutdown began; then they are cut.
    pub drain_deadline: Duration,
    /// Header fields per request, 1 to 90 (hyper's own backstop is 100).
    pub header_fields_max: usize,
    /// Bytes of all header names and values, 256 to 32,768.
    pub header_bytes_max: usize,
    /// Bytes of path and query, 64 to 8,192.
    pub uri_bytes_max: usize,
    /// Bytes of the body of a claim or pass request, 2 to 65,536.
    pub body_bytes_max: usize,
    /// Bytes of the body of a checkout request, 1,024 to 1,048,576.
    pub checkout_body_bytes_max: usize,
    /// HTTP/2 streams open at once on one connection, from 1.
    pub streams_per_connection_max: u32,
    /// Origins that browsers may call from, exactly as browsers send them, or the single entry `*`.
    pub cors_origins: Vec<String>,
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How often the key files of identity are looked at. A rotation overlaps for minutes at least.
    pub key_files_interval: Duration,
    /// Request limits.
    pub limits: LimitSettings,
    /// One request in so many is logged; 0 logs none. Defects are always logged.
    pub access_log_one_in: u32,
    /// Whether a response is written with `writev` instead of being copied into one buffer.
    pub vectored_writes: bool,
    /// Whether answers to pipelined requests are flushed together.
    pub pipeline_flush: bool,
}

/// Request limits. They protect the service; limits of a coupon are decided with the claim.
#[derive(Debug, Clone)]
pub struct LimitSettings {
    /// False turns all request limits and the connections-per-address cap off (load tests).
    pub enabled: bool,
    /// Per client address (IPv6: per /64).
    pub address: Rate,
    /// Per user.
    pub user: Rate,
    /// Per device named in the token.
    pub device: Rate,
    /// Wrong codes.
    pub code_failures: CodeFailureLimit,
    /// Keys held per limiter, from 1; more share coarse buckets.
    pub keys_max: usize,
    /// How often keys that are full again are forgotten.
    pub sweep_interval: Duration,
    /// Key of the hash that names subjects in shared quotas; the same on every gateway. Where
    /// absent each process makes its own, which is right for a single gateway only.
    pub subject_key: Option<[u8; 32]>,
}

/// How many wrong codes are listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeFailureLimit {
    /// Of one user within the window, from 1.
    pub per_user: u32,
    /// From one address (IPv6: from one /64) within the window, from 1.
    pub per_address: u32,
    /// From a subject's first failure on, 1 s to 24 h.
    pub window: Duration,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests per second in the long run, 1 to 1,000,000.
    pub per_second: u32,
    /// Requests at once, 1 to 1,000,000.
    pub burst: u32,
}

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct SettingsError {
    /// The field, by its name in [`EdgeSettings`].
    pub field: &'static str,
    /// What is wrong, in words.
    pub problem: &'static str,
}

// === impl EdgeSettings ===

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            connections_per_address_max: 100,
            requests_per_connection_max: 10_000,
            in_flight_max: 10_000,
            first_byte_timeout: Duration::from_secs(3),
            header_read_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(10),
            header_fields_max: 64,
            header_bytes_max: 16 * 1024,
            uri_bytes_max: 2 * 1024,
            body_bytes_max: 4 * 1024,
            checkout_body_bytes_max: 256 * 1024,
            streams_per_connection_max: 64,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            key_files_interval: Duration::from_secs(1),
            limits: LimitSettings::default(),
            access_log_one_in: 1_000,
            vectored_writes: false,
            pipeline_flush: true,
        }
    }
}

impl EdgeSettings {
    /// Refuses settings outside their documented ranges.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn validate(&self) -> Result<(), SettingsError> {
        within("connections_max", self.connections_max, 1, 1_000_000)?;
        within(
            "connections_per_address_max",
            self.connections_per_address_max,
            1,
            1_000_000,
        )?;
        within("in_flight_max", self.in_flight_max, 1, 10_000_000)?;
        within("header_fields_max", self.header_fields_max, 1, 90)?;
        within("header_bytes_max", self.header_bytes_max, 256, 32_768)?;
        within("uri_bytes_max", self.uri_bytes_max, 64, 8_192)?;
        within("body_bytes_max", self.body_bytes_max, 2, 65_536)?;
        within(
            "checkout_body_bytes_max",
            self.checkout_body_bytes_max,
            1_024,
            1_048_576,
        )?;
        within("limits.keys_max", self.limits.keys_max, 1, 100_000_000)?;
        if self.requests_per_connection_max == 0 {
            return Err(out_of_range("requests_per_connection_max"));
        }
        if self.streams_per_connection_max == 0 {
            return Err(out_of_range("streams_per_connection_max"));
        }
        for (field, time) in [
            ("first_byte_timeout", self.first_byte_timeout),
            ("header_read_timeout", self.header_read_timeout),
            ("body_timeout", self.body_timeout),
            ("drain_deadline", self.drain_deadline),
            ("key_files_interval", self.key_files_interval),
            ("limits.sweep_interval", self.limits.sweep_interval),
        ] {
            if time < Duration::from_millis(10) || time > Duration::from_secs(600) {
                return Err(SettingsError {
                    field,
                    problem: "is outside 10 ms to 10 min",
                });
            }
        }
        for (field, rate) in [
            ("limits.address", self.limits.address),
            ("limits.user", self.limits.user),
            ("limits.device", self.limits.device),
        ] {
            rate.validate(field)?;
        }
        self.limits.code_failures.validate()?;
        self.validate_origins()
    }

    fn validate_origins(&self) -> Result<(), SettingsError> {
        let field = "cors_origins";
        if self.cors_origins.len() > 1 && self.cors_origins.iter().any(|origin| origin == "*") {
            return Err(SettingsError {
                field,
                problem: "has * beside other origins",
            });
        }
        for origin in self.cors_origins.iter().filter(|origin| *origin != "*") {
            let scheme = origin
                .strip_prefix("https://")
                .or_else(|| origin.strip_prefix("http://"));
            if scheme.is_none_or(|rest| {
                rest.is_empty() || rest.bytes().any(|b| !b.is_ascii_graphic() || b == b'/')
            }) {
                return Err(SettingsError {
                    field,
                    problem: "has an entry that is no origin; write https://shop.example",
                });
            }
        }
        Ok(())
    }
}

// === impl LimitSettings ===

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            // An address may be a whole office or a carrier's gateway.
            address: Rate {
                per_second: 100,
                burst: 200,
            },
            user: Rate {
                per_second: 5,
                burst: 20,
            },
            device: Rate {
                per_second: 10,
                burst: 40,
            },
            code_failures: CodeFailureLimit::default(),
            keys_max: 200_000,
            sweep_interval: Duration::from_secs(10),
            subject_key: None,
        }
    }
}

// === impl CodeFailureLimit ===

impl Default for CodeFailureLimit {
    fn default() -> Self {
        Self {
            per_user: 10,
            // An address may be a whole office or a carrier's gateway.
            per_address: 100,
            window: Duration::from_secs(600),
        }
    }
}

impl CodeFailureLimit {
    fn validate(&self) -> Result<(), SettingsError> {
        if self.per_user == 0 {
            return Err(out_of_range("limits.code_failures_per_user"));
        }
        if self.per_address == 0 {
            return Err(out_of_range("limits.code_failures_per_address"));
        }
        if self.window < Duration::from_secs(1) || self.window > Duration::from_secs(86_400) {
            return Err(SettingsError {
                field: "limits.code_failures_window",
                problem: "is outside 1 s to 24 h",
            });
        }
        Ok(())
    }
}

// === impl Rate ===

impl Rate {
    /// Half of it, at least one: what a gateway allows by itself while shared quotas are away.
    #[must_use]
    pub const fn halved(self) -> Self {
        Self {
            per_second: halve(self.per_second),
            burst: halve(self.burst),
        }
    }

    fn validate(self, field: &'static str) -> Result<(), SettingsError> {
        let range = 1..=1_000_000;
        if range.contains(&self.per_second) && range.contains(&self.burst) {
            Ok(())
        } else {
            Err(SettingsError {
                field,
                problem: "is outside 1 to 1,000,000",
            })
        }
    }
}

const fn halve(value: u32) -> u32 {
    if value < 2 { 1 } else { value / 2 }
}

fn within(field: &'static str, value: usize, low: usize, high: usize) -> Result<(), SettingsError> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(out_of_range(field))
    }
}

const fn out_of_range(field: &'static str) -> SettingsError {
    SettingsError {
        field,
        problem: "is outside its range",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_accepted() {
        assert_eq!(EdgeSettings::default().validate(), Ok(()));
    }

    #[test]
    fn senseless_values_are_named() {
        let mut settings = EdgeSettings::default();
        settings.limits.user.burst = 0;
        assert_eq!(
            settings.validate().map_err(|error| error.field),
            Err("limits.user")
        );
        let settings = EdgeSettings {
            cors_origins: vec!["shop.example".to_owned()],
            ..EdgeSettings::default()
        };
        assert_eq!(
            settings.validate().map_err(|error| error.field),
            Err("cors_origins")
        );
        let settings = EdgeSettings {
            header_fields_max: 1_000,
            ..EdgeSettings::default()
        };
        assert_eq!(
            settings.validate().map_err(|error| error.field),
            Err("header_fields_max")
        );
    }
}
