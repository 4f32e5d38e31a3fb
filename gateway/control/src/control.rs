//! The control plane as the server starts it.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use sluice_checkout::Checkout;
use sluice_domain::hash::HashKeys;
use sluice_hotstate::LaneStore;
use sluice_ledger::Ledger;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::app::App;
use crate::idempotency::Running;
use crate::port::{Clock, Gateways, Granter, LaneOperator};
use crate::publish::Publisher;
use crate::router;
use crate::serving;
use crate::session::KeyCache;
use crate::settings::ControlSettings;

/// What the control plane is made of.
pub struct ControlParts {
    /// The durable ledger.
    pub ledger: Arc<dyn Ledger>,
    /// Hot state.
    pub lanes_store: Arc<dyn LaneStore>,
    /// The keys behind public ids.
    pub keys: HashKeys,
    /// The gateways' caches.
    pub gateways: Arc<dyn Gateways>,
    /// The keepers.
    pub lane_operator: Arc<dyn LaneOperator>,
    /// The claim engine.
    pub granter: Arc<dyn Granter>,
    /// Checkout, which says why a claim cannot be used.
    pub checkout: Checkout,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// The control plane: a router, and the work behind it.
pub struct Control {
    app: Arc<App>,
}

impl Control {
    /// Puts the control plane together. Nothing runs before [`serve`](Self::serve).
    #[must_use]
    pub fn new(parts: ControlParts, settings: ControlSettings) -> Self {
        let publisher = Publisher::new(
            Arc::clone(&parts.ledger),
            Arc::clone(&parts.lanes_store),
            parts.gateways,
            Arc::clone(&parts.lane_operator),
            settings,
        );
        let operator_keys = KeyCache::new(
            Arc::clone(&parts.ledger),
            settings.key_cache_ttl,
            settings.key_cache_max,
        );
        let changes_max = usize::try_from(settings.changes_max).unwrap_or(usize::MAX);
        let app = App {
            lanes: parts.ledger.identity().lanes,
            ledger: parts.ledger,
            lanes_store: parts.lanes_store,
            lane_operator: parts.lane_operator,
            granter: parts.granter,
            checkout: parts.checkout,
            clock: parts.clock,
            hash_keys: parts.keys,
            publisher: Arc::new(publisher),
            operator_keys,
            changes: Arc::new(Semaphore::new(changes_max)),
            running: Running::default(),
            openapi: Arc::from(openapi_json().into_bytes()),
            settings,
        };
        Self { app: Arc::new(app) }
    }

    /// The admin API with all its phases.
    pub fn router(&self) -> Router {
        router::router(&self.app)
    }

    /// Serves the admin API until `shutdown` is done, then lets requests and changes that are under
    /// way come to their end, within the drain's bound. Also works on what could not be put in
    /// force at once: beginning with everything that the ledger has and hot state has not.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopped) = watch::channel(false);
        let publisher = Arc::clone(&self.app.publisher);
        let retries = tokio::spawn(async move { publisher.run_retries(stopped).await });
        let announce = async move {
            shutdown.await;
            // Nobody listens any more only where serving has ended by itself.
            let _unheard = stop.send(true);
        };
        let bounds = self.app.settings.bounds();
        serving::serve("admin", listener, self.router(), bounds, announce).await;
        self.drain_changes().await;
        retries.abort();
    }

    /// Waits until no change is under way; clients may have left meanwhile.
    async fn drain_changes(&self) {
        let all = self.app.changes.acquire_many(self.app.settings.changes_max);
        let waited = tokio::time::timeout(self.app.settings.drain_timeout, all).await;
        if waited.is_err() {
            tracing::warn!("changes were still under way at the end of the drain");
        }
    }
}

/// The `OpenAPI` document of the admin API, as it is committed and served.
#[must_use]
pub fn openapi_json() -> String {
    let (_router, document) = router::admin().split_for_parts();
    // Serializing a tree of text and numbers into memory has no way to fail.
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
