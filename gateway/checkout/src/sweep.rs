//! Sweep: holds that ran out are freed.

use sluice_domain::id::RedemptionId;
use sluice_domain::redemption::decide::Command;
use sluice_domain::time::Timestamp;

use crate::error::CheckoutError;
use crate::settle::{Carried, Operation};
use crate::{Checkout, metrics};

/// The name under which the ledger keeps what nobody asked for.
const ACTOR: &str = "sluice";

// === impl Checkout ===

impl Checkout {
    /// Frees holds that ran out by `now`, at most `limit`; returns how many it freed. A rerun is
    /// harmless: each is one compare-and-set, and a confirm that came first wins.
    ///
    /// One that cannot be freed does not keep the others: the sweep goes on behind it.
    ///
    /// # Errors
    /// When the ledger does not answer. What was freed before stays so.
    pub async fn sweep(&self, now: Timestamp, limit: usize) -> Result<usize, CheckoutError> {
        let mut freed = 0;
        let mut after = None;
        while freed < limit {
            let page = self.ledger.due(now, after, limit - freed).await?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            for redemption in page {
                match self.expire(redemption, now).await {
                    Ok(done) => freed += usize::from(done),
                    Err(CheckoutError::Corrupt { reason }) => {
                        tracing::error!(%redemption, reason, "a hold that ran out cannot be freed");
                        metrics::stuck();
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(freed)
    }

    /// Frees one hold that ran out; false where something else came first.
    pub(crate) async fn expire(
        &self,
        redemption: RedemptionId,
        now: Timestamp,
    ) -> Result<bool, CheckoutError> {
        let operation = Operation {
            owner: None,
            actor: ACTOR.to_owned(),
            key: None,
        };
        let carried = self
            .command(redemption, &operation, &Command::Expire, now)
            .await?;
        let freed = matches!(carried, Carried::Settled(settled) if !settled.replayed);
        if freed {
            metrics::freed();
        }
        Ok(freed)
    }
}
