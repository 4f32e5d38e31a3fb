//! What is done to a world, other than claiming in it.

use std::time::Duration;

use anyhow::ensure;
use sluice_domain::invariant::history::{Deed, OperatorCall};
use sluice_workers::keeper::LowerOutcome;
use tokio::task::JoinHandle;

use super::World;
use super::gate::Shut;
use crate::tally::now;

impl World {
    /// Lets no retirement of the keeper through until the answer is dropped.
    pub async fn hold_retirement(&self) -> Shut {
        self.gate.shut_retirement().await
    }

    /// Comes back when the keeper waits for a retirement that is held up. It has looked into the
    /// outbox before that.
    pub async fn retirement_waits(&self) {
        self.gate.retirement_waits().await;
    }

    /// Begins to lower the coupon's total; tells whether that was done.
    #[must_use]
    pub fn lower_total(&self, target: u64) -> JoinHandle<bool> {
        let at = now();
        self.tally.operator_call(OperatorCall {
            sent_at: at,
            answered_at: at,
            coupon: self.coupon,
            deed: Deed::SetTotal(target),
            revision: None,
        });
        let (keeper, coupon) = (self.keeper.clone(), self.coupon);
        tokio::spawn(async move {
            let outcome = keeper.lower_total(coupon, target).await;
            matches!(outcome, Ok(LowerOutcome::Lowered(_)))
        })
    }

    /// Delivers every step by which the coupon was hydrated once more.
    ///
    /// # Errors
    /// When hot state does not answer.
    pub async fn repeat_hydrations(&self) -> anyhow::Result<()> {
        let answers = self.gate.repeat_hydrations().await?;
        tracing::info!(?answers, "a hydration was delivered once more");
        ensure!(!answers.is_empty(), "nothing was ever hydrated");
        Ok(())
    }

    /// Redis steps down behind its copy and up again, with all that it was told. Nobody may write
    /// meanwhile.
    ///
    /// # Errors
    /// When the copy does not catch up, or Redis does not take it over.
    pub async fn step_down_and_up(&self) -> anyhow::Result<()> {
        self.copy.cut_off(&self.redis).await?;
        self.copy.set_back(&self.redis).await
    }

    /// Puts every lease that was ever put on the coupon's list there once more.
    ///
    /// # Errors
    /// When hot state does not answer.
    pub async fn repeat_lease_installs(&self) -> anyhow::Result<()> {
        let answers = self.gate.repeat_installs().await?;
        tracing::info!(?answers, "leases were installed once more");
        ensure!(!answers.is_empty(), "no lease was ever installed");
        Ok(())
    }

    /// From here on, what Redis is told will be lost by [`lose_tail`](Self::lose_tail).
    ///
    /// # Errors
    /// When the copy does not catch up.
    pub async fn cut_copy_off(&self) -> anyhow::Result<()> {
        self.copy.cut_off(&self.redis).await
    }

    /// Redis forgets what it was told since [`cut_copy_off`](Self::cut_copy_off), and the history
    /// says so. What is claimed after this is not excused by it.
    ///
    /// # Errors
    /// When Redis does not take the copy over.
    pub async fn lose_tail(&self) -> anyhow::Result<()> {
        self.copy.set_back(&self.redis).await?;
        let at = now();
        self.tally.loss(at);
        while now() <= at {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}
