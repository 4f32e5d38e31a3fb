//! A bounded state store for governor.
//!
//! governor's own stores grow with every new key, and random IPv6 networks are free. This one holds
//! at most so many subjects; when it is full, subjects that it knows keep their own bucket and new
//! ones share coarse buckets, until a sweep makes room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

const SHARDS: usize = 32;
/// Buckets that newcomers share when the store is full.
const COARSE_BUCKETS: u64 = 4_096;

/// Theoretical arrival times by subject.
pub(super) struct BoundedStore {
    shards: Box<[Mutex<HashMap<u64, Nanos>>]>,
    coarse: Box<[Mutex<HashMap<u64, Nanos>>]>,
    held: AtomicUsize,
    keys_max: usize,
}

impl BoundedStore {
    /// Holds at most about `keys_max` subjects (each of the shards may add one over it).
    pub(super) fn new(keys_max: usize) -> Self {
        let shards = || (0..SHARDS).map(|_shard| Mutex::default()).collect();
        Self {
            shards: shards(),
            coarse: shards(),
            held: AtomicUsize::new(0),
            keys_max,
        }
    }

    fn lock(
        shards: &[Mutex<HashMap<u64, Nanos>>],
        key: u64,
    ) -> MutexGuard<'_, HashMap<u64, Nanos>> {
        let index = usize::try_from(key % SHARDS as u64).unwrap_or(0);
        shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for BoundedStore {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut shard = Self::lock(&self.shards, *key);
        if let Some(time) = shard.get_mut(key) {
            let (outcome, next) = decide(Some(*time))?;
            *time = next;
            return Ok(outcome);
        }
        if self.held.load(Ordering::Relaxed) < self.keys_max {
            let (outcome, next) = decide(None)?;
            shard.insert(*key, next);
            self.held.fetch_add(1, Ordering::Relaxed);
            return Ok(outcome);
        }
        drop(shard);
        let bucket = *key % COARSE_BUCKETS;
        let mut coarse = Self::lock(&self.coarse, bucket);
        let (outcome, next) = decide(coarse.get(&bucket).copied())?;
        coarse.insert(bucket, next);
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<u64> for BoundedStore {
    fn retain_recent(&self, drop_below: Nanos) {
        // One shard at a time, so that requests wait for a 32nd of the sweep at most.
        for shard in &self.shards {
            let mut held = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let before = held.len();
            held.retain(|_subject, time| *time > drop_below);
            self.held.fetch_sub(before - held.len(), Ordering::Relaxed);
        }
    }

    fn shrink_to_fit(&self) {
        for shard in &self.shards {
            let mut held = shard.lock().unwrap_or_else(PoisonError::into_inner);
            // Only after a flood: giving a little back would be taken again at once.
            if held.capacity() > 4 * held.len() + 1_024 {
                held.shrink_to_fit();
            }
        }
    }

    fn len(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
