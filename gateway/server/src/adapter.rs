//! The small pieces between crates that do not know each other: each implements the port of one
//! over the handle of another.

pub(crate) mod lanes;
pub(crate) mod service_keys;

use std::sync::Arc;

use sluice_claim::engine::Engine;
use sluice_claim::outcome::{ClaimOutcome, Unavailable};
use sluice_claim::port::{ClaimLookup, ClaimReader, ClaimStore, ReadError};
use sluice_control::port::{Gateways, Granter};
use sluice_domain::id::{ClaimId, CouponId, LaneId, UserId};
use sluice_edge::limits::slice::{QuotaError, QuotaSource, SliceAsk, SliceGrant};
use sluice_hotstate::redis::limits::LimiterRedis;
use sluice_ledger::Ledger;
use sluice_workers::Grid;

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

/// The gateways of all processes that share the ledger.
pub(crate) struct AllGateways(pub(crate) Arc<Grid>);

impl Gateways for AllGateways {
    fn invalidate(&self, coupon: CouponId) {
        self.0.changed(coupon);
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
