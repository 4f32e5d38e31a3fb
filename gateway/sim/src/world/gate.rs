//! Hot state as the keeper sees it, behind a gate that can be shut.

use std::sync::{Arc, Mutex, PoisonError};

use sluice_claim::port::StoreError;
use sluice_domain::claim::{ClaimRow, GrantRecord};
use sluice_domain::id::{ClaimId, CouponId, EntryNumber, Epoch, LaneId, LedgerId, UserId};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;
use sluice_hotstate::lane_store::{
    CouponFigures, Fenced, FencedOff, HydrateBegin, Hydration, Installed, LaneFacts, LeaseInstall,
    LeaseInstalled, OutboxEntry, Refusal, Retire, Retired,
};
use sluice_hotstate::{LaneStore, RedisHotState};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

/// The keeper's way to hot state.
pub struct Gate {
    inner: Arc<RedisHotState>,
    passage: Arc<RwLock<()>>,
    installs: Mutex<Vec<(LaneFence, LeaseInstall)>>,
}

/// While this is held, no call of the keeper goes through.
#[must_use = "the gate opens when this is dropped"]
pub struct Shut(#[expect(dead_code, reason = "it is held, not read")] OwnedRwLockWriteGuard<()>);

impl Gate {
    /// An open gate.
    #[must_use]
    pub fn new(inner: Arc<RedisHotState>) -> Self {
        Self {
            inner,
            passage: Arc::default(),
            installs: Mutex::default(),
        }
    }

    /// Shuts the gate; comes back when the calls that were under way are through.
    pub async fn shut(&self) -> Shut {
        Shut(Arc::clone(&self.passage).write_owned().await)
    }

    /// Delivers every lease installation that ever went through once more, past the gate, as a
    /// network that repeats itself would.
    ///
    /// # Errors
    /// When hot state does not answer.
    pub async fn repeat_installs(&self) -> Result<Vec<Fenced<LeaseInstalled>>, StoreError> {
        let installs = self
            .installs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut answers = Vec::new();
        for (fence, install) in installs {
            answers.push(self.inner.install_lease(fence, install).await?);
        }
        Ok(answers)
    }
}

macro_rules! gated {
    ($(fn $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*) => {
        #[async_trait::async_trait]
        impl LaneStore for Gate {
            fn learn_epoch(&self, lane: LaneId, epoch: Epoch) {
                self.inner.learn_epoch(lane, epoch);
            }

            async fn install_lease(
                &self,
                fence: LaneFence,
                lease: LeaseInstall,
            ) -> Result<Fenced<LeaseInstalled>, StoreError> {
                let _passing = self.passage.read().await;
                self.installs
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push((fence, lease));
                self.inner.install_lease(fence, lease).await
            }

            $(async fn $name(&self, $($arg: $kind),*) -> Result<$answer, StoreError> {
                let _passing = self.passage.read().await;
                self.inner.$name($($arg),*).await
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
    fn read_outbox(lane: LaneId, epoch: Epoch, after: EntryNumber, count: usize) -> Vec<OutboxEntry>;
    fn mark(fence: LaneFence, mark: EntryNumber, seq: u64) -> Fenced<LaneFacts>;
    fn refuse(fence: LaneFence, refusal: Refusal) -> Fenced<()>;
    fn refused(lane: LaneId, epoch: Epoch) -> Vec<(ClaimId, EntryNumber)>;
    fn install(lane: LaneId, epoch: Epoch, published: &Published) -> Installed;
    fn set_final(fence: LaneFence, coupon: CouponId, more_may_come: bool) -> Fenced<()>;
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
