//! Hot state as one process reaches it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimReply, ClaimStore, DefinitionAnswer, SoldOutProof, StoreError,
    WinnersPage,
};
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
use sluice_hotstate::model::fault::ModelKey;

use super::link::{Link, Side, Silence};
use super::mutation::Mutation;
use super::watch::Watch;

/// What a process hears where Redis does not answer.
const SILENCE: Silence<StoreError> = Silence {
    not_carried_out: || StoreError::Unavailable {
        reason: "nobody is there".to_owned(),
    },
    unknown: || StoreError::Unknown {
        reason: "no answer".to_owned(),
    },
};

/// The port.
pub(super) struct HotPort {
    link: Arc<Link>,
    mutation: Option<Mutation>,
    /// Only with [`Mutation::SoldOutForEver`].
    sold_out: Mutex<Vec<(CouponId, SoldOutProof)>>,
}

/// What a future of the models gives: they never wait.
pub(super) fn at_once<T>(
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    answer.now_or_never().unwrap_or_else(|| {
        Err(StoreError::Protocol {
            reason: "the model waits".to_owned(),
        })
    })
}

/// Changes what a keeper's script gives where it was carried out.
fn done<T>(fenced: Fenced<T>, change: impl FnOnce(T) -> T) -> Fenced<T> {
    match fenced {
        Fenced::Done(value) => Fenced::Done(change(value)),
        Fenced::Deposed { epoch, keeper } => Fenced::Deposed { epoch, keeper },
        Fenced::NotReady(reason) => Fenced::NotReady(reason),
    }
}

// === impl HotPort ===

impl HotPort {
    pub(super) fn new(link: &Arc<Link>, mutation: Option<Mutation>) -> Self {
        Self {
            link: Arc::clone(link),
            mutation,
            sold_out: Mutex::default(),
        }
    }

    async fn script<T: std::fmt::Debug + Send + 'static>(
        &self,
        what: &'static str,
        run: impl Fn(&ModelHotState) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let hot = self.link.hot();
        let time = self.link.net.time;
        let on_time = Arc::new(move || {
            hot.clock().set(time.now());
            run(&hot)
        });
        if let Some(after_ms) = self.link.net.scene.echoes(what) {
            let again = Arc::clone(&on_time);
            self.link.echo(what, after_ms, move || again());
        }
        let once = move || on_time();
        self.link.call(Side::Hot, what, SILENCE, once).await
    }

    /// As [`Self::script`], where entries may leave a stream.
    async fn trimming<T: std::fmt::Debug + Send + 'static>(
        &self,
        what: &'static str,
        (lane, epoch): (LaneId, Epoch),
        run: impl Fn(&ModelHotState) -> Result<T, StoreError> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let net = Arc::clone(&self.link.net);
        self.script(what, move |hot| {
            let before = Watch::leaving(hot, lane, epoch);
            let answer = run(hot);
            net.watch.left(hot, &net.ledger, before);
            answer
        })
        .await
    }

    /// What a keeper sees of the lane.
    fn seen(&self, facts: LaneFacts) -> LaneFacts {
        if self.mutation == Some(Mutation::SeqUnchecked) {
            return LaneFacts { seq: 0, ..facts };
        }
        facts
    }

    fn remembered(&self, coupon: CouponId) -> Option<SoldOutProof> {
        let sold_out = self.sold_out.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sold_out.iter().find(|(of, _proof)| *of == coupon);
        known.map(|(_of, proof)| *proof)
    }

    fn remember(&self, coupon: CouponId, reply: &ClaimReply) {
        let mut sold_out = self.sold_out.lock().unwrap_or_else(PoisonError::into_inner);
        for answer in &reply.answers {
            if let ClaimAnswer::SoldOut(proof) = answer {
                sold_out.push((coupon, *proof));
            }
        }
    }
}

impl ClaimStore for HotPort {
    async fn decide(&self, call: ClaimCall) -> Result<ClaimReply, StoreError> {
        let coupon = call.coupon;
        let for_ever = self.mutation == Some(Mutation::SoldOutForEver);
        if for_ever && let Some(proof) = self.remembered(coupon) {
            return Ok(ClaimReply {
                epoch: proof.epoch,
                lane_time: self.link.net.time.now(),
                answers: vec![ClaimAnswer::SoldOut(proof); call.requests.len()],
            });
        }
        let (net, lane) = (Arc::clone(&self.link.net), call.lane);
        let reply = self
            .script("claim", move |hot| {
                let decided = at_once(hot.decide(call.clone()));
                let grants = |answer: &ClaimAnswer| matches!(answer, ClaimAnswer::Granted(_));
                if let Ok(reply) = decided.as_ref()
                    && reply.answers.iter().any(grants)
                {
                    let lease_ms = net.scene.keeper_settings().lane_lease_ms;
                    net.watch
                        .granted(lane, reply.epoch, net.time.now_ms(), lease_ms);
                }
                decided
            })
            .await?;
        if for_ever {
            self.remember(coupon, &reply);
        }
        Ok(reply)
    }

    async fn definition(
        &self,
        lane: LaneId,
        coupon: CouponId,
    ) -> Result<DefinitionAnswer, StoreError> {
        self.script("definition", move |hot| {
            at_once(hot.definition(lane, coupon))
        })
        .await
    }

    async fn winners(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
        cursor: u64,
    ) -> Result<Option<WinnersPage>, StoreError> {
        self.script("winners", move |hot| {
            at_once(hot.winners(lane, coupon, proof, cursor))
        })
        .await
    }

    async fn load_filter(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.script("load_filter", move |hot| {
            at_once(hot.load_filter(lane, coupon, proof))
        })
        .await
    }

    async fn store_filter(
        &self,
        lane: LaneId,
        coupon: CouponId,
        proof: SoldOutProof,
        filter: Vec<u8>,
    ) -> Result<(), StoreError> {
        self.script("store_filter", move |hot| {
            at_once(hot.store_filter(lane, coupon, proof, filter.clone()))
        })
        .await
    }
}

/// Methods that only pass on values.
macro_rules! scripts {
    ($(fn $name:ident($($arg:ident: $kind:ty),*) -> $answer:ty;)*) => {
        #[async_trait::async_trait]
        impl LaneStore for HotPort {
            fn learn_epoch(&self, lane: LaneId, epoch: Epoch) {
                self.link.hot().learn_epoch(lane, epoch);
            }

            async fn open(
                &self,
                fence: LaneFence,
                lease_until: Timestamp,
                known: &[CouponId],
                retired: &[CouponId],
                seq: u64,
                adopt: Option<LedgerId>,
            ) -> Result<Fenced<()>, StoreError> {
                let (known, retired) = (known.to_vec(), retired.to_vec());
                self.script("open", move |hot| {
                    at_once(hot.open(fence, lease_until, &known, &retired, seq, adopt))
                })
                .await
            }

            async fn facts(&self, lane: LaneId) -> Result<Option<LaneFacts>, StoreError> {
                let facts = self.script("facts", move |hot| at_once(hot.facts(lane))).await?;
                Ok(facts.map(|facts| self.seen(facts)))
            }

            async fn fence(
                &self,
                fence: LaneFence,
                ledger: LedgerId,
            ) -> Result<Fenced<FencedOff>, StoreError> {
                let fenced = self.script("fence", move |hot| at_once(hot.fence(fence, ledger))).await?;
                Ok(done(fenced, |FencedOff { facts }| FencedOff { facts: self.seen(facts) }))
            }

            async fn take(
                &self,
                fence: LaneFence,
                ledger: LedgerId,
                until: Timestamp,
            ) -> Result<Fenced<LaneFacts>, StoreError> {
                let taken = self.script("take", move |hot| at_once(hot.take(fence, ledger, until))).await?;
                Ok(done(taken, |facts| self.seen(facts)))
            }

            async fn renew(
                &self,
                fence: LaneFence,
                until: Timestamp,
                seq: u64,
            ) -> Result<Fenced<LaneFacts>, StoreError> {
                let renewed = self.script("renew", move |hot| at_once(hot.renew(fence, until, seq))).await?;
                Ok(done(renewed, |facts| self.seen(facts)))
            }

            async fn sweep_epoch(&self, lane: LaneId, ended: Epoch) -> Result<bool, StoreError> {
                self.trimming("sweep_epoch", (lane, ended), move |hot| {
                    at_once(hot.sweep_epoch(lane, ended))
                })
                .await
            }

            async fn mark(
                &self,
                fence: LaneFence,
                mark: EntryNumber,
                seq: u64,
            ) -> Result<Fenced<LaneFacts>, StoreError> {
                let place = (fence.lane, fence.epoch);
                let mark = move |hot: &ModelHotState| at_once(hot.mark(fence, mark, seq));
                let marked = self.trimming("mark", place, mark).await?;
                Ok(done(marked, |facts| self.seen(facts)))
            }

            async fn install(
                &self,
                lane: LaneId,
                epoch: Epoch,
                published: &Published,
            ) -> Result<Installed, StoreError> {
                let published = published.clone();
                self.script("install", move |hot| at_once(hot.install(lane, epoch, &published)))
                    .await
            }

            async fn hydrate_begin(
                &self,
                fence: LaneFence,
                begin: &HydrateBegin,
                attempt: u64,
            ) -> Result<Fenced<Hydration>, StoreError> {
                let begin = begin.clone();
                self.script("hydrate_begin", move |hot| {
                    at_once(hot.hydrate_begin(fence, &begin, attempt))
                })
                .await
            }

            async fn hydrate_claims(
                &self,
                fence: LaneFence,
                coupon: CouponId,
                attempt: u64,
                rows: &[ClaimRow],
            ) -> Result<Fenced<Hydration>, StoreError> {
                let rows = rows.to_vec();
                self.script("hydrate_claims", move |hot| {
                    at_once(hot.hydrate_claims(fence, coupon, attempt, &rows))
                })
                .await
            }

            async fn hydrate_finish(
                &self,
                fence: LaneFence,
                coupon: CouponId,
                attempt: u64,
                users: u64,
                devices: u64,
                addresses: u64,
            ) -> Result<Fenced<Hydration>, StoreError> {
                if self.link.net.loses_key() {
                    let key = ModelKey::Users(coupon);
                    self.link.hot().lose_key(fence.lane, fence.epoch, key);
                }
                self.script("hydrate_finish", move |hot| {
                    at_once(hot.hydrate_finish(fence, coupon, attempt, users, devices, addresses))
                })
                .await
            }

            $(async fn $name(&self, $($arg: $kind),*) -> Result<$answer, StoreError> {
                self.script(stringify!($name), move |hot| at_once(hot.$name($($arg),*))).await
            })*
        }
    };
}

scripts! {
    fn halt(fence: LaneFence) -> Fenced<()>;
    fn read_outbox(lane: LaneId, epoch: Epoch, after: EntryNumber, count: usize) -> Vec<OutboxEntry>;
    fn refuse(fence: LaneFence, refusal: Refusal) -> Fenced<()>;
    fn refused(lane: LaneId, epoch: Epoch) -> Vec<(ClaimId, EntryNumber)>;
    fn install_lease(fence: LaneFence, lease: LeaseInstall) -> Fenced<LeaseInstalled>;
    fn set_final(fence: LaneFence, coupon: CouponId, more_may_come: bool) -> Fenced<()>;
    fn clear_final(fence: LaneFence, coupon: CouponId) -> Fenced<()>;
    fn retire(fence: LaneFence, retire: Retire) -> Fenced<Retired>;
    fn forget(fence: LaneFence, coupon: CouponId) -> Fenced<()>;
    fn figures(lane: LaneId, coupon: CouponId) -> Option<CouponFigures>;
    fn coupons(lane: LaneId) -> Vec<(CouponId, bool)>;
    fn last_seen(lane: LaneId) -> Vec<CouponFigures>;
    fn claims(lane: LaneId, coupon: CouponId, cursor: u64) -> (Vec<(UserId, GrantRecord)>, Option<u64>);
}

/// As if the entry were no part of a refusal.
pub(super) fn of_every_entry(
    refused: &HashSet<(ClaimId, EntryNumber)>,
    entries_max: u64,
) -> HashSet<(ClaimId, EntryNumber)> {
    let claims: HashSet<ClaimId> = refused.iter().map(|(claim, _entry)| *claim).collect();
    claims
        .into_iter()
        .flat_map(|claim| (0..entries_max).map(move |entry| (claim, EntryNumber(entry))))
        .collect()
}
