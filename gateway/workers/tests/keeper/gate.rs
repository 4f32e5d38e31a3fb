//! Hot state whose calls fail on purpose: the k-th from now, before or after it took effect.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sluice_claim::port::StoreError;
use sluice_domain::claim::{ClaimRow, GrantRecord};
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, Epoch, LaneId, LedgerId, UserId};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;
use sluice_hotstate::LaneStore;
use sluice_hotstate::lane_store::{
    CouponFigures, Fenced, FencedOff, HydrateBegin, Hydration, Installed, LaneFacts, LeaseInstall,
    LeaseInstalled, OutboxEntry, Refusal, Retire, Retired,
};
use sluice_hotstate::model::ModelHotState;

use crate::rush::Rush;

/// What somebody else does at an instant of the test's choice.
pub(crate) type Interlude = Box<dyn FnOnce(&ModelHotState) + Send>;

/// The wrapped store.
pub(crate) struct GateStore {
    inner: ModelHotState,
    calls: AtomicU64,
    fail_at: AtomicU64,
    after: AtomicU64,
    /// The entry that cannot be read; 0 is none.
    pub(crate) garble: AtomicU64,
    /// What happens before each call, if anything.
    pub(crate) rush: Mutex<Option<Rush>>,
    /// What happens once, before the next call of this name.
    interludes: Mutex<Vec<(&'static str, Interlude)>>,
}

impl GateStore {
    pub(crate) fn new(inner: ModelHotState) -> Self {
        Self {
            inner,
            calls: AtomicU64::new(0),
            fail_at: AtomicU64::new(u64::MAX),
            after: AtomicU64::new(0),
            garble: AtomicU64::new(0),
            rush: Mutex::new(None),
            interludes: Mutex::new(Vec::new()),
        }
    }

    /// The `index`-th call from now on (0 is the next) fails; with `after`, it takes effect first.
    pub(crate) fn fail(&self, index: u64, after: bool) {
        let at = self.calls.load(Ordering::SeqCst) + index;
        self.fail_at.store(at, Ordering::SeqCst);
        self.after.store(u64::from(after), Ordering::SeqCst);
    }

    /// Before the next call of this name, this happens; asked for again, before the one after it.
    pub(crate) fn before(
        &self,
        call: &'static str,
        interlude: impl FnOnce(&ModelHotState) + Send + 'static,
    ) {
        let interlude: Interlude = Box::new(interlude);
        self.interludes.lock().unwrap().push((call, interlude));
    }

    /// Whether everything that was to happen in between has happened.
    pub(crate) fn interludes_are_over(&self) -> bool {
        self.interludes.lock().unwrap().is_empty()
    }

    fn interlude(&self, name: &str) {
        let mut waiting = self.interludes.lock().unwrap();
        let due = waiting.iter().position(|(call, _)| *call == name);
        let due = due.map(|index| waiting.remove(index));
        drop(waiting);
        if let Some((_, interlude)) = due {
            interlude(&self.inner);
        }
    }

    pub(crate) fn disarm(&self) {
        self.fail_at.store(u64::MAX, Ordering::SeqCst);
    }

    /// The entry as it is read: one of them may be beyond reading.
    fn garbled(&self, entry: OutboxEntry) -> OutboxEntry {
        match entry {
            OutboxEntry::Batch(batch) if batch.entry.0 == self.garble.load(Ordering::SeqCst) => {
                OutboxEntry::Unreadable {
                    entry: batch.entry,
                    payload: vec![0xFF],
                    reason: "garbled".to_owned(),
                }
            }
            whole => whole,
        }
    }

    async fn pass<T>(
        &self,
        name: &str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.interlude(name);
        let rush = self.rush.lock().unwrap().take();
        if let Some(mut rush) = rush {
            rush.strike(&self.inner);
            *self.rush.lock().unwrap() = Some(rush);
        }
        let index = self.calls.fetch_add(1, Ordering::SeqCst);
        let fails = index == self.fail_at.load(Ordering::SeqCst);
        if fails && self.after.load(Ordering::SeqCst) == 0 {
            return Err(StoreError::Unavailable {
                reason: "the gate is shut".to_owned(),
            });
        }
        let answer = call.await;
        if fails {
            return Err(StoreError::Unknown {
                reason: "the gate kept the answer".to_owned(),
            });
        }
        answer
    }
}

macro_rules! gated {
    ($(fn $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*) => {
        #[async_trait::async_trait]
        impl LaneStore for GateStore {
            fn learn_epoch(&self, lane: LaneId, epoch: Epoch) {
                self.inner.learn_epoch(lane, epoch);
            }

            async fn read_outbox(
                &self,
                lane: LaneId,
                epoch: Epoch,
                after: EntryNumber,
                count: usize,
            ) -> Result<Vec<OutboxEntry>, StoreError> {
                let read = self.inner.read_outbox(lane, epoch, after, count);
                let read = self.pass("read_outbox", read).await?;
                Ok(read.into_iter().map(|entry| self.garbled(entry)).collect())
            }

            $(async fn $name(&self, $($arg: $kind),*) -> Result<$answer, StoreError> {
                self.pass(stringify!($name), self.inner.$name($($arg),*)).await
            })*
        }
    };
}

gated! {
    fn facts(lane: LaneId) -> Option<LaneFacts>;
    fn take(fence: LaneFence, ledger: LedgerId, until: Timestamp) -> Fenced<LaneFacts>;
    fn renew(fence: LaneFence, until: Timestamp, seq: u64) -> Fenced<LaneFacts>;
    fn fence(fence: LaneFence, ledger: LedgerId) -> Fenced<FencedOff>;
    fn halt(fence: LaneFence) -> Fenced<()>;
    fn open(fence: LaneFence, until: Timestamp, known: &[CouponId], retired: &[CouponId], seq: u64, adopt: Option<LedgerId>) -> Fenced<()>;
    fn sweep_epoch(lane: LaneId, ended: Epoch) -> bool;
    fn mark(fence: LaneFence, mark: EntryNumber, seq: u64) -> Fenced<LaneFacts>;
    fn refuse(fence: LaneFence, refusal: Refusal) -> Fenced<()>;
    fn refused(lane: LaneId, epoch: Epoch) -> Vec<(ClaimId, EntryNumber)>;
    fn install(lane: LaneId, epoch: Epoch, published: &Published) -> Installed;
    fn install_lease(fence: LaneFence, lease: LeaseInstall) -> Fenced<LeaseInstalled>;
    fn set_final(fence: LaneFence, coupon: CouponId, more_may_come: bool) -> Fenced<()>;
    fn clear_final(fence: LaneFence, coupon: CouponId) -> Fenced<()>;
    fn retire(fence: LaneFence, retire: Retire) -> Fenced<Retired>;
    fn hydrate_begin(fence: LaneFence, begin: &HydrateBegin, attempt: u64) -> Fenced<Hydration>;
    fn hydrate_claims(fence: LaneFence, coupon: CouponId, attempt: u64, rows: &[ClaimRow]) -> Fenced<Hydration>;
    fn hydrate_finish(fence: LaneFence, coupon: CouponId, attempt: u64, users: u64, devices: u64, addresses: u64) -> Fenced<Hydration>;
    fn forget(fence: LaneFence, coupon: CouponId) -> Fenced<()>;
    fn figures(lane: LaneId, coupon: CouponId) -> Option<CouponFigures>;
    fn coupons(lane: LaneId) -> Vec<(CouponId, bool)>;
    fn last_seen(lane: LaneId) -> Vec<CouponFigures>;
    fn claims(lane: LaneId, coupon: CouponId, cursor: u64) -> (Vec<(UserId, GrantRecord)>, Option<u64>);
}
