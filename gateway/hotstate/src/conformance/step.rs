//! One call with all of its arguments, to be made on any implementation.

use std::sync::Arc;

use sluice_claim::port::{ClaimCall, ClaimReply, ClaimStore, SoldOutProof, StoreError};
use sluice_domain::claim::ClaimRow;
use sluice_domain::id::{CouponId, EntryNumber, Epoch};
use sluice_domain::lane::LaneFence;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;

use super::fixture::{LANE, LEDGER};
use super::snapshot::said;
use super::{Fault, Harness};
use crate::lane_store::{HydrateBegin, LaneStore, LeaseInstall, Refusal, Retire};

/// A call, a fault or a move of the clock.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Now(Timestamp),
    Fault(Fault),
    Learn(Epoch),
    Fence(LaneFence),
    Open {
        fence: LaneFence,
        lease_until: Timestamp,
        known: Vec<CouponId>,
        retired: Vec<CouponId>,
        seq: u64,
    },
    Take {
        fence: LaneFence,
        lease_until: Timestamp,
    },
    Renew {
        fence: LaneFence,
        lease_until: Timestamp,
        seq: u64,
    },
    Halt(LaneFence),
    Sweep(Epoch),
    Mark {
        fence: LaneFence,
        mark: EntryNumber,
        seq: u64,
    },
    Refuse(LaneFence, Refusal),
    Install(Epoch, Arc<Published>),
    Lease(LaneFence, LeaseInstall),
    Final {
        fence: LaneFence,
        coupon: CouponId,
        more_may_come: bool,
    },
    ClearFinal(LaneFence, CouponId),
    Retire(LaneFence, Retire),
    Begin {
        fence: LaneFence,
        begin: HydrateBegin,
        attempt: u64,
    },
    Fill {
        fence: LaneFence,
        coupon: CouponId,
        attempt: u64,
        rows: Vec<ClaimRow>,
    },
    Finish {
        fence: LaneFence,
        coupon: CouponId,
        attempt: u64,
        counts: [u64; 3],
    },
    Forget(LaneFence, CouponId),
    Decide(ClaimCall),
    Winners(CouponId, SoldOutProof),
    LoadFilter(CouponId, SoldOutProof),
    StoreFilter(CouponId, SoldOutProof, u8),
}

/// What came of a step.
#[derive(Debug)]
pub(super) struct Seen {
    /// Everything the implementation said; must be the same on all of them.
    pub(super) text: String,
    /// The claims' answers, for the caller to go on with.
    pub(super) reply: Option<ClaimReply>,
}

impl Step {
    /// The step for a report: a coupon at length would hide the story.
    pub(super) fn brief(&self) -> String {
        match self {
            Self::Install(epoch, published) => {
                format!("Install in epoch {epoch}: {}", brief(published))
            }
            Self::Begin {
                fence,
                begin,
                attempt,
            } => {
                let published = brief(&begin.published);
                let last = begin.last_lease;
                format!("Begin {fence:?} attempt {attempt}, last lease {last}: {published}")
            }
            step => format!("{step:?}"),
        }
    }

    /// Takes the step on one implementation.
    pub(super) async fn take<H: Harness>(&self, harness: &H) -> Seen {
        let store = harness.store();
        let text = match self {
            Self::Now(now) => {
                harness.set_now(*now);
                String::new()
            }
            Self::Fault(fault) => {
                harness.fault(*fault).await;
                String::new()
            }
            Self::Learn(epoch) => {
                store.learn_epoch(LANE, *epoch);
                String::new()
            }
            Self::Decide(call) => return decide(store, call).await,
            Self::Winners(coupon, proof) => said("winners", winners(store, *coupon, *proof).await),
            Self::LoadFilter(coupon, proof) => {
                said("filter", store.load_filter(LANE, *coupon, *proof).await)
            }
            Self::StoreFilter(coupon, proof, byte) => {
                let filter = vec![*byte; 3];
                said(
                    "stored",
                    store.store_filter(LANE, *coupon, *proof, filter).await,
                )
            }
            _keeper => self.take_as_keeper(store).await,
        };
        Seen { text, reply: None }
    }

    /// The steps of keepers and of the control plane.
    async fn take_as_keeper<S: LaneStore>(&self, store: &S) -> String {
        match self {
            Self::Fence(fence) => said("fence", store.fence(*fence, LEDGER).await),
            Self::Open {
                fence,
                lease_until,
                known,
                retired,
                seq,
            } => {
                let opened = store
                    .open(*fence, *lease_until, known, retired, *seq, None)
                    .await;
                said("open", opened)
            }
            Self::Take { fence, lease_until } => {
                said("take", store.take(*fence, LEDGER, *lease_until).await)
            }
            Self::Renew {
                fence,
                lease_until,
                seq,
            } => said("renew", store.renew(*fence, *lease_until, *seq).await),
            Self::Halt(fence) => said("halt", store.halt(*fence).await),
            Self::Sweep(ended) => said("sweep", swept(store, *ended).await),
            Self::Mark { fence, mark, seq } => said("mark", store.mark(*fence, *mark, *seq).await),
            Self::Refuse(fence, refusal) => said("refuse", store.refuse(*fence, *refusal).await),
            Self::Install(epoch, published) => {
                said("install", store.install(LANE, *epoch, published).await)
            }
            Self::Lease(fence, lease) => said("lease", store.install_lease(*fence, *lease).await),
            Self::Final {
                fence,
                coupon,
                more_may_come,
            } => said(
                "final",
                store.set_final(*fence, *coupon, *more_may_come).await,
            ),
            Self::ClearFinal(fence, coupon) => {
                said("clear", store.clear_final(*fence, *coupon).await)
            }
            Self::Retire(fence, retire) => said("retire", store.retire(*fence, *retire).await),
            Self::Forget(fence, coupon) => said("forget", store.forget(*fence, *coupon).await),
            _hydration => self.take_as_hydration(store).await,
        }
    }

    /// The three steps of a hydration; the others are no keeper's.
    async fn take_as_hydration<S: LaneStore>(&self, store: &S) -> String {
        match self {
            Self::Begin {
                fence,
                begin,
                attempt,
            } => said("begin", store.hydrate_begin(*fence, begin, *attempt).await),
            Self::Fill {
                fence,
                coupon,
                attempt,
                rows,
            } => {
                let filled = store.hydrate_claims(*fence, *coupon, *attempt, rows).await;
                said("fill", filled)
            }
            Self::Finish {
                fence,
                coupon,
                attempt,
                counts: [users, devices, addresses],
            } => {
                let finished = store
                    .hydrate_finish(*fence, *coupon, *attempt, *users, *devices, *addresses)
                    .await;
                said("finish", finished)
            }
            other => format!("{other:?} is no keeper's step"),
        }
    }
}

async fn decide<S: ClaimStore>(store: &S, call: &ClaimCall) -> Seen {
    match store.decide(call.clone()).await {
        Ok(reply) => Seen {
            text: format!("claims: {reply:?}"),
            reply: Some(reply),
        },
        Err(error) => Seen {
            text: said::<()>("claims", Err(error)),
            reply: None,
        },
    }
}

/// All pages, in order. The pages themselves are the implementation's business.
async fn winners<S: ClaimStore>(
    store: &S,
    coupon: CouponId,
    proof: SoldOutProof,
) -> Result<Option<Vec<u64>>, StoreError> {
    let mut all = Vec::new();
    let mut cursor = 0;
    loop {
        let Some(page) = store.winners(LANE, coupon, proof, cursor).await? else {
            return Ok(None);
        };
        all.extend(page.user_hashes);
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(Some(all))
}

/// Sweeps until nothing is left, or until it is clear that nothing will go.
async fn swept<S: LaneStore>(store: &S, ended: Epoch) -> Result<bool, StoreError> {
    for _slice in 0..8 {
        if store.sweep_epoch(LANE, ended).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn brief(published: &Published) -> String {
    format!(
        "{} revision {} (terms {}), {:?}, {:?}, {:?}",
        published.id,
        published.revision,
        published.terms_revision,
        published.lifecycle,
        published.window,
        published.limits
    )
}
