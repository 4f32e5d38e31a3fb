//! The planes: each a listener, a runtime or thread, and what it serves.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use sluice_checkout::Checkout;
use sluice_control::{Control, ControlParts};
use sluice_edge::identity::Identity;
use sluice_edge::limits::slice::QuotaSource;
use sluice_edge::server::{Drained, Edge, EdgeParts};
use sluice_ledger::Ledger;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::ClaimEngine;
use crate::adapter::SharedQuota;
use crate::adapter::service_keys::LedgerServiceKeys;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::data_dir::DataDir;
use crate::ops::{self, Ops};
use crate::readiness::Readiness;
use crate::telemetry::LogFilter;

/// What the data plane serves.
#[derive(Clone)]
pub(super) struct DataPlane {
    pub(super) engine: Arc<ClaimEngine>,
    pub(super) checkout: Checkout,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) clock: SystemClock,
}

/// The data plane, served.
pub(super) struct DataServer {
    /// What is told to say good-bye.
    pub(super) edge: Arc<Edge<Arc<ClaimEngine>>>,
    /// How it ends.
    pub(super) task: tokio::task::JoinHandle<Drained>,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

/// Serves claims and checkout until the stop.
pub(super) fn serve_data(
    data: &Runtime,
    settings: &Settings,
    folder: &DataDir,
    plane: DataPlane,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<DataServer> {
    let clock = plane.clock;
    let wall: sluice_edge::identity::WallClock = Arc::new(move || clock.wall());
    let identity = Arc::new(Identity::open(settings.identity_settings(folder), wall)?);
    let quota = match settings.limits.redis_url.as_str() {
        "" => None,
        url => Some(Arc::new(SharedQuota::connect(url)?) as Arc<dyn QuotaSource>),
    };
    let mut serving = settings.edge();
    // One name for a subject on all gateways, or each would draw on a quota of its own.
    let secret = &plane.ledger.identity().hash_key;
    serving.limits.subject_key = Some(blake3::derive_key("sluice limits subject v1", secret));
    let edge = Edge::new(
        EdgeParts {
            claims: plane.engine,
            checkout: plane.checkout,
            identity,
            service_keys: Arc::new(LedgerServiceKeys::new(plane.ledger, clock)),
            quota,
        },
        serving,
    )?;
    let listener = data
        .block_on(TcpListener::bind(settings.data.listen))
        .with_context(|| format!("data.listen: cannot listen on {}", settings.data.listen))?;
    let address = listener.local_addr()?;
    let stopped = until_stopped(stopped.clone());
    let serving = Arc::clone(&edge);
    Ok(DataServer {
        edge,
        task: data.spawn(async move { serving.serve(listener, stopped).await }),
        address,
    })
}

/// Serves the admin API until the stop, on a thread of its own.
pub(super) fn serve_control(
    settings: &Settings,
    parts: ControlParts,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<(std::thread::JoinHandle<()>, SocketAddr)> {
    let runtime = runtime("control", settings.control.threads)?;
    let listener = runtime
        .block_on(TcpListener::bind(settings.control.listen))
        .with_context(|| {
            format!(
                "control.listen: cannot listen on {}",
                settings.control.listen
            )
        })?;
    let address = listener.local_addr()?;
    let control = Control::new(parts, settings.control_settings());
    let thread = std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            runtime.block_on(control.serve(listener, until_stopped(stopped)));
            runtime.shutdown_background();
        })?;
    Ok((thread, address))
}

/// Serves metrics and health until the process ends.
pub(super) fn serve_ops(
    settings: &Settings,
    metrics: PrometheusHandle,
    readiness: &Arc<Readiness>,
    log: LogFilter,
) -> anyhow::Result<SocketAddr> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listener = runtime
        .block_on(TcpListener::bind(settings.ops.listen))
        .with_context(|| format!("ops.listen: cannot listen on {}", settings.ops.listen))?;
    let address = listener.local_addr()?;
    let ops = Ops {
        metrics,
        readiness: Arc::clone(readiness),
        log,
    };
    std::thread::Builder::new()
        .name("ops".to_owned())
        .spawn(move || runtime.block_on(ops::serve(listener, ops)))?;
    Ok(address)
}

/// A runtime with threads of its own; 0 is one per core less one, and at least one. The core left over
/// is for the ledger's writer and the kernel, and threads without a core of their own cost more in
/// handing tasks to each other than they bring.
pub(super) fn runtime(name: &'static str, threads: usize) -> anyhow::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = match threads {
        0 => cores.saturating_sub(1).max(1),
        threads => threads,
    };
    let mut builder = Builder::new_multi_thread();
    builder
        .enable_all()
        .thread_name(name)
        .worker_threads(threads);
    builder
        .build()
        .with_context(|| format!("cannot start the runtime of {name}"))
}

async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _either = stopped.wait_for(|stop| *stop).await;
}
