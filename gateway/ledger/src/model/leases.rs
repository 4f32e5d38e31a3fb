//! Stock and leases of the model.

use std::collections::BTreeSet;

use sluice_domain::claim::Durability;
use sluice_domain::id::{CouponId, LaneId, LeaseNumber, Ticket};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::{LEASE_TICKETS_MAX, Lease, LeaseState, Stock};
use sluice_domain::time::Timestamp;

use super::flaw::Flaw;
use super::{ModelLedger, State};
use crate::LedgerError;
use crate::coupons::change::lowered_entry;
use crate::leases::{LeaseOpened, LeaseStep, Leases, TargetSettled, no_stock};

impl State {
    pub(super) fn lease(&self, coupon: CouponId, number: LeaseNumber) -> Option<&Lease> {
        let record = self.coupons.get(&coupon)?;
        record.leases.iter().find(|held| held.number == number)
    }

    pub(super) fn lease_mut(
        &mut self,
        coupon: CouponId,
        number: LeaseNumber,
    ) -> Result<&mut Lease, LedgerError> {
        let missing = || LedgerError::corrupt(format!("coupon {coupon} has no lease {number}"));
        let record = self.record_mut(coupon)?;
        let lease = record.leases.iter_mut().find(|held| held.number == number);
        lease.ok_or_else(missing)
    }

    /// A step on one lease: `change` says whether it changed anything.
    fn step(
        &mut self,
        fence: LaneFence,
        coupon: CouponId,
        number: LeaseNumber,
        change: impl FnOnce(&mut Self, &Lease) -> Result<bool, LedgerError>,
    ) -> Result<LeaseStep, LedgerError> {
        if !self.holds(fence)? {
            return Ok(LeaseStep::Deposed);
        }
        let lease = self.lease_mut(coupon, number)?.clone();
        if lease.lane != fence.lane {
            return Err(LedgerError::corrupt(format!(
                "lease {number} of coupon {coupon} belongs to lane {}, not {}",
                lease.lane, fence.lane
            )));
        }
        let seq = if change(self, &lease)? {
            self.raise_seq(fence.lane)?
        } else {
            self.lane(fence.lane)?.seq
        };
        Ok(LeaseStep::Done(
            self.lease_mut(coupon, number)?.clone(),
            seq,
        ))
    }

    fn close(&mut self, lease: &Lease) -> Result<bool, LedgerError> {
        if lease.state == LeaseState::Closed && !self.has(Flaw::ClosedTwice) {
            return Ok(false);
        }
        let of_lease = |row: &&sluice_domain::claim::ClaimRow| row.lease == lease.number;
        let live = self
            .rows_of(lease.coupon)
            .filter(of_lease)
            .filter(|row| !row.revoked)
            .count();
        let returned = lease.size - u32::try_from(live).unwrap_or(lease.size);
        let held = self.lease_mut(lease.coupon, lease.number)?;
        held.state = LeaseState::Closed;
        held.returned = returned;
        self.record_mut(lease.coupon)?.stock.returned += u64::from(returned);
        Ok(true)
    }
}

#[async_trait::async_trait]
impl Leases for ModelLedger {
    async fn stock(&self, coupon: CouponId) -> Result<Stock, LedgerError> {
        self.call(|state| {
            let record = state.coupons.get(&coupon);
            Ok(record.map_or(no_stock(), |record| record.stock))
        })
    }

    async fn leases(&self, coupon: CouponId) -> Result<Vec<Lease>, LedgerError> {
        self.call(|state| {
            let record = state.coupons.get(&coupon);
            let mut leases = record.map_or(Vec::new(), |record| record.leases.clone());
            if state.has(Flaw::ClassByDefinition) {
                let hot = record.map(|record| record.coupon.spec.durability);
                for lease in &mut leases {
                    lease.hot_possible = hot == Some(Durability::Hot);
                }
            }
            Ok(leases)
        })
    }

    async fn live_leases(&self, lane: LaneId) -> Result<Vec<Lease>, LedgerError> {
        self.call(|state| {
            let all = state.coupons.values().flat_map(|record| &record.leases);
            let live = all.filter(|held| held.lane == lane && held.state != LeaseState::Closed);
            Ok(live.cloned().collect())
        })
    }

    async fn open_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        want: u32,
        hot_possible: bool,
    ) -> Result<LeaseOpened, LedgerError> {
        let (lanes, lane) = (self.identity.lanes, fence.lane);
        self.call(|state| {
            if !state.holds(fence)? {
                return Ok(LeaseOpened::Deposed);
            }
            let record = state.coupons.get(&coupon);
            let shards = record.map_or(1, |record| record.coupon.spec.shards);
            if !lanes.keeps(lane, coupon, shards) {
                let text = format!("coupon {coupon} has no shard in lane {lane}");
                return Err(LedgerError::corrupt(text));
            }
            let Some(record) = state.coupons.get_mut(&coupon) else {
                return Ok(LeaseOpened::NothingLeft(no_stock()));
            };
            let wanted = u64::from(want.clamp(1, LEASE_TICKETS_MAX));
            let size = record
                .stock
                .unleased()
                .map_or(wanted, |left| wanted.min(left));
            if size == 0 {
                return Ok(LeaseOpened::NothingLeft(record.stock));
            }
            let lease = Lease {
                coupon,
                number: LeaseNumber(u32::try_from(record.leases.len()).unwrap_or(u32::MAX)).next(),
                lane,
                epoch: fence.epoch,
                first: Ticket(record.stock.leased + 1),
                size: u32::try_from(size).unwrap_or(LEASE_TICKETS_MAX),
                state: LeaseState::Open,
                hot_possible: hot_possible || record.coupon.spec.durability == Durability::Hot,
                returned: 0,
                grace_until: None,
                rows: 0,
            };
            record.stock.leased += size;
            record.leases.push(lease.clone());
            Ok(LeaseOpened::Opened(lease, state.raise_seq(lane)?))
        })
    }

    async fn close_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        lease: LeaseNumber,
    ) -> Result<LeaseStep, LedgerError> {
        self.call(|state| state.step(fence, coupon, lease, State::close))
    }

    async fn quarantine_lease(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        lease: LeaseNumber,
        grace_until: Timestamp,
    ) -> Result<LeaseStep, LedgerError> {
        self.call(|state| {
            state.step(fence, coupon, lease, |state, held| {
                if held.state != LeaseState::Open {
                    return Ok(false);
                }
                if held.epoch >= fence.epoch {
                    let text = format!("lease {lease} of coupon {coupon} is of the current epoch");
                    return Err(LedgerError::corrupt(text));
                }
                let no_grace = state.has(Flaw::NoGrace);
                let held = state.lease_mut(coupon, lease)?;
                held.state = LeaseState::Quarantined;
                held.grace_until = Some(if no_grace {
                    Timestamp::MIN
                } else {
                    grace_until
                });
                Ok(true)
            })
        })
    }

    async fn set_hot_possible(&self, coupon: CouponId) -> Result<(), LedgerError> {
        self.call(|state| {
            let mut changed = BTreeSet::new();
            for lease in &mut state.record_mut(coupon)?.leases {
                if lease.state == LeaseState::Open && !lease.hot_possible {
                    lease.hot_possible = true;
                    changed.insert(lease.lane);
                }
            }
            for lane in changed {
                state.raise_seq(lane)?;
            }
            Ok(())
        })
    }

    async fn set_target(
        &self,
        coupon: CouponId,
        target: Option<u64>,
    ) -> Result<Stock, LedgerError> {
        self.call(|state| {
            let record = state.record_mut(coupon)?;
            record.stock.target = target;
            Ok(record.stock)
        })
    }

    async fn settle_target(
        &self,
        fence: LaneFence,
        coupon: CouponId,
        now: Timestamp,
    ) -> Result<TargetSettled, LedgerError> {
        self.call(|state| {
            if !state.holds(fence)? {
                return Ok(TargetSettled::Deposed);
            }
            let record = state.record_mut(coupon)?;
            let Some(target) = record.stock.target.take() else {
                return Ok(TargetSettled::NoTarget(record.stock));
            };
            if record.stock.leased - record.stock.returned > target {
                return Ok(TargetSettled::TooMuchGranted(record.stock));
            }
            if record.stock.total.is_some_and(|total| total <= target) {
                return Ok(TargetSettled::Lowered(record.stock));
            }
            record.stock.total = Some(target);
            let (stock, before) = (record.stock, record.coupon.clone());
            record.coupon.spec.limits.total = Some(target);
            record.coupon.revision = before.revision.next();
            record.coupon.updated_at = now;
            let entry = lowered_entry(&before, &record.coupon, now)?;
            state.write_audit(entry);
            Ok(TargetSettled::Lowered(stock))
        })
    }
}
