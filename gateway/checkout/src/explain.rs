//! A stored quote, computed again from the frozen terms alone: years later it must be the same to
//! the last unit.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_domain::id::RedemptionId;
use sluice_domain::pricing::{self, Quote};
use sluice_domain::redemption::Redemption;
use sluice_domain::redemption::TermsKey;
use sluice_domain::terms::Terms;
use sluice_ledger::Ledger;

use crate::error::CheckoutError;

/// A redemption, and its quote computed again.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// As it is stored.
    pub redemption: Redemption,
    /// What the stored facts and the frozen terms give today.
    pub replayed: Quote,
}

// === impl Explanation ===

impl Explanation {
    /// Whether the two agree on every amount. Words may differ between versions of the program.
    #[must_use]
    pub fn same(&self) -> bool {
        self.replayed.same_money(&self.redemption.record.quote)
    }
}

/// Explains a redemption; `None` where there is none. Needs nothing but a ledger to read from.
///
/// # Errors
/// When the ledger does not answer, or lacks terms that the redemption names.
pub async fn explain(
    ledger: &dyn Ledger,
    id: RedemptionId,
) -> Result<Option<Explanation>, CheckoutError> {
    let Some(redemption) = ledger.redemption(id).await? else {
        return Ok(None);
    };
    let mut keys: Vec<TermsKey> = redemption
        .record
        .candidates
        .iter()
        .map(|facts| (facts.coupon, facts.version))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let mut terms: HashMap<TermsKey, Arc<Terms>> = HashMap::new();
    for (key, row) in keys.iter().zip(ledger.terms(&keys).await?) {
        if row.terms.content_hash().0 != row.hash {
            return Err(CheckoutError::Corrupt {
                reason: format!(
                    "the terms of coupon {} version {} are not those that were stored",
                    key.0, key.1
                ),
            });
        }
        terms.insert(*key, Arc::new(row.terms));
    }
    let replayed =
        pricing::replay(&redemption.record, &terms).map_err(|error| CheckoutError::Corrupt {
            reason: error.to_string(),
        })?;
    Ok(Some(Explanation {
        redemption,
        replayed,
    }))
}
