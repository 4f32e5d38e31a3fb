//! The engine: what the edge calls.

use std::net::IpAddr;
use std::sync::Arc;

use sluice_domain::eligibility::Shopper;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, LaneId, UserId};
use sluice_domain::lane::LaneCount;
use sluice_domain::reason::ReasonCode;
use sluice_domain::time::Timestamp;

use crate::durability::MarkBoard;
use crate::outcome::{ClaimOutcome, CouponLookup, LookupOutcome, Unavailable};
use crate::port::{ClaimReader, ClaimStore, KeeperRequests};
use crate::settings::{EngineSettings, SettingsError};

/// What an engine is made of.
pub struct EngineParts<S> {
    /// Hot state.
    pub store: Arc<S>,
    /// How durable each lane is.
    pub marks: Arc<MarkBoard>,
    /// Claims that are rows already.
    pub reader: Arc<dyn ClaimReader>,
    /// The keeper of the lanes.
    pub keeper: Arc<dyn KeeperRequests>,
    /// The keys of claim ids and of the hashes limits are counted by.
    pub keys: HashKeys,
    /// How many lanes there are.
    pub lanes: LaneCount,
}

/// The claim engine of one process.
pub struct Engine<S: ClaimStore> {
    parts: EngineParts<S>,
    settings: EngineSettings,
}

impl<S: ClaimStore> Engine<S> {
    /// Starts an engine: one task per lane, which end when the engine is dropped. Call it inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// When the settings contradict each other.
    pub fn new(
        parts: EngineParts<S>,
        settings: EngineSettings,
    ) -> Result<Arc<Self>, SettingsError> {
        settings.validate()?;
        Ok(Arc::new(Self { parts, settings }))
    }

    /// Claims a coupon for a shopper. `key` is the idempotency key, whose form the edge has
    /// checked; it matters only where the coupon allows several claims per user.
    pub async fn claim(
        self: &Arc<Self>,
        coupon: CouponId,
        shopper: &Shopper,
        address: IpAddr,
        key: Option<&str>,
    ) -> ClaimOutcome {
        let _ = (coupon, shopper, address, key, &self.parts, &self.settings);
        ClaimOutcome::Unavailable(Unavailable::not_applied(ReasonCode::Recovering, 1_000))
    }

    /// Looks a claim up for its owner. Somebody else's claim is `NotFound`.
    pub async fn lookup(&self, claim_id: ClaimId, user: &UserId) -> LookupOutcome {
        let _ = (claim_id, user);
        LookupOutcome::Unavailable(Unavailable::not_applied(ReasonCode::Recovering, 1_000))
    }

    /// Looks a published coupon up.
    pub async fn coupon(&self, coupon: CouponId) -> CouponLookup {
        let _ = coupon;
        CouponLookup::Unavailable(Unavailable::not_applied(ReasonCode::Recovering, 1_000))
    }

    /// The definition of this coupon was changed: read it again before deciding with it.
    pub fn invalidate(&self, coupon: CouponId) {
        let _ = coupon;
    }

    /// The lane's Redis clock as far as this process knows it; `None` before the first answer of
    /// the lane. For display and for refusals that no winner can meet, never to grant.
    #[must_use]
    pub fn lane_now(&self, lane: LaneId) -> Option<Timestamp> {
        let _ = lane;
        None
    }
}
