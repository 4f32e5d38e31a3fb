//! What every handler of the control plane shares.

use std::sync::Arc;

use sluice_checkout::Checkout;
use sluice_domain::coupon::Coupon;
use sluice_domain::hash::HashKeys;
use sluice_domain::id::CouponId;
use sluice_domain::lane::LaneCount;
use sluice_hotstate::LaneStore;
use sluice_ledger::Ledger;
use tokio::sync::Semaphore;

use crate::error::{Answer, Problem};
use crate::idempotency::Running;
use crate::port::{Clock, Granter, LaneOperator};
use crate::publish::Publisher;
use crate::session::KeyCache;
use crate::settings::ControlSettings;

/// The shared state, made once by [`crate::Control::new`].
pub(crate) struct App {
    pub ledger: Arc<dyn Ledger>,
    pub lanes_store: Arc<dyn LaneStore>,
    pub lane_operator: Arc<dyn LaneOperator>,
    pub granter: Arc<dyn Granter>,
    pub checkout: Checkout,
    pub clock: Arc<dyn Clock>,
    pub hash_keys: HashKeys,
    pub lanes: LaneCount,
    pub publisher: Arc<Publisher>,
    pub operator_keys: KeyCache,
    /// One permit per change under way.
    pub changes: Arc<Semaphore>,
    pub running: Running,
    /// The `OpenAPI` document.
    pub openapi: Arc<[u8]>,
    pub settings: ControlSettings,
}

impl App {
    /// The coupon that a path names. What is no id is not found either: an id cannot be guessed,
    /// and its form is nobody's business.
    pub(crate) async fn coupon(&self, id: &str) -> Answer<Coupon> {
        let id: CouponId = id.parse().map_err(|_form| Problem::no_coupon())?;
        self.ledger.coupon(id).await?.ok_or_else(Problem::no_coupon)
    }
}
