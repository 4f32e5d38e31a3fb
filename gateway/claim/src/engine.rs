//! The engine: what the edge calls. One verb per file.

mod acknowledge;
mod claim;
mod coupon;
mod lookup;
mod view;

use std::sync::Arc;

use sluice_domain::hash::HashKeys;
use sluice_domain::id::{CouponId, LaneId, UserId};
use sluice_domain::lane::LaneCount;
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;
use tokio::time::Instant;

use crate::batcher::Batcher;
use crate::clock::LaneClocks;
use crate::definitions::{Definitions, LiveCoupon};
use crate::durability::MarkBoard;
use crate::metrics::Metrics;
use crate::port::{ClaimReader, ClaimStore, KeeperRequests};
use crate::settings::{EngineSettings, SettingsError};
use crate::shared::Shared;
use crate::sold_out::{FilterRoom, SoldOut};

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
    shared: Arc<Shared<S>>,
    definitions: Definitions<S>,
    batcher: Batcher<S>,
    marks: Arc<MarkBoard>,
    reader: Arc<dyn ClaimReader>,
    keys: HashKeys,
    lanes: LaneCount,
}

impl<S: ClaimStore> Engine<S> {
    /// Starts an engine: one task per lane, which ends when the engine is dropped and what it holds
    /// is answered. Call it inside a tokio runtime, after the metrics recorder is installed.
    ///
    /// # Errors
    /// When the settings contradict each other.
    pub fn new(
        parts: EngineParts<S>,
        settings: EngineSettings,
    ) -> Result<Arc<Self>, SettingsError> {
        settings.validate()?;
        let shared = Arc::new(Shared {
            store: parts.store,
            keeper: parts.keeper,
            settings,
            clocks: LaneClocks::new(parts.lanes),
            filters: FilterRoom::new(&settings),
            metrics: Metrics::new(),
        });
        Ok(Arc::new(Self {
            definitions: Definitions::new(Arc::clone(&shared), parts.lanes),
            batcher: Batcher::start(&shared, parts.lanes),
            shared,
            marks: parts.marks,
            reader: parts.reader,
            keys: parts.keys,
            lanes: parts.lanes,
        }))
    }

    /// The definition of this coupon was changed: read it again before deciding with it.
    pub fn invalidate(&self, coupon: CouponId) {
        self.definitions.invalidate(coupon);
    }

    /// The lane in which this user's claims of a coupon are decided.
    fn lane_for(&self, published: &Published, user: &UserId) -> LaneId {
        self.lanes.lane_for(published.id, published.shards, user)
    }

    /// What is remembered of the coupon's shard in this lane.
    fn sold_out<'a>(&self, live: &'a LiveCoupon, lane: LaneId) -> &'a Arc<SoldOut> {
        let shard = self.lanes.shard_in(lane, live.rules.published().id);
        live.notes.sold_out(shard)
    }

    /// The lane's Redis clock as far as this process knows it; `None` when no recent answer of the
    /// lane tells. For display, never to grant.
    #[must_use]
    pub fn lane_now(&self, lane: LaneId) -> Option<Timestamp> {
        self.shared
            .clocks
            .read(lane, Instant::now())
            .map(|time| time.now())
    }
}
