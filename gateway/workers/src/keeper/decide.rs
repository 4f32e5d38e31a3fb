//! What keepers decide, as functions over values.

use std::collections::VecDeque;

use sluice_domain::claim::GrantBatch;
use sluice_domain::coupon::{Coupon, Lifecycle};
use sluice_domain::id::{EntryNumber, LeaseNumber, LedgerId, Revision};
use sluice_domain::lease::{LEASE_TICKETS_MAX, Lease, LeaseState};
use sluice_domain::time::Timestamp;
use sluice_hotstate::lane_store::{CouponFigures, LaneFacts, OutboxEntry};
use sluice_ledger::lanes::LaneRow;

/// How many seconds of grants are kept ready on a list.
pub const AHEAD_SECONDS: u64 = 10;

/// Grants per second over the last ten seconds, in buckets of one second.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    /// (second, grants), oldest first, at most [`AHEAD_SECONDS`] of them.
    buckets: VecDeque<(u64, u64)>,
}

/// What to make of the entries that were read after the last handled one.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// Appends to be made, in order, each of at most so many claims as asked for.
    pub appends: Vec<Vec<GrantBatch>>,
    /// What comes after them.
    pub end: CutEnd,
}

/// What stands behind the entries that can be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutEnd {
    /// Nothing that was read.
    Clean,
    /// A number is missing: entries were lost.
    Gap,
    /// An entry that cannot be read.
    Unreadable {
        /// Its number.
        entry: EntryNumber,
        /// What is wrong with it.
        reason: String,
    },
}

/// What to do with a lease of an epoch that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldLease {
    /// Everything that was acknowledged from it is a row: close it.
    Close,
    /// `hot` claims may be missing: nothing of it is given again before this instant.
    Quarantine(Timestamp),
    /// In quarantine still, or closed already.
    Leave,
}

// === impl Rate ===

impl Rate {
    /// Counts grants that were seen at `now_ms`.
    pub fn record(&mut self, grants: u64, now_ms: u64) {
        let second = now_ms / 1_000;
        match self.buckets.back_mut() {
            Some((held, count)) if *held == second => *count += grants,
            _ => self.buckets.push_back((second, grants)),
        }
        self.forget(second);
    }

    /// What would be granted in [`AHEAD_SECONDS`] at the rate of the last seconds.
    #[must_use]
    pub fn ahead(&self, now_ms: u64) -> u64 {
        let second = now_ms / 1_000;
        let fresh = || {
            self.buckets
                .iter()
                .filter(move |(held, _)| held + AHEAD_SECONDS > second)
        };
        let Some((first, _)) = fresh().next() else {
            return 0;
        };
        let grants: u64 = fresh().map(|(_, count)| count).sum();
        let seconds = second
            .saturating_sub(*first)
            .saturating_add(1)
            .min(AHEAD_SECONDS);
        grants.saturating_mul(AHEAD_SECONDS) / seconds
    }

    fn forget(&mut self, second: u64) {
        while self
            .buckets
            .front()
            .is_some_and(|(held, _)| held + AHEAD_SECONDS <= second)
        {
            self.buckets.pop_front();
        }
    }
}

/// The size of the next lease; `None` while the list is full enough.
///
/// `left` tickets are on the list, `ahead` is [`Rate::ahead`], `floor` what is kept ready without a
/// measured rate, `unleased` what the ledger has (`None` is unlimited), `shards` how many share it.
/// Where little is left, all of it is taken; of several shards each takes no more than its share of
/// what is not granted. Where nothing is left, 1 is asked for: the ledger has the last word.
#[must_use]
pub fn lease_size(
    left: u64,
    ahead: u64,
    floor: u32,
    unleased: Option<u64>,
    shards: u16,
) -> Option<u32> {
    if shards > 1
        && let Some(rest) = unleased
    {
        return shard_lease_size(left, ahead, floor, rest, shards);
    }
    let fill = ahead.max(u64::from(floor));
    if left >= ahead.max(u64::from(floor).div_ceil(2)) {
        return None;
    }
    let most = u64::from(LEASE_TICKETS_MAX);
    let want = fill.clamp(1, most);
    let size = match unleased {
        Some(rest) if rest <= want.saturating_mul(2) => rest.clamp(1, most),
        Some(_) | None => want,
    };
    u32::try_from(size).ok()
}

/// As [`lease_size`], of one of several shards: the fair share bounds what is kept ready, so that the
/// first to come leaves something for the others. A list with one ticket is full enough only where
/// that is a fair share.
fn shard_lease_size(left: u64, ahead: u64, floor: u32, rest: u64, shards: u16) -> Option<u32> {
    let fair = rest.saturating_add(left).div_ceil(u64::from(shards)).max(1);
    let enough = ahead.max(u64::from(floor).div_ceil(2)).min(fair);
    if left >= enough {
        return None;
    }
    let fill = ahead.max(u64::from(floor)).min(fair);
    let want = fill.saturating_sub(left).min(rest);
    u32::try_from(want.clamp(1, u64::from(LEASE_TICKETS_MAX))).ok()
}

/// Whether leases are made for a coupon: published, running, and its window not over.
#[must_use]
pub fn is_leasable(coupon: &Coupon, now: Timestamp) -> bool {
    coupon.lifecycle == Lifecycle::Live && coupon.spec.window.ends_at.is_none_or(|end| now < end)
}

/// When a coupon was over; `None` while it is not.
#[must_use]
pub fn ended_at(coupon: &Coupon, now: Timestamp) -> Option<Timestamp> {
    let by_clock = coupon.spec.window.ends_at.filter(|end| now >= *end);
    let by_hand = match coupon.lifecycle {
        Lifecycle::Ended | Lifecycle::Archived => Some(coupon.updated_at),
        Lifecycle::Draft | Lifecycle::Live | Lifecycle::Paused => None,
    };
    match (by_clock, by_hand) {
        (Some(clock), Some(hand)) => Some(clock.min(hand)),
        (clock, hand) => clock.or(hand),
    }
}

/// Of a lane's leases those that the ledger calls open in this epoch and that are not on the
/// coupon's list: used up, taken off it, or never installed. They are closed, never installed again.
#[must_use]
pub fn off_the_list<'a>(
    leases: impl Iterator<Item = &'a Lease>,
    fence_epoch: u64,
    listed: &[LeaseNumber],
) -> Vec<LeaseNumber> {
    leases
        .filter(|lease| lease.state == LeaseState::Open && lease.epoch.0 == fence_epoch)
        .map(|lease| lease.number)
        .filter(|number| !listed.contains(number))
        .collect()
}

/// What to do with a lease of an epoch that is over.
#[must_use]
pub fn old_lease(lease: &Lease, now: Timestamp, grace_until: Timestamp) -> OldLease {
    match lease.state {
        LeaseState::Closed => OldLease::Leave,
        LeaseState::Open if !lease.hot_possible => OldLease::Close,
        LeaseState::Open => OldLease::Quarantine(grace_until),
        LeaseState::Quarantined => {
            // A quarantine without an end would be a defect; it is then given a whole one.
            if now >= lease.grace_until.unwrap_or(grace_until) {
                OldLease::Close
            } else {
                OldLease::Leave
            }
        }
    }
}

/// Tickets that are neither a row nor given back.
#[must_use]
pub fn unused(lease: &Lease) -> u64 {
    u64::from(lease.size.saturating_sub(lease.rows))
}

/// Why the ledger must have been set back, if it was: hot state knows what it does not. The row is
/// read after the facts.
#[must_use]
pub fn set_back(ledger: LedgerId, row: &LaneRow, facts: &LaneFacts) -> Option<String> {
    if facts.ledger_id != ledger {
        return Some("hot state belongs to another ledger".to_owned());
    }
    let newest = facts.unsalvaged.iter().copied().max().unwrap_or_default();
    let epoch = facts.epoch.max(newest);
    if epoch > row.epoch {
        return Some(format!(
            "the ledger was set back: hot state has epoch {epoch}, the ledger {}",
            row.epoch
        ));
    }
    if facts.epoch == row.epoch && facts.keeper > row.keeper {
        return Some(format!(
            "the ledger was set back: hot state has keeper {}, the ledger {}",
            facts.keeper, row.keeper
        ));
    }
    if facts.seq > row.seq {
        return Some(format!(
            "the ledger was set back: hot state has sequence {}, the ledger {}",
            facts.seq, row.seq
        ));
    }
    None
}

/// The same for one coupon: `revision` and `highest` lease as the ledger has them, read after the
/// figures.
#[must_use]
pub fn coupon_set_back(
    seen: &CouponFigures,
    revision: Option<Revision>,
    highest: LeaseNumber,
) -> Option<String> {
    let stored = revision.unwrap_or_default();
    if seen.revision > stored {
        return Some(format!(
            "the ledger was set back: hot state has coupon {} at revision {}, the ledger at {stored}",
            seen.coupon, seen.revision
        ));
    }
    if seen.last_lease > highest {
        return Some(format!(
            "the ledger was set back: hot state has coupon {} at lease {}, the ledger at {highest}",
            seen.coupon, seen.last_lease
        ));
    }
    None
}

/// Cuts what was read after `handled` into appends of at most `rows_max` claims.
#[must_use]
pub fn cut(entries: Vec<OutboxEntry>, handled: EntryNumber, rows_max: usize) -> Cut {
    let mut appends: Vec<Vec<GrantBatch>> = Vec::new();
    let mut rows = usize::MAX;
    let mut expected = handled.next();
    let mut end = CutEnd::Clean;
    for entry in entries {
        let number = match &entry {
            OutboxEntry::Batch(batch) => batch.entry,
            OutboxEntry::Unreadable { entry, .. } => *entry,
        };
        if number != expected {
            end = CutEnd::Gap;
            break;
        }
        expected = number.next();
        let batch = match entry {
            OutboxEntry::Batch(batch) => batch,
            OutboxEntry::Unreadable { entry, reason, .. } => {
                end = CutEnd::Unreadable { entry, reason };
                break;
            }
        };
        rows = rows.saturating_add(batch.grants.len());
        match appends.last_mut() {
            Some(append) if rows <= rows_max => append.push(batch),
            _ => {
                rows = batch.grants.len();
                appends.push(vec![batch]);
            }
        }
    }
    Cut { appends, end }
}
