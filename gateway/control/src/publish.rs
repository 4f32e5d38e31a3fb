//! The only way from a saved definition to hot state.
//!
//! 0. Once in a process's life: its lanes have nothing of the coupon that the ledger does not have
//!    ([`compare`]).
//! 1. The ledger first, by compare-and-set on the revision, with the audit entry in the same
//!    transaction.
//! 2. `install` in each of the coupon's lanes, under the epoch that the lane row has. It counts only
//!    if the lane row, read serially *after* it, still has that epoch: else the install may have gone into
//!    an epoch that was over, or a recovery may have read the definition before step 1. Then again. And
//!    only if that epoch was opened: until then an older one may still be salvaged.
//! 3. Only then is the change answered with 200. Where the lane cannot take it within a short
//!    deadline, the answer is 503 `outcome: unknown` naming the lane, and [`retry`] goes on until it
//!    is installed; after a restart [`sweep`](Publisher::sweep) finds what is still missing.
//!
//! Before a definition of class `hot` reaches a lane, the coupon's open leases are flagged: a lease
//! from which a `hot` claim may have been granted must go through quarantine when its epoch ends.
//! This is done on every install of such a definition, so no order of crashes leaves it out.

mod compare;
mod retry;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sluice_claim::port::{NotReady, StoreError};
use sluice_domain::claim::Durability;
use sluice_domain::coupon::Coupon;
use sluice_domain::id::{CouponId, Epoch, LaneId, Revision};
use sluice_domain::lane::LaneCount;
use sluice_domain::published::{Published, PublishedVersion};
use sluice_hotstate::LaneStore;
use sluice_hotstate::lane_store::Installed;
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::coupons::CouponWrite;
use sluice_ledger::{Ledger, LedgerError};
use tokio::time::Instant;

use crate::error::{Answer, Problem};
use crate::port::{Gateways, LaneOperator};
use crate::settings::ControlSettings;
use compare::Compared;
use retry::Retries;

/// First pause between two attempts inside the deadline; doubles up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Saves definitions and puts them in force.
pub struct Publisher {
    ledger: Arc<dyn Ledger>,
    lanes_store: Arc<dyn LaneStore>,
    gateways: Arc<dyn Gateways>,
    lane_operator: Arc<dyn LaneOperator>,
    lanes: LaneCount,
    settings: ControlSettings,
    retries: Retries,
    compared: Compared,
}

/// What saving a changed coupon ended in.
#[derive(Debug)]
pub enum Saved {
    /// In the ledger and, where it is published, in force in its lane.
    InForce,
    /// Another change came first; nothing was written.
    Stale(Box<Coupon>),
}

/// Why a lane does not have a definition yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Behind {
    /// The lane was in another epoch than its row said, or its epoch rose meanwhile.
    #[error("its epoch is changing")]
    EpochMoved,
    /// The lane does not answer for its past.
    #[error("{0}")]
    NotReady(NotReady),
    /// The lane has a revision that the ledger, read after it, does not have.
    #[error("it has revision {0}, which the ledger does not: the ledger was set back")]
    SetBack(Revision),
    /// The call took too long.
    #[error("it did not answer in time")]
    Silent,
    /// The store could not do it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The ledger could not be asked.
    #[error("{0}")]
    Ledger(#[from] LedgerError),
}

impl Publisher {
    /// A publisher on these stores; nothing is written before a coupon is saved.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn Ledger>,
        lanes_store: Arc<dyn LaneStore>,
        gateways: Arc<dyn Gateways>,
        lane_operator: Arc<dyn LaneOperator>,
        settings: ControlSettings,
    ) -> Self {
        let lanes = ledger.identity().lanes;
        Self {
            ledger,
            lanes_store,
            gateways,
            lane_operator,
            lanes,
            settings,
            retries: Retries::new(settings.retries_max),
            compared: Compared::default(),
        }
    }

    /// Saves a changed coupon, whose revision is one above `seen`, and puts it in force.
    ///
    /// # Errors
    /// 503 `unknown` where the change is saved and not in force yet, or may be saved; 503 `recovering`
    /// where nothing is saved because the coupon's lanes could not be compared with the ledger.
    pub async fn save(&self, seen: Revision, coupon: &Coupon, entry: AuditEntry) -> Answer<Saved> {
        self.compare(seen, coupon.id).await?;
        let actor = entry.actor.clone();
        if coupon.spec.durability == Durability::Hot && coupon.first_open_at.is_some() {
            self.ledger.set_hot_possible(coupon.id).await?;
        }
        let written = self.ledger.update_coupon(seen, coupon, &actor, entry).await;
        match written {
            Ok(CouponWrite::Done) => {}
            Ok(CouponWrite::Stale(current)) => return Ok(Saved::Stale(current)),
            Ok(CouponWrite::Unknown) => return Err(Problem::no_coupon()),
            Ok(CouponWrite::CodeTaken { holder }) => return Err(Problem::code_taken(holder)),
            Err(error) => {
                // It may be written; whatever the ledger holds is to reach the lane.
                self.retries.add(coupon.id);
                return Err(error.into());
            }
        }
        self.put_in_force(coupon).await?;
        Ok(Saved::InForce)
    }

    /// Installs a saved coupon in its lanes, again and again until the deadline.
    ///
    /// # Errors
    /// 503 `unknown`, naming the lane, where it is not in force by then; it goes on behind.
    pub async fn put_in_force(&self, coupon: &Coupon) -> Answer<()> {
        let done = self.until_deadline(coupon).await;
        done.map_err(|(lane, behind)| self.left_behind(coupon, lane, &behind))
    }

    /// Attempts until one succeeds or the deadline is there; says which lane does not have it then.
    async fn until_deadline(&self, coupon: &Coupon) -> Result<(), (LaneId, Behind)> {
        let deadline = Instant::now() + self.settings.publish_deadline;
        let mut pause = PAUSE_MIN;
        loop {
            let behind = match self.attempt(coupon).await {
                Ok(()) => {
                    self.compared.add(coupon.id);
                    return Ok(());
                }
                Err(behind) => behind,
            };
            if Instant::now() + pause >= deadline {
                return Err(behind);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// One attempt in all lanes of the coupon, at once; says which lane does not have it.
    async fn attempt(&self, coupon: &Coupon) -> Result<(), (LaneId, Behind)> {
        let home = self.lanes.lane_of(coupon.id);
        let at_home = |error: LedgerError| (home, Behind::Ledger(error));
        let Some(published) = self.published(coupon).await.map_err(at_home)? else {
            return Ok(());
        };
        if coupon.spec.durability == Durability::Hot {
            let flagged = self.ledger.set_hot_possible(coupon.id).await;
            flagged.map_err(at_home)?;
        }
        let lanes = || self.lanes.lanes_of(coupon.id, coupon.spec.shards);
        let installs = lanes().map(|lane| self.attempt_in(lane, &published));
        // All of them, also where one fails: the others are in force the sooner.
        let installed = join_all(installs).await;
        self.gateways.invalidate(coupon.id);
        for (lane, installed) in lanes().zip(installed) {
            installed.map_err(|behind| (lane, behind))?;
        }
        for lane in lanes() {
            self.lane_operator.changed(lane, coupon.id);
        }
        Ok(())
    }

    /// Installs in one lane, then sees that it went into the epoch that is in force.
    async fn attempt_in(&self, lane: LaneId, published: &Published) -> Result<(), Behind> {
        let before = self.ledger.lane(lane).await?.epoch;
        self.install(lane, before, published).await?;
        let row = self.ledger.lane(lane).await?;
        if row.epoch != before {
            return Err(Behind::EpochMoved);
        }
        // An epoch that was never opened may end with its server; then what an old primary grants in
        // the epoch before, which does not know the change, is salvaged after all.
        if row.opened != before {
            return Err(Behind::NotReady(NotReady::Recovering));
        }
        Ok(())
    }

    async fn install(
        &self,
        lane: LaneId,
        epoch: Epoch,
        published: &Published,
    ) -> Result<(), Behind> {
        let call = self.lanes_store.install(lane, epoch, published);
        let answer = tokio::time::timeout(self.settings.lane_call_timeout, call)
            .await
            .map_err(|_elapsed| Behind::Silent)??;
        match answer {
            Installed::Applied => Ok(()),
            Installed::Older { in_force } => self.check_set_back(published, in_force).await,
            Installed::Epoch(_) => Err(Behind::EpochMoved),
            Installed::NotReady(why) => {
                if why.is_loss() {
                    self.lane_operator.lost(lane, epoch, why);
                }
                Err(Behind::NotReady(why))
            }
        }
    }

    /// The published form; `None` for a coupon that was never published.
    async fn published(&self, coupon: &Coupon) -> Result<Option<Published>, LedgerError> {
        if coupon.first_open_at.is_none() {
            return Ok(None);
        }
        let versions = self.ledger.versions(coupon.id).await?;
        let earlier: Vec<PublishedVersion> =
            versions.into_iter().map(|row| row.published).collect();
        Ok(Published::of(coupon, &earlier))
    }

    /// Hands a coupon to the background and makes the answer for the caller.
    fn left_behind(&self, coupon: &Coupon, lane: LaneId, behind: &Behind) -> Problem {
        tracing::warn!(
            coupon = %coupon.id, %lane, revision = %coupon.revision, reason = %behind,
            "a change is saved and not in force; going on in the background"
        );
        self.retries.add(coupon.id);
        Problem::unknown(format!(
            "The change is saved, but lane {lane} has not taken it yet: {behind}. It is tried \
             again until it is in force; repeating the request is safe."
        ))
        .member("lane", lane.0)
        .member("revision", coupon.revision.0)
    }

    /// Installs what the ledger holds of a coupon now.
    async fn reinstall(&self, id: CouponId) -> Result<(), Behind> {
        match self.ledger.coupon(id).await? {
            Some(coupon) => self
                .attempt(&coupon)
                .await
                .map_err(|(_lane, behind)| behind),
            None => Ok(()),
        }
    }
}
