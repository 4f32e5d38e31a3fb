//! The composition root: the only place that wires. Read it from top to bottom to know what runs.
//!
//! Three runtimes: the data plane (claims, and the keepers that claims wait for), the control
//! plane, the ops port. Each has threads of its own, so none can starve another.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use sluice_checkout::Checkout;
use sluice_claim::durability::MarkBoard;
use sluice_claim::engine::{Engine, EngineParts};
use sluice_control::{Control, ControlParts};
use sluice_domain::hash::HashKeys;
use sluice_edge::identity::Identity;
use sluice_edge::limits::slice::QuotaSource;
use sluice_edge::server::{Drained, Edge, EdgeParts};
use sluice_hotstate::redis::{RedisHotState, RedisSettings};
use sluice_ledger::Ledger;
use sluice_workers::keeper::PhaseName;
use sluice_workers::{KeeperHandle, KeeperParts, Keepers, hold_sweeper, reminders};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::adapter::service_keys::LedgerServiceKeys;
use crate::adapter::{EngineGrants, KeeperLanes, LedgerReader, OwnGateway, SharedQuota};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::data_dir::{DataDir, DataDirLock};
use crate::ledger_store::LedgerStore;
use crate::ops::{self, Ops};
use crate::readiness::Readiness;
use crate::telemetry::{LogFilter, start_metrics};

/// How long the keepers may take to close their leases, at most; `keeper.stop_ms_max` is less.
const KEEPERS_STOP_WAIT: std::time::Duration = std::time::Duration::from_secs(20);
/// How long the control plane may take to end after the data plane has.
const CONTROL_STOP_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// What a start needs that is not configuration.
pub(crate) struct Ground {
    /// The checked configuration.
    pub(crate) settings: Settings,
    /// The data folder.
    pub(crate) folder: DataDir,
    /// Its lock, held until the end.
    pub(crate) lock: DataDirLock,
    /// The log filter, for the ops port.
    pub(crate) log: LogFilter,
}

/// The addresses that were bound: the real ones, where port 0 was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) data: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) ops: SocketAddr,
}

/// Everything that runs.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) bound: Bound,
    /// The ledger, for what a start does besides serving.
    pub(crate) ledger: Arc<dyn Ledger>,
    store: LedgerStore,
    settings: Settings,
    readiness: Arc<Readiness>,
    stop: watch::Sender<bool>,
    data: Runtime,
    keepers: Keepers,
    edge: tokio::task::JoinHandle<Drained>,
    control: Option<std::thread::JoinHandle<()>>,
    _lock: DataDirLock,
}

/// Starts everything and returns when the ports are bound. Lanes may still be recovering: the ops
/// port says when they are not.
pub(crate) fn start(ground: Ground) -> anyhow::Result<Running> {
    let Ground {
        settings,
        folder,
        lock,
        log,
    } = ground;
    let metrics = start_metrics()?;
    let clock = SystemClock::start();
    let readiness = Arc::new(Readiness::default());
    let (stop, stopped) = watch::channel(false);

    let data = runtime("data", settings.data.threads)?;
    let _inside = data.enter();
    let store = data.block_on(LedgerStore::open(&settings, &folder))?;
    let ledger = store.ledger();
    let hotstate = connect_hotstate(&settings, &ledger)?;
    let keys = HashKeys::derive(&ledger.identity().hash_key);
    let marks = Arc::new(MarkBoard::new(ledger.identity().lanes));
    let keepers = Keepers::spawn(
        &KeeperParts {
            ledger: Arc::clone(&ledger),
            store: Arc::clone(&hotstate) as _,
            board: Arc::clone(&marks),
            clock: Arc::new(clock),
        },
        settings.keeper_settings(),
        &format!("process {}", std::process::id()),
    )?;
    let handle = keepers.handle();
    let engine = start_engine(&settings, &ledger, &hotstate, marks, &handle, &keys)?;
    watch_readiness(&readiness, &settings, &store, &hotstate, &handle);

    let checkout = start_checkout(&data, &settings, &ledger, &keys, clock);
    let plane = DataPlane {
        engine: Arc::clone(&engine),
        checkout: checkout.clone(),
        ledger: Arc::clone(&ledger),
        clock,
    };
    let (edge, data_address) = serve_data(&data, &settings, &folder, plane, &stopped)?;
    let parts = ControlParts {
        ledger: Arc::clone(&ledger),
        lanes_store: hotstate as _,
        keys,
        granter: Arc::new(EngineGrants::new(&engine, data.handle())),
        gateways: Arc::new(OwnGateway(engine)),
        checkout,
        lane_operator: Arc::new(KeeperLanes {
            keepers: handle,
            ledger: Arc::clone(&ledger) as _,
        }),
        clock: Arc::new(clock),
    };
    let (control, control_address) = serve_control(&settings, parts, stopped)?;
    let ops_address = serve_ops(&settings, metrics, &readiness, log)?;
    Ok(Running {
        bound: Bound {
            data: data_address,
            control: control_address,
            ops: ops_address,
        },
        ledger,
        store,
        settings,
        readiness,
        stop,
        edge,
        keepers,
        control: Some(control),
        data,
        _lock: lock,
    })
}

/// The claim engine: what decides claims in hot state and waits for the ledger.
fn start_engine(
    settings: &Settings,
    ledger: &Arc<dyn Ledger>,
    hotstate: &Arc<RedisHotState>,
    marks: Arc<MarkBoard>,
    keeper: &KeeperHandle,
    keys: &HashKeys,
) -> anyhow::Result<Arc<Engine<RedisHotState>>> {
    let parts = EngineParts {
        store: Arc::clone(hotstate),
        marks,
        reader: Arc::new(LedgerReader(Arc::clone(ledger))),
        keeper: Arc::new(keeper.clone()),
        keys: keys.clone(),
        lanes: ledger.identity().lanes,
    };
    Ok(Engine::new(parts, settings.engine())?)
}

/// The checkout, with the sweeper that frees holds which ran out, and the reminders of claims that
/// expire soon.
fn start_checkout(
    data: &Runtime,
    settings: &Settings,
    ledger: &Arc<dyn Ledger>,
    keys: &HashKeys,
    clock: SystemClock,
) -> Checkout {
    let reminding = settings.reminders.settings();
    let worker = reminders::Reminders::new(Arc::clone(ledger), keys.clone(), reminding);
    data.spawn(reminders::run(worker, Arc::new(clock)));
    let checkout = Checkout::new(
        Arc::clone(ledger),
        keys.clone(),
        settings.checkout.settings(),
    );
    data.spawn(hold_sweeper::run(
        checkout.clone(),
        Arc::new(clock),
        settings.checkout.sweep_interval(),
    ));
    checkout
}

impl Running {
    /// Waits for TERM or INT (or for the data plane to fail), then stops in good order: not ready,
    /// no new connections, requests to their end, leases closed, ledger closed.
    pub(crate) fn run_until_stopped(mut self) -> anyhow::Result<ExitCode> {
        let served = self.data.block_on(async {
            tokio::select! {
                signal = stop_signal() => signal.map(|name| {
                    tracing::info!(signal = name, "stopping");
                    None
                }),
                ended = &mut self.edge => Ok(Some(ended)),
            }
        })?;
        if let Some(ended) = served {
            ended.context("the data plane panicked")?;
            anyhow::bail!("the data plane ended by itself");
        }
        self.readiness.drain();
        let wait = self.settings.drain_wait();
        self.data.block_on(async { tokio::time::sleep(wait).await });
        // Nobody listens any more only where everything has ended already.
        let _unheard = self.stop.send(true);
        if !self.edge.is_finished() {
            let drained = self
                .data
                .block_on(&mut self.edge)
                .context("the data plane panicked")?;
            if drained.cut > 0 {
                tracing::warn!(
                    connections = drained.cut,
                    "connections were cut at the drain deadline"
                );
            }
        }
        if !self.data.block_on(self.keepers.shutdown(KEEPERS_STOP_WAIT)) {
            tracing::warn!("not every lease was closed; the next start settles them");
        }
        let control = self.control.take();
        let ended = std::time::Instant::now() + CONTROL_STOP_WAIT;
        while control.as_ref().is_some_and(|thread| !thread.is_finished())
            && std::time::Instant::now() < ended
        {
            std::thread::park_timeout(std::time::Duration::from_millis(10));
        }
        self.data.block_on(self.store.close());
        self.data
            .shutdown_timeout(std::time::Duration::from_secs(1));
        tracing::info!("stopped");
        Ok(ExitCode::SUCCESS)
    }
}

fn connect_hotstate(
    settings: &Settings,
    ledger: &Arc<dyn Ledger>,
) -> anyhow::Result<Arc<RedisHotState>> {
    let (connect_timeout, response_timeout) = settings.redis_timeouts();
    let engine = settings.engine();
    let redis = RedisSettings {
        cluster: settings.hotstate.cluster,
        connections: settings.hotstate.connections,
        connect_timeout,
        claim_timeout: engine.call_within,
        response_timeout,
        in_flight_max: settings.hotstate.in_flight_max,
        outbox_entries_max: settings.hotstate.outbox_entries_max,
        ..RedisSettings::new(settings.hotstate.redis_urls.clone())
    };
    Ok(RedisHotState::connect(redis, ledger.identity().lanes)?)
}

/// What the data plane serves.
struct DataPlane {
    engine: Arc<Engine<RedisHotState>>,
    checkout: Checkout,
    ledger: Arc<dyn Ledger>,
    clock: SystemClock,
}

fn serve_data(
    data: &Runtime,
    settings: &Settings,
    folder: &DataDir,
    plane: DataPlane,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<(tokio::task::JoinHandle<Drained>, SocketAddr)> {
    let clock = plane.clock;
    let wall: sluice_edge::identity::WallClock = Arc::new(move || clock.wall());
    let identity = Arc::new(Identity::open(settings.identity_settings(folder), wall)?);
    let quota = match settings.limits.redis_url.as_str() {
        "" => None,
        url => Some(Arc::new(SharedQuota::connect(url)?) as Arc<dyn QuotaSource>),
    };
    let edge = Edge::new(
        EdgeParts {
            claims: plane.engine,
            checkout: plane.checkout,
            identity,
            service_keys: Arc::new(LedgerServiceKeys::new(plane.ledger, clock)),
            quota,
        },
        settings.edge(),
    )?;
    let listener = data
        .block_on(TcpListener::bind(settings.data.listen))
        .with_context(|| format!("data.listen: cannot listen on {}", settings.data.listen))?;
    let address = listener.local_addr()?;
    let stopped = until_stopped(stopped.clone());
    Ok((
        data.spawn(async move { edge.serve(listener, stopped).await }),
        address,
    ))
}

fn serve_control(
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

fn serve_ops(
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

/// What must hold for claims to be served. In a cluster the lanes of a lost primary stop alone: once
/// all were served, one that is left is enough, or a gateway would be taken from all the others.
fn watch_readiness(
    readiness: &Arc<Readiness>,
    settings: &Settings,
    store: &LedgerStore,
    hotstate: &Arc<RedisHotState>,
    keepers: &KeeperHandle,
) {
    crate::hotstate_watch::watch(readiness, hotstate);
    let written = store.clone();
    readiness.add(move || {
        written
            .unwritable()
            .map(|why| format!("the ledger cannot be written ({why}): claims of class ledger wait"))
    });
    let keepers = keepers.clone();
    let (in_parts, all_were_open) = (settings.hotstate.cluster, AtomicBool::new(false));
    readiness.add(move || {
        if keepers.all_open() {
            all_were_open.store(true, Ordering::Relaxed);
            return None;
        }
        if in_parts && all_were_open.load(Ordering::Relaxed) && keepers.any_open() {
            return None;
        }
        let away: Vec<String> = keepers
            .status()
            .iter()
            .filter(|status| status.phase != PhaseName::Open)
            .map(|status| match &status.halted {
                Some(why) => format!("{} (halted: {why})", status.lane),
                None => format!("{} ({})", status.lane, status.phase.label()),
            })
            .collect();
        Some(format!("lanes that do not serve: {}", away.join(", ")))
    });
}

fn runtime(name: &'static str, threads: usize) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_name(name);
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder
        .build()
        .with_context(|| format!("cannot start the runtime of {name}"))
}

async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    let _either = stopped.wait_for(|stop| *stop).await;
}

async fn stop_signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "TERM",
        _ = interrupt.recv() => "INT",
    })
}
