//! Refund: pieces come back, and money with them.

use std::collections::HashMap;
use std::sync::Arc;

use sluice_domain::cart::Cart;
use sluice_domain::id::RedemptionId;
use sluice_domain::pricing::{self, Candidate, CandidateFacts, Choose, Quote, QuoteInput};
use sluice_domain::reason::ReasonCode;
use sluice_domain::redemption::decide::Command;
use sluice_domain::redemption::{QuoteRecord, RefundPolicy, TermsKey};
use sluice_domain::refund::Wanted;
use sluice_domain::terms::Terms;
use sluice_domain::time::Timestamp;

use crate::error::{Answer, CheckoutError, Refused};
use crate::settle::{Carried, Operation, Refunded};
use crate::{Checkout, metrics};

/// What kept pieces are priced with: the claims that were applied, as they were, under their frozen
/// terms, at the frozen instant.
pub(crate) struct Repricing {
    input: QuoteInput,
}

// === impl Repricing ===

impl Repricing {
    fn of(record: &QuoteRecord, terms: &HashMap<TermsKey, Arc<Terms>>) -> Self {
        let applied = |facts: &&CandidateFacts| {
            record
                .quote
                .applied
                .iter()
                .any(|applied| applied.claim_id == facts.claim_id)
        };
        let candidates = record
            .candidates
            .iter()
            .filter(applied)
            .filter_map(|facts| {
                Some(Candidate {
                    terms: Arc::clone(terms.get(&(facts.coupon, facts.version))?),
                    facts: facts.clone(),
                })
            });
        Self {
            input: QuoteInput {
                cart: record.cart.clone(),
                buyer: record.buyer.clone(),
                candidates: candidates.collect(),
                choose: Choose::Given,
                limits: record.limits,
                now: record.now,
            },
        }
    }

    pub(crate) fn quote(&self, cart: &Cart) -> Quote {
        pricing::quote(&QuoteInput {
            cart: cart.clone(),
            ..self.input.clone()
        })
    }
}

// === impl Checkout ===

impl Checkout {
    /// Gives back what was paid for the pieces that come back. The refund id makes it idempotent.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn refund(
        &self,
        id: RedemptionId,
        refund_id: &str,
        wanted: Wanted,
        operation: &Operation,
        now: Timestamp,
    ) -> Answer<Refunded> {
        let command = Command::Refund {
            refund_id: refund_id.to_owned(),
            wanted,
        };
        let answer = match self.command(id, operation, &command, now).await? {
            Carried::Refunded(refunded) => Ok(refunded),
            Carried::Refused(refused) | Carried::UsesRefused(refused) => Err(refused),
            Carried::Settled(_) | Carried::Again => Err(Refused::of(ReasonCode::Conflict)),
        };
        let word = match &answer {
            Ok(refunded) if refunded.replayed => "replayed",
            Ok(_) => "done",
            Err(_) => "refused",
        };
        metrics::transition("refund", word);
        Ok(answer)
    }

    /// What a refund that re-evaluates prices kept pieces with; nothing is applied where it does
    /// not.
    pub(crate) async fn repricing(
        &self,
        command: &Command,
        record: &QuoteRecord,
        policy: RefundPolicy,
    ) -> Result<Repricing, CheckoutError> {
        let reevaluates =
            matches!(command, Command::Refund { .. }) && policy == RefundPolicy::Reevaluate;
        let terms = if reevaluates {
            let applied = record.quote.applied.iter();
            let keys = applied.map(|applied| (applied.coupon, applied.version));
            self.terms.all(&*self.ledger, keys).await?
        } else {
            HashMap::new()
        };
        Ok(Repricing::of(record, &terms))
    }
}
