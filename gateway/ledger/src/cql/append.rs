//! Appending outbox entries on CQL: decided as a whole from what is there, written lease by lease.
//!
//! Each round reads, decides purely and writes; a round that lost against another write, or whose
//! outcome is uncertain, is followed by one that reads through Paxos. Rows that are there by then
//! are done, so nothing is written twice.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt};
use sluice_domain::claim::GrantBatch;
use sluice_domain::id::{ClaimId, CouponId, Epoch, LaneId, LeaseNumber, Ticket};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::{Lease, LeaseState};

use super::lease_claims::{LeaseClaims, insert_call};
use super::store::{Call, Reading, back_off};
use super::value::values;
use super::{CqlLedger, crowded, lanes};
use crate::LedgerError;
use crate::claims::{Appended, Conflict, DeposedBy, check_batch};

const PLACES: &str = "SELECT lease, ticket FROM claims_by_id WHERE claim_id = ?";
const PLACE: &str = "INSERT INTO claims_by_id (claim_id, lease, ticket) VALUES (?, ?, ?) \
                     USING TIMESTAMP ?";
const OF_USER: &str = "INSERT INTO claims_by_user (user_id, granted_at, coupon, ticket, lease, \
                       claim_id) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";

pub(super) const STATEMENTS: &[&str] = &[PLACES, PLACE, OF_USER];

/// Those that a row is not written without.
#[cfg(feature = "testing")]
pub(super) const INDEX_WRITES: &[&str] = &[PLACE, OF_USER];

/// Rounds of an append.
const ROUNDS: u32 = 8;
/// Rows of one conditional batch: well below the size at which servers refuse a batch.
const BATCH_ROWS: usize = 128;
/// Reads under way for one append.
const READS_AT_ONCE: usize = 64;

type LeaseKey = (CouponId, LeaseNumber);
type Place = (LeaseNumber, Ticket);

/// What an append finds of one lease.
struct Found {
    lease: Lease,
    /// `None`: the lease was given up before its partition was made.
    claims: Option<LeaseClaims>,
    rows: HashMap<Ticket, ClaimId>,
}

/// Everything that an append is decided from.
struct Ground {
    leases: BTreeMap<LeaseKey, Option<Found>>,
    /// Claims of the batches that have a row, anywhere.
    known: HashSet<ClaimId>,
}

/// What is to be written: for each lease the places of its new rows, as (batch, grant).
#[derive(Default)]
struct Plan {
    rows: BTreeMap<LeaseKey, Vec<(usize, usize)>>,
    conflicts: Vec<Conflict>,
}

// === impl Ground ===

impl Ground {
    /// The lane of a batch's lease. A shard lives in another lane than its coupon: then the lease
    /// says whether a lane may have granted this.
    fn lane_of_lease(&self, batch: &GrantBatch) -> Option<LaneId> {
        let found = self.leases.get(&(batch.coupon, batch.lease));
        found.and_then(Option::as_ref).map(|found| found.lease.lane)
    }

    /// Decides in the order of batches and grants, as if each row were written before the next one
    /// is looked at.
    fn decide(
        &self,
        batches: &[GrantBatch],
        epoch: Epoch,
        fence: LaneFence,
    ) -> Result<Result<Plan, DeposedBy>, LedgerError> {
        let (mut plan, mut tickets) = (Plan::default(), HashMap::new());
        let mut ids = HashSet::new();
        for (index, batch) in batches.iter().enumerate() {
            let key = (batch.coupon, batch.lease);
            let deposed = DeposedBy::Lease {
                coupon: batch.coupon,
                lease: batch.lease,
            };
            let Some(found) = self.leases.get(&key).and_then(Option::as_ref) else {
                return Ok(Err(deposed));
            };
            check_batch(&found.lease, batch)?;
            for (place, grant) in batch.grants.iter().enumerate() {
                let at = (batch.coupon, grant.ticket);
                let here = found.rows.get(&grant.ticket).or_else(|| tickets.get(&at));
                let mut holder = here.copied();
                if holder == Some(grant.claim_id) {
                    continue;
                }
                let known = self.known.contains(&grant.claim_id) || ids.contains(&grant.claim_id);
                if holder.is_none() && known {
                    holder = Some(grant.claim_id);
                }
                if let Some(holder) = holder {
                    plan.conflicts.push(Conflict {
                        entry: batch.entry,
                        claim_id: grant.claim_id,
                        ticket: grant.ticket,
                        holder,
                    });
                    continue;
                }
                if !found.takes_rows(epoch, fence) {
                    return Ok(Err(deposed));
                }
                tickets.insert(at, grant.claim_id);
                ids.insert(grant.claim_id);
                plan.rows.entry(key).or_default().push((index, place));
            }
        }
        Ok(Ok(plan))
    }
}

// === impl Found ===

impl Found {
    fn takes_rows(&self, epoch: Epoch, fence: LaneFence) -> bool {
        // Epochs are counted in each lane: another lane's lease may be of the same.
        let of_keeper = (self.lease.lane, self.lease.epoch) == (fence.lane, epoch);
        let open = self.lease.state == LeaseState::Open && of_keeper;
        let claims = self.claims.as_ref();
        open && claims.is_some_and(|claims| {
            claims.state == LeaseState::Open && claims.writer_epoch <= fence.epoch
        })
    }
}

// === impl Plan ===

impl Plan {
    /// The index rows that lead to the new rows.
    fn index_calls(&self, batches: &[GrantBatch]) -> Vec<Call> {
        let mut calls = Vec::new();
        for (batch, grant) in self.rows.values().flatten() {
            let batch = &batches[*batch];
            let grant = &batch.grants[*grant];
            // What an index row says never changes: any constant order of writes will do.
            let stamp = batch.granted_at.as_millis() * 1_000;
            let place = values![grant.claim_id, batch.lease.0, grant.ticket.0, stamp];
            calls.push((PLACE, place));
            let of_user = values![
                grant.user,
                batch.granted_at,
                batch.coupon,
                grant.ticket.0,
                batch.lease.0,
                grant.claim_id,
                stamp
            ];
            calls.push((OF_USER, of_user));
        }
        calls
    }
}

// === impl CqlLedger ===

impl CqlLedger {
    /// Appends batches whose leases must be open and of `epoch`.
    pub(super) async fn append_batches(
        &self,
        fence: LaneFence,
        epoch: Epoch,
        batches: &[GrantBatch],
    ) -> Result<Appended, LedgerError> {
        let lane = self.read_lane(fence.lane, Reading::Quorum).await?.row;
        let deposed = |reason| Ok(Appended::Deposed { reason });
        if !lanes::holds(&lane, fence) {
            return deposed(DeposedBy::Lane);
        }
        if batches.is_empty() {
            return Ok(Appended::Done {
                seq: lane.seq,
                conflicts: Vec::new(),
            });
        }
        let (mut reading, mut raised) = (Reading::Quorum, None);
        for round in 0..ROUNDS {
            let mut ground = self.ground(batches, reading).await?;
            let is_of_lane = |batch: &&GrantBatch| {
                self.identity.lanes.lane_of(batch.coupon) == fence.lane
                    || ground.lane_of_lease(batch) == Some(fence.lane)
            };
            if let Some(batch) = batches.iter().find(|batch| !is_of_lane(batch)) {
                let text = format!("coupon {} is not in lane {}", batch.coupon, fence.lane);
                return Err(LedgerError::corrupt(text));
            }
            let plan = match ground.decide(batches, epoch, fence)? {
                Ok(plan) => plan,
                Err(reason) => return deposed(reason),
            };
            let index = self.store.upserts(plan.index_calls(batches));
            let seq = match raised {
                Some(seq) => index.await.map(|()| Some(seq))?,
                None => {
                    let (seq, indexed) = tokio::join!(self.raise_seq(fence), index);
                    indexed.and(seq)?
                }
            };
            let Some(seq) = seq else {
                return deposed(DeposedBy::Lane);
            };
            raised = Some(seq);
            if self.write_rows(&mut ground, &plan, batches, fence).await? {
                let conflicts = plan.conflicts;
                return Ok(Appended::Done { seq, conflicts });
            }
            reading = Reading::Serial;
            back_off(round).await;
        }
        Err(crowded("lane", fence.lane))
    }

    /// False where another write of a lease came first: the rest is decided anew.
    async fn write_rows(
        &self,
        ground: &mut Ground,
        plan: &Plan,
        batches: &[GrantBatch],
        fence: LaneFence,
    ) -> Result<bool, LedgerError> {
        for (key, rows) in &plan.rows {
            let found = ground.leases.get_mut(key).and_then(Option::as_mut);
            let Some(claims) = found.and_then(|found| found.claims.as_mut()) else {
                return Ok(false);
            };
            for chunk in rows.chunks(BATCH_ROWS) {
                let insert = |(batch, grant): &(usize, usize)| {
                    let batch = &batches[*batch];
                    insert_call(batch, &batch.grants[*grant])
                };
                claims.row_count += u32::try_from(chunk.len()).unwrap_or(0);
                claims.writer_epoch = fence.epoch;
                let calls = chunk.iter().map(insert).collect();
                if !self.write_claims(claims, calls).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn ground(
        &self,
        batches: &[GrantBatch],
        reading: Reading,
    ) -> Result<Ground, LedgerError> {
        let mut ranges: BTreeMap<LeaseKey, (Ticket, Ticket)> = BTreeMap::new();
        for batch in batches {
            for grant in &batch.grants {
                let key = (batch.coupon, batch.lease);
                let range = ranges.entry(key).or_insert((grant.ticket, grant.ticket));
                *range = (range.0.min(grant.ticket), range.1.max(grant.ticket));
            }
        }
        let (leases, known) = tokio::join!(
            self.find_leases(&ranges, reading),
            self.known_claims(batches, reading)
        );
        Ok(Ground {
            leases: leases?,
            known: known?,
        })
    }

    async fn find_leases(
        &self,
        ranges: &BTreeMap<LeaseKey, (Ticket, Ticket)>,
        reading: Reading,
    ) -> Result<BTreeMap<LeaseKey, Option<Found>>, LedgerError> {
        let mut leases = BTreeMap::new();
        for (key, range) in ranges {
            let (coupon, number) = *key;
            // The partition is read before its rows: a read through Paxos brings them in.
            let (entry, claims) = tokio::join!(
                self.find_lease(coupon, number, reading),
                self.lease_claims(coupon, number, reading)
            );
            let (Some(entry), claims) = (entry?, claims?) else {
                leases.insert(*key, None);
                continue;
            };
            let rows = self.claim_rows(coupon, number, *range, reading).await?;
            let found = Found {
                lease: entry.lease,
                claims,
                rows: rows.iter().map(|row| (row.ticket, row.claim_id)).collect(),
            };
            leases.insert(*key, Some(found));
        }
        Ok(leases)
    }

    /// Those claims of the batches that have a row.
    async fn known_claims(
        &self,
        batches: &[GrantBatch],
        reading: Reading,
    ) -> Result<HashSet<ClaimId>, LedgerError> {
        let grants = batches.iter().flat_map(|batch| &batch.grants);
        let ids: HashSet<ClaimId> = grants.map(|grant| grant.claim_id).collect();
        let mut reads = Vec::with_capacity(ids.len());
        for id in ids {
            reads.push(async move {
                let row = self.claim_row(id, reading).await?;
                Ok::<_, LedgerError>(row.map(|row| row.claim_id))
            });
        }
        let found = futures_util::stream::iter(reads).buffer_unordered(READS_AT_ONCE);
        let found: Vec<Option<ClaimId>> = found.try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Where a claim's row may be.
    pub(super) async fn places(&self, claim_id: ClaimId) -> Result<Vec<Place>, LedgerError> {
        let key = values![claim_id];
        let records = self.store.rows(PLACES, key, Reading::Quorum).await?;
        let decode = |record: &super::value::Record| {
            Ok((
                LeaseNumber(record.number("lease")?),
                Ticket(record.number("ticket")?),
            ))
        };
        records.iter().map(decode).collect()
    }
}
