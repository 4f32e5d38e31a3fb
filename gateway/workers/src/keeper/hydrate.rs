//! Hydration: a coupon's claims are filled into hot state from the ledger's rows.

use std::collections::HashSet;
use std::sync::Arc;

use sluice_domain::claim::ClaimRow;
use sluice_domain::id::{CouponId, Revision, SubjectHash, UserId};
use sluice_domain::lease::Lease;
use sluice_hotstate::lane_store::{HydrateBegin, Hydration};
use sluice_ledger::leases::LeaseStep;

use super::decide::{self, OldLease};
use super::trouble::{Trouble, settled};
use super::{Keeper, millis};

/// Pages filled in by one step.
const PAGES_AT_ONCE: usize = 4;

/// Times that a hydration starts over before the coupon goes back to the end of the queue.
const RESTARTS_MAX: u32 = 5;

/// Distance between the attempts of two keepers, so that attempts rise over keepers too; small
/// enough for the numbers of Lua.
const ATTEMPTS_PER_KEEPER: u64 = 1_000_000;

/// The hydration under way.
#[derive(Debug)]
pub(super) struct HydrationJob {
    coupon: CouponId,
    attempt: u64,
    restarts: u32,
    /// Shards of the coupon: only this lane's users are filled in.
    shards: u16,
    filling: Option<Filling>,
}

/// How far it is, and what was filled so far.
#[derive(Debug, Default)]
struct Filling {
    after: Option<UserId>,
    users: u64,
    devices: HashSet<SubjectHash>,
    addresses: HashSet<SubjectHash>,
}

/// What one slice of a hydration came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slice {
    /// More to do.
    GoOn,
    /// The coupon serves.
    Ready,
    /// Read again and start over.
    StartOver,
    /// Nothing to do here, or another is at it.
    Leave,
}

impl Keeper {
    /// Queues a coupon for hydration.
    pub(super) fn begin_hydration(&mut self, coupon: CouponId) {
        let under_way = self
            .hydration
            .as_ref()
            .is_some_and(|job| job.coupon == coupon);
        if !under_way && !self.cold.push(coupon) {
            tracing::debug!(lane = %self.lane, %coupon, "too many coupons wait for hydration");
        }
    }

    /// Brings the hydration under way forward, or begins the next. Between two slices the outbox
    /// is drained: a coupon with a million claims holds nobody up.
    pub(super) async fn hydrate_some(&mut self) -> Result<(), Trouble> {
        if self.hydration.is_none() {
            let Some(coupon) = self.cold.pop() else {
                return Ok(());
            };
            self.hydration = Some(HydrationJob {
                coupon,
                attempt: self.next_attempt(),
                restarts: 0,
                shards: 1,
                filling: None,
            });
        }
        let Some(mut job) = self.hydration.take() else {
            return Ok(());
        };
        let slice = self.hydrate_slice(&mut job).await;
        let coupon = job.coupon;
        match slice {
            Ok(Slice::GoOn) => self.hydration = Some(job),
            Ok(Slice::Ready) => self.touch(coupon),
            Ok(Slice::Leave) => {}
            Ok(Slice::StartOver) if job.restarts < RESTARTS_MAX => {
                job.restarts += 1;
                job.attempt = self.next_attempt();
                job.filling = None;
                self.hydration = Some(job);
            }
            Ok(Slice::StartOver) => self.begin_hydration(coupon),
            Err(trouble) => {
                // The calls may be repeated from where they were.
                self.hydration = Some(job);
                return Err(trouble);
            }
        }
        Ok(())
    }

    async fn hydrate_slice(&mut self, job: &mut HydrationJob) -> Result<Slice, Trouble> {
        if job.filling.is_none() {
            match self.hydrate_begin(job).await? {
                Slice::GoOn => job.filling = Some(Filling::default()),
                other => return Ok(other),
            }
        }
        let Some(filling) = job.filling.as_mut() else {
            return Ok(Slice::StartOver);
        };
        for _page in 0..PAGES_AT_ONCE {
            let rows = self
                .parts
                .ledger
                .claims_by_user_order(
                    job.coupon,
                    filling.after.as_ref(),
                    self.settings.hydrate_rows_max,
                )
                .await?;
            let Some(last) = rows.last().map(|row| row.user) else {
                return self.hydrate_finish(job.coupon, job.attempt, filling).await;
            };
            let lanes = self.parts.ledger.identity().lanes;
            let is_own =
                |row: &ClaimRow| lanes.lane_for(job.coupon, job.shards, &row.user) == self.lane;
            let rows: Vec<ClaimRow> = rows.into_iter().filter(is_own).collect();
            if rows.is_empty() {
                filling.after = Some(last);
                continue;
            }
            let answer = self
                .parts
                .store
                .hydrate_claims(self.fence, job.coupon, job.attempt, &rows)
                .await?;
            match slice_of(settled(answer)?) {
                Slice::GoOn => {
                    filling.count(&rows);
                    // Only now: a page whose call had no answer is filled in once more. Were it
                    // passed over, the coupon would be served without its claims, and the numbers
                    // compared at the end would agree.
                    filling.after = Some(last);
                }
                other => return Ok(other),
            }
        }
        Ok(Slice::GoOn)
    }

    /// Settles what older epochs left, then begins with the coupon as the ledger has it after
    /// that.
    async fn hydrate_begin(&mut self, job: &mut HydrationJob) -> Result<Slice, Trouble> {
        let leases = self.parts.ledger.leases(job.coupon).await?;
        self.settle_old(&leases).await?;
        let Some(published) = self.published(job.coupon).await? else {
            return Ok(Slice::Leave);
        };
        let lanes = self.parts.ledger.identity().lanes;
        if !lanes.keeps(self.lane, job.coupon, published.shards) {
            return Ok(Slice::Leave);
        }
        job.shards = published.shards;
        let begin = HydrateBegin {
            published: Arc::new(published),
            last_lease: leases.last().map(|lease| lease.number).unwrap_or_default(),
            seq: self.seq,
        };
        let answer = self
            .parts
            .store
            .hydrate_begin(self.fence, &begin, job.attempt)
            .await?;
        let answer = settled(answer)?;
        if answer == Hydration::StaleRevision {
            self.check_revision(job.coupon, begin.published.revision)
                .await?;
        }
        Ok(slice_of(answer))
    }

    /// What is in force in hot state was in the ledger before: a ledger that, read after it, still
    /// has nothing newer than what hot state called stale was set back. Figures do not tell that of a
    /// coupon that was never hydrated.
    async fn check_revision(&self, coupon: CouponId, stale: Revision) -> Result<(), Trouble> {
        let stored = self.parts.ledger.coupon(coupon).await?;
        if stored.is_some_and(|stored| stored.revision > stale) {
            return Ok(());
        }
        Err(Trouble::Halt(format!(
            "the ledger was set back: hot state has coupon {coupon} above revision {stale}"
        )))
    }

    async fn hydrate_finish(
        &self,
        coupon: CouponId,
        attempt: u64,
        filled: &Filling,
    ) -> Result<Slice, Trouble> {
        let answer = self
            .parts
            .store
            .hydrate_finish(
                self.fence,
                coupon,
                attempt,
                filled.users,
                filled.devices.len() as u64,
                filled.addresses.len() as u64,
            )
            .await?;
        Ok(match settled(answer)? {
            Hydration::Done => Slice::Ready,
            other => slice_of(other),
        })
    }

    /// Leases of epochs that are over: closed where every acknowledged claim is a row, else
    /// blocked until grace is over. True where something came back.
    pub(super) async fn settle_old(&mut self, leases: &[Lease]) -> Result<bool, Trouble> {
        let grace_until = self.epoch_began.plus_millis(millis(self.settings.grace_ms));
        let epoch = self.fence.epoch;
        let mut came_back = false;
        for lease in self.own(leases).filter(|lease| lease.epoch < epoch) {
            match decide::old_lease(lease, self.lane_time, grace_until) {
                OldLease::Leave => {}
                OldLease::Close => {
                    self.close_in_ledger(lease.coupon, lease.number).await?;
                    came_back = true;
                }
                OldLease::Quarantine(until) => {
                    let step = self
                        .parts
                        .ledger
                        .quarantine_lease(self.fence, lease.coupon, lease.number, until)
                        .await?;
                    match step {
                        LeaseStep::Done(_lease, seq) => self.hear_seq(seq),
                        LeaseStep::Deposed => return Err(Trouble::Lost),
                    }
                }
            }
        }
        Ok(came_back)
    }

    fn next_attempt(&mut self) -> u64 {
        self.hydrations = self.hydrations.saturating_add(1);
        self.fence
            .keeper
            .0
            .saturating_mul(ATTEMPTS_PER_KEEPER)
            .saturating_add(self.hydrations)
    }
}

// === impl Filling ===

impl Filling {
    fn count(&mut self, rows: &[ClaimRow]) {
        let mut last = None;
        for row in rows {
            // All rows of a user are on one page.
            if last != Some(row.user) {
                self.users += 1;
                last = Some(row.user);
            }
            self.devices.extend(row.device);
            self.addresses.extend(row.address);
        }
    }
}

/// What a step's answer means for the hydration as a whole.
const fn slice_of(answer: Hydration) -> Slice {
    match answer {
        Hydration::Done => Slice::GoOn,
        Hydration::AlreadyReady => Slice::Ready,
        Hydration::StaleRevision | Hydration::CountsDiffer => Slice::StartOver,
        Hydration::Superseded => Slice::Leave,
    }
}
