//! The ledger's API keys, as the edge asks for those of services.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use sluice_control::ApiKeyText;
use sluice_edge::service_key::{KeysUnavailable, ServiceKey, ServiceKeys};
use sluice_ledger::Ledger;
use sluice_ledger::api_keys::{ApiKey, Scope};

use crate::clock::SystemClock;

/// A key revoked in another process is refused here after this: "revoked everywhere within two
/// seconds" holds with one.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Prefixes remembered; made-up ones count too.
const REMEMBERED_MAX: u64 = 10_000;

/// Keys in the ledger, each remembered for a moment.
pub(crate) struct LedgerServiceKeys {
    ledger: Arc<dyn Ledger>,
    clock: SystemClock,
    seen: Cache<String, Option<ApiKey>>,
}

impl LedgerServiceKeys {
    /// Keys of this ledger.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, clock: SystemClock) -> Self {
        Self {
            ledger,
            clock,
            seen: Cache::builder()
                .max_capacity(REMEMBERED_MAX)
                .time_to_live(REMEMBERED)
                .build(),
        }
    }

    async fn find(&self, prefix: &str) -> Result<Option<ApiKey>, KeysUnavailable> {
        if let Some(key) = self.seen.get(prefix) {
            return Ok(key);
        }
        let key = self.ledger.key(prefix).await.map_err(|error| {
            tracing::warn!(%error, "API keys cannot be read");
            KeysUnavailable
        })?;
        self.seen.insert(prefix.to_owned(), key.clone());
        Ok(key)
    }
}

#[async_trait::async_trait]
impl ServiceKeys for LedgerServiceKeys {
    async fn prove(&self, text: &str) -> Result<Option<ServiceKey>, KeysUnavailable> {
        let Some(presented) = ApiKeyText::parse(text) else {
            return Ok(None);
        };
        let stored = self.find(presented.prefix()).await?;
        // An unknown key is compared too, so that its answer takes as long as a wrong secret's.
        let hash = stored.as_ref().map_or([0; 32], |key| key.hash);
        let proven = presented.proves(&hash);
        let now = self.clock.wall();
        let live = |key: &ApiKey| {
            key.revoked_at.is_none() && key.expires_at.is_none_or(|expires_at| now < expires_at)
        };
        Ok(stored
            .filter(|key| proven && live(key))
            .map(|key| ServiceKey {
                checkout: key.scopes.contains(&Scope::Checkout),
                events: key.scopes.contains(&Scope::Events),
                prefix: key.prefix,
            }))
    }
}
