//! The CQL ledger on three nodes with a copy of each row on every one, while nodes are killed.
//!
//! A binary of its own, so that no other test runs beside the three servers. `SLUICE_ALL_FAULTS`
//! asks for more kills, as `make faults` does.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its ring is not as it must be"
)]

mod keeper;
mod orders;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sluice_domain::lane::LaneCount;
use sluice_ledger::CqlLedger;
use sluice_ledger::testing::CassandraRing;

use keeper::Keeper;
use orders::Orders;

/// Nodes killed one at a time when this is run by hand, and in `make faults`, which has the minutes
/// that the starts take. Then two of them together. `make test` leaves three nodes out.
const KILLS: usize = 1;
const KILLS_OF_FAULTS: usize = 3 * CassandraRing::NODES;
/// What has to be written and answered while a node is away, before it may come back.
const BATCHES_WHILE_AWAY: u64 = 10;
const ORDERS_WHILE_AWAY: u64 = 3;
/// How long anything may take until it goes on, on a machine that runs three nodes and other tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until a condition holds; how long it took.
async fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

struct Story {
    ring: CassandraRing,
    keeper: Arc<Keeper>,
    orders: Arc<Orders>,
    kills: u32,
    slowest: Duration,
}

// === impl Story ===

impl Story {
    /// One node dies: claims and orders go on by the other two. Then it comes back.
    async fn lose_one(&mut self, node: usize) {
        self.ring.node(node).kill().unwrap();
        self.kills += 1;
        let appended = self.keeper.appended() + BATCHES_WHILE_AWAY;
        let held = self.orders.held() + ORDERS_WHILE_AWAY;
        let one = until("an append after a kill", {
            let (keeper, next) = (Arc::clone(&self.keeper), self.keeper.appended() + 1);
            move || keeper.appended() >= next
        });
        self.slowest = self.slowest.max(one.await);
        until("appends and holds by two of three", || {
            self.keeper.appended() >= appended && self.orders.held() >= held
        })
        .await;
        tokio::task::block_in_place(|| self.ring.node(node).restart()).unwrap();
        self.say(&format!("node {node} was killed and is back"));
    }

    /// Two die: nothing is acknowledged that a lone copy holds. One comes back: all goes on.
    async fn lose_two(&mut self) {
        for node in [1, 2] {
            self.ring.node(node).kill().unwrap();
            self.kills += 1;
        }
        // What was under way at the kill may still have had its answer.
        let refused = self.keeper.refused() + 2;
        until("refusals by one of three", || {
            self.keeper.refused() >= refused
        })
        .await;
        let before = self.keeper.appended();
        let refused = self.keeper.refused() + 2;
        until("more refusals", || self.keeper.refused() >= refused).await;
        assert_eq!(
            self.keeper.appended(),
            before,
            "one of three is no majority"
        );

        let begun = Instant::now();
        tokio::task::block_in_place(|| self.ring.node(1).restart()).unwrap();
        let (appended, held) = (before + BATCHES_WHILE_AWAY, self.orders.held() + 1);
        until("everything to go on", || {
            self.keeper.appended() >= appended && self.orders.held() >= held
        })
        .await;
        self.slowest = self.slowest.max(begun.elapsed());
        tokio::task::block_in_place(|| self.ring.node(2).restart()).unwrap();
        self.say("nodes 1 and 2 were killed and are back");
    }

    #[expect(clippy::print_stdout, reason = "a story of minutes says how far it is")]
    fn say(&self, what: &str) {
        let (appended, refused) = (self.keeper.appended(), self.keeper.refused());
        let held = self.orders.held();
        println!("ring: {what}; {appended} batches and {held} orders in, {refused} refused");
    }
}

/// F13: whatever node of three is away, claims are appended and orders held; nothing that was
/// acknowledged is lost, nothing is there twice, and every count agrees. F14 for this ledger: a
/// minority acknowledges nothing, and what was refused meanwhile goes through afterwards.
#[test]
#[expect(
    clippy::print_stdout,
    reason = "the matrix of faults is made of such lines"
)]
fn f13_f14_killed_nodes_of_three_lose_nothing() {
    let kills = match std::env::var_os("SLUICE_ALL_FAULTS") {
        Some(_) => KILLS_OF_FAULTS,
        None => KILLS,
    };
    let folder = tempfile::tempdir().unwrap();
    // Started on this thread, which lives as long as the story: a node ends with it.
    let ring = CassandraRing::start(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let options = ring.options("ring", LaneCount::new(1).unwrap());
        ring.migrate(&options).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let ledger = Arc::new(CqlLedger::open(&options).await.unwrap());
        let keeper = Arc::new(Keeper::start(Arc::clone(&ledger)).await);
        let orders = Arc::new(Orders::new(Arc::clone(&ledger)));
        let writers = [
            tokio::spawn(Arc::clone(&keeper).append_until(Arc::clone(&stop))),
            tokio::spawn(Arc::clone(&orders).hold_until(Arc::clone(&keeper), Arc::clone(&stop))),
        ];
        let mut story = Story {
            ring,
            keeper,
            orders,
            kills: 0,
            slowest: Duration::ZERO,
        };
        for kill in 0..kills {
            story.lose_one(kill % CassandraRing::NODES).await;
        }
        story.lose_two().await;
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        // By another process, which knows nothing of what was answered.
        let fresh = CqlLedger::open(&options).await.unwrap();
        story.keeper.check(&fresh).await;
        story.orders.check(&fresh).await;
        println!(
            "matrix: F13 kills={} recovery_ms={} batches={} orders={} refused={}",
            story.kills,
            story.slowest.as_millis(),
            story.keeper.appended(),
            story.orders.held(),
            story.keeper.refused()
        );
    });
}
