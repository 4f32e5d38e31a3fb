//! Frozen terms, which never change: read once, kept.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_domain::redemption::TermsKey;
use sluice_domain::terms::Terms;
use sluice_ledger::Ledger;

use crate::error::CheckoutError;

/// Terms by coupon and version. An entry is never stale; the cache is bounded by count.
#[derive(Clone)]
pub(crate) struct TermsCache {
    held: moka::sync::Cache<TermsKey, Arc<Terms>>,
}

// === impl TermsCache ===

impl TermsCache {
    pub(crate) fn new(entries_max: u64) -> Self {
        Self {
            held: moka::sync::Cache::new(entries_max),
        }
    }

    /// The terms of all these keys.
    pub(crate) async fn all(
        &self,
        ledger: &dyn Ledger,
        keys: impl IntoIterator<Item = TermsKey>,
    ) -> Result<HashMap<TermsKey, Arc<Terms>>, CheckoutError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        for key in keys {
            match self.held.get(&key) {
                Some(terms) => {
                    found.insert(key, terms);
                }
                None if missing.contains(&key) => {}
                None => missing.push(key),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        for (key, row) in missing.iter().zip(ledger.terms(&missing).await?) {
            let terms = Arc::new(row.terms);
            self.held.insert(*key, Arc::clone(&terms));
            found.insert(*key, terms);
        }
        Ok(found)
    }
}
