//! The ledger in memory: the oracle of the conformance suite, and what the simulator runs on.
//!
//! Everything is held under one lock and every call is one atomic step. Nothing survives the
//! process. Faults are asked for ([`ModelLedger::fail_next`]), and a ledger that was set back to an
//! older state is played by [`ModelLedger::snapshot`] and [`ModelLedger::restore`].

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sluice_domain::cause::Cause;
use sluice_domain::claim::ClaimRow;
use sluice_domain::coupon::Coupon;
use sluice_domain::id::{
    ClaimId, CouponId, Epoch, KeeperNumber, LaneId, LedgerId, NotificationId, OrderId,
    RedemptionId, Ticket, UserId,
};
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::lease::{Lease, Stock};
use sluice_domain::notification::Notification;
use sluice_domain::redemption::{ClaimUse, Redemption, TransitionEvent};
use sluice_domain::time::Timestamp;

use crate::LedgerError;
use crate::api_keys::ApiKey;
use crate::audit_log::{AuditEntry, AuditRow};
use crate::claims::DeadLetter;
use crate::coupons::{Operation, VersionRow};
use crate::lanes::{LaneRow, LedgerIdentity};
use crate::notifications::ReminderKey;
use flaw::Flaw;

mod causes;
mod claims;
mod coupons;
mod facts;
pub mod flaw;
mod keys;
mod lanes;
mod leases;
mod notifications;
mod redemptions;

/// The in-memory ledger.
#[derive(Debug)]
pub struct ModelLedger {
    identity: LedgerIdentity,
    state: Mutex<State>,
    faults: Mutex<VecDeque<Fault>>,
}

/// What is to go wrong with a coming call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The call does nothing and answers this.
    Refuse(LedgerError),
    /// The call is carried out, and its answer is lost: [`LedgerError::Unknown`].
    LoseAnswer,
    /// Nothing goes wrong with this call: for faults that are meant for a later one.
    Pass,
}

/// All that a model holds, at one instant.
#[derive(Debug, Clone)]
pub struct ModelSnapshot(State);

#[derive(Debug, Clone, Default)]
struct State {
    lanes: Vec<LaneRow>,
    numbers_given: u32,
    coupons: BTreeMap<CouponId, CouponRecord>,
    rows: BTreeMap<(CouponId, Ticket), ClaimRow>,
    tickets: HashMap<ClaimId, Ticket>,
    dead_letters: Vec<DeadLetter>,
    operations: BTreeMap<(String, String), Operation>,
    keys: BTreeMap<String, ApiKey>,
    audit: Vec<AuditRow>,
    redemptions: BTreeMap<RedemptionId, Redemption>,
    events: BTreeMap<RedemptionId, Vec<TransitionEvent>>,
    /// Live uses, each with its user.
    uses: BTreeMap<(ClaimId, u32), (UserId, ClaimUse)>,
    /// Redemptions that ever used a claim of a coupon, by when they were made.
    listed: BTreeSet<(CouponId, Timestamp, RedemptionId)>,
    cancelled_orders: BTreeMap<OrderId, Timestamp>,
    causes: BTreeMap<(OrderId, ClaimId), Cause>,
    notifications: BTreeMap<NotificationId, Notification>,
    reminder_cursors: BTreeMap<ReminderKey, Ticket>,
    /// The rule that is broken on purpose.
    flaw: Option<Flaw>,
}

#[derive(Debug, Clone)]
struct CouponRecord {
    coupon: Coupon,
    stock: Stock,
    retired: bool,
    versions: Vec<VersionRow>,
    leases: Vec<Lease>,
}

// === impl ModelLedger ===

impl ModelLedger {
    /// An empty ledger with the ids of seed 0.
    #[must_use]
    pub fn new(lanes: LaneCount) -> Self {
        Self::with_seed(lanes, 0)
    }

    /// An empty ledger whose id and hash key follow from `seed`.
    #[must_use]
    pub fn with_seed(lanes: LaneCount, seed: u64) -> Self {
        let mut id = [0; 16];
        let derived = blake3::derive_key("sluice 2026 model ledger id", &seed.to_be_bytes());
        id.copy_from_slice(&derived[..16]);
        let identity = LedgerIdentity {
            id: LedgerId(id),
            lanes,
            hash_key: blake3::derive_key("sluice 2026 model hash key", &seed.to_be_bytes()),
        };
        let state = State {
            lanes: lanes.iter().map(unopened).collect(),
            ..State::default()
        };
        Self {
            identity,
            state: Mutex::new(state),
            faults: Mutex::new(VecDeque::new()),
        }
    }

    /// Lets a coming call fail. Faults are used up in the order they were asked for, one per call.
    pub fn fail_next(&self, fault: Fault) {
        locked(&self.faults).push_back(fault);
    }

    /// Takes back the faults that no call has met yet.
    pub fn clear_faults(&self) {
        locked(&self.faults).clear();
    }

    /// All that the ledger holds now.
    #[must_use]
    pub fn snapshot(&self) -> ModelSnapshot {
        ModelSnapshot(locked(&self.state).clone())
    }

    /// Goes back to a snapshot, as a ledger restored from an old backup would.
    pub fn restore(&self, snapshot: &ModelSnapshot) {
        *locked(&self.state) = snapshot.0.clone();
    }

    /// One call: meets the next fault, if any, else is one atomic step.
    fn call<T>(
        &self,
        step: impl FnOnce(&mut State) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        match locked(&self.faults).pop_front() {
            Some(Fault::Refuse(error)) => Err(error),
            Some(Fault::LoseAnswer) => {
                step(&mut locked(&self.state))?;
                Err(LedgerError::Unknown {
                    reason: "the answer was lost".to_owned(),
                })
            }
            Some(Fault::Pass) | None => step(&mut locked(&self.state)),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A step that panicked is a failed test already; the others go on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unopened(lane: LaneId) -> LaneRow {
    LaneRow {
        lane,
        epoch: Epoch(0),
        opened: Epoch(0),
        keeper: KeeperNumber(0),
        holder: String::new(),
        until: Timestamp::MIN,
        halted: None,
        seq: 0,
    }
}

// === impl State ===

impl State {
    fn lane(&self, lane: LaneId) -> Result<&LaneRow, LedgerError> {
        let row = self.lanes.get(usize::from(lane.0));
        row.ok_or_else(|| LedgerError::corrupt(format!("there is no lane {lane}")))
    }

    fn lane_mut(&mut self, lane: LaneId) -> Result<&mut LaneRow, LedgerError> {
        let row = self.lanes.get_mut(usize::from(lane.0));
        row.ok_or_else(|| LedgerError::corrupt(format!("there is no lane {lane}")))
    }

    fn holds(&self, fence: LaneFence) -> Result<bool, LedgerError> {
        let row = self.lane(fence.lane)?;
        let same_keeper = row.keeper == fence.keeper || self.has(Flaw::KeeperUnchecked);
        Ok(row.epoch == fence.epoch && same_keeper)
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn raise_seq(&mut self, lane: LaneId) -> Result<u64, LedgerError> {
        let row = self.lane_mut(lane)?;
        row.seq += 1;
        Ok(row.seq)
    }

    fn record_mut(&mut self, id: CouponId) -> Result<&mut CouponRecord, LedgerError> {
        let record = self.coupons.get_mut(&id);
        record.ok_or_else(|| LedgerError::corrupt(format!("there is no coupon {id}")))
    }

    fn rows_of(&self, coupon: CouponId) -> impl Iterator<Item = &ClaimRow> {
        let range = (coupon, Ticket(0))..=(coupon, Ticket(u64::MAX));
        self.rows.range(range).map(|(_ticket, row)| row)
    }

    fn write_audit(&mut self, entry: AuditEntry) {
        let last = self.audit.last().map(|row| (row.sequence, row.hash));
        self.audit.push(AuditRow::after(last, entry));
    }
}
