//! "Sold out", answered without Redis: the memory, the winner filter, and how it is made.

mod build;
mod filter;
mod memory;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sluice_domain::id::{Epoch, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::filter::{WinnerFilter, user_hash};
use self::memory::{Belief, Memory, MemoryTimes};
use crate::metrics::Metrics;
use crate::outcome::StockLevel;
use crate::port::{ClaimAnswer, ClaimRequest, SoldOutProof};
use crate::settings::EngineSettings;

pub(crate) use self::build::build_filter;

/// Filters are accounted for in units of this many bytes.
const ROOM_UNIT_BYTES: u64 = 1_024;

/// The memory of one coupon. It lives as long as the coupon's definition is held.
pub(crate) struct SoldOut {
    memory: Mutex<Memory<HeldFilter>>,
}

/// A filter and the room it takes.
pub(crate) struct HeldFilter {
    filter: WinnerFilter,
    _room: OwnedSemaphorePermit,
}

/// What may be answered without Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Local {
    /// Nothing: ask.
    Ask,
    /// Sold out, and the caller is no winner.
    Refuse {
        /// Units are quarantined.
        more_may_come: bool,
    },
}

/// The room for all filters of the process.
pub(crate) struct FilterRoom {
    units: Arc<Semaphore>,
    /// Who holds a filter; entries whose coupon is gone are dropped at the next visit.
    holders: Mutex<Vec<Weak<SoldOut>>>,
    times: MemoryTimes,
}

// === impl SoldOut ===

impl SoldOut {
    pub(crate) const fn new() -> Self {
        Self {
            memory: Mutex::new(Memory::new()),
        }
    }

    /// Whether a claim of this user can be refused from memory.
    pub(crate) fn judge(
        &self,
        user: &UserId,
        now: Instant,
        room: &FilterRoom,
        metrics: &Metrics,
    ) -> Local {
        let mut memory = self.lock();
        let (local, counter) = match memory.judge(now, room.times) {
            Belief::Unknown => return Local::Ask,
            Belief::Probe => (Local::Ask, &metrics.sold_out_probe),
            Belief::SoldOut {
                filter: Some(held),
                more_may_come,
            } if !held.filter.may_contain(user_hash(user)) => {
                (Local::Refuse { more_may_come }, &metrics.sold_out_hit)
            }
            Belief::SoldOut { .. } => (Local::Ask, &metrics.sold_out_maybe),
        };
        counter.increment(1);
        local
    }

    /// Whether the user certainly holds no claim.
    pub(crate) fn is_no_winner(&self, user: &UserId, now: Instant, room: &FilterRoom) -> bool {
        self.lock()
            .winners(now, room.times)
            .is_some_and(|held| !held.filter.may_contain(user_hash(user)))
    }

    /// What a claim that waited for the filter would be told, if the filter says that the user
    /// certainly holds none; `None` is "ask".
    pub(crate) fn answer_absent(
        &self,
        request: &ClaimRequest,
        now: Instant,
        room: &FilterRoom,
        metrics: &Metrics,
    ) -> Option<(ClaimAnswer, Epoch)> {
        if !self.is_no_winner(&request.user, now, room) {
            return None;
        }
        let (proof, _sent) = self.lock().last_proof()?;
        let answer = if request.replay_only {
            ClaimAnswer::NoClaim
        } else {
            metrics.sold_out_hit.increment(1);
            ClaimAnswer::SoldOut(proof)
        };
        Some((answer, proof.epoch))
    }

    /// Takes in what a call sent at `sent` was told. Gives the proof under which a filter should
    /// be built now; see [`build_filter`].
    pub(crate) fn observe(
        &self,
        answers: &[ClaimAnswer],
        sent: Instant,
        now: Instant,
        room: &FilterRoom,
    ) -> Option<SoldOutProof> {
        let proof = answers.iter().rev().find_map(|answer| match answer {
            ClaimAnswer::SoldOut(proof) => Some(*proof),
            _other => None,
        });
        if let Some(proof) = proof {
            let mut memory = self.lock();
            memory.learn(proof, sent);
            return memory.begin_filter(now, room.times);
        }
        if answers.iter().any(shows_stock) {
            self.lock().doubt(sent);
        }
        None
    }

    /// The filter that [`observe`](Self::observe) asked for is not built now.
    pub(crate) fn postpone(&self, proof: &SoldOutProof, retry_at: Instant) {
        self.lock().filter_built(proof, None, retry_at);
    }

    /// What to show. Beyond the second for which a refusal may come from memory, "sold out" is
    /// shown until the coupon's revision moves or an answer shows stock; not where units may come
    /// back by themselves.
    pub(crate) fn level(
        &self,
        revision: sluice_domain::id::Revision,
        now: Instant,
        room: &FilterRoom,
    ) -> Option<StockLevel> {
        let (proof, sent) = self.lock().last_proof()?;
        let recent = now < sent + room.times.lasts;
        let lasting = proof.revision == revision && !proof.more_may_come;
        (recent || lasting).then_some(StockLevel::SoldOut)
    }

    fn lock(&self) -> MutexGuard<'_, Memory<HeldFilter>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers that do not go with "nothing is left".
const fn shows_stock(answer: &ClaimAnswer) -> bool {
    match answer {
        ClaimAnswer::Granted(_)
        | ClaimAnswer::OpensSoon { .. }
        | ClaimAnswer::NextLease
        | ClaimAnswer::NeedLease => true,
        ClaimAnswer::Replayed(_)
        | ClaimAnswer::NoClaim
        | ClaimAnswer::StaleDefinition
        | ClaimAnswer::Paused
        | ClaimAnswer::Ended
        | ClaimAnswer::NotStarted { .. }
        | ClaimAnswer::UserLimit
        | ClaimAnswer::DeviceLimit
        | ClaimAnswer::AddressLimit
        | ClaimAnswer::SoldOut(_) => false,
    }
}

// === impl FilterRoom ===

impl FilterRoom {
    pub(crate) fn new(settings: &EngineSettings) -> Self {
        let units = settings.filter_bytes_max as u64 / ROOM_UNIT_BYTES;
        Self {
            units: Arc::new(Semaphore::new(
                usize::try_from(units)
                    .unwrap_or(usize::MAX)
                    .min(Semaphore::MAX_PERMITS),
            )),
            holders: Mutex::new(Vec::new()),
            times: MemoryTimes {
                lasts: settings.sold_out_memory,
                probe_lead: settings.probe_lead,
            },
        }
    }

    /// Room for so many bytes, after dropping filters whose memory is over where it is short.
    fn reserve(&self, bytes: u64, now: Instant) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(ROOM_UNIT_BYTES)).ok()?;
        let take = || Arc::clone(&self.units).try_acquire_many_owned(units).ok();
        take().or_else(|| {
            self.drop_idle(now);
            take()
        })
    }

    fn holds(&self, coupon: &Arc<SoldOut>) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        holders.retain(|held| held.strong_count() > 0 && !held.ptr_eq(&Arc::downgrade(coupon)));
        holders.push(Arc::downgrade(coupon));
    }

    fn drop_idle(&self, now: Instant) {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        holders.retain(|held| {
            held.upgrade()
                .is_some_and(|coupon| !coupon.lock().drop_idle_filter(now, self.times))
        });
    }
}
