//! What stories have in common: a lane that serves one coupon, and short words for calls.

use std::sync::Arc;

use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimReply, ClaimRequest, ClaimStore, NotReady, StoreError,
};
use sluice_domain::coupon::ClaimLimits;
use sluice_domain::id::{CouponId, EntryNumber, Epoch, KeeperNumber, LeaseNumber, Ticket};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

use crate::conformance::Harness;
use crate::conformance::fixture::{BEGIN, LANE, LEDGER, claim_id, published, subject, user};
use crate::lane_store::{
    Fenced, HydrateBegin, Hydration, Installed, LaneFacts, LaneStore, LeaseInstall, LeaseInstalled,
};

/// The coupon of every story.
pub(super) const COUPON: CouponId = CouponId(0x0102_0304);

/// An implementation on which a story is told.
pub(super) struct Stage<'a, H> {
    pub(super) harness: &'a H,
    pub(super) fence: LaneFence,
    pub(super) published: Arc<Published>,
}

impl<'a, H: Harness> Stage<'a, H> {
    /// A lane in epoch 1 that serves the coupon, past its first delay, without a lease.
    pub(super) async fn set(harness: &'a H, limits: ClaimLimits) -> Self {
        harness.set_now(BEGIN);
        let fence = LaneFence {
            lane: LANE,
            epoch: Epoch(1),
            keeper: KeeperNumber(1),
        };
        let mut stage = Self {
            harness,
            fence,
            published: Arc::new(published(COUPON, limits)),
        };
        stage.recover(1).await;
        stage.hydrate().await;
        stage.pass(1_200);
        stage
    }

    pub(super) fn store(&self) -> &'a H::Store {
        self.harness.store()
    }

    /// Sets the clock to so many milliseconds after the story began.
    pub(super) fn pass(&self, millis: i64) {
        self.harness.set_now(BEGIN.plus_millis(millis));
    }

    /// Fences, installs, opens for two minutes and learns; no coupon is hydrated.
    pub(super) async fn recover(&mut self, epoch: u64) {
        self.fence.epoch = Epoch(epoch);
        let fenced = self.store().fence(self.fence, LEDGER).await.unwrap();
        assert!(matches!(fenced, Fenced::Done(_)), "{fenced:?}");
        self.install(&Arc::clone(&self.published)).await;
        let opened = self
            .store()
            .open(
                self.fence,
                BEGIN.plus_millis(120_000),
                &[COUPON],
                &[],
                1,
                None,
            )
            .await;
        assert_eq!(opened.unwrap(), Fenced::Done(()));
        self.store().learn_epoch(LANE, self.fence.epoch);
    }

    /// Hydrates the coupon from no rows at all.
    pub(super) async fn hydrate(&self) {
        let begin = self.begin();
        let store = self.store();
        let begun = store.hydrate_begin(self.fence, &begin, 1).await.unwrap();
        assert_eq!(begun, Fenced::Done(Hydration::Done));
        let done = store
            .hydrate_finish(self.fence, COUPON, 1, 0, 0, 0)
            .await
            .unwrap();
        assert_eq!(done, Fenced::Done(Hydration::Done));
    }

    pub(super) fn begin(&self) -> HydrateBegin {
        HydrateBegin {
            published: Arc::clone(&self.published),
            last_lease: LeaseNumber(0),
            seq: 1,
        }
    }

    pub(super) async fn install(&mut self, published: &Arc<Published>) {
        let installed = self
            .store()
            .install(LANE, self.fence.epoch, published)
            .await;
        assert_eq!(installed.unwrap(), Installed::Applied);
        self.published = Arc::clone(published);
    }

    /// Puts the next revision of the terms in force.
    pub(super) async fn edit(&mut self, change: impl FnOnce(&mut Published)) {
        let mut next = Published::clone(&self.published);
        next.revision = next.revision.next();
        next.terms_revision = next.revision;
        change(&mut next);
        self.install(&Arc::new(next)).await;
    }

    pub(super) async fn lease(&self, number: u32, first: u64, size: u32) -> LeaseInstalled {
        let lease = LeaseInstall {
            coupon: COUPON,
            lease: LeaseNumber(number),
            first: Ticket(first),
            size,
            seq: u64::from(number),
        };
        done(self.store().install_lease(self.fence, lease).await)
    }

    pub(super) async fn set_final(&self) {
        done(self.store().set_final(self.fence, COUPON, false).await);
    }

    pub(super) async fn clear_final(&self) {
        done(self.store().clear_final(self.fence, COUPON).await);
    }

    pub(super) async fn facts(&self) -> LaneFacts {
        self.store().facts(LANE).await.unwrap().unwrap()
    }

    pub(super) async fn claim(&self, requests: &[ClaimRequest]) -> Result<ClaimReply, StoreError> {
        let call = ClaimCall {
            lane: LANE,
            coupon: COUPON,
            form: self.published.form,
            revision: self.published.revision,
            requests: requests.to_vec(),
        };
        self.store().decide(call).await
    }

    pub(super) async fn answers(&self, requests: &[ClaimRequest]) -> Vec<ClaimAnswer> {
        self.claim(requests).await.unwrap().answers
    }

    pub(super) async fn answer(&self, request: ClaimRequest) -> ClaimAnswer {
        self.answers(&[request]).await[0]
    }

    /// Why a claim is not even looked at.
    pub(super) async fn not_ready(&self) -> NotReady {
        match self.claim(&[ask(0)]).await {
            Err(StoreError::LaneNotReady { reason, .. }) => reason,
            other => panic!("the lane was expected not to serve: {other:?}"),
        }
    }
}

/// A claim of a user without device and address.
pub(super) fn ask(who: u8) -> ClaimRequest {
    keyed(who, 0)
}

/// One of several claims of a user.
pub(super) fn keyed(who: u8, key: u8) -> ClaimRequest {
    ClaimRequest {
        user: user(who),
        claim_id: claim_id(COUPON, who, key),
        device: None,
        address: None,
        replay_only: false,
    }
}

/// A claim from a device.
pub(super) fn from(who: u8, device: u8) -> ClaimRequest {
    ClaimRequest {
        device: Some(subject(device)),
        ..ask(who)
    }
}

pub(super) fn done<T: std::fmt::Debug>(answer: Result<Fenced<T>, StoreError>) -> T {
    match answer {
        Ok(Fenced::Done(value)) => value,
        other => panic!("a keeper in charge was refused: {other:?}"),
    }
}

/// Asserts that a claim was granted, and answers its ticket and entry.
pub(super) fn granted(answer: ClaimAnswer) -> (Ticket, EntryNumber, Timestamp) {
    match answer {
        ClaimAnswer::Granted(record) => (record.ticket, record.entry, record.granted_at),
        other => panic!("not granted: {other:?}"),
    }
}
