//! The Redis of request limits: another server, without lanes, epochs or durability.
//!
//! Gateways take slices of a shared quota ahead of need and decide locally, so no request ever
//! waits for this server, and losing it loses no claim.

use std::sync::Arc;
use std::time::Duration;

use sluice_claim::port::StoreError;

use super::ConnectError;
use super::call::Call;
use super::connection::{Link, LinkSettings};
use super::places::Way;
use super::reply::{array, nonsense, number};
use super::script::{Handles, Script};

/// A client of the Redis of request limits. Connects when it is first used.
#[derive(Debug)]
pub struct LimiterRedis {
    link: Link,
    handles: Handles,
}

/// A slice of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaSlice {
    /// How many requests may pass for it, 0 to what was asked for.
    pub granted: u32,
    /// Until when it is good: the end of the window, from now.
    pub window_left: Duration,
}

impl LimiterRedis {
    /// A client of this server. Nothing is connected yet. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn connect(url: &str) -> Result<Arc<Self>, ConnectError> {
        let settings = LinkSettings {
            connect_timeout: Duration::from_millis(100),
            response_timeout: Duration::from_millis(250),
            in_flight_max: 256,
        };
        Ok(Arc::new(Self {
            link: Link::new(url, settings).map_err(ConnectError::Url)?,
            handles: Handles::new(),
        }))
    }

    /// Takes up to `slice` requests off the quota `key`, of which all gateways together get at most
    /// `limit` in each window of `window_ms` milliseconds (from 1). A window begins with the first
    /// slice taken in it.
    ///
    /// # Errors
    /// As [`StoreError`] says; after `Unknown` a slice may have been taken, and is simply lost.
    pub async fn take_slice(
        &self,
        key: &str,
        window_ms: u64,
        slice: u32,
        limit: u32,
    ) -> Result<QuotaSlice, StoreError> {
        let value = Call::new(&self.handles, Script::Limits)
            .key(&format!("limit:{key}"))
            .arg(window_ms)
            .arg(slice)
            .arg(limit)
            .send(Way::Link(&self.link))
            .await?;
        match array(value)?.as_slice() {
            [granted, left] => Ok(QuotaSlice {
                granted: u32::try_from(number(granted)?).unwrap_or(0).min(slice),
                window_left: Duration::from_millis(number(left)?),
            }),
            _ => Err(nonsense("a slice is not two numbers")),
        }
    }
}
