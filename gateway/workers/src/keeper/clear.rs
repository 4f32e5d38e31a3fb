//! Clearing a coupon: all its leases are retired and closed, and then something is done that needs
//! that: its total is lowered, its hot state is forgotten, or the keeper stops.

use sluice_domain::id::{CouponId, EntryNumber};
use sluice_domain::lease::{Lease, LeaseState, Stock};
use sluice_domain::time::Timestamp;
use sluice_ledger::leases::TargetSettled;
use tokio::sync::oneshot;

use super::trouble::{Trouble, settled};
use super::{Keeper, Next, Phase, decide};

/// Clearings that are brought forward in one step.
const CLEARINGS_AT_ONCE: usize = 16;

/// Where the result of a lowering goes.
pub type LowerReply = oneshot::Sender<LowerOutcome>;

/// How a lowering of a total ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LowerOutcome {
    /// The total is the target now, in the ledger and in hot state.
    Lowered(Stock),
    /// More is taken than the target allows: the total stays as it was.
    TooMuch {
        /// The stock as it is.
        stock: Stock,
        /// Claims that are not revoked.
        granted: u64,
        /// Units that are blocked until grace is over. They count as taken.
        quarantined: u64,
        /// When the last of them is free again.
        grace_until: Option<Timestamp>,
    },
    /// Another lowering of this coupon is under way.
    Busy,
}

/// A clearing under way.
#[derive(Debug)]
pub(super) struct Clearing {
    purpose: Purpose,
    stage: Stage,
}

/// What it is for.
#[derive(Debug)]
enum Purpose {
    /// The total becomes `target`.
    Lower {
        target: u64,
        reply: Option<LowerReply>,
    },
    /// The state of an ended coupon leaves Redis.
    Retain,
    /// The keeper stops.
    Stop,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Retire,
    /// Nothing is on the list. No entry of it comes after this one.
    Wait(EntryNumber),
}

// === impl Clearing ===

impl Clearing {
    /// In a new epoch nothing of it holds any more.
    pub(super) fn start_over(&mut self) {
        self.stage = Stage::Retire;
    }
}

// === impl Keeper ===

impl Keeper {
    /// Lowers a coupon's total. The result may take until the outbox is drained; the target is
    /// kept in the ledger, so a keeper that comes after this one goes on with it.
    pub fn lower_total(&mut self, coupon: CouponId, target: u64, reply: LowerReply) {
        match self.clearing.get(&coupon).map(|clearing| &clearing.purpose) {
            Some(Purpose::Lower { .. } | Purpose::Retain) => {
                // The asker may be gone, which is no concern of the keeper.
                let _gone = reply.send(LowerOutcome::Busy);
            }
            Some(Purpose::Stop) | None => {
                let purpose = Purpose::Lower {
                    target,
                    reply: Some(reply),
                };
                self.begin_clearing(coupon, purpose);
            }
        }
    }

    /// Goes on with a lowering that an earlier keeper did not finish.
    pub(super) fn resume_lowering(&mut self, coupon: CouponId, target: u64) {
        self.begin_clearing(
            coupon,
            Purpose::Lower {
                target,
                reply: None,
            },
        );
    }

    /// Begins to take the state of an ended coupon out of Redis.
    pub(super) fn begin_retention(&mut self, coupon: CouponId) {
        if !self.clearing.contains_key(&coupon) {
            self.begin_clearing(coupon, Purpose::Retain);
        }
    }

    fn begin_clearing(&mut self, coupon: CouponId, purpose: Purpose) {
        let stage = Stage::Retire;
        self.clearing.insert(coupon, Clearing { purpose, stage });
    }

    /// Brings all clearings forward that can be.
    pub(super) async fn clear_due(&mut self) -> Result<(), Trouble> {
        let handled = self.outbox.handled;
        let due: Vec<CouponId> = self
            .clearing
            .iter()
            .filter(|(_, clearing)| match clearing.stage {
                Stage::Retire => true,
                Stage::Wait(tail) => handled >= tail,
            })
            .map(|(coupon, _)| *coupon)
            .take(CLEARINGS_AT_ONCE)
            .collect();
        for coupon in due {
            self.clear(coupon).await?;
        }
        Ok(())
    }

    async fn clear(&mut self, coupon: CouponId) -> Result<(), Trouble> {
        let Some(clearing) = self.clearing.get(&coupon) else {
            return Ok(());
        };
        let leases = match clearing.stage {
            Stage::Retire => {
                if let Purpose::Lower { target, .. } = clearing.purpose {
                    self.parts.ledger.set_target(coupon, Some(target)).await?;
                }
                let leases = self.parts.ledger.leases(coupon).await?;
                self.settle_old(&leases).await?;
                let last = leases.last().map(|lease| lease.number).unwrap_or_default();
                let tail = self.retire(coupon, None, last).await?;
                if let Some(clearing) = self.clearing.get_mut(&coupon) {
                    clearing.stage = Stage::Wait(tail);
                }
                if self.outbox.handled < tail {
                    return Ok(());
                }
                leases
            }
            Stage::Wait(_) => self.parts.ledger.leases(coupon).await?,
        };
        for lease in self.open_now(&leases) {
            self.close_in_ledger(coupon, lease.number).await?;
        }
        self.closing.retain(|(held, _), _| *held != coupon);
        self.finish(coupon).await
    }

    fn open_now<'a>(&self, leases: &'a [Lease]) -> impl Iterator<Item = &'a Lease> + use<'a> {
        let epoch = self.fence.epoch;
        leases
            .iter()
            .filter(move |lease| lease.state == LeaseState::Open && lease.epoch == epoch)
    }

    /// Everything is closed: does what the clearing was for.
    async fn finish(&mut self, coupon: CouponId) -> Result<(), Trouble> {
        match self.clearing.get(&coupon).map(|clearing| &clearing.purpose) {
            Some(Purpose::Lower { target, .. }) => {
                let outcome = self.settle_target(coupon, *target).await?;
                let cleared = self.clearing.remove(&coupon);
                if let Some(Clearing {
                    purpose:
                        Purpose::Lower {
                            reply: Some(reply), ..
                        },
                    ..
                }) = cleared
                {
                    let _gone = reply.send(outcome);
                }
                self.touch(coupon);
            }
            Some(Purpose::Retain) => {
                settled(self.parts.store.forget(self.fence, coupon).await?)?;
                self.parts.ledger.set_retired(coupon, true).await?;
                self.clearing.remove(&coupon);
                self.coupons.remove(&coupon);
                tracing::info!(lane = %self.lane, %coupon, "the hot state of an ended coupon is gone");
            }
            Some(Purpose::Stop) => {
                self.clearing.remove(&coupon);
            }
            None => {}
        }
        Ok(())
    }

    async fn settle_target(
        &mut self,
        coupon: CouponId,
        target: u64,
    ) -> Result<LowerOutcome, Trouble> {
        let now = self.lane_time;
        let answer = self
            .parts
            .ledger
            .settle_target(self.fence, coupon, now)
            .await?;
        let stock = match answer {
            TargetSettled::Lowered(stock) => stock,
            // Settled before, by a call whose answer was lost.
            TargetSettled::NoTarget(stock) if stock.total == Some(target) => stock,
            TargetSettled::TooMuchGranted(stock) | TargetSettled::NoTarget(stock) => {
                return self.too_much(coupon, stock).await;
            }
            TargetSettled::Deposed => return Err(Trouble::Lost),
        };
        self.install_definition(coupon).await?;
        Ok(LowerOutcome::Lowered(stock))
    }

    async fn too_much(&self, coupon: CouponId, stock: Stock) -> Result<LowerOutcome, Trouble> {
        let granted = self.parts.ledger.granted(coupon).await?;
        let leases = self.parts.ledger.leases(coupon).await?;
        let blocked = || {
            leases
                .iter()
                .filter(|lease| lease.state == LeaseState::Quarantined)
        };
        Ok(LowerOutcome::TooMuch {
            stock,
            granted,
            quarantined: blocked().map(decide::unused).sum(),
            grace_until: blocked().filter_map(|lease| lease.grace_until).max(),
        })
    }

    /// A graceful stop: everything leased comes back, everything granted becomes a row.
    pub(super) async fn stop_serving(&mut self) -> Result<Next, Trouble> {
        let live = self.parts.ledger.live_leases(self.lane).await?;
        let open: Vec<CouponId> = self.open_now(&live).map(|lease| lease.coupon).collect();
        for coupon in &open {
            if !self.clearing.contains_key(coupon) {
                self.begin_clearing(*coupon, Purpose::Stop);
            }
        }
        if open.is_empty() && self.clearing.is_empty() {
            self.current_facts().await?;
            if self.outbox.tail == self.outbox.handled {
                tracing::info!(lane = %self.lane, "the keeper stopped with nothing leased");
                self.phase = Phase::Stopped;
                return Ok(Next::Stopped);
            }
        }
        self.nudged = true;
        Ok(if self.outbox.stuck.is_some() {
            Next::After(self.settings.poll_ms_max)
        } else {
            Next::Now
        })
    }
}
