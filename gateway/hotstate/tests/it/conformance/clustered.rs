//! The same stories on a real Redis Cluster of three masters. The suite's lane moves to another
//! master before each, so all of them tell, and every client begins with an old idea of where it is.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use sluice_domain::lane::LaneCount;
use sluice_domain::time::Timestamp;
use sluice_hotstate::conformance::{Fault, Harness, LANE, OUTBOX_CAP};
use sluice_hotstate::testing::RedisCluster;
use sluice_hotstate::{RedisHotState, RedisSettings};
use tempfile::TempDir;

use super::clocked::{compile_clock, key_name};

const MASTERS: usize = 3;

/// The cluster; its nodes share one clock, which stands still.
pub(super) struct ClockedCluster {
    cluster: Arc<RedisCluster>,
    slot: u16,
    next: AtomicUsize,
    clock: File,
    _dir: TempDir,
}

/// Hot state on that cluster: empty, and knowing nothing.
pub(super) struct ClusterHarness {
    store: Arc<RedisHotState>,
    cluster: Arc<RedisCluster>,
    owner: usize,
    clock: File,
}

impl ClockedCluster {
    pub(super) async fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("slc")
            .tempdir_in("/tmp")
            .unwrap();
        let shim = compile_clock(dir.path());
        let path = dir.path().join("clock");
        let clock = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        show_real(&clock);
        let environment = [
            ("LD_PRELOAD".to_owned(), shim.display().to_string()),
            ("SLUICE_TEST_CLOCK".to_owned(), path.display().to_string()),
        ];
        // A clock that jumps over days must not look like days of silence.
        let arguments = ["--cluster-node-timeout", "1000000000000"];
        // Forming takes time by the nodes' own clock.
        let tick = &mut || show_real(&clock);
        let cluster =
            RedisCluster::start_in(dir.path(), MASTERS, 0, &arguments, &environment, tick)
                .await
                .unwrap();
        let key = format!("{{l{:02}}}:lane", LANE.0);
        Self {
            slot: cluster.slot(&key).await.unwrap(),
            cluster: Arc::new(cluster),
            next: AtomicUsize::new(0),
            clock,
            _dir: dir,
        }
    }

    /// A fresh hot state: the cluster is emptied, and the lane lives on the next master.
    pub(super) async fn harness(&self) -> ClusterHarness {
        for master in 0..MASTERS {
            self.cluster.command(master, &["FLUSHALL"]).await.unwrap();
        }
        let owner = self.next.fetch_add(1, Ordering::Relaxed) % MASTERS;
        let mut settings = RedisSettings::new(self.cluster.urls());
        settings.cluster = true;
        settings.connections = 1;
        settings.outbox_entries_max = OUTBOX_CAP as u64;
        // A busy machine is no difference between two implementations.
        settings.connect_timeout = Duration::from_secs(20);
        settings.claim_timeout = Duration::from_secs(20);
        settings.response_timeout = Duration::from_secs(20);
        let store = RedisHotState::connect(settings, LaneCount::new(16).unwrap()).unwrap();
        // It has heard where the lane is; then the lane moves, and calls have to follow.
        store.check_server().await.unwrap();
        self.cluster.assign(self.slot, owner).await.unwrap();
        ClusterHarness {
            store,
            cluster: Arc::clone(&self.cluster),
            owner,
            clock: self.clock.try_clone().unwrap(),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the nodes' clock runs as the real one does while they meet"
)]
fn show_real(clock: &File) {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let millis = i64::try_from(now.as_millis()).unwrap();
    clock.write_all_at(&millis.to_ne_bytes(), 0).unwrap();
}

impl Harness for ClusterHarness {
    type Store = RedisHotState;

    fn store(&self) -> &RedisHotState {
        &self.store
    }

    fn set_now(&self, now: Timestamp) {
        let millis = now.as_millis().to_ne_bytes();
        self.clock.write_all_at(&millis, 0).unwrap();
    }

    async fn fault(&self, fault: Fault) {
        let send = async |parts: &[&str]| {
            self.cluster.command(self.owner, parts).await.unwrap();
        };
        match fault {
            Fault::Flush => send(&["FLUSHALL"]).await,
            // Nodes of a cluster take no REPLICAOF; a promotion does nothing else to the id.
            Fault::StepDownAndUp => send(&["DEBUG", "CHANGE-REPL-ID"]).await,
            Fault::Lose { lane, epoch, key } => {
                send(&["UNLINK", &key_name(lane, epoch, key)]).await;
            }
        }
    }
}
