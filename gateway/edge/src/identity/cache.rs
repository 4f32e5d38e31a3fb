//! Verified tokens, remembered by their hash.
//!
//! Bounded without bookkeeping per entry: each shard has a young and an old half; when the young
//! half is full it becomes the old one and the old one is forgotten. An entry that is used moves
//! to the young half, so what is in use stays.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Caller;

const SHARDS: usize = 16;

/// Callers by the hash of their token.
pub(super) struct TokenCache {
    shards: Box<[Mutex<Shard>]>,
    half_max: usize,
}

#[derive(Default)]
struct Shard {
    young: HashMap<[u8; 32], Entry>,
    old: HashMap<[u8; 32], Entry>,
}

#[derive(Clone)]
struct Entry {
    generation: u64,
    caller: Caller,
}

impl TokenCache {
    /// Holds about `entries_max` tokens.
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_shard| Mutex::default()).collect(),
            half_max: (entries_max / (2 * SHARDS)).max(1),
        }
    }

    /// The caller, if this token was verified with the key set of this generation.
    pub(super) fn get(&self, token: &blake3::Hash, generation: u64) -> Option<Caller> {
        let mut shard = self.shard(token);
        if let Some(entry) = shard.young.get(token.as_bytes()) {
            return (entry.generation == generation).then(|| entry.caller.clone());
        }
        let entry = shard.old.remove(token.as_bytes())?;
        if entry.generation != generation {
            return None;
        }
        let caller = entry.caller.clone();
        shard.insert(*token.as_bytes(), entry, self.half_max);
        Some(caller)
    }

    /// Remembers a verified token.
    pub(super) fn put(&self, token: blake3::Hash, generation: u64, caller: Caller) {
        let entry = Entry { generation, caller };
        self.shard(&token)
            .insert(*token.as_bytes(), entry, self.half_max);
    }

    fn shard(&self, token: &blake3::Hash) -> std::sync::MutexGuard<'_, Shard> {
        let index = usize::from(token.as_bytes()[0]) % SHARDS;
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn insert(&mut self, token: [u8; 32], entry: Entry, half_max: usize) {
        if self.young.len() >= half_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(token, entry);
    }
}

#[cfg(test)]
mod tests {
    use sluice_domain::eligibility::Shopper;
    use sluice_domain::id::UserId;

    use super::*;
    use crate::identity::Credential;

    fn caller(user: &str) -> Caller {
        Caller {
            shopper: Shopper {
                user: UserId::new(user).unwrap(),
                groups: [].into(),
                is_new: None,
                verified: [].into(),
                device: None,
            },
            expires_at_s: 1,
            by: Credential::Token,
        }
    }

    #[test]
    fn another_generation_is_verified_again() {
        let cache = TokenCache::new(100);
        let token = blake3::hash(b"t");
        cache.put(token, 1, caller("a"));
        assert_eq!(cache.get(&token, 1), Some(caller("a")));
        assert_eq!(cache.get(&token, 2), None);
    }

    #[test]
    fn it_stays_bounded_and_keeps_what_is_used() {
        let cache = TokenCache::new(SHARDS * 2 * 8);
        let used = blake3::hash(b"used");
        cache.put(used, 1, caller("used"));
        for number in 0_u32..20_000 {
            cache.put(blake3::hash(&number.to_le_bytes()), 1, caller("other"));
            assert!(cache.get(&used, 1).is_some(), "forgotten after {number}");
        }
        let held: usize = cache
            .shards
            .iter()
            .map(|shard| {
                let shard = shard.lock().unwrap();
                shard.young.len() + shard.old.len()
            })
            .sum();
        assert!(held <= SHARDS * 2 * 8, "holds {held}");
    }
}
