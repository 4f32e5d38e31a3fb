//! What happened how often, so that one can see that it happens at all.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counts by name.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<&'static str, u64>>);

impl Counts {
    pub(super) fn add(&self, what: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what).or_default() += 1;
    }

    pub(super) fn take(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Everything that has to happen over many seeds: faults, answers, and deeds.
pub const EXPECTED: &[&str] = &[
    "scene: ordinary",
    "scene: torn scripts",
    "scene: old primary",
    "scene: hydration echoes",
    "scene: changes",
    "scene: lost hot claims",
    "scene: lost answers",
    "scene: old ledger",
    "fault: a process is killed",
    "fault: a process dies before a call",
    "fault: a process dies after a call",
    "fault: a process stands still",
    "fault: a clock is wrong",
    "fault: hot state is cut off",
    "fault: the ledger is cut off",
    "fault: the ledger is down",
    "fault: a ledger from a backup",
    "fault: Redis restarts",
    "fault: Redis restarts without its tail",
    "fault: Redis restarts empty",
    "fault: Redis is flushed",
    "fault: Redis steps down and up",
    "fault: a lagging replica is promoted",
    "fault: an old primary goes on",
    "fault: a replica is asked",
    "fault: a key is lost",
    "fault: a key is lost while it is filled",
    "fault: an old server comes back",
    "fault: an entry is lost",
    "fault: a script breaks off",
    "fault: a ticket is somebody else's",
    "call: hot state, not carried out",
    "call: hot state, answer lost",
    "call: hot state, late",
    "call: hot state, twice",
    "call: hot state, an echo",
    "call: ledger, not carried out",
    "call: ledger, answer lost",
    "call: ledger, late",
    "claim: granted",
    "claim: replayed",
    "claim: pending",
    "claim: sold_out",
    "claim: paused",
    "claim: ended",
    "claim: user_limit_reached",
    "claim: device_limit_reached",
    "claim: not applied",
    "claim: unknown",
    "claim: client gone",
    "look-up: found",
    "look-up: not found",
    "operator: publish",
    "operator: pause",
    "operator: resume",
    "operator: edit",
    "operator: class",
    "operator: raise",
    "operator: lower",
    "operator: end",
    "operator: unknown",
    "operator: accepts the ledger",
    "lane: recovered",
    "lane: halted",
    "lane: taken over",
    "lane: set aside",
    "lane: quarantined",
    "lane: retired",
    "checkout: orders",
    "checkout: confirmed",
    "checkout: refunds",
    "checkout: ran out",
    "checkout: taken",
    "checkout: over budget",
    "checkout: over uses",
    "checkout: too late",
];
