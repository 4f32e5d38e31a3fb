//! Request limits: how often an address, a user and a device may ask.
//!
//! They protect the service and are no part of a coupon's terms: limits per user, device or
//! address *on claims* are decided exactly, with the claim. So these may be approximate, and a
//! decision never leaves the process: each limiter is a token bucket per subject ([`bucket`]),
//! and where a quota is shared by several gateways, slices of it are fetched in the background
//! ([`mod@slice`]). The three limiters are asked one after the other; none is keyed by a combination
//! of subjects, since a combination is what an attacker varies for free.

mod address;
mod bucket;
mod code_failures;
pub mod slice;
mod store;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::mpsc;

pub(crate) use address::{client_address, network_of};

use crate::settings::{LimitSettings, Rate};
use bucket::Buckets;
use code_failures::CodeFailures;
use slice::{QuotaSource, SharedQuota, SliceAsk};

/// What requests are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimiterKind {
    /// The client's address (IPv6: its /64).
    Address,
    /// The user.
    User,
    /// The device that the token names.
    Device,
}

/// A request that is over a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) limiter: LimiterKind,
    pub(crate) rate: Rate,
    pub(crate) retry_after_ms: u64,
}

/// The three limiters.
pub(crate) struct Limits {
    address: Limiter,
    user: Limiter,
    device: Limiter,
    codes_of_user: CodeFailures,
    codes_of_address: CodeFailures,
    subject_key: [u8; 32],
}

struct Limiter {
    kind: LimiterKind,
    rate: Rate,
    buckets: Buckets,
    shared: Option<SharedQuota>,
}

// === impl LimiterKind ===

impl LimiterKind {
    /// All kinds, in the order of their use.
    pub const ALL: [Self; 3] = [Self::Address, Self::User, Self::Device];

    /// The name in metrics, headers and quota keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::User => "user",
            Self::Device => "device",
        }
    }
}

// === impl Limits ===

impl Limits {
    /// Full buckets. With a quota source, the receiver gets the asks for slices.
    pub(crate) fn new(
        settings: &LimitSettings,
        shared: bool,
    ) -> Result<(Self, mpsc::Receiver<SliceAsk>), getrandom::Error> {
        let mut random_key = [0; 32];
        getrandom::fill(&mut random_key)?;
        let (asks, receiver) = mpsc::channel(slice::ASKS_QUEUED_MAX);
        let limiter = |kind, rate: Rate| Limiter {
            kind,
            rate,
            // A part of a shared quota is given on credit before the first slice comes, and while
            // the source is away: half of it, so that two gateways do not double it.
            buckets: Buckets::new(if shared { rate.halved() } else { rate }, settings.keys_max),
            shared: shared.then(|| SharedQuota::new(kind, rate, settings.keys_max, asks.clone())),
        };
        let failures = |most| CodeFailures::new(most, &settings.code_failures, settings.keys_max);
        let limits = Self {
            address: limiter(LimiterKind::Address, settings.address),
            user: limiter(LimiterKind::User, settings.user),
            device: limiter(LimiterKind::Device, settings.device),
            codes_of_user: failures(settings.code_failures.per_user),
            codes_of_address: failures(settings.code_failures.per_address),
            subject_key: settings.subject_key.unwrap_or(random_key),
        };
        Ok((limits, receiver))
    }

    /// Counts a request of this address.
    pub(crate) fn check_address(&self, address: IpAddr) -> Result<(), Denied> {
        let (network, length) = network_of(address);
        self.address.check(self.subject(&network[..length]))
    }

    /// Counts a request of this user.
    pub(crate) fn check_user(&self, user: &[u8]) -> Result<(), Denied> {
        self.user.check(self.subject(user))
    }

    /// Counts a request of this device.
    pub(crate) fn check_device(&self, device: &[u8]) -> Result<(), Denied> {
        self.device.check(self.subject(device))
    }

    /// Whether codes of this user from this address are listened to, or after how many
    /// milliseconds they are.
    pub(crate) fn check_codes(&self, user: &[u8], address: IpAddr) -> Result<(), u64> {
        let (network, length) = network_of(address);
        self.codes_of_user.check(self.subject(user))?;
        self.codes_of_address
            .check(self.subject(&network[..length]))
    }

    /// Counts a code that was not accepted.
    pub(crate) fn count_wrong_code(&self, user: &[u8], address: IpAddr) {
        let (network, length) = network_of(address);
        self.codes_of_user.count(self.subject(user));
        self.codes_of_address
            .count(self.subject(&network[..length]));
    }

    /// Forgets subjects whose buckets are full again. Returns how many are left, per kind.
    pub(crate) fn sweep(&self) -> [(LimiterKind, usize); 3] {
        [&self.address, &self.user, &self.device].map(|limiter| {
            if let Some(shared) = &limiter.shared {
                shared.sweep();
            }
            (limiter.kind, limiter.buckets.sweep())
        })
    }

    /// Fetches slices until the asks end. Runs in the background, away from requests.
    pub(crate) async fn fetch_slices(
        self: Arc<Self>,
        source: Arc<dyn QuotaSource>,
        asks: mpsc::Receiver<SliceAsk>,
    ) {
        slice::fetch(asks, source, |grant| {
            let limiter = match grant.limiter {
                LimiterKind::Address => &self.address,
                LimiterKind::User => &self.user,
                LimiterKind::Device => &self.device,
            };
            if let Some(shared) = &limiter.shared {
                shared.settle(&grant);
            }
        })
        .await;
    }

    /// A subject is named by a keyed hash: the same on every gateway that has the key, and no
    /// address or user in any store.
    fn subject(&self, name: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(&self.subject_key, name);
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

// === impl Limiter ===

impl Limiter {
    fn check(&self, subject: u64) -> Result<(), Denied> {
        let decided = match &self.shared {
            None => self.buckets.check(subject),
            Some(shared) => shared.check(subject, || self.buckets.check(subject)),
        };
        decided.map_err(|retry_after_ms| Denied {
            limiter: self.kind,
            rate: self.rate,
            retry_after_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_buckets_of_their_own() {
        let settings = LimitSettings {
            address: Rate {
                per_second: 1,
                burst: 2,
            },
            user: Rate {
                per_second: 1,
                burst: 1,
            },
            ..LimitSettings::default()
        };
        let (limits, _asks) = Limits::new(&settings, false).unwrap();
        let home: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let other: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        assert_eq!(limits.check_address(home), Ok(()));
        assert_eq!(limits.check_address(neighbour), Ok(()), "same /64, burst 2");
        let denied = limits.check_address(home).unwrap_err();
        assert_eq!(denied.limiter, LimiterKind::Address);
        assert!((1..=1_000).contains(&denied.retry_after_ms), "{denied:?}");
        assert_eq!(limits.check_address(other), Ok(()));
        assert_eq!(limits.check_user(b"u"), Ok(()));
        assert!(limits.check_user(b"u").is_err());
        assert_eq!(limits.check_user(b"v"), Ok(()));
    }
}
