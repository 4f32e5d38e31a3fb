//! A keeper of a few lines for all lanes: opens them, hydrates, leases, drains.

use std::sync::{Arc, Mutex};

use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimRequest, ClaimStore, DefinitionAnswer, NotReady,
};
use sluice_control::port::{Lowering, OperatorError};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{CouponId, EntryNumber, Epoch, LaneId, UserId};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::LeaseState;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;
use sluice_hotstate::lane_store::{
    Fenced, HydrateBegin, Hydration, LeaseInstall, OutboxEntry, Retire,
};
use sluice_hotstate::{LaneStore, ModelClock, ModelHotState};
use sluice_ledger::ModelLedger;
use sluice_ledger::claims::{AppendFrom, Appended, Claims};
use sluice_ledger::coupons::Coupons;
use sluice_ledger::lanes::{LaneRow, LaneWrite, Lanes};
use sluice_ledger::leases::{LeaseOpened, LeaseStep, Leases, TargetSettled};

/// The keeper.
pub(crate) struct Keeper {
    ledger: Arc<ModelLedger>,
    hot: ModelHotState,
    clock: ModelClock,
    /// Coupons it was told of.
    pub changed: Mutex<Vec<CouponId>>,
    /// Losses it was told of.
    pub lost: Mutex<Vec<(LaneId, Epoch, NotReady)>>,
}

impl Keeper {
    pub(crate) fn new(ledger: Arc<ModelLedger>, hot: ModelHotState, clock: ModelClock) -> Self {
        Self {
            ledger,
            hot,
            clock,
            changed: Mutex::new(Vec::new()),
            lost: Mutex::new(Vec::new()),
        }
    }

    fn hour(&self) -> Timestamp {
        self.clock.now().plus_millis(3_600_000)
    }

    pub(crate) async fn open_all(&self) {
        for lane in self.ledger.identity().lanes.iter() {
            self.take(lane).await;
            self.recover(lane).await;
        }
    }

    pub(crate) async fn take(&self, lane: LaneId) {
        let seen = self.ledger.lane(lane).await.unwrap();
        let taken = self.ledger.take_lane(&seen, "test", self.hour()).await;
        done(taken.unwrap());
    }

    /// Raises the epoch and opens the lane.
    pub(crate) async fn recover(&self, lane: LaneId) {
        let fence = self.fence_off(lane).await;
        self.open(fence).await;
    }

    /// The first steps of a recovery: the lane serves nothing from here on.
    pub(crate) async fn fence_off(&self, lane: LaneId) -> LaneFence {
        let fence = self.begin_recovery(lane).await;
        self.fence_hot_state(fence).await
    }

    /// The very first step: the ledger has the next epoch, and hot state does not know yet.
    pub(crate) async fn begin_recovery(&self, lane: LaneId) -> LaneFence {
        let fence = self.fence(lane).await;
        fence_of(&done(self.ledger.raise_epoch(fence).await.unwrap()))
    }

    /// The step after it.
    pub(crate) async fn fence_hot_state(&self, fence: LaneFence) -> LaneFence {
        let ledger = self.ledger.identity().id;
        let fenced = self.hot.fence(fence, ledger).await.unwrap();
        assert!(matches!(fenced, Fenced::Done(_)), "{fenced:?}");
        fence
    }

    /// The last steps of a recovery, with the definitions that the ledger has.
    pub(crate) async fn open(&self, fence: LaneFence) {
        let published = self.ledger.published_coupons(fence.lane).await.unwrap();
        let known: Vec<CouponId> = published.iter().map(|(id, _retired)| *id).collect();
        for id in &known {
            let published = self.published(*id).await;
            self.hot
                .install(fence.lane, fence.epoch, &published)
                .await
                .unwrap();
        }
        self.open_with(fence, &known).await;
    }

    /// The last steps of a recovery that forgets the definitions: what no keeper does.
    pub(crate) async fn open_bare(&self, fence: LaneFence) {
        self.open_with(fence, &[]).await;
    }

    async fn open_with(&self, fence: LaneFence, known: &[CouponId]) {
        let row = done(self.ledger.set_opened(fence).await.unwrap());
        let opened = self
            .hot
            .open(fence, self.hour(), known, &[], row.seq, None)
            .await
            .unwrap();
        assert!(matches!(opened, Fenced::Done(())), "{opened:?}");
        self.hot.learn_epoch(fence.lane, fence.epoch);
    }

    pub(crate) async fn fence(&self, lane: LaneId) -> LaneFence {
        fence_of(&self.ledger.lane(lane).await.unwrap())
    }

    pub(crate) fn lane_of(&self, coupon: CouponId) -> LaneId {
        self.ledger.identity().lanes.lane_of(coupon)
    }

    /// The revision that hot state gives to gateways; 0 where it gives none.
    pub(crate) async fn in_force(&self, id: CouponId) -> u32 {
        match self.hot.definition(self.lane_of(id), id).await {
            Ok(DefinitionAnswer::Found(published)) => published.revision.0,
            Ok(DefinitionAnswer::Unknown | DefinitionAnswer::Retired(_)) | Err(_) => 0,
        }
    }

    async fn published(&self, id: CouponId) -> Published {
        let coupon = self.ledger.coupon(id).await.unwrap().unwrap();
        let versions = self.ledger.versions(id).await.unwrap();
        let earlier: Vec<_> = versions.into_iter().map(|row| row.published).collect();
        Published::of(&coupon, &earlier).unwrap()
    }

    /// Makes a coupon ready, without claims, and gives it a lease.
    pub(crate) async fn stock_up(&self, id: CouponId, want: u32) {
        let fence = self.fence(self.lane_of(id)).await;
        let begin = HydrateBegin {
            published: Arc::new(self.published(id).await),
            last_lease: sluice_domain::id::LeaseNumber(0),
            seq: self.ledger.lane(fence.lane).await.unwrap().seq,
        };
        let begun = self.hot.hydrate_begin(fence, &begin, 1).await.unwrap();
        if begun == Fenced::Done(Hydration::Done) {
            let finished = self.hot.hydrate_finish(fence, id, 1, 0, 0, 0).await;
            assert_eq!(finished.unwrap(), Fenced::Done(Hydration::Done));
        }
        let opened = self.ledger.open_lease(fence, id, want, false).await;
        let LeaseOpened::Opened(lease, seq) = opened.unwrap() else {
            panic!("no lease");
        };
        let install = LeaseInstall {
            coupon: id,
            lease: lease.number,
            first: lease.first,
            size: lease.size,
            seq,
        };
        let listed = self.hot.install_lease(fence, install).await.unwrap();
        assert!(matches!(listed, Fenced::Done(_)), "{listed:?}");
        // Past the fence after which the first lease of an epoch is granted from.
        self.clock.advance_ms(2_000);
    }

    /// Claims for users `u0` … in hot state; how many were granted.
    pub(crate) async fn claim(&self, id: CouponId, users: std::ops::Range<u32>) -> usize {
        let keys = HashKeys::derive(&self.ledger.identity().hash_key);
        let coupon = self.ledger.coupon(id).await.unwrap().unwrap();
        let requests: Vec<ClaimRequest> = users
            .map(|number| {
                let user = UserId::new(&format!("u{number}")).unwrap();
                ClaimRequest {
                    user,
                    claim_id: keys.single_claim_id(id, &user),
                    device: None,
                    address: None,
                    replay_only: false,
                }
            })
            .collect();
        let call = ClaimCall {
            lane: self.lane_of(id),
            coupon: id,
            form: coupon.spec.limits.form(),
            revision: coupon.revision,
            requests,
        };
        let reply = self.hot.decide(call).await.unwrap();
        let granted = |answer: &&ClaimAnswer| matches!(answer, ClaimAnswer::Granted(_));
        let count = reply.answers.iter().filter(granted).count();
        assert!(count > 0, "{:?}", reply.answers);
        count
    }

    /// Appends what is in the lane's outbox to the ledger, and marks it.
    pub(crate) async fn drain(&self, lane: LaneId) {
        let fence = self.fence(lane).await;
        let facts = self.hot.facts(lane).await.unwrap().unwrap();
        let after = facts.mark.unwrap_or(EntryNumber(0));
        let entries = self.hot.read_outbox(lane, fence.epoch, after, 1_000).await;
        let batches: Vec<_> = entries
            .unwrap()
            .into_iter()
            .map(|entry| match entry {
                OutboxEntry::Batch(batch) => batch,
                OutboxEntry::Unreadable { reason, .. } => panic!("{reason}"),
            })
            .collect();
        let Some(last) = batches.last().map(|batch| batch.entry) else {
            return;
        };
        let appended = self.ledger.append(fence, AppendFrom::Current, &batches);
        let Appended::Done { seq, conflicts } = appended.await.unwrap() else {
            panic!("deposed");
        };
        assert!(conflicts.is_empty(), "{conflicts:?}");
        let marked = self.hot.mark(fence, last, seq).await.unwrap();
        assert!(matches!(marked, Fenced::Done(_)), "{marked:?}");
    }

    /// Lowers a total as the protocol says: target, retire, drain, close, settle.
    pub(crate) async fn lower_total(
        &self,
        lane: LaneId,
        coupon: CouponId,
        target: u64,
    ) -> Result<Lowering, OperatorError> {
        let fence = self.fence(lane).await;
        self.ledger.set_target(coupon, Some(target)).await.unwrap();
        let leases = self.ledger.leases(coupon).await.unwrap();
        let last = leases.last().map(|lease| lease.number).unwrap_or_default();
        let retire = Retire {
            coupon,
            only: None,
            last,
            seq: self.ledger.lane(lane).await.unwrap().seq,
        };
        self.hot.retire(fence, retire).await.unwrap();
        self.drain(lane).await;
        for lease in leases {
            if lease.state == LeaseState::Open {
                let closed = self.ledger.close_lease(fence, coupon, lease.number).await;
                assert!(matches!(closed.unwrap(), LeaseStep::Done(..)));
            }
        }
        let now = self.clock.now();
        let settled = self.ledger.settle_target(fence, coupon, now).await.unwrap();
        let granted = self.ledger.granted(coupon).await.unwrap();
        Ok(match settled {
            TargetSettled::Lowered(stock) => Lowering::Lowered(stock),
            TargetSettled::TooMuchGranted(stock) => Lowering::TooMuchGranted {
                stock,
                granted,
                quarantined: 0,
                grace_until: None,
            },
            other => panic!("{other:?}"),
        })
    }
}

fn fence_of(row: &LaneRow) -> LaneFence {
    LaneFence {
        lane: row.lane,
        epoch: row.epoch,
        keeper: row.keeper,
    }
}

#[track_caller]
fn done(write: LaneWrite) -> LaneRow {
    match write {
        LaneWrite::Done(row) => row,
        LaneWrite::Refused(row) => panic!("refused: {row:?}"),
    }
}
