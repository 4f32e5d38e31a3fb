//! The server: accepts connections within limits, serves them, and lets them finish at the end.

mod background;
mod cap;
mod connection;
mod farewell;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_checkout::Checkout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::admission::Admission;
use crate::claims::Claims;
use crate::context::Entropy;
use crate::cors::Cors;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::limits::slice::QuotaSource;
use crate::metrics::{Metrics, Shed};
use crate::service_key::ServiceKeys;
use crate::settings::{EdgeSettings, SettingsError};
use background::Background;
use cap::AddressCap;
use connection::Connection;

/// After a failed accept (no file descriptors, mostly) the next one waits so long.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The data plane of one process: shared by all its listeners and connections.
pub struct Edge<C> {
    pub(crate) claims: C,
    pub(crate) identity: Arc<Identity>,
    pub(crate) checkout: Checkout,
    pub(crate) service_keys: Arc<dyn ServiceKeys>,
    pub(crate) settings: EdgeSettings,
    /// Absent where limits are off.
    pub(crate) limits: Option<Arc<Limits>>,
    pub(crate) cors: Cors,
    pub(crate) entropy: Entropy,
    pub(crate) metrics: Metrics,
    pub(crate) admission: Admission,
    pub(crate) in_flight: AtomicUsize,
    /// Each answer over HTTP/1 is the last of its connection.
    leaving: AtomicBool,
    connections: Arc<Semaphore>,
    per_address: Option<Arc<AddressCap>>,
    /// Taken by the first listener that is served.
    background: Mutex<Option<Background>>,
}

/// What a data plane is made of.
pub struct EdgeParts<C> {
    /// The claim engine.
    pub claims: C,
    /// The checkout.
    pub checkout: Checkout,
    /// Who calls.
    pub identity: Arc<Identity>,
    /// The keys of services.
    pub service_keys: Arc<dyn ServiceKeys>,
    /// The source of quotas shared with other gateways; a single gateway needs none.
    pub quota: Option<Arc<dyn QuotaSource>>,
}

/// Why a data plane cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A setting makes no sense.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The system has no random numbers.
    #[error("no random numbers")]
    Random(#[from] getrandom::Error),
}

/// How a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not finished by the deadline and were cut.
    pub cut: usize,
}

// === impl Edge ===

impl<C: Claims> Edge<C> {
    /// A data plane that serves nothing yet. Install the metrics recorder first.
    ///
    /// # Errors
    /// When a setting is outside its range.
    pub fn new(parts: EdgeParts<C>, settings: EdgeSettings) -> Result<Arc<Self>, EdgeError> {
        settings.validate()?;
        let quota = parts.quota;
        let (limits, asks) = Limits::new(&settings.limits, quota.is_some())?;
        let limits = settings.limits.enabled.then(|| Arc::new(limits));
        let per_address = settings
            .limits
            .enabled
            .then(|| Arc::new(AddressCap::new(settings.connections_per_address_max)));
        let connections_max = settings.connections_max.min(Semaphore::MAX_PERMITS);
        Ok(Arc::new(Self {
            claims: parts.claims,
            checkout: parts.checkout,
            identity: parts.identity,
            service_keys: parts.service_keys,
            limits,
            cors: Cors::of(&settings.cors_origins),
            entropy: Entropy::new()?,
            metrics: Metrics::register(),
            admission: Admission::new(settings.in_flight_max),
            in_flight: AtomicUsize::new(0),
            leaving: AtomicBool::new(false),
            connections: Arc::new(Semaphore::new(connections_max)),
            per_address,
            background: Mutex::new(Some(Background { quota, asks })),
            settings,
        }))
    }

    /// Says good-bye before the stop: from now on each answer over HTTP/1 carries `Connection: close`
    /// and ends its connection, so that clients go elsewhere by themselves. Everything is served as
    /// before.
    pub fn announce_stop(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Serves a listener until `shutdown` completes; then no connection is accepted any more, those
    /// that are open finish their requests, and what is left at the drain deadline is cut. Nobody
    /// who is connected is reset.
    ///
    /// Several listeners may be served at once, also on several runtimes; limits are shared.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Drained {
        let (drain, draining) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let background = self
            .background
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(background) = background {
            background.spawn(&self, draining.clone());
        }
        tokio::select! {
            () = shutdown => {}
            () = self.accept_all(&listener, &mut tasks, &draining) => {}
        }
        self.announce_stop();
        drain.send_replace(true);
        farewell::close(listener, |stream, peer| {
            // Without a slot where none is left: these are no more than the kernel's queue holds.
            let slot = Arc::clone(&self.connections).try_acquire_owned().ok();
            self.take_in(stream, peer, slot, &mut tasks, &draining);
        })
        .await;
        self.finish(tasks).await
    }

    /// Accepts for ever. The slot is taken *before* accepting: at the limit, newcomers wait in the
    /// kernel's backlog and cost nothing.
    async fn accept_all(
        self: &Arc<Self>,
        listener: &TcpListener,
        tasks: &mut JoinSet<()>,
        draining: &watch::Receiver<bool>,
    ) {
        loop {
            let Ok(slot) = Arc::clone(&self.connections).acquire_owned().await else {
                return;
            };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    self.metrics.shed(Shed::Accept);
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                    continue;
                }
            };
            // Finished connections are forgotten here, so the set is as large as what is open.
            while tasks.try_join_next().is_some() {}
            self.take_in(stream, peer, Some(slot), tasks, draining);
        }
    }

    fn take_in(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        slot: Option<OwnedSemaphorePermit>,
        tasks: &mut JoinSet<()>,
        draining: &watch::Receiver<bool>,
    ) {
        let Some(place) = self.place(&stream, peer.ip()) else {
            return;
        };
        let connection = Connection {
            edge: Arc::clone(self),
            peer: peer.ip(),
            draining: draining.clone(),
        };
        tasks.spawn(async move {
            connection.serve(stream).await;
            drop((place, slot));
        });
    }

    /// A place under the address's cap; `None` closes the connection unanswered: who floods gets
    /// no work out of us.
    fn place(&self, stream: &TcpStream, peer: std::net::IpAddr) -> Option<cap::Place> {
        let Some(place) = cap::Place::take(self.per_address.as_ref(), peer) else {
            self.metrics.shed(Shed::ConnectionsPerAddress);
            return None;
        };
        if let Err(error) = stream.set_nodelay(true) {
            // The peer is gone already.
            tracing::debug!(%error, "TCP_NODELAY could not be set");
            return None;
        }
        Some(place)
    }

    async fn finish(&self, mut tasks: JoinSet<()>) -> Drained {
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.settings.drain_deadline, all)
            .await
            .is_ok()
        {
            return Drained { cut: 0 };
        }
        let cut = tasks.len();
        tracing::warn!(cut, "connections were cut at the drain deadline");
        tasks.shutdown().await;
        Drained { cut }
    }
}

impl<C> std::fmt::Debug for Edge<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
