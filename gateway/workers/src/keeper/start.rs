//! Taking a lane, and looking whether what is found there can be gone on with.

use sluice_claim::durability::LaneMark;
use sluice_domain::lane::LaneFence;
use sluice_hotstate::lane_store::{CouponFigures, Fenced, LaneFacts, LaneState};
use sluice_ledger::lanes::{LaneRow, LaneWrite};

use super::sweep::Sweep;
use super::trouble::{Cause, Trouble};
use super::{Keeper, Next, Outbox, Phase, decide, wait_for_store};

impl Keeper {
    /// Takes the lane when that is allowed: in the ledger first, then in Redis.
    pub(super) async fn start(&mut self) -> Result<Next, Trouble> {
        if self.stopping {
            self.phase = Phase::Stopped;
            return Ok(Next::Stopped);
        }
        let seen = self.parts.ledger.lane(self.lane).await?;
        if !self.may_take(&seen) {
            return Ok(Next::After(self.look_again_ms()));
        }
        // Read before the ledger confirms the hold: the lane's lease is counted from here. A Redis
        // that does not answer is waited for, with the lane left where it is.
        let facts = self.parts.store.facts(self.lane).await?;
        let until = self.hold_until();
        let taken = self
            .parts
            .ledger
            .take_lane(&seen, &self.holder, until)
            .await?;
        let row = match taken {
            LaneWrite::Done(row) => row,
            LaneWrite::Refused(row) => {
                self.watch(row);
                return Ok(Next::After(self.look_again_ms()));
            }
        };
        self.fence = LaneFence {
            lane: self.lane,
            epoch: row.epoch,
            keeper: row.keeper,
        };
        self.hear_seq(row.seq);
        if let Some(reason) = row.halted {
            tracing::error!(lane = %self.lane, %reason, "the lane is halted: an operator decides");
            self.phase = Phase::Halted(reason);
            return Ok(Next::Now);
        }
        let Some(facts) = facts else {
            return Err(Trouble::Recover(first_or(Cause::Missing, &row)));
        };
        self.check_set_back(&facts).await?;
        if row.opened != row.epoch {
            return Err(Trouble::Recover(first_or(Cause::Unfinished, &row)));
        }
        self.take_in_redis(&facts).await
    }

    async fn take_in_redis(&mut self, before: &LaneFacts) -> Result<Next, Trouble> {
        let identity = self.parts.ledger.identity().id;
        let until = self.lane_lease_from(before.lane_time);
        let taken = self.parts.store.take(self.fence, identity, until).await?;
        let facts = match taken {
            Fenced::Done(facts) => facts,
            // A server that was left in an older epoch and is back, by all signs of its own the one
            // that was opened: the ledger is ahead of it, as the set-back check has passed.
            Fenced::Deposed { epoch, .. } if epoch < self.fence.epoch => {
                return Err(Trouble::Recover(Cause::ServerChanged));
            }
            Fenced::Deposed { .. } => return Err(Trouble::Lost),
            Fenced::NotReady(reason) => {
                // "In another epoch": behind the ledger, as the set-back check has passed.
                return Err(match Trouble::from(reason) {
                    Trouble::Lost => Trouble::Recover(Cause::Unfinished),
                    other => other,
                });
            }
        };
        match facts.state {
            LaneState::Open => {}
            LaneState::Recovering => return Err(Trouble::Recover(Cause::Unfinished)),
            LaneState::Halted => {
                return Err(Trouble::Halt(
                    "hot state says that the lane is halted".to_owned(),
                ));
            }
        }
        let coupons = self.seen_coupons().await?;
        self.check_set_back(&facts).await?;
        self.check_coupons_set_back(&coupons).await?;
        let Some(mark) = facts.mark else {
            return Err(Trouble::Recover(Cause::MarkMissing));
        };
        let refused = if facts.refused > 0 {
            self.parts.store.refused(self.lane, facts.epoch).await?
        } else {
            Vec::new()
        };
        if refused.len() as u64 != facts.refused {
            return Err(Trouble::Recover(Cause::Loss));
        }
        // A taker does not know when the epoch began; now is later, and so safe.
        self.epoch_began = facts.lane_time;
        self.hear_time(facts.lane_time);
        self.begin_serving(Outbox {
            handled: mark,
            marked: mark,
            tail: facts.tail,
            refused: std::sync::Arc::new(refused.into_iter().collect()),
            stuck: None,
            waiting_since_ms: None,
        });
        Ok(Next::Now)
    }

    /// From here on the lane is served from `outbox` on. What was known of another epoch is
    /// forgotten; what others asked for is kept.
    pub(super) fn begin_serving(&mut self, outbox: Outbox) {
        self.parts.store.learn_epoch(self.lane, self.fence.epoch);
        self.outbox = outbox;
        self.publish_mark();
        self.coupons.clear();
        self.closing.clear();
        self.hydration = None;
        for clearing in self.clearing.values_mut() {
            clearing.start_over();
        }
        self.sweep = Sweep::of_everything();
        self.renew_at_ms = self.now_ms().saturating_add(self.settings.renewal_ms);
        self.nudged = true;
        self.poll_ms = self.settings.poll_ms_min;
        self.phase = Phase::Serving;
        self.figures.epoch(self.fence.epoch);
        tracing::info!(lane = %self.lane, epoch = %self.fence.epoch, keeper = %self.fence.keeper,
            mark = %self.outbox.handled, "the lane is served");
    }

    /// Tells the waiters of this process how far the lane is durable.
    pub(super) fn publish_mark(&self) {
        self.parts.board.publish(
            self.lane,
            LaneMark {
                epoch: Some(self.fence.epoch),
                mark: self.outbox.handled,
                refused: std::sync::Arc::clone(&self.outbox.refused),
            },
        );
    }

    /// Whether the row stood unchanged for long enough, or nobody else can be at work.
    fn may_take(&mut self, row: &LaneRow) -> bool {
        // One's own row (after "lost" for a reason that passed) needs no waiting.
        let own = row.keeper == self.fence.keeper && self.fence.keeper.0 > 0;
        if self.settings.exclusive || own || row.is_free() {
            return true;
        }
        let now = self.now_ms();
        match &self.phase {
            Phase::Watching(Some((held, since))) if held == row => {
                now.saturating_sub(*since) >= self.settings.keeper_lease_ms
            }
            _ => {
                self.watch(row.clone());
                false
            }
        }
    }

    /// When to look at the watched row again: soon enough to see each renewal, and at the moment
    /// when it will have stood unchanged for long enough.
    fn look_again_ms(&self) -> u64 {
        let settings = &self.settings;
        let waited = match &self.phase {
            Phase::Watching(Some((_row, since))) => self.now_ms().saturating_sub(*since),
            _ => 0,
        };
        let left = settings.keeper_lease_ms.saturating_sub(waited);
        left.min(settings.renewal_ms).max(1)
    }

    fn watch(&mut self, row: LaneRow) {
        let now = self.now_ms();
        self.phase = Phase::Watching(Some((row, now)));
    }

    /// The figures of all coupons that hot state holds, for the set-back check.
    pub(super) async fn seen_coupons(&self) -> Result<Vec<CouponFigures>, Trouble> {
        let mut seen = Vec::new();
        for (coupon, _hydrated) in self.parts.store.coupons(self.lane).await? {
            if let Some(figures) = self.parts.store.figures(self.lane, coupon).await? {
                seen.push(figures);
            }
        }
        Ok(seen)
    }

    /// Halts where hot state knows of something that the ledger, read last, does not.
    pub(super) async fn check_set_back(&self, facts: &LaneFacts) -> Result<(), Trouble> {
        if self.accepted {
            return Ok(());
        }
        let row = self.parts.ledger.lane(self.lane).await?;
        let identity = self.parts.ledger.identity().id;
        decide::set_back(identity, &row, facts).map_or(Ok(()), |reason| Err(Trouble::Halt(reason)))
    }

    /// The same for revisions and lease numbers.
    pub(super) async fn check_coupons_set_back(
        &self,
        seen: &[CouponFigures],
    ) -> Result<(), Trouble> {
        if self.accepted {
            return Ok(());
        }
        for figures in seen {
            let stored = self.parts.ledger.coupon(figures.coupon).await?;
            let leases = self.parts.ledger.leases(figures.coupon).await?;
            let highest = leases.last().map(|lease| lease.number).unwrap_or_default();
            let revision = stored.map(|coupon| coupon.revision);
            if let Some(reason) = decide::coupon_set_back(figures, revision, highest) {
                return Err(Trouble::Halt(reason));
            }
        }
        Ok(())
    }

    /// Writes a halt: in the lane row, and in Redis so that nothing is granted meanwhile.
    pub(super) async fn halt(&mut self, reason: String) -> Result<Next, Trouble> {
        tracing::error!(lane = %self.lane, %reason, "the lane is halted: an operator decides");
        match self.parts.ledger.halt_lane(self.fence, &reason).await? {
            LaneWrite::Done(_) => {}
            LaneWrite::Refused(row) if row.halted.is_some() => {}
            LaneWrite::Refused(_) => return Err(Trouble::Lost),
        }
        // A ledger that was set back has lower numbers than Redis, so Redis is halted under its
        // own. It may be another server by now, or gone: then it grants nothing anyway.
        if let Some(facts) = self.parts.store.facts(self.lane).await? {
            let fence = LaneFence {
                lane: self.lane,
                epoch: facts.epoch,
                keeper: facts.keeper,
            };
            match self.parts.store.halt(fence).await? {
                Fenced::Done(()) | Fenced::NotReady(_) => {}
                Fenced::Deposed { .. } => return Err(wait_for_store("the lane moved on")),
            }
        }
        self.phase = Phase::Halted(reason);
        Ok(Next::Now)
    }
}

fn first_or(cause: Cause, row: &LaneRow) -> Cause {
    if row.epoch.0 == 0 {
        Cause::FirstOpening
    } else {
        cause
    }
}
