//! What the parts of one engine share.

use std::sync::Arc;

use crate::clock::LaneClocks;
use crate::metrics::Metrics;
use crate::port::KeeperRequests;
use crate::settings::EngineSettings;
use crate::sold_out::FilterRoom;

/// What the parts of one engine share. The lane tasks hold it, so it must not hold the engine.
pub(crate) struct Shared<S> {
    pub(crate) store: Arc<S>,
    pub(crate) keeper: Arc<dyn KeeperRequests>,
    pub(crate) settings: EngineSettings,
    pub(crate) clocks: LaneClocks,
    pub(crate) filters: FilterRoom,
    pub(crate) metrics: Metrics,
}
