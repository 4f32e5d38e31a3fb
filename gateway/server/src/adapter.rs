//! The small pieces between crates that do not know each other: each implements the port of one
//! over the handle of another.

pub(crate) mod service_keys;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sluice_claim::engine::Engine;
use sluice_claim::outcome::{ClaimOutcome, Unavailable};
use sluice_claim::port::{
    ClaimLookup, ClaimReader, ClaimStore, KeeperRequests as _, NotReady, ReadError,
};
use sluice_control::port::{
    Gateways, Granter, KeeperStatus, LaneOperator, Lowering, OperatorError,
};
use sluice_domain::id::{ClaimId, CouponId, Epoch, LaneId, UserId};
use sluice_domain::lease::LeaseState;
use sluice_edge::limits::slice::{QuotaError, QuotaSource, SliceAsk, SliceGrant};
use sluice_hotstate::redis::limits::LimiterRedis;
use sluice_ledger::Ledger;
use sluice_workers::KeeperHandle;
use sluice_workers::keeper::LowerOutcome;
use sluice_workers::lanes::AskError;

/// How long an operator waits for a keeper before the answer is "not yet".
const OPERATOR_WAIT: Duration = Duration::from_secs(5);

/// The ledger, as waiters and polls of the claim engine read it.
pub(crate) struct LedgerReader(pub(crate) Arc<dyn Ledger>);

#[async_trait::async_trait]
impl ClaimReader for LedgerReader {
    async fn find(&self, claim_id: ClaimId, lane: LaneId) -> Result<ClaimLookup, ReadError> {
        let (row, epoch) = self
            .0
            .claim_with_epoch(claim_id, lane)
            .await
            .map_err(|error| ReadError {
                reason: error.to_string(),
            })?;
        Ok(ClaimLookup { row, epoch })
    }
}

/// This process's cache of definitions: the only gateway there is with the SQLite ledger.
pub(crate) struct OwnGateway<S: ClaimStore>(pub(crate) Arc<Engine<S>>);

impl<S: ClaimStore> Gateways for OwnGateway<S> {
    fn invalidate(&self, coupon: CouponId) {
        self.0.invalidate(coupon);
    }
}

/// The claim engine, as operators grant by it: on the data plane's threads, where its connections
/// and timers are.
pub(crate) struct EngineGrants<S: ClaimStore> {
    engine: Arc<Engine<S>>,
    data: tokio::runtime::Handle,
}

impl<S: ClaimStore> EngineGrants<S> {
    /// Grants by this engine, on the data plane's runtime.
    pub(crate) fn new(engine: &Arc<Engine<S>>, data: &tokio::runtime::Handle) -> Self {
        Self {
            engine: Arc::clone(engine),
            data: data.clone(),
        }
    }
}

#[async_trait::async_trait]
impl<S: ClaimStore> Granter for EngineGrants<S> {
    async fn grant(&self, coupon: CouponId, user: UserId, key: &str) -> ClaimOutcome {
        let (engine, key) = (Arc::clone(&self.engine), key.to_owned());
        let granting = self
            .data
            .spawn(async move { engine.grant(coupon, &user, &key).await });
        // Without an answer the runtime is stopping, or the engine has a defect.
        granting.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a grant ended without an answer");
            ClaimOutcome::Unavailable(Unavailable::unknown(1_000))
        })
    }
}

/// The keepers, as the control plane gives them orders.
pub(crate) struct KeeperLanes {
    /// The keepers.
    pub(crate) keepers: KeeperHandle,
    /// Where quarantined leases are looked up.
    pub(crate) ledger: Arc<dyn Ledger>,
}

#[async_trait::async_trait]
impl LaneOperator for KeeperLanes {
    fn changed(&self, lane: LaneId, coupon: CouponId) {
        self.keepers.hydrate(lane, coupon);
    }

    fn lost(&self, lane: LaneId, epoch: Epoch, reason: NotReady) {
        self.keepers.report_loss(lane, epoch, reason);
    }

    async fn lower_total(
        &self,
        lane: LaneId,
        coupon: CouponId,
        target: u64,
    ) -> Result<Lowering, OperatorError> {
        let asked = self.keepers.lower_total(coupon, target);
        let Ok(answer) = tokio::time::timeout(OPERATOR_WAIT, asked).await else {
            return Ok(Lowering::StillClosing);
        };
        match answer.map_err(|error| refused(lane, &error))? {
            LowerOutcome::Lowered(stock) => Ok(Lowering::Lowered(stock)),
            LowerOutcome::TooMuch {
                stock,
                granted,
                quarantined,
                grace_until,
            } => Ok(Lowering::TooMuchGranted {
                stock,
                granted,
                quarantined,
                grace_until,
            }),
            LowerOutcome::Busy => Err(OperatorError::Refused {
                lane,
                reason: "another lowering of this coupon is under way; try again when it is done"
                    .to_owned(),
            }),
        }
    }

    async fn recover(&self, lane: LaneId, accept_ledger: bool) -> Result<(), OperatorError> {
        if accept_ledger {
            return self
                .keepers
                .accept_ledger(lane)
                .await
                .map_err(|error| refused(lane, &error));
        }
        match self.keepers.recover(lane).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(OperatorError::Refused {
                lane,
                reason: "it is not served now; where it is halted, accept_ledger is the way out"
                    .to_owned(),
            }),
            Err(error) => Err(refused(lane, &error)),
        }
    }

    async fn release(&self, lane: LaneId) -> Result<(), OperatorError> {
        let leases =
            self.ledger
                .live_leases(lane)
                .await
                .map_err(|error| OperatorError::Unavailable {
                    lane,
                    reason: error.to_string(),
                })?;
        let quarantined: BTreeSet<CouponId> = leases
            .iter()
            .filter(|lease| lease.state == LeaseState::Quarantined)
            .map(|lease| lease.coupon)
            .collect();
        for coupon in quarantined {
            let released = self.keepers.release(lane, coupon).await;
            let units = released.map_err(|error| refused(lane, &error))?;
            tracing::warn!(%lane, %coupon, units, "quarantined units were released by an operator");
        }
        Ok(())
    }

    fn status(&self, lane: LaneId) -> Option<KeeperStatus> {
        let status = self.keepers.watch(lane)?.borrow().clone();
        let detail = match (&status.halted, status.unreadable) {
            (Some(why), _) => why.clone(),
            (None, Some(entry)) => format!(
                "outbox entry {entry} cannot be read and stops the mark; a recovery sets it aside"
            ),
            (None, None) => String::new(),
        };
        Some(KeeperStatus {
            phase: status.phase.label().to_owned(),
            detail,
        })
    }
}

/// Shared request quotas on the limiter Redis.
pub(crate) struct SharedQuota(Arc<LimiterRedis>);

impl SharedQuota {
    /// Shared quotas on this server; it is connected when first used.
    pub(crate) fn connect(url: &str) -> anyhow::Result<Self> {
        Ok(Self(LimiterRedis::connect(url)?))
    }
}

#[async_trait::async_trait]
impl QuotaSource for SharedQuota {
    async fn take_slices(&self, asks: &[SliceAsk]) -> Result<Vec<SliceGrant>, QuotaError> {
        let takes = asks.iter().map(|ask| self.take(ask));
        futures_util::future::try_join_all(takes).await
    }
}

impl SharedQuota {
    /// One ask: what was given on credit comes off first, then the wish. A quota of `burst` at once
    /// and `per_second` in the long run is `burst` in each window of `burst / per_second` seconds.
    async fn take(&self, ask: &SliceAsk) -> Result<SliceGrant, QuotaError> {
        let key = format!("{}:{:016x}", ask.limiter.as_str(), ask.subject);
        let window_ms = u64::from(ask.rate.burst) * 1_000 / u64::from(ask.rate.per_second.max(1));
        let asked = ask.used.saturating_add(ask.wanted);
        let slice = self
            .0
            .take_slice(&key, window_ms.max(1), asked, ask.rate.burst)
            .await
            .map_err(|error| QuotaError {
                reason: error.to_string(),
            })?;
        let granted = slice.granted.saturating_sub(ask.used);
        let left = u32::try_from(slice.window_left.as_millis()).unwrap_or(u32::MAX);
        Ok(SliceGrant {
            granted,
            retry_after_ms: if granted == 0 { left } else { 0 },
        })
    }
}

fn refused(lane: LaneId, error: &AskError) -> OperatorError {
    match error {
        AskError::NoSuchLane(_) | AskError::Unavailable(_) => OperatorError::Unavailable {
            lane,
            reason: error.to_string(),
        },
        AskError::Refused(why) => OperatorError::Refused {
            lane,
            reason: why.to_string(),
        },
    }
}
