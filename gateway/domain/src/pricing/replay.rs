//! Computing a stored quote again, from what was stored with it and the frozen terms alone.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::{CouponId, Version};
use crate::pricing::{Candidate, Quote, QuoteInput, quote};
use crate::redemption::{QuoteRecord, TermsKey};
use crate::terms::Terms;

/// Why a stored quote cannot be computed again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The terms of a claim are not among those given.
    #[error("version {version} of the terms of coupon {coupon} is missing")]
    TermsMissing {
        /// The coupon.
        coupon: CouponId,
        /// The version.
        version: Version,
    },
}

/// Computes the quote of a record again, for the instant of the record.
///
/// The outcome has the same money as the stored quote ([`Quote::same_money`]); where it has not,
/// one of the two programs is wrong, and the caller should say so. Wording and trace may differ
/// between versions of the program.
///
/// # Errors
/// Where the frozen terms of a candidate are missing.
pub fn replay(
    record: &QuoteRecord,
    terms: &HashMap<TermsKey, Arc<Terms>>,
) -> Result<Quote, ReplayError> {
    let candidates = record
        .candidates
        .iter()
        .map(|facts| {
            let key = (facts.coupon, facts.version);
            let terms = terms.get(&key).ok_or(ReplayError::TermsMissing {
                coupon: facts.coupon,
                version: facts.version,
            })?;
            Ok(Candidate {
                terms: Arc::clone(terms),
                facts: facts.clone(),
            })
        })
        .collect::<Result<Vec<Candidate>, ReplayError>>()?;
    Ok(quote(&QuoteInput {
        cart: record.cart.clone(),
        buyer: record.buyer.clone(),
        candidates,
        choose: record.choose,
        limits: record.limits,
        now: record.now,
    }))
}

impl Quote {
    /// Whether two quotes agree on every amount: totals, and for each claim what it takes off which
    /// line. Texts, and how well the optimum was proven, are not compared.
    #[must_use]
    pub fn same_money(&self, other: &Self) -> bool {
        let totals = |quote: &Self| {
            (
                quote.currency,
                (quote.subtotal, quote.shipping),
                (quote.discount, quote.total),
            )
        };
        totals(self) == totals(other) && self.applied == other.applied
    }
}
