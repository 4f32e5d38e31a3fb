//! The definition cache: one read per coupon and second, whatever the crowd.
//!
//! A definition decides for at most a second after it was asked for; then the next claim reads it
//! again, and everybody who comes meanwhile waits for that one read. An invalidation makes it old at
//! once, also when it is just being read. Coupons that do not exist are remembered apart and
//! briefly, so made-up ids can neither push real ones out nor cost Redis more than the bound.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use sluice_domain::eligibility::Rules;
use sluice_domain::id::{CouponId, LaneId};
use sluice_domain::lane::LaneCount;
use sluice_domain::published::Published;
use tokio::time::{Instant, timeout, timeout_at};

use crate::failure::{Failure, report};
use crate::port::{ClaimStore, DefinitionAnswer};
use crate::shared::Shared;
use crate::sold_out::SoldOut;

/// Invalidations are counted in so many places; coupons that share one are read once more.
const GENERATIONS: usize = 1_024;
/// How long a failed read is not repeated.
const FAILED_AGE_MAX: Duration = Duration::from_millis(50);

/// Lanes that are asked for a definition before it counts as not to be had now.
const LANES_TRIED: usize = 3;

/// The cache.
pub(crate) struct Definitions<S> {
    shared: Arc<Shared<S>>,
    lanes: LaneCount,
    known: Cache<CouponId, Arc<Held>>,
    unknown: Cache<CouponId, Arc<Held>>,
    generations: Vec<AtomicU64>,
    first_loads: Mutex<FirstLoads>,
}

/// A coupon, as gateways decide with it.
#[derive(Clone)]
pub(crate) enum Definition {
    /// It is published.
    Live(Arc<LiveCoupon>),
    /// Its hot state was retired.
    Retired(Arc<Published>),
    /// There is no such coupon.
    Unknown,
    /// It could not be read.
    Failed(Failure),
}

/// A published coupon and what this gateway knows of it.
pub(crate) struct LiveCoupon {
    /// The published form with its zones looked up.
    pub(crate) rules: Rules,
    pub(crate) notes: Arc<Notes>,
}

/// What this gateway learned about a coupon. Survives the reading of a new definition.
pub(crate) struct Notes {
    /// Per shard: each is sold out by a proof of its own lane.
    sold_out: Box<[Arc<SoldOut>]>,
    /// The highest ticket seen, plus one: a hint at how much is left.
    pub(crate) tickets_seen: AtomicU64,
}

struct Held {
    definition: Definition,
    /// When the read was sent.
    sent: Instant,
    generation: u64,
}

/// Counts reads of coupons that are not held, per second.
struct FirstLoads {
    second: Instant,
    count: u32,
}

// === impl Definitions ===

impl<S: ClaimStore> Definitions<S> {
    pub(crate) fn new(shared: Arc<Shared<S>>, lanes: LaneCount) -> Self {
        let settings = shared.settings;
        Self {
            lanes,
            known: Cache::new(settings.definitions_max),
            unknown: Cache::new(settings.unknown_max),
            generations: (0..GENERATIONS).map(|_slot| AtomicU64::new(0)).collect(),
            first_loads: Mutex::new(FirstLoads {
                second: Instant::now(),
                count: 0,
            }),
            shared,
        }
    }

    /// The definition of a coupon, asked for not before `not_before` and at most a second ago.
    pub(crate) async fn get(
        &self,
        coupon: CouponId,
        not_before: Option<Instant>,
        deadline: Instant,
    ) -> Definition {
        let now = Instant::now();
        let held = self.known.get(&coupon).await;
        if let Some(held) = &held
            && self.is_fresh(coupon, held, now, not_before)
        {
            self.shared.metrics.definition_hit.increment(1);
            return held.definition.clone();
        }
        if held.is_none() {
            if let Some(gone) = self.unknown.get(&coupon).await
                && self.is_fresh(coupon, &gone, now, not_before)
            {
                self.shared.metrics.definition_negative.increment(1);
                return Definition::Unknown;
            }
            if !self.may_load_first(now) {
                self.shared.metrics.shed_first_loads.increment(1);
                return Definition::Failed(Failure::Overloaded);
            }
        }
        let notes = held.and_then(|old| old.definition.notes());
        // A read decides nothing, so leaving it behind leaves no trace. Boxed, because it is rare and
        // large, and every claim's future would be as large.
        timeout_at(
            deadline,
            Box::pin(self.load_once(coupon, notes, not_before)),
        )
        .await
        .unwrap_or(Definition::Failed(Failure::Recovering))
    }

    /// Makes what is held of a coupon old, and what is being read of it.
    pub(crate) fn invalidate(&self, coupon: CouponId) {
        self.generation(coupon).fetch_add(1, Ordering::AcqRel);
    }

    /// Reads, or waits for whoever is reading.
    async fn load_once(
        &self,
        coupon: CouponId,
        notes: Option<Arc<Notes>>,
        not_before: Option<Instant>,
    ) -> Definition {
        let held = self
            .known
            .entry(coupon)
            .or_insert_with_if(self.load(coupon, notes), |held| {
                !self.is_fresh(coupon, held, Instant::now(), not_before)
            })
            .await
            .into_value();
        if matches!(held.definition, Definition::Unknown) {
            self.known.invalidate(&coupon).await;
        }
        held.definition.clone()
    }

    async fn load(&self, coupon: CouponId, notes: Option<Arc<Notes>>) -> Arc<Held> {
        let generation = self.generation(coupon).load(Ordering::Acquire);
        let sent = Instant::now();
        let definition = self.read(coupon, notes).await;
        let held = Arc::new(Held {
            definition,
            sent,
            generation,
        });
        if matches!(held.definition, Definition::Unknown) {
            self.unknown.insert(coupon, Arc::clone(&held)).await;
        }
        held
    }

    /// Reads in the coupon's home lane; where that does not answer and the coupon is known to have
    /// shards, in the lanes of the next ones. A change is in force in all of them before it counts.
    async fn read(&self, coupon: CouponId, notes: Option<Arc<Notes>>) -> Definition {
        let shards = notes.as_ref().map_or(1, |notes| notes.shards());
        let lanes = self.lanes.lanes_of(coupon, shards).take(LANES_TRIED);
        let mut definition = Definition::Failed(Failure::Recovering);
        for lane in lanes {
            definition = self.read_in(lane, coupon, notes.clone()).await;
            if !matches!(definition, Definition::Failed(_)) {
                break;
            }
        }
        definition
    }

    async fn read_in(
        &self,
        lane: LaneId,
        coupon: CouponId,
        notes: Option<Arc<Notes>>,
    ) -> Definition {
        let shared = &self.shared;
        let call = shared.store.definition(lane, coupon);
        let answer = timeout(shared.settings.call_within, call).await;
        let counter = match answer {
            Ok(Ok(_)) => &shared.metrics.definition_load,
            Ok(Err(_)) | Err(_) => &shared.metrics.definition_error,
        };
        counter.increment(1);
        match answer {
            Ok(Ok(DefinitionAnswer::Found(published))) => Definition::Live(Arc::new(LiveCoupon {
                notes: notes.unwrap_or_else(|| Arc::new(Notes::new(published.shards))),
                rules: Rules::new(published),
            })),
            Ok(Ok(DefinitionAnswer::Retired(published))) => Definition::Retired(published),
            Ok(Ok(DefinitionAnswer::Unknown)) => Definition::Unknown,
            Ok(Err(error)) => {
                report(shared.keeper.as_ref(), lane, &error);
                // Reading applies nothing, so "unknown" is not an answer here.
                Definition::Failed(match Failure::of(&error) {
                    Failure::Unknown => Failure::Recovering,
                    known => known,
                })
            }
            Err(_elapsed) => Definition::Failed(Failure::Recovering),
        }
    }

    fn is_fresh(
        &self,
        coupon: CouponId,
        held: &Held,
        now: Instant,
        not_before: Option<Instant>,
    ) -> bool {
        let age_max = match held.definition {
            Definition::Failed(_) => FAILED_AGE_MAX,
            Definition::Unknown => self.shared.settings.unknown_age_max,
            Definition::Live(_) | Definition::Retired(_) => self.shared.settings.definition_age_max,
        };
        now.saturating_duration_since(held.sent) < age_max
            && not_before.is_none_or(|bound| held.sent >= bound)
            && held.generation == self.generation(coupon).load(Ordering::Acquire)
    }

    fn generation(&self, coupon: CouponId) -> &AtomicU64 {
        // Coupon ids are a permutation, so their low bits are spread.
        &self.generations[usize::try_from(coupon.0).unwrap_or(0) % GENERATIONS]
    }

    fn may_load_first(&self, now: Instant) -> bool {
        let mut first = self
            .first_loads
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(first.second) >= Duration::from_secs(1) {
            first.second = now;
            first.count = 0;
        }
        first.count += 1;
        first.count <= self.shared.settings.first_loads_per_second_max
    }
}

// === impl Definition, Notes ===

impl Definition {
    fn notes(&self) -> Option<Arc<Notes>> {
        match self {
            Self::Live(live) => Some(Arc::clone(&live.notes)),
            Self::Retired(_) | Self::Unknown | Self::Failed(_) => None,
        }
    }
}

impl Notes {
    fn new(shards: u16) -> Self {
        Self {
            sold_out: (0..shards.max(1))
                .map(|_shard| Arc::new(SoldOut::new()))
                .collect(),
            tickets_seen: AtomicU64::new(0),
        }
    }

    fn shards(&self) -> u16 {
        u16::try_from(self.sold_out.len()).unwrap_or(1)
    }

    /// What is remembered of one shard.
    pub(crate) fn sold_out(&self, shard: u16) -> &Arc<SoldOut> {
        // The number of shards is fixed once a coupon is published.
        &self.sold_out[usize::from(shard) % self.sold_out.len()]
    }

    /// What is remembered of each.
    pub(crate) fn all_sold_out(&self) -> &[Arc<SoldOut>] {
        &self.sold_out
    }
}
