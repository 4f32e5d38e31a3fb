//! A redis-server whose clock stands still until the test sets it.
//!
//! Instants decide much of the protocol (windows, leases, the delay after "sold out"). On a real
//! clock they could only be compared roughly, and waiting for them would take the suite minutes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use sluice_domain::id::{CouponId, Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use sluice_domain::time::Timestamp;
use sluice_hotstate::conformance::{Fault, Harness, OUTBOX_CAP};
use sluice_hotstate::model::fault::ModelKey;
use sluice_hotstate::{RedisHotState, RedisSettings};
use tempfile::TempDir;
use tokio::time::Instant;

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// The server. It is killed when this is dropped.
pub(super) struct ClockedServer {
    child: Child,
    clock: File,
    dir: TempDir,
}

/// Hot state on that server: empty, and knowing nothing.
pub(super) struct RedisHarness {
    store: Arc<RedisHotState>,
    admin: MultiplexedConnection,
    clock: File,
}

// === impl ClockedServer ===

impl ClockedServer {
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let shim = compile_clock(dir.path());
        let clock_path = dir.path().join("clock");
        let clock = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&clock_path)
            .unwrap();
        clock.write_all_at(&0_i64.to_ne_bytes(), 0).unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes"])
            .args(["--maxmemory-policy", "noeviction", "--unixsocket"])
            .arg(dir.path().join("redis.sock"))
            .arg("--dir")
            .arg(dir.path())
            .env("LD_PRELOAD", shim)
            .env("SLUICE_TEST_CLOCK", &clock_path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, clock, dir };
        let begun = Instant::now();
        while server.connect().await.is_err() {
            assert!(
                begun.elapsed() < START_TIMEOUT,
                "redis-server does not answer"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server
    }

    /// A fresh hot state: the server is emptied first.
    pub(super) async fn harness(&self) -> RedisHarness {
        let mut admin = self.connect().await.unwrap();
        let () = redis::cmd("FLUSHALL")
            .query_async(&mut admin)
            .await
            .unwrap();
        let mut settings = RedisSettings::new(vec![self.url()]);
        settings.connections = 1;
        settings.outbox_entries_max = OUTBOX_CAP as u64;
        // A busy machine is no difference between two implementations.
        settings.connect_timeout = Duration::from_secs(20);
        settings.claim_timeout = Duration::from_secs(20);
        settings.response_timeout = Duration::from_secs(20);
        RedisHarness {
            store: RedisHotState::connect(settings, LaneCount::new(16).unwrap()).unwrap(),
            admin,
            clock: self.clock.try_clone().unwrap(),
        }
    }

    fn url(&self) -> String {
        format!("unix://{}", self.dir.path().join("redis.sock").display())
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let () = redis::cmd("PING").query_async(&mut connection).await?;
        Ok(connection)
    }
}

impl Drop for ClockedServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

// === impl RedisHarness ===

impl RedisHarness {
    async fn send(&self, parts: &[&str]) {
        let mut command = redis::Cmd::new();
        for part in parts {
            command.arg(part);
        }
        let () = command.query_async(&mut self.admin.clone()).await.unwrap();
    }
}

impl Harness for RedisHarness {
    type Store = RedisHotState;

    fn store(&self) -> &RedisHotState {
        &self.store
    }

    fn set_now(&self, now: Timestamp) {
        let millis = now.as_millis().to_ne_bytes();
        self.clock.write_all_at(&millis, 0).unwrap();
    }

    async fn fault(&self, fault: Fault) {
        match fault {
            Fault::Flush => self.send(&["FLUSHALL"]).await,
            Fault::StepDownAndUp => {
                // A primary that cannot be reached: nothing is replaced, the id changes.
                self.send(&["REPLICAOF", "127.0.0.1", "1"]).await;
                self.send(&["REPLICAOF", "NO", "ONE"]).await;
            }
            Fault::Lose { lane, epoch, key } => {
                self.send(&["UNLINK", &key_name(lane, epoch, key)]).await;
            }
        }
    }
}

/// What Redis calls a key.
pub(super) fn key_name(lane: LaneId, epoch: Epoch, key: ModelKey) -> String {
    let of = |kind: char, coupon: CouponId| format!("{{l{:02}}}:{epoch}:{kind}:{coupon}", lane.0);
    let named = |name: &str| format!("{{l{:02}}}:{epoch}:{name}", lane.0);
    match key {
        ModelKey::Lane => format!("{{l{:02}}}:lane", lane.0),
        ModelKey::Outbox => named("out"),
        ModelKey::Mark => named("mark"),
        ModelKey::Refused => named("refused"),
        ModelKey::Known => named("known"),
        ModelKey::Hydrated => named("hydrated"),
        ModelKey::Coupon(coupon) => of('c', coupon),
        ModelKey::Definition(coupon) => of('d', coupon),
        ModelKey::Users(coupon) => of('u', coupon),
        ModelKey::Devices(coupon) => of('v', coupon),
        ModelKey::Addresses(coupon) => of('i', coupon),
    }
}

/// Compiles the clock. The workspace needs a C compiler anyway, for SQLite.
pub(super) fn compile_clock(dir: &Path) -> std::path::PathBuf {
    let shim = dir.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance/clock.c");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(&shim)
        .arg(source)
        .status()
        .unwrap();
    assert!(status.success(), "cc: {status}");
    shim
}
