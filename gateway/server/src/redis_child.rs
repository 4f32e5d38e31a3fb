//! A private `redis-server`, run as a child of `sluice dev`.
//!
//! The child listens on a unix socket only. It is tied to this process by `setpriv --pdeathsig`:
//! the kernel sends it TERM when its parent is gone, also after a `kill -9`. That signal fires when
//! the *thread* that spawned the child ends, so one thread per child spawns it, waits for it and
//! spawns it again, as long as the process lives.
//!
//! A child that was told so still has to end. Who starts again at once must not work in its folder
//! meanwhile: two servers would share one append-only file, and the older one removes the socket of
//! the newer when it ends. So each child holds a lock on its folder as its standard input, which
//! the kernel gives back with the process, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};

/// First and longest pause before a child that died is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A child that lived this long has earned a fresh backoff.
const STEADY: Duration = Duration::from_secs(10);
/// How long a stopping child may take to write its files before it is killed.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// How long the first start may take: Redis loads its append-only file before it listens.
const START_WAIT: Duration = Duration::from_secs(60);

/// What a private Redis is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Claims: append-only file, nothing evicted.
    Claims,
    /// Request limits: in memory only, bounded, oldest keys first.
    Limits,
}

/// A private Redis that is kept running until [`stop`](Self::stop).
#[derive(Debug)]
pub(crate) struct RedisChild {
    socket: PathBuf,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    pid: AtomicU32,
    stopping: Mutex<bool>,
    wake: Condvar,
}

impl RedisChild {
    /// Starts a child and waits until its socket answers.
    ///
    /// # Errors
    /// When `redis-server` is missing, or does not come up; the message names its log.
    pub(crate) fn start(purpose: Purpose, folder: &Path, socket: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let run = socket.parent().context("a socket lies in a folder")?;
        std::fs::create_dir_all(run).with_context(|| format!("cannot make {}", run.display()))?;
        crate::data_dir::restrict(run)?;
        let shared = Arc::new(Shared::default());
        let keeper = {
            let (shared, folder, socket) = (
                Arc::clone(&shared),
                folder.to_path_buf(),
                socket.to_path_buf(),
            );
            std::thread::Builder::new()
                .name(format!("redis-{}", purpose.name()))
                .spawn(move || keep_running(purpose, &folder, &socket, &shared))
                .context("cannot start a thread")?
        };
        let child = Self {
            socket: socket.to_path_buf(),
            shared,
            thread: Some(keeper),
        };
        child.wait_until_up(folder)?;
        Ok(child)
    }

    /// Where it listens, as a URL for clients.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Its process id now; it changes when it had to be started again. 0 between two lives.
    pub(crate) fn pid(&self) -> u32 {
        self.shared.pid.load(Ordering::Acquire)
    }

    /// Stops the child and waits until it has written its files.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        *self
            .shared
            .stopping
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        signal(self.pid(), Signal::TERM);
        if let Some(thread) = self.thread.take() {
            let deadline = Instant::now() + STOP_WAIT;
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            signal(self.pid(), Signal::KILL);
            if thread.join().is_err() {
                tracing::error!("the thread that kept redis-server running had panicked");
            }
        }
    }

    fn wait_until_up(&self, folder: &Path) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_WAIT;
        // An earlier process's child may still answer while this one waits for its folder.
        while self.pid() == 0 || std::os::unix::net::UnixStream::connect(&self.socket).is_err() {
            if Instant::now() > deadline {
                bail!(
                    "redis-server did not come up; its log is {}",
                    folder.join("redis.log").display()
                );
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for RedisChild {
    fn drop(&mut self) {
        self.end();
    }
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Claims => "claims",
            Self::Limits => "limits",
        }
    }

    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Claims => &[
                "--appendonly",
                "yes",
                "--appendfsync",
                "everysec",
                "--maxmemory-policy",
                "noeviction",
                "--auto-aof-rewrite-min-size",
                "256mb",
            ],
            Self::Limits => &[
                "--appendonly",
                "no",
                "--maxmemory",
                "64mb",
                "--maxmemory-policy",
                "volatile-ttl",
            ],
        }
    }
}

/// Spawns, waits, backs off, spawns again, until told to stop.
fn keep_running(purpose: Purpose, folder: &Path, socket: &Path, shared: &Shared) {
    let mut backoff = BACKOFF.0;
    loop {
        if *shared
            .stopping
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
        {
            return;
        }
        let born = Instant::now();
        match spawn(purpose, folder, socket) {
            Ok(mut child) => {
                shared.pid.store(child.id(), Ordering::Release);
                let ended = child.wait();
                shared.pid.store(0, Ordering::Release);
                let stopping = *shared
                    .stopping
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if stopping {
                    return;
                }
                // "signal: 9 (SIGKILL)", "exit status: 1" …
                let how = ended.map_or_else(|error| error.to_string(), |how| how.to_string());
                tracing::warn!(
                    redis = purpose.name(),
                    how,
                    "redis-server ended; starting it again"
                );
            }
            Err(error) => tracing::error!(
                redis = purpose.name(),
                error = format!("{error:#}"),
                "redis-server cannot be started"
            ),
        }
        if born.elapsed() > STEADY {
            backoff = BACKOFF.0;
        }
        let stopping = shared
            .stopping
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waited = shared
            .wake
            .wait_timeout_while(stopping, backoff, |stopping| !*stopping);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 {
            return;
        }
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

fn spawn(purpose: Purpose, folder: &Path, socket: &Path) -> anyhow::Result<Child> {
    let lock = lock(folder)?;
    Command::new("setpriv")
        .args(["--pdeathsig", "TERM", "redis-server"])
        .args([
            "--port",
            "0",
            "--save",
            "",
            "--daemonize",
            "no",
            "--unixsocketperm",
            "700",
        ])
        .arg("--unixsocket")
        .arg(socket)
        .arg("--dir")
        .arg(folder)
        .arg("--logfile")
        .arg(folder.join("redis.log"))
        .args(purpose.arguments())
        .stdin(Stdio::from(lock))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run `setpriv … redis-server` (make bootstrap installs both)")
}

/// The lock on a child's folder: held as long as the file is open anywhere.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "the redis-server of an earlier process still works in {}",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// Sends a signal to a process that may have ended already.
fn signal(pid: u32, signal: Signal) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    if let Err(error) = rustix::process::kill_process(pid, signal) {
        tracing::debug!(%error, "the child had ended before the signal");
    }
}
