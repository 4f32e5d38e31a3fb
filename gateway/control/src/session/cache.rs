//! Keys remembered for a moment, so that a busy console does not ask the ledger for each request.
//!
//! A revocation in another process is in force when the memory ends: the bound of two seconds for
//! "revoked everywhere" holds with a memory of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_ledger::api_keys::ApiKey;
use sluice_ledger::{Ledger, LedgerError};
use tokio::time::Instant;

/// Keys found, and prefixes that were not, each with the instant before it was asked for.
pub(crate) struct KeyCache {
    ledger: Arc<dyn Ledger>,
    ttl: Duration,
    entries_max: usize,
    entries: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    asked_at: Instant,
    key: Option<ApiKey>,
}

impl KeyCache {
    /// An empty memory over a ledger.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, ttl: Duration, entries_max: usize) -> Self {
        Self {
            ledger,
            ttl,
            entries_max,
            entries: Mutex::new(HashMap::new()),
        }
    }

    /// The key with this public part, no older than the bound.
    pub(crate) async fn find(&self, prefix: &str) -> Result<Option<ApiKey>, LedgerError> {
        if let Some(entry) = self.lock().get(prefix)
            && entry.asked_at.elapsed() < self.ttl
        {
            return Ok(entry.key.clone());
        }
        // Taken before the question: the answer is at least as fresh as this says.
        let asked_at = Instant::now();
        let key = self.ledger.key(prefix).await?;
        let mut entries = self.lock();
        if entries.len() >= self.entries_max {
            entries.retain(|_prefix, entry| entry.asked_at.elapsed() < self.ttl);
        }
        if entries.len() < self.entries_max {
            let entry = Entry {
                asked_at,
                key: key.clone(),
            };
            entries.insert(prefix.to_owned(), entry);
        }
        Ok(key)
    }

    /// Forgets a key that was just changed here.
    pub(crate) fn forget(&self, prefix: &str) {
        self.lock().remove(prefix);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
