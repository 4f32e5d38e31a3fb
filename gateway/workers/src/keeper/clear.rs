//! Clearing a coupon: all its leases are retired and closed, and then something is done that needs
//! that: its total is lowered, its hot state is forgotten, or the keeper stops.

use sluice_domain::id::{CouponId, EntryNumber, LaneId};
use sluice_domain::lease::{Lease, LeaseState, Stock};
use sluice_domain::time::Timestamp;
use sluice_ledger::leases::TargetSettled;
use tokio::sync::oneshot;

use super::shards::ShardWord;
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
    /// It is not brought forward before this, by the own clock.
    not_before_ms: u64,
    /// Somebody asked for the coupon meanwhile.
    wanted: bool,
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
    /// Another shard needs what this one has, or a lowering waits for it.
    Give {
        /// The lanes that are told when it is done.
        askers: Vec<LaneId>,
    },
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
            Some(Purpose::Stop | Purpose::Give { .. }) | None => {
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

    /// Gives what this lane has of a coupon back to the ledger, and tells the asker when that is
    /// done. What was leased a moment ago stays that moment: a claim waits for it here too.
    pub(super) fn give_back(&mut self, coupon: CouponId, asker: Option<LaneId>) {
        if !matches!(self.phase, Phase::Serving) || self.stopping {
            return;
        }
        match self.clearing.get_mut(&coupon).map(|held| &mut held.purpose) {
            Some(Purpose::Give { askers }) => {
                askers.extend(asker.filter(|lane| !askers.contains(lane)));
                return;
            }
            // Everything comes back anyway.
            Some(Purpose::Lower { .. } | Purpose::Retain | Purpose::Stop) => return,
            None => {}
        }
        let listed_at = self
            .coupons
            .get(&coupon)
            .map_or(0, |held| held.listed_at_ms);
        let askers = asker.into_iter().collect();
        self.begin_clearing(coupon, Purpose::Give { askers });
        if let Some(clearing) = self.clearing.get_mut(&coupon) {
            clearing.not_before_ms = listed_at.saturating_add(self.settings.shard_hold_ms);
        }
    }

    /// Whether a clearing of the coupon is under way; it remembers that somebody asked.
    pub(super) fn is_clearing(&mut self, coupon: CouponId) -> bool {
        let clearing = self.clearing.get_mut(&coupon);
        clearing.is_some_and(|clearing| {
            clearing.wanted = true;
            true
        })
    }

    fn begin_clearing(&mut self, coupon: CouponId, purpose: Purpose) {
        let clearing = Clearing {
            purpose,
            stage: Stage::Retire,
            not_before_ms: 0,
            wanted: false,
        };
        self.clearing.insert(coupon, clearing);
    }

    /// Brings all clearings forward that can be.
    pub(super) async fn clear_due(&mut self) -> Result<(), Trouble> {
        let (handled, now) = (self.outbox.handled, self.now_ms());
        let due: Vec<CouponId> = self
            .clearing
            .iter()
            .filter(|(_, clearing)| clearing.not_before_ms <= now)
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
                match clearing.purpose {
                    Purpose::Lower { target, .. } => {
                        self.parts.ledger.set_target(coupon, Some(target)).await?;
                    }
                    Purpose::Give { .. } if !self.is_given(coupon).await? => {
                        return self.finish(coupon).await;
                    }
                    Purpose::Give { .. } | Purpose::Retain | Purpose::Stop => {}
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
        let lowers = self
            .clearing
            .get(&coupon)
            .is_some_and(|clearing| matches!(clearing.purpose, Purpose::Lower { .. }));
        let elsewhere = self.open_elsewhere(&leases);
        if lowers && !elsewhere.is_empty() {
            // The total can be settled when nothing is leased in any lane.
            self.ask_back(&elsewhere, coupon);
            let again = self.now_ms().saturating_add(self.settings.shard_wait_ms);
            if let Some(clearing) = self.clearing.get_mut(&coupon) {
                clearing.not_before_ms = again;
            }
            return Ok(());
        }
        self.finish(coupon).await
    }

    /// Whether what this lane has of a coupon is to be given back: not where the ledger itself has
    /// something that whoever asked can lease, unless a lowering waits.
    async fn is_given(&self, coupon: CouponId) -> Result<bool, Trouble> {
        let stock = self.parts.ledger.stock(coupon).await?;
        Ok(stock.target.is_some() || stock.unleased() == Some(0))
    }

    fn open_now<'a>(&self, leases: &'a [Lease]) -> impl Iterator<Item = &'a Lease> + use<'a> {
        let epoch = self.fence.epoch;
        self.own(leases)
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
                if self.is_home(coupon) {
                    self.parts.ledger.set_retired(coupon, true).await?;
                }
                self.clearing.remove(&coupon);
                self.coupons.remove(&coupon);
                tracing::info!(lane = %self.lane, %coupon, "the hot state of an ended coupon is gone");
            }
            Some(Purpose::Stop) => {
                self.clearing.remove(&coupon);
            }
            Some(Purpose::Give { askers }) => {
                for asker in askers.clone() {
                    self.tell(asker, coupon, ShardWord::Look);
                }
                let given = self.clearing.remove(&coupon);
                if let Some(held) = self.coupons.get_mut(&coupon) {
                    held.given_back();
                }
                if given.is_some_and(|given| given.wanted) {
                    self.touch(coupon);
                }
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

    /// A graceful stop: everything leased comes back, everything granted becomes a row. One of
    /// several processes hands its lanes over as they are.
    pub(super) async fn stop_serving(&mut self) -> Result<Next, Trouble> {
        if !self.settings.exclusive {
            return self.hand_over().await;
        }
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
