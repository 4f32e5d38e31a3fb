//! What is looked at after every step.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use sluice_domain::id::{CouponId, EntryNumber, Epoch, LaneId};
use sluice_domain::invariant::Check;
use sluice_domain::invariant::history::LaneSample;
use sluice_domain::lane::LaneFence;
use sluice_hotstate::LaneStore as _;
use sluice_hotstate::lane_store::OutboxEntry;
use sluice_hotstate::model::ModelHotState;
use sluice_ledger::ModelLedger;
use sluice_ledger::claims::Claims as _;
use sluice_ledger::lanes::Lanes as _;
use sluice_ledger::leases::Leases as _;

/// More entries than an outbox of a simulation ever holds.
const ENTRIES_MAX: usize = 10_000;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    coupons: Vec<CouponId>,
    lanes: BTreeMap<LaneId, LaneSample>,
    stock: Check,
    trimmed: Check,
    rising: Check,
    in_charge: Check,
    in_time: Check,
    /// When each lane's epoch rose last, in milliseconds.
    rose_at: BTreeMap<LaneId, u64>,
}

/// Entries that are about to leave hot state.
pub(super) struct Leaving {
    lane: LaneId,
    epoch: Epoch,
    entries: Vec<OutboxEntry>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            coupons: Vec::new(),
            lanes: BTreeMap::new(),
            stock: Check::new(3, "leased - returned <= total after every step"),
            trimmed: Check::new(11, "what leaves the outbox is in the ledger or set aside"),
            rising: Check::new(12, "epochs and keeper numbers rise after every step"),
            in_charge: Check::new(12, "only the keeper in charge changes a lane"),
            in_time: Check::new(2, "an ended epoch grants no longer than its lane's lease"),
            rose_at: BTreeMap::new(),
        }
    }
}

// === impl Watch ===

impl Watch {
    pub(super) fn look_after(&self, coupon: CouponId) {
        self.lock().coupons.push(coupon);
    }

    /// A ledger from a backup begins with lower numbers.
    pub(super) fn forget_numbers(&self) {
        self.lock().lanes.clear();
    }

    /// Looks at the ledger after a write.
    pub(super) fn after_write(&self, ledger: &ModelLedger, now_ms: u64) {
        let mut seen = self.lock();
        let seen = &mut *seen;
        for &coupon in &seen.coupons {
            let Some(Ok(stock)) = ledger.stock(coupon).now_or_never() else {
                continue;
            };
            let out = stock.leased.saturating_sub(stock.returned);
            let holds =
                stock.returned <= stock.leased && stock.total.is_none_or(|total| out <= total);
            seen.stock
                .expect(holds, || format!("coupon {coupon}: {stock:?}"));
        }
        for lane in ledger.identity().lanes.iter() {
            let Some(Ok(row)) = ledger.lane(lane).now_or_never() else {
                continue;
            };
            let now = LaneSample {
                lane,
                epoch: row.epoch,
                keeper: row.keeper,
            };
            if let Some(before) = seen.lanes.insert(lane, now) {
                let rises = now.epoch >= before.epoch && now.keeper >= before.keeper;
                if now.epoch > before.epoch {
                    seen.rose_at.insert(lane, now_ms);
                }
                seen.rising
                    .expect(rises, || format!("{before:?}, then {now:?}"));
            }
        }
    }

    /// A keeper's write: `holds` where it was in charge, or changed nothing.
    pub(super) fn fenced(&self, holds: bool, what: &str, fence: LaneFence) {
        self.lock()
            .in_charge
            .expect(holds, || format!("{what} under {fence:?}"));
    }

    /// A call granted something in an epoch: where that is over, its lane's lease is not yet.
    pub(super) fn granted(&self, lane: LaneId, epoch: Epoch, now_ms: u64, lane_lease_ms: u64) {
        let mut seen = self.lock();
        let is_over = seen
            .lanes
            .get(&lane)
            .is_some_and(|sample| sample.epoch > epoch);
        let rose_at = seen.rose_at.get(&lane).copied().unwrap_or(now_ms);
        let holds = !is_over || now_ms < rose_at + lane_lease_ms;
        seen.in_time.expect(holds, || {
            format!(
                "lane {lane} granted in epoch {epoch} at {now_ms} ms, which ended at {rose_at} ms"
            )
        });
    }

    /// The entries that a step may take out of a stream, read before it.
    pub(super) fn leaving(hot: &ModelHotState, lane: LaneId, epoch: Epoch) -> Leaving {
        let read = hot.read_outbox(lane, epoch, EntryNumber(0), ENTRIES_MAX);
        let entries = read.now_or_never().and_then(Result::ok).unwrap_or_default();
        Leaving {
            lane,
            epoch,
            entries,
        }
    }

    /// Looks, after that step, whether what left is kept elsewhere.
    pub(super) fn left(&self, hot: &ModelHotState, ledger: &ModelLedger, before: Leaving) {
        let after = Self::leaving(hot, before.lane, before.epoch).entries;
        let mut seen = self.lock();
        for entry in before.entries {
            let OutboxEntry::Batch(batch) = &entry else {
                continue;
            };
            if after.contains(&entry) {
                continue;
            }
            for grant in &batch.grants {
                let row = ledger.claim(grant.claim_id).now_or_never();
                let is_row = matches!(&row, Some(Ok(Some(row))) if row.ticket == grant.ticket);
                let kept = is_row || {
                    let letters = ledger.dead_letters(before.lane).now_or_never();
                    let letters = letters.and_then(Result::ok).unwrap_or_default();
                    letters.iter().any(|letter| {
                        (letter.epoch, letter.entry) == (before.epoch, batch.entry)
                            && letter.claim_id.is_none_or(|claim| claim == grant.claim_id)
                    })
                };
                seen.trimmed.expect(kept, || {
                    format!(
                        "entry {} of epoch {} left with claim {} and ticket {}, which is nowhere",
                        batch.entry, before.epoch, grant.claim_id, grant.ticket
                    )
                });
            }
        }
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        let seen = self.lock();
        vec![
            seen.stock.clone(),
            seen.trimmed.clone(),
            seen.rising.clone(),
            seen.in_charge.clone(),
            seen.in_time.clone(),
        ]
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
