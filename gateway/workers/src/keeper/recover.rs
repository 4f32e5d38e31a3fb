//! Recovery: a new epoch beside the old one, built from the ledger alone.
//!
//! The steps are those of the protocol, in its order: raise the epoch in the ledger; fence hot
//! state off; look whether it is the ledger that forgot; salvage what the old epochs still hold;
//! write the definitions; open. A fault in a step repeats that step. Whatever leaves a doubt about
//! what took place costs one more epoch, never a ticket.

use std::collections::VecDeque;

use sluice_claim::port::StoreError;
use sluice_domain::claim::Durability;
use sluice_domain::id::{CouponId, EntryNumber, Epoch};
use sluice_domain::published::{Published, PublishedVersion};
use sluice_hotstate::lane_store::{CouponFigures, Fenced, Installed, LaneFacts, LaneState};
use sluice_ledger::LedgerError;
use sluice_ledger::lanes::{LaneRow, LaneWrite};

use super::trouble::{Cause, Trouble, settled};
use super::{Keeper, Next, Outbox, Phase, wait_for_store};
use crate::metrics;

/// Definitions written in one step.
const DEFINITIONS_AT_ONCE: usize = 64;

/// A recovery under way.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    stage: Stage,
    cause: Option<Cause>,
    /// The coupons as the old epoch had them.
    seen: Vec<CouponFigures>,
    /// The last epoch that was opened anywhere, before this recovery.
    pub(super) opened: Epoch,
    /// Epochs to salvage, oldest first.
    pub(super) unsalvaged: VecDeque<Epoch>,
    /// How far the first of them was read.
    pub(super) after: EntryNumber,
    /// Those that were salvaged: their keys can go.
    pub(super) salvaged: Vec<Epoch>,
    /// The lane's tail. Nothing is added to it before the lane opens.
    tail: EntryNumber,
    undefined: VecDeque<CouponId>,
    known: Vec<CouponId>,
    retired: Vec<CouponId>,
}

/// The step that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Raise,
    Fence,
    Salvage,
    List,
    Define,
    Open,
}

impl Keeper {
    /// Stops serving: a recovery from its first step on.
    pub(super) fn begin_recovery(&mut self, cause: Cause) {
        if cause == Cause::FirstOpening {
            // Nothing was lost: the start of a new system is no alarm.
            tracing::info!(lane = %self.lane, "the lane is opened for the first time");
        } else {
            tracing::warn!(lane = %self.lane, epoch = %self.fence.epoch, cause = cause.label(),
                "the lane is not served until it is recovered");
        }
        self.parts.board.close(self.lane);
        self.recovery = Recovery {
            cause: Some(cause),
            ..Recovery::default()
        };
        self.phase = Phase::Recovering;
    }

    /// Does the next step of a recovery.
    pub(super) async fn recover(&mut self) -> Result<Next, Trouble> {
        match self.recovery.stage {
            Stage::Raise => self.raise().await?,
            Stage::Fence => self.fence_off().await?,
            Stage::Salvage => {
                if self.salvage_some().await? {
                    self.recovery.stage = Stage::List;
                }
            }
            Stage::List => self.list_published().await?,
            Stage::Define => self.define_some().await?,
            Stage::Open => self.open().await?,
        }
        Ok(Next::Now)
    }

    /// Step 1. A server that does not answer is waited for before the epoch is raised: one loss,
    /// one epoch.
    async fn raise(&mut self) -> Result<(), Trouble> {
        let facts = self.parts.store.facts(self.lane).await?;
        if let Some(facts) = facts {
            // Also of a server that changed or lost something: it may have forgotten what it knew,
            // but what it still knows was once in the ledger.
            self.recovery.seen = match self.parts.store.last_seen(self.lane).await {
                Ok(seen) => seen,
                // The lane hash went or moved on just now.
                Err(StoreError::LaneNotReady { .. }) => Vec::new(),
                Err(error) => return Err(Trouble::from(error)),
            };
            self.check_set_back(&facts).await?;
            let seen = std::mem::take(&mut self.recovery.seen);
            self.check_coupons_set_back(&seen).await?;
            self.recovery.seen = seen;
        }
        let row = match self.parts.ledger.raise_epoch(self.fence).await {
            Ok(LaneWrite::Done(row)) => row,
            Ok(LaneWrite::Refused(row)) => return Err(self.refused_by(row.halted)),
            Err(LedgerError::Unknown { reason }) => self.raised_after_all(reason).await?,
            Err(error) => return Err(Trouble::from(error)),
        };
        self.fence.epoch = row.epoch;
        self.recovery.opened = row.opened;
        self.hear_seq(row.seq);
        self.recovery.stage = Stage::Fence;
        metrics::recovery(self.recovery.cause.unwrap_or(Cause::Unfinished));
        Ok(())
    }

    /// Whether a raise without an answer took place.
    async fn raised_after_all(&self, reason: String) -> Result<LaneRow, Trouble> {
        let row = self.parts.ledger.lane(self.lane).await?;
        if row.keeper == self.fence.keeper && row.epoch == self.fence.epoch.next() {
            Ok(row)
        } else {
            Err(Trouble::Ledger(LedgerError::Unavailable { reason }))
        }
    }

    /// Steps 2 and 3.
    async fn fence_off(&mut self) -> Result<(), Trouble> {
        let identity = self.parts.ledger.identity().id;
        let facts = match self.parts.store.fence(self.fence, identity).await? {
            Fenced::Done(fenced) => fenced.facts,
            Fenced::Deposed { epoch, keeper } => {
                let row = self.parts.ledger.lane(self.lane).await?;
                if (row.epoch, row.keeper) != (self.fence.epoch, self.fence.keeper) {
                    return Err(Trouble::Lost);
                }
                if epoch <= self.fence.epoch && keeper <= self.fence.keeper {
                    // Fenced already, and something happened to the server since then.
                    return Err(Trouble::Recover(Cause::InDoubt));
                }
                return Err(Trouble::Halt(format!(
                    "the ledger was set back: hot state has epoch {epoch} and keeper {keeper}, \
                     the ledger {} and {}",
                    row.epoch, row.keeper
                )));
            }
            // No primary yet. The epoch was raised for this loss already.
            Fenced::NotReady(reason) => return Err(wait_for_store(reason.to_string())),
        };
        self.lane_time = facts.lane_time;
        self.epoch_began = facts.lane_time;
        self.check_set_back(&facts).await?;
        let seen = std::mem::take(&mut self.recovery.seen);
        self.check_coupons_set_back(&seen).await?;
        self.plan_salvage(&facts);
        Ok(())
    }

    fn plan_salvage(&mut self, facts: &LaneFacts) {
        let mut unsalvaged = facts.unsalvaged.clone();
        unsalvaged.sort_unstable();
        unsalvaged.dedup();
        self.recovery.unsalvaged = unsalvaged.into();
        self.recovery.after = EntryNumber(0);
        self.recovery.tail = facts.tail;
        self.recovery.stage = Stage::Salvage;
    }

    /// Step 5, its first half: which coupons are published, read after step 1.
    async fn list_published(&mut self) -> Result<(), Trouble> {
        let published = self.parts.ledger.published_coupons(self.lane).await?;
        self.recovery.known = published.iter().map(|(coupon, _)| *coupon).collect();
        self.recovery.retired = published
            .iter()
            .filter(|(_, retired)| *retired)
            .map(|(coupon, _)| *coupon)
            .collect();
        self.recovery.undefined = self.recovery.known.iter().copied().collect();
        self.recovery.stage = Stage::Define;
        Ok(())
    }

    /// Step 5, its second half: their definitions.
    async fn define_some(&mut self) -> Result<(), Trouble> {
        for _definition in 0..DEFINITIONS_AT_ONCE {
            let Some(&coupon) = self.recovery.undefined.front() else {
                self.recovery.stage = Stage::Open;
                return Ok(());
            };
            self.install_definition(coupon).await?;
            self.recovery.undefined.pop_front();
        }
        Ok(())
    }

    /// Puts the coupon as the ledger has it in force in this epoch.
    pub(super) async fn install_definition(&self, coupon: CouponId) -> Result<(), Trouble> {
        let Some(published) = self.published(coupon).await? else {
            return Ok(());
        };
        if published.durability == Durability::Hot {
            // Whoever changed the class may not have come so far: what is leased may grant `hot`
            // claims from the moment that the definition is there.
            self.parts.ledger.set_hot_possible(coupon).await?;
        }
        let installed = self
            .parts
            .store
            .install(self.lane, self.fence.epoch, &published)
            .await?;
        match installed {
            Installed::Applied | Installed::Older { .. } => Ok(()),
            Installed::Epoch(_) => Err(Trouble::Lost),
            Installed::NotReady(reason) => Err(Trouble::from(reason)),
        }
    }

    /// The published form of a coupon, read now; `None` for one that is none.
    pub(super) async fn published(&self, coupon: CouponId) -> Result<Option<Published>, Trouble> {
        // The versions first: a coupon read later can only know of more versions than these, and
        // then it carries the newest itself.
        let versions = self.parts.ledger.versions(coupon).await?;
        let Some(stored) = self.parts.ledger.coupon(coupon).await? else {
            return Ok(None);
        };
        let versions: Vec<PublishedVersion> = versions
            .into_iter()
            .map(|version| version.published)
            .collect();
        Ok(Published::of(&stored, &versions))
    }

    /// Step 6.
    async fn open(&mut self) -> Result<(), Trouble> {
        let facts = self.parts.store.facts(self.lane).await?;
        let Some(facts) = facts else {
            return Err(Trouble::Recover(Cause::Missing));
        };
        if !facts.same_server {
            return Err(Trouble::Recover(Cause::ServerChanged));
        }
        if (facts.epoch, facts.keeper) != (self.fence.epoch, self.fence.keeper) {
            return Err(Trouble::Lost);
        }
        if facts.state != LaneState::Recovering || facts.tail != self.recovery.tail {
            return Err(Trouble::Recover(Cause::InDoubt));
        }
        let row = match self.parts.ledger.set_opened(self.fence).await? {
            LaneWrite::Done(row) => row,
            LaneWrite::Refused(row) => return Err(self.refused_by(row.halted)),
        };
        self.hear_seq(row.seq);
        // Only the operator's word makes a lane of another ledger this one's.
        let adopt = self.accepted.then(|| self.parts.ledger.identity().id);
        let opened = self
            .parts
            .store
            .open(
                self.fence,
                self.lane_lease_from(facts.lane_time),
                &self.recovery.known,
                &self.recovery.retired,
                self.seq,
                adopt,
            )
            .await;
        match opened {
            Ok(answer) => settled(answer)?,
            Err(StoreError::Unknown { .. } | StoreError::Protocol { .. }) => {
                return Err(Trouble::Recover(Cause::InDoubt));
            }
            Err(error) => return Err(Trouble::from(error)),
        }
        self.accepted = false;
        self.lane_time = facts.lane_time;
        let tail = self.recovery.tail;
        let salvaged = std::mem::take(&mut self.recovery.salvaged);
        self.begin_serving(Outbox {
            handled: tail,
            marked: tail,
            tail,
            ..Outbox::default()
        });
        self.sweep.forget_epochs(salvaged);
        Ok(())
    }

    /// An operator asks for a recovery. False where this keeper is not in charge of an open lane.
    pub fn recover_now(&mut self) -> bool {
        let serving = matches!(self.phase, Phase::Serving);
        if serving {
            self.begin_recovery(Cause::Operator);
        }
        serving
    }
}
