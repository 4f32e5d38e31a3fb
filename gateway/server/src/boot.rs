//! The composition root: the only place that wires. Read it from top to bottom to know what runs.
//!
//! Three runtimes: the data plane (claims, and the keepers that claims wait for), the control
//! plane, the ops port. Each has threads of its own, so none can starve another. A process runs the
//! planes and the work of its roles; the ops port it always has.

pub(crate) mod company;
mod parts;
mod planes;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use sluice_claim::durability::MarkBoard;
use sluice_claim::engine::Engine;
use sluice_control::ControlParts;
use sluice_domain::hash::HashKeys;
use sluice_hotstate::redis::RedisHotState;
use sluice_ledger::Ledger;
use sluice_workers::{KeeperParts, Keepers};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use self::company::Company;
use self::planes::{DataPlane, DataServer};
use crate::adapter::EngineGrants;
use crate::adapter::lanes::KeeperLanes;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::data_dir::{DataDir, DataDirLock};
use crate::ledger_store::LedgerStore;
use crate::readiness::Readiness;
use crate::role::Roles;
use crate::telemetry::{LogFilter, start_metrics};

/// The claim engine on Redis.
pub(crate) type ClaimEngine = Engine<RedisHotState>;

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
    /// Its lock, held until the end, where the ledger is a file in it.
    pub(crate) lock: Option<DataDirLock>,
    /// The log filter, for the ops port.
    pub(crate) log: LogFilter,
    /// What this process does.
    pub(crate) roles: Roles,
}

/// The addresses that were bound: the real ones, where port 0 was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bound {
    pub(crate) data: Option<SocketAddr>,
    pub(crate) control: Option<SocketAddr>,
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
    company: Company,
    keepers: Option<Keepers>,
    server: Option<DataServer>,
    control: Option<std::thread::JoinHandle<()>>,
    _lock: Option<DataDirLock>,
}

/// Starts everything and returns when the ports are bound. Lanes may still be recovering: the ops
/// port says when they are not.
pub(crate) fn start(ground: Ground) -> anyhow::Result<Running> {
    let Ground {
        settings,
        folder,
        lock,
        log,
        roles,
    } = ground;
    let metrics = start_metrics()?;
    let clock = SystemClock::start();
    let readiness = Arc::new(Readiness::default());
    let (stop, stopped) = watch::channel(false);

    let data = planes::runtime("data", settings.data.threads)?;
    let _inside = data.enter();
    let store = data.block_on(LedgerStore::open(&settings, &folder))?;
    let ledger = store.ledger();
    let lanes = ledger.identity().lanes;
    let hotstate = parts::connect_hotstate(&settings, &ledger)?;
    let keys = HashKeys::derive(&ledger.identity().hash_key);
    let checkout = parts::checkout(&settings, &ledger, &keys);
    let marks = Arc::new(MarkBoard::new(lanes));
    let keepers = roles
        .workers
        .then(|| keep(&settings, &ledger, &hotstate, &marks, clock))
        .transpose()?;
    if roles.workers {
        parts::start_clockwork(&settings, &ledger, &checkout, &keys, clock);
    }
    let own = keepers.as_ref().map(Keepers::handle);
    let company = Company::join(&settings, &hotstate, &marks, own, lanes);
    parts::watch_readiness(&readiness, &settings, &store, &hotstate, &company);

    let engine = parts::start_engine(&settings, &ledger, &hotstate, marks, &company, &keys)?;
    let plane = DataPlane {
        engine,
        checkout,
        ledger: Arc::clone(&ledger),
        clock,
    };
    let serve_data = || planes::serve_data(&data, &settings, &folder, plane.clone(), &stopped);
    let server = roles.data.then(serve_data).transpose()?;
    let serve_control = || {
        let parts = control_parts(&plane, hotstate, keys, &data, &company);
        planes::serve_control(&settings, parts, stopped.clone())
    };
    let (control, control_address) = roles.control.then(serve_control).transpose()?.unzip();
    let ops = planes::serve_ops(&settings, metrics, &readiness, log)?;
    Ok(Running {
        bound: Bound {
            data: server.as_ref().map(|server| server.address),
            control: control_address,
            ops,
        },
        ledger,
        store,
        settings,
        readiness,
        stop,
        company,
        keepers,
        server,
        control,
        data,
        _lock: lock,
    })
}

/// The keepers of all lanes: those that have a lane, and those that wait for one.
fn keep(
    settings: &Settings,
    ledger: &Arc<dyn Ledger>,
    hotstate: &Arc<RedisHotState>,
    marks: &Arc<MarkBoard>,
    clock: SystemClock,
) -> anyhow::Result<Keepers> {
    let parts = KeeperParts {
        ledger: Arc::clone(ledger),
        store: Arc::clone(hotstate) as _,
        board: Arc::clone(marks),
        clock: Arc::new(clock),
    };
    Ok(Keepers::spawn(
        &parts,
        settings.keeper_settings(),
        &holder_name(),
    )?)
}

/// What the admin API works with: the parts of the data plane, and the way to all keepers.
fn control_parts(
    plane: &DataPlane,
    hotstate: Arc<RedisHotState>,
    keys: HashKeys,
    data: &Runtime,
    company: &Company,
) -> ControlParts {
    ControlParts {
        ledger: Arc::clone(&plane.ledger),
        lanes_store: hotstate as _,
        keys,
        granter: Arc::new(EngineGrants::new(&plane.engine, data.handle())),
        gateways: company.gateways(&plane.engine),
        checkout: plane.checkout.clone(),
        lane_operator: Arc::new(KeeperLanes {
            company: company.clone(),
            ledger: Arc::clone(&plane.ledger),
        }),
        clock: Arc::new(plane.clock),
    }
}

/// What the lane row says of who holds it, for people.
fn holder_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let process = std::process::id();
    match host.trim() {
        "" => format!("process {process}"),
        host => format!("{host} process {process}"),
    }
}

impl Running {
    /// Waits for TERM or INT (or for the data plane to fail), then stops in good order: not ready,
    /// no new connections, requests to their end, leases closed or lanes handed over, ledger closed.
    pub(crate) fn run_until_stopped(mut self) -> anyhow::Result<ExitCode> {
        self.until_told()?;
        self.readiness.drain();
        if let Some(server) = self.server.take() {
            self.drain(server)?;
        }
        // Nobody listens any more only where everything has ended already.
        let _unheard = self.stop.send(true);
        if let Some(keepers) = self.keepers.take() {
            if !self.data.block_on(keepers.shutdown(KEEPERS_STOP_WAIT)) {
                tracing::warn!("not every lane was given back; the next start settles them");
            }
            self.data.block_on(self.company.leave());
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

    fn until_told(&mut self) -> anyhow::Result<()> {
        let (data, server) = (&self.data, &mut self.server);
        let failed = data.block_on(async {
            let fails = async {
                match server {
                    Some(server) => (&mut server.task).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                signal = stop_signal() => signal.map(|name| {
                    tracing::info!(signal = name, "stopping");
                    None
                }),
                ended = fails => Ok(Some(ended)),
            }
        })?;
        if let Some(ended) = failed {
            ended.context("the data plane panicked")?;
            anyhow::bail!("the data plane ended by itself");
        }
        Ok(())
    }

    /// Lets the data plane finish. It says so first, for as long as load balancers and clients need
    /// to hear: by `/readyz`, and by `Connection: close` with each answer.
    fn drain(&self, server: DataServer) -> anyhow::Result<()> {
        server.edge.announce_stop();
        let wait = self.settings.drain_wait();
        self.data.block_on(async { tokio::time::sleep(wait).await });
        let _unheard = self.stop.send(true);
        let drained = self
            .data
            .block_on(server.task)
            .context("the data plane panicked")?;
        if drained.cut > 0 {
            tracing::warn!(
                connections = drained.cut,
                "connections were cut at the drain deadline"
            );
        }
        Ok(())
    }
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
