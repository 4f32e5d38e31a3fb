//! Claims on CQL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{StreamExt, TryStreamExt};
use sluice_domain::claim::{ClaimRow, GrantBatch};
use sluice_domain::id::{ClaimId, CouponId, Epoch, LaneId, LeaseNumber, Ticket, UserId};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::{Lease, LeaseState};

use super::store::{Reading, back_off};
use super::value::values;
use super::{CqlLedger, crowded};
use crate::LedgerError;
use crate::claims::{AppendFrom, Appended, Claims, ClaimsPage, DeadLetter, Revoked, page_rows};

const OF_USER: &str =
    "SELECT coupon, lease, ticket, claim_id FROM claims_by_user WHERE user_id = ?";

pub(super) const STATEMENTS: &[&str] = &[OF_USER];

/// Writers that a revocation may lose against.
const ROUNDS: u32 = 20;
/// Rows that are read at once for a list.
const READS_AT_ONCE: usize = 32;
/// Index rows read beyond a page, for those that lead nowhere.
const SPARE_ROWS: usize = 64;
/// Coupons whose order by user is kept while they are read page by page.
const ORDERS_MAX: usize = 4;

/// Claims of coupons in the order of users, each as it was when its first page was read: rows are
/// stored by ticket, and sorting them anew for each page would read all of them each time.
#[derive(Debug, Default)]
pub(super) struct UserOrders(Mutex<HashMap<CouponId, Arc<Vec<ClaimRow>>>>);

// === impl UserOrders ===

impl UserOrders {
    fn find(&self, coupon: CouponId) -> Option<Arc<Vec<ClaimRow>>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&coupon).cloned()
    }

    fn keep(&self, coupon: CouponId, rows: &Arc<Vec<ClaimRow>>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= ORDERS_MAX && !held.contains_key(&coupon) {
            held.clear();
        }
        held.insert(coupon, Arc::clone(rows));
    }

    fn forget(&self, coupon: CouponId) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&coupon);
    }
}

/// The next page in the order of users; a user's rows stay together.
fn user_page(rows: &[ClaimRow], after: Option<&UserId>, limit: usize) -> Vec<ClaimRow> {
    let from = after.map_or(0, |after| rows.partition_point(|row| row.user <= *after));
    let mut page: Vec<ClaimRow> = Vec::new();
    for of_user in rows[from..].chunk_by(|left, right| left.user == right.user) {
        if !page.is_empty() && page.len() + of_user.len() > limit {
            break;
        }
        page.extend_from_slice(of_user);
    }
    page
}

// === impl CqlLedger ===

impl CqlLedger {
    /// The row of a claim, found by its index.
    pub(super) async fn claim_row(
        &self,
        claim_id: ClaimId,
        reading: Reading,
    ) -> Result<Option<ClaimRow>, LedgerError> {
        for (lease, ticket) in self.places(claim_id).await? {
            let found = self.row_at(claim_id, lease, ticket, reading).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The row at a place, if it is that claim's.
    async fn row_at(
        &self,
        claim_id: ClaimId,
        lease: LeaseNumber,
        ticket: Ticket,
        reading: Reading,
    ) -> Result<Option<ClaimRow>, LedgerError> {
        let coupon = claim_id.coupon();
        let rows = self.claim_rows(coupon, lease, (ticket, ticket), reading);
        let mut rows = rows.await?.into_iter();
        Ok(rows.find(|row| row.claim_id == claim_id))
    }

    /// All rows of a lease. Through Paxos first, so that none under way is missed.
    pub(super) async fn rows_of_lease(&self, lease: &Lease) -> Result<Vec<ClaimRow>, LedgerError> {
        self.lease_claims(lease.coupon, lease.number, Reading::Serial)
            .await?;
        let range = (Ticket(0), Ticket(i64::MAX as u64));
        self.claim_rows(lease.coupon, lease.number, range, Reading::Quorum)
            .await
    }

    /// All rows of a coupon, by ticket.
    pub(super) async fn rows_of_coupon(
        &self,
        coupon: CouponId,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        let mut rows = Vec::new();
        for entry in self.lease_entries(coupon, Reading::Serial).await? {
            rows.extend(self.rows_of_lease(&entry.lease).await?);
        }
        Ok(rows)
    }

    async fn in_user_order(&self, coupon: CouponId) -> Result<Arc<Vec<ClaimRow>>, LedgerError> {
        let mut rows = self.rows_of_coupon(coupon).await?;
        rows.sort_by_key(|row| (row.user, row.ticket));
        let rows = Arc::new(rows);
        self.user_orders.keep(coupon, &rows);
        Ok(rows)
    }
}

#[async_trait::async_trait]
impl Claims for CqlLedger {
    async fn append(
        &self,
        fence: LaneFence,
        from: AppendFrom,
        batches: &[GrantBatch],
    ) -> Result<Appended, LedgerError> {
        let started = std::time::Instant::now();
        let appended = self
            .append_batches(fence, from.lease_epoch(fence), batches)
            .await;
        self.append_seconds.record(started.elapsed().as_secs_f64());
        let rows: usize = batches.iter().map(|batch| batch.grants.len()).sum();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand rows at most")]
        self.batch_rows.record(rows as f64);
        appended
    }

    async fn claim(&self, claim_id: ClaimId) -> Result<Option<ClaimRow>, LedgerError> {
        self.claim_row(claim_id, Reading::Quorum).await
    }

    async fn claims(&self, claims: &[ClaimId]) -> Result<Vec<Option<ClaimRow>>, LedgerError> {
        let mut reads = Vec::with_capacity(claims.len());
        for claim_id in claims {
            reads.push(self.claim_row(*claim_id, Reading::Quorum));
        }
        let rows = futures_util::stream::iter(reads).buffered(READS_AT_ONCE);
        rows.try_collect().await
    }

    async fn claim_with_epoch(
        &self,
        claim_id: ClaimId,
        lane: LaneId,
    ) -> Result<(Option<ClaimRow>, Epoch), LedgerError> {
        let row = self.claim_row(claim_id, Reading::Serial).await?;
        let lane = self.read_lane(lane, Reading::Serial).await?.row;
        Ok((row, lane.epoch))
    }

    async fn claims_of_coupon(
        &self,
        coupon: CouponId,
        page: ClaimsPage,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        let limit = page_rows(page.limit);
        let first = page.after.map_or(Ticket(0), |after| Ticket(after.0 + 1));
        let mut rows = Vec::new();
        // Leases and their tickets rise together.
        for entry in self.lease_entries(coupon, Reading::Quorum).await? {
            let lease = entry.lease;
            if lease.end() <= first {
                continue;
            }
            let range = (first, lease.end());
            let more = self.claim_rows(coupon, lease.number, range, Reading::Quorum);
            rows.extend(more.await?);
            if rows.len() >= limit {
                break;
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }

    async fn claims_by_user_order(
        &self,
        coupon: CouponId,
        after: Option<&UserId>,
        limit: usize,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        let kept = after.and_then(|_going_on| self.user_orders.find(coupon));
        let rows = match kept {
            Some(rows) => rows,
            None => self.in_user_order(coupon).await?,
        };
        let page = user_page(&rows, after, page_rows(limit));
        if page.is_empty() {
            self.user_orders.forget(coupon);
        }
        Ok(page)
    }

    async fn claims_of_user(
        &self,
        user: &UserId,
        limit: usize,
    ) -> Result<Vec<ClaimRow>, LedgerError> {
        let limit = page_rows(limit);
        let key = values![user];
        let index = self
            .store
            .rows_at_most(OF_USER, key, Reading::Quorum, limit + SPARE_ROWS)
            .await?;
        let mut reads = Vec::with_capacity(index.len());
        for record in &index {
            let claim_id = ClaimId(record.bytes("claim_id")?);
            let lease = LeaseNumber(record.number("lease")?);
            let ticket = Ticket(record.number("ticket")?);
            reads.push(self.row_at(claim_id, lease, ticket, Reading::Quorum));
        }
        let rows = futures_util::stream::iter(reads).buffered(READS_AT_ONCE);
        let rows: Vec<Option<ClaimRow>> = rows.try_collect().await?;
        Ok(rows.into_iter().flatten().take(limit).collect())
    }

    async fn granted(&self, coupon: CouponId) -> Result<u64, LedgerError> {
        let entries = self.lease_entries(coupon, Reading::Quorum).await?;
        let mut reads = Vec::with_capacity(entries.len());
        for entry in &entries {
            reads.push(self.lease_claims(coupon, entry.lease.number, Reading::Quorum));
        }
        let claims = futures_util::stream::iter(reads).buffered(READS_AT_ONCE);
        let claims: Vec<_> = claims.try_collect().await?;
        let live = claims
            .iter()
            .flatten()
            .map(|claims| u64::from(claims.live()));
        Ok(live.sum())
    }

    async fn revoke(&self, claim_id: ClaimId) -> Result<Revoked, LedgerError> {
        let mut tried = false;
        for round in 0..ROUNDS {
            let Some(row) = self.claim_row(claim_id, Reading::Serial).await? else {
                return Ok(Revoked::Unchanged);
            };
            if row.revoked {
                // What an earlier call may have left undone.
                self.raise_returned(row.coupon, row.lease).await?;
                return Ok(if tried {
                    Revoked::Done
                } else {
                    Revoked::Unchanged
                });
            }
            // From here on no order can hold it.
            let uses = self.take_back(claim_id).await?;
            if !uses.is_empty() {
                return Ok(Revoked::InUse(uses));
            }
            let claims = self.lease_claims(row.coupon, row.lease, Reading::Serial);
            let claims = claims.await?.ok_or_else(|| {
                LedgerError::corrupt(format!("claim {claim_id} has a row in no lease"))
            })?;
            tried = true;
            if self.revoke_row(&claims, &row).await? {
                if claims.state == LeaseState::Closed {
                    self.raise_returned(row.coupon, row.lease).await?;
                }
                return Ok(Revoked::Done);
            }
            back_off(round).await;
        }
        Err(crowded("claim", claim_id))
    }

    async fn set_aside(&self, letters: &[DeadLetter]) -> Result<(), LedgerError> {
        for letter in letters {
            self.set_one_aside(letter).await?;
        }
        Ok(())
    }

    async fn dead_letters(&self, lane: LaneId) -> Result<Vec<DeadLetter>, LedgerError> {
        self.letters_of_lane(lane).await
    }
}
