//! Stock and leases on CQL. A lease stands twice: in its coupon's partition, where stock is counted,
//! and as the partition of its claims, where rows are refused. It is opened in this order and ended
//! in the other one, and each step may be repeated.

use std::collections::BTreeSet;

use sluice_domain::claim::Durability;
use sluice_domain::id::{CouponId, LaneId, LeaseNumber, Ticket};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::{LEASE_TICKETS_MAX, Lease, LeaseState, Stock};
use sluice_domain::time::Timestamp;

use super::partition::{LeaseEntry, Part};
use super::store::{Reading, back_off, fresh_op};
use super::{CqlLedger, crowded, lanes};
use crate::LedgerError;
use crate::coupons::change::lowered_entry;
use crate::leases::{LeaseOpened, LeaseStep, Leases, TargetSettled, no_stock};

/// Writers of one coupon that may be lost against.
const ROUNDS: u32 = 20;

/// What a round of a step came to.
enum Round<T> {
    Ended(T),
    /// Another write of the partition came first.
    Again,
}

fn next_number(leases: &[LeaseEntry]) -> LeaseNumber {
    let last = leases
        .last()
        .map_or(LeaseNumber(0), |entry| entry.lease.number);
    last.next()
}

// === impl CqlLedger ===

impl CqlLedger {
    async fn fence_holds(&self, fence: LaneFence) -> Result<Option<u64>, LedgerError> {
        let lane = self.read_lane(fence.lane, Reading::Serial).await?.row;
        Ok(lanes::holds(&lane, fence).then_some(lane.seq))
    }

    /// A lease with the number of rows that its claims' partition counts.
    pub(super) async fn with_rows(&self, entry: LeaseEntry) -> Result<Lease, LedgerError> {
        let mut lease = entry.lease;
        if lease.state != LeaseState::Closed {
            let claims = self.lease_claims(lease.coupon, lease.number, Reading::Quorum);
            lease.rows = claims.await?.map_or(0, |claims| claims.row_count);
        }
        Ok(lease)
    }

    async fn open_round(
        &self,
        op: [u8; 16],
        fence: LaneFence,
        part: &mut Part,
        wanted: u64,
        hot_possible: bool,
    ) -> Result<Round<LeaseOpened>, LedgerError> {
        let shards = part.coupon.as_ref().map_or(1, |held| held.spec.shards);
        if !self.identity.lanes.keeps(fence.lane, part.id, shards) {
            let text = format!("coupon {} has no shard in lane {}", part.id, fence.lane);
            return Err(LedgerError::corrupt(text));
        }
        let Some(coupon) = &part.coupon else {
            return Ok(Round::Ended(LeaseOpened::NothingLeft(no_stock())));
        };
        let leases = self.lease_entries(part.id, Reading::Quorum).await?;
        if let Some(made) = leases.iter().find(|entry| entry.made_by == op) {
            // By an earlier round, whose answer was lost before others wrote.
            let raised = self.raise_seq(fence).await?;
            let lease = made.lease.clone();
            return Ok(Round::Ended(raised.map_or(LeaseOpened::Deposed, |seq| {
                LeaseOpened::Opened(lease, seq)
            })));
        }
        let left = part.stock.unleased();
        let size = left.map_or(wanted, |left| wanted.min(left));
        if size == 0 {
            return Ok(Round::Ended(LeaseOpened::NothingLeft(part.stock)));
        }
        let hot = hot_possible || coupon.spec.durability == Durability::Hot;
        let lease = Lease {
            coupon: part.id,
            number: next_number(&leases),
            lane: fence.lane,
            epoch: fence.epoch,
            first: Ticket(part.stock.leased + 1),
            size: u32::try_from(size).unwrap_or(LEASE_TICKETS_MAX),
            state: LeaseState::Open,
            hot_possible: hot,
            returned: 0,
            grace_until: None,
            rows: 0,
        };
        if !part.fence(fence) {
            return Ok(Round::Ended(LeaseOpened::Deposed));
        }
        // The lane's number rises before anything of it can reach hot state; here the fence holds.
        let Some(seq) = self.raise_seq(fence).await? else {
            return Ok(Round::Ended(LeaseOpened::Deposed));
        };
        part.stock.leased += size;
        let entry = LeaseEntry { lease, made_by: op };
        if !self.write_part_as(op, part, vec![entry.call()]).await? {
            return Ok(Round::Again);
        }
        Ok(Round::Ended(LeaseOpened::Opened(entry.lease, seq)))
    }

    /// Takes a lease out of use: first where its rows are, then in its coupon's partition.
    async fn end_lease(
        &self,
        fence: LaneFence,
        held: &Lease,
        to: LeaseState,
        grace_until: Option<Timestamp>,
    ) -> Result<LeaseStep, LedgerError> {
        let Some(seq) = self.raise_seq(fence).await? else {
            return Ok(LeaseStep::Deposed);
        };
        let sealed = self.seal_claims(held.coupon, held.number, fence.epoch, to);
        let Some(claims) = sealed.await? else {
            return Ok(LeaseStep::Deposed);
        };
        for round in 0..ROUNDS {
            let mut part = self.read_part(held.coupon, Reading::Serial).await?;
            let entry = self.lease_entry(held.coupon, held.number, Reading::Serial);
            let mut entry = entry.await?;
            if entry.lease.state == LeaseState::Closed || entry.lease.state == to {
                let lease = self.with_rows(entry).await?;
                return Ok(LeaseStep::Done(lease, seq));
            }
            if !part.fence(fence) {
                return Ok(LeaseStep::Deposed);
            }
            entry.lease.state = to;
            entry.lease.rows = claims.row_count;
            if to == LeaseState::Closed {
                entry.lease.returned = entry.lease.size - claims.live();
                part.stock.returned += u64::from(entry.lease.returned);
            } else {
                entry.lease.grace_until = grace_until;
            }
            if self.write_part(&part, vec![entry.call()]).await? {
                if to == LeaseState::Closed {
                    self.raise_returned(held.coupon, held.number).await?;
                }
                return Ok(LeaseStep::Done(entry.lease, seq));
            }
            back_off(round).await;
        }
        Err(crowded("coupon", held.coupon))
    }

    /// The lease of a step, checked, with the lane's number; `None` where the lane moved on.
    async fn lease_of_step(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        number: LeaseNumber,
    ) -> Result<Option<(Lease, u64)>, LedgerError> {
        let Some(seq) = self.fence_holds(fence).await? else {
            return Ok(None);
        };
        let entry = self.lease_entry(coupon, number, Reading::Serial).await?;
        if entry.lease.lane != fence.lane {
            return Err(LedgerError::corrupt(format!(
                "lease {number} of coupon {coupon} belongs to lane {}, not {}",
                entry.lease.lane, fence.lane
            )));
        }
        Ok(Some((self.with_rows(entry).await?, seq)))
    }

    /// Gives back what a closed lease's revoked rows leave free, if that is not done: also what an
    /// earlier call that was cut off left undone. `returned` is set, never added to.
    pub(super) async fn raise_returned(
        &self,
        coupon: CouponId,
        number: LeaseNumber,
    ) -> Result<(), LedgerError> {
        for round in 0..ROUNDS {
            let claims = self.lease_claims(coupon, number, Reading::Serial).await?;
            let Some(claims) = claims.filter(|claims| claims.state == LeaseState::Closed) else {
                return Ok(());
            };
            let mut part = self.read_part(coupon, Reading::Serial).await?;
            let mut entry = self.lease_entry(coupon, number, Reading::Serial).await?;
            let returned = entry.lease.size - claims.live();
            let done = entry.lease.returned >= returned;
            if done || entry.lease.state != LeaseState::Closed {
                return Ok(());
            }
            part.stock.returned += u64::from(returned - entry.lease.returned);
            entry.lease.returned = returned;
            if self.write_part(&part, vec![entry.call()]).await? {
                return Ok(());
            }
            back_off(round).await;
        }
        Err(crowded("coupon", coupon))
    }

    async fn settle_round(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        now: Timestamp,
    ) -> Result<Round<TargetSettled>, LedgerError> {
        let mut part = self.read_part(coupon, Reading::Serial).await?;
        let before = part.known()?.clone();
        let Some(target) = part.stock.target.take() else {
            return Ok(Round::Ended(TargetSettled::NoTarget(part.stock)));
        };
        if !part.fence(fence) {
            return Ok(Round::Ended(TargetSettled::Deposed));
        }
        self.finish_audit(&part).await?;
        let settled = if part.stock.leased - part.stock.returned > target {
            TargetSettled::TooMuchGranted(part.stock)
        } else if part.stock.total.is_some_and(|total| total <= target) {
            TargetSettled::Lowered(part.stock)
        } else {
            part.stock.total = Some(target);
            let mut after = before.clone();
            after.spec.limits.total = Some(target);
            after.revision = before.revision.next();
            after.updated_at = now;
            part.pending = Some(self.pending(lowered_entry(&before, &after, now)?)?);
            part.coupon = Some(after);
            TargetSettled::Lowered(part.stock)
        };
        if !self.write_part(&part, Vec::new()).await? {
            return Ok(Round::Again);
        }
        if let Err(error) = self.finish_audit(&part).await {
            tracing::warn!(%error, %coupon, "an audit entry is recorded later");
        }
        Ok(Round::Ended(settled))
    }

    /// Flags the open leases of a coupon; the lanes of those that it changed.
    async fn mark_hot(&self, coupon: CouponId) -> Result<Round<BTreeSet<LaneId>>, LedgerError> {
        let part = self.read_part(coupon, Reading::Serial).await?;
        part.known()?;
        let (mut calls, mut lanes) = (Vec::new(), BTreeSet::new());
        for mut entry in self.lease_entries(coupon, Reading::Serial).await? {
            if entry.lease.state == LeaseState::Open && !entry.lease.hot_possible {
                entry.lease.hot_possible = true;
                lanes.insert(entry.lease.lane);
                calls.push(entry.call());
            }
        }
        if !calls.is_empty() && !self.write_part(&part, calls).await? {
            return Ok(Round::Again);
        }
        Ok(Round::Ended(lanes))
    }
}

#[async_trait::async_trait]
impl Leases for CqlLedger {
    async fn stock(&self, coupon: CouponId) -> Result<Stock, LedgerError> {
        let part = self.read_part(coupon, Reading::Quorum).await?;
        Ok(part.coupon.map_or(no_stock(), |_coupon| part.stock))
    }

    async fn leases(&self, coupon: CouponId) -> Result<Vec<Lease>, LedgerError> {
        let mut leases = Vec::new();
        for entry in self.lease_entries(coupon, Reading::Serial).await? {
            leases.push(self.with_rows(entry).await?);
        }
        Ok(leases)
    }

    async fn live_leases(&self, lane: LaneId) -> Result<Vec<Lease>, LedgerError> {
        let mut live = Vec::new();
        for id in self.listed_ids(lane).await? {
            for entry in self.lease_entries(id, Reading::Serial).await? {
                if entry.lease.lane == lane && entry.lease.state != LeaseState::Closed {
                    live.push(self.with_rows(entry).await?);
                }
            }
        }
        Ok(live)
    }

    async fn open_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        want: u32,
        hot_possible: bool,
    ) -> Result<LeaseOpened, LedgerError> {
        if self.fence_holds(fence).await?.is_none() {
            return Ok(LeaseOpened::Deposed);
        }
        let wanted = u64::from(want.clamp(1, LEASE_TICKETS_MAX));
        let op = fresh_op()?;
        for round in 0..ROUNDS {
            let mut part = self.read_part(coupon, Reading::Serial).await?;
            let opened = self.open_round(op, fence, &mut part, wanted, hot_possible);
            if let Round::Ended(opened) = opened.await? {
                if let LeaseOpened::Opened(lease, _seq) = &opened
                    && !self.open_claims(lease).await?
                {
                    return Ok(LeaseOpened::Deposed);
                }
                return Ok(opened);
            }
            back_off(round).await;
        }
        Err(crowded("coupon", coupon))
    }

    async fn close_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        lease: LeaseNumber,
    ) -> Result<LeaseStep, LedgerError> {
        let Some((held, seq)) = self.lease_of_step(fence, coupon, lease).await? else {
            return Ok(LeaseStep::Deposed);
        };
        if held.state == LeaseState::Closed {
            self.raise_returned(coupon, lease).await?;
            return Ok(LeaseStep::Done(held, seq));
        }
        self.end_lease(fence, &held, LeaseState::Closed, None).await
    }

    async fn quarantine_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        lease: LeaseNumber,
        grace_until: Timestamp,
    ) -> Result<LeaseStep, LedgerError> {
        let Some((held, seq)) = self.lease_of_step(fence, coupon, lease).await? else {
            return Ok(LeaseStep::Deposed);
        };
        if held.state != LeaseState::Open {
            return Ok(LeaseStep::Done(held, seq));
        }
        if held.epoch >= fence.epoch {
            let text = format!("lease {lease} of coupon {coupon} is of the current epoch");
            return Err(LedgerError::corrupt(text));
        }
        let grace = Some(grace_until);
        self.end_lease(fence, &held, LeaseState::Quarantined, grace)
            .await
    }

    async fn set_hot_possible(&self, coupon: CouponId) -> Result<(), LedgerError> {
        for round in 0..ROUNDS {
            if let Round::Ended(changed) = self.mark_hot(coupon).await? {
                for lane in changed {
                    self.raise_seq_unfenced(lane).await?;
                }
                return Ok(());
            }
            back_off(round).await;
        }
        Err(crowded("coupon", coupon))
    }

    async fn set_target(
        &self,
        coupon: CouponId,
        target: Option<u64>,
    ) -> Result<Stock, LedgerError> {
        for round in 0..ROUNDS {
            let mut part = self.read_part(coupon, Reading::Serial).await?;
            part.known()?;
            part.stock.target = target;
            if self.write_part(&part, Vec::new()).await? {
                return Ok(part.stock);
            }
            back_off(round).await;
        }
        Err(crowded("coupon", coupon))
    }

    async fn settle_target(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        now: Timestamp,
    ) -> Result<TargetSettled, LedgerError> {
        if self.fence_holds(fence).await?.is_none() {
            return Ok(TargetSettled::Deposed);
        }
        for round in 0..ROUNDS {
            if let Round::Ended(settled) = self.settle_round(fence, coupon, now).await? {
                return Ok(settled);
            }
            back_off(round).await;
        }
        Err(crowded("coupon", coupon))
    }
}
