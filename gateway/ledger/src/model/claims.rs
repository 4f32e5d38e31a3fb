//! Claims of the model.

use std::collections::BTreeMap;

use sluice_domain::claim::{ClaimRow, GrantBatch};
use sluice_domain::id::{ClaimId, CouponId, Epoch, LaneId, LeaseNumber, Ticket, UserId};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::LeaseState;

use super::flaw::Flaw;
use super::{ModelLedger, State};
use crate::LedgerError;
use crate::claims::{
    AppendFrom, Appended, Claims, ClaimsPage, Conflict, DeadLetter, DeposedBy, Revoked,
    check_batch, page_rows, row_of,
};

/// What an append would write, kept apart until all of it is known to be allowed.
#[derive(Default)]
struct Staged {
    rows: BTreeMap<(CouponId, Ticket), ClaimRow>,
    tickets: BTreeMap<ClaimId, Ticket>,
    conflicts: Vec<Conflict>,
}

impl State {
    /// The claim that keeps a new one from taking this ticket, if any.
    fn holder(&self, staged: &Staged, coupon: CouponId, ticket: Ticket) -> Option<ClaimId> {
        let at = (coupon, ticket);
        let row = self.rows.get(&at).or_else(|| staged.rows.get(&at));
        row.map(|row| row.claim_id)
    }

    fn stage(
        &self,
        staged: &mut Staged,
        batch: &GrantBatch,
        lane: LaneId,
        epoch: Epoch,
    ) -> Result<Option<DeposedBy>, LedgerError> {
        let deposed = DeposedBy::Lease {
            coupon: batch.coupon,
            lease: batch.lease,
        };
        let leases = self.coupons.get(&batch.coupon).map(|held| &held.leases);
        let lease = leases.and_then(|all| all.iter().find(|held| held.number == batch.lease));
        let Some(lease) = lease else {
            return Ok(Some(deposed));
        };
        check_batch(lease, batch)?;
        let open = lease.state == LeaseState::Open || self.has(Flaw::LeaseStateUnchecked);
        let writable = open && (lease.lane, lease.epoch) == (lane, epoch);
        for grant in &batch.grants {
            let claim_id = grant.claim_id;
            let mut holder = self.holder(staged, batch.coupon, grant.ticket);
            if holder == Some(claim_id) {
                continue;
            }
            let elsewhere = !self.has(Flaw::ClaimTwice)
                && (self.tickets.contains_key(&claim_id) || staged.tickets.contains_key(&claim_id));
            if holder.is_none() && elsewhere {
                holder = Some(claim_id);
            }
            if let Some(holder) = holder {
                staged.conflicts.push(Conflict {
                    entry: batch.entry,
                    claim_id,
                    ticket: grant.ticket,
                    holder,
                });
                continue;
            }
            if !writable {
                return Ok(Some(deposed));
            }
            let row = row_of(batch, grant);
            staged.rows.insert((batch.coupon, grant.ticket), row);
            staged.tickets.insert(claim_id, grant.ticket);
        }
        Ok(None)
    }

    fn append(
        &mut self,
        fence: LaneFence,
        epoch: Epoch,
        batches: &[GrantBatch],
    ) -> Result<Appended, LedgerError> {
        let mut staged = Staged::default();
        for batch in batches {
            if let Some(reason) = self.stage(&mut staged, batch, fence.lane, epoch)? {
                return Ok(Appended::Deposed { reason });
            }
        }
        for row in staged.rows.values() {
            self.lease_mut(row.coupon, row.lease)?.rows += 1;
        }
        self.rows.extend(staged.rows);
        self.tickets.extend(staged.tickets);
        let seq = if batches.is_empty() {
            self.lane(fence.lane)?.seq
        } else {
            self.raise_seq(fence.lane)?
        };
        Ok(Appended::Done {
            seq,
            conflicts: staged.conflicts,
        })
    }

    /// One claim.
    pub(super) fn find(&self, claim_id: ClaimId) -> Option<&ClaimRow> {
        let ticket = self.tickets.get(&claim_id)?;
        self.rows.get(&(claim_id.coupon(), *ticket))
    }

    fn revoke(&mut self, claim_id: ClaimId) -> Result<Revoked, LedgerError> {
        let Some(&ticket) = self.tickets.get(&claim_id) else {
            return Ok(Revoked::Unchanged);
        };
        let coupon = claim_id.coupon();
        let uses = self.uses_of(claim_id);
        let Some(row) = self.rows.get_mut(&(coupon, ticket)) else {
            return Ok(Revoked::Unchanged);
        };
        if row.revoked {
            return Ok(Revoked::Unchanged);
        }
        if !uses.is_empty() {
            return Ok(Revoked::InUse(uses));
        }
        row.revoked = true;
        let number: LeaseNumber = row.lease;
        let lease = self.lease_mut(coupon, number)?;
        if lease.state == LeaseState::Closed {
            lease.returned += 1;
            self.record_mut(coupon)?.stock.returned += 1;
        }
        Ok(Revoked::Done)
    }
}

#[async_trait::async_trait]
impl Claims for ModelLedger {
    async fn append(
        &self,
        fence: LaneFence,
        from: AppendFrom,
        batches: &[GrantBatch],
    ) -> Result<Appended, LedgerError> {
        let epoch = from.lease_epoch(fence);
        let lanes = self.identity.lanes;
        self.call(|state| {
            if !state.holds(fence)? {
                let reason = DeposedBy::Lane;
                return Ok(Appended::Deposed { reason });
            }
            let is_of_lane = |batch: &GrantBatch| {
                let lease = state.lease(batch.coupon, batch.lease);
                lanes.lane_of(batch.coupon) == fence.lane
                    || lease.is_some_and(|lease| lease.lane == fence.lane)
            };
            if let Some(batch) = batches.iter().find(|batch| !is_of_lane(batch)) {
                let text = format!("coupon {} is not in lane {}", batch.coupon, fence.lane);
                return Err(LedgerError::corrupt(text));
            }
            state.append(fence, epoch, batches)
        })
    }

    async fn claim(&self, claim_id: ClaimId) -> Result<Option<ClaimRow>, LedgerError> {
        self.call(|state| Ok(state.find(claim_id).cloned()))
    }

    async fn claim_with_epoch(
        &self,
        claim_id: ClaimId,
        lane: LaneId,
    ) -> Result<(Option<ClaimRow>, Epoch), LedgerError> {
        self.call(|state| Ok((state.find(claim_id).cloned(), state.lane(lane)?.epoch)))
    }

    async fn claims_of_coupon(
        &self,
        coupon: CouponId,
        page: ClaimsPage,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        self.call(|state| {
            let after = |row: &&ClaimRow| page.after.is_none_or(|after| row.ticket > after);
            let rows = state.rows_of(coupon).filter(after);
            Ok(rows.take(page_rows(page.limit)).cloned().collect())
        })
    }

    async fn claims_by_user_order(
        &self,
        coupon: CouponId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        let limit = page_rows(limit);
        self.call(|state| {
            let mut by_user: BTreeMap<UserId, Vec<ClaimRow>> = BTreeMap::new();
            for row in state.rows_of(coupon) {
                by_user.entry(row.user).or_default().push(row.clone());
            }
            let mut rows = Vec::new();
            let rest = by_user.into_iter();
            for (_user, of_user) in rest.filter(|(user, _)| after.is_none_or(|a| user > a)) {
                if !rows.is_empty() && rows.len() + of_user.len() > limit {
                    break;
                }
                rows.extend(of_user);
            }
            Ok(rows)
        })
    }

    async fn claims_of_user(
        &self,
        user: &UserId,
        limit: usize,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        self.call(|state| {
            let of_user = state.rows.values().filter(|row| row.user == *user);
            let mut rows: Vec<ClaimRow> = of_user.cloned().collect();
            rows.sort_by_key(|row| (std::cmp::Reverse(row.granted_at), row.coupon, row.ticket));
            rows.truncate(page_rows(limit));
            Ok(rows)
        })
    }

    async fn granted(&self, coupon: CouponId) -> Result<u64, LedgerError> {
        self.call(|state| {
            let granted = state.rows_of(coupon).filter(|row| !row.revoked).count();
            Ok(granted as u64)
        })
    }

    async fn revoke(&self, claim_id: ClaimId) -> Result<Revoked, LedgerError> {
        self.call(|state| state.revoke(claim_id))
    }

    async fn set_aside(&self, letters: &[DeadLetter]) -> Result<(), LedgerError> {
        self.call(|state| {
            for letter in letters {
                if !state
                    .dead_letters
                    .iter()
                    .any(|held| held.key() == letter.key())
                {
                    state.dead_letters.push(letter.clone());
                }
            }
            Ok(())
        })
    }

    async fn dead_letters(&self, lane: LaneId) -> Result<Vec<DeadLetter>, LedgerError> {
        self.call(|state| {
            let of_lane = state.dead_letters.iter().filter(|held| held.lane == lane);
            Ok(of_lane.cloned().collect())
        })
    }
}
