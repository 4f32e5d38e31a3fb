//! The Lua scripts of the claim path on a redis-server of their own, called as a gateway and a keeper
//! call them: one call at a time, so a figure is the whole round trip over a unix socket. What one
//! claim costs shows in how little a batch of many takes longer than a batch of one.

use std::fmt::Debug;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sluice_claim::port::{
    ClaimAnswer, ClaimCall, ClaimReply, ClaimRequest, ClaimStore, StoreError,
};
use sluice_domain::change;
use sluice_domain::id::{
    ClaimId, CouponId, CouponNumber, EntryNumber, Epoch, KeeperNumber, LaneId, LeaseNumber,
    LedgerId, Ticket, UserId,
};
use sluice_domain::input;
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_domain::published::Published;
use sluice_domain::time::Timestamp;
use sluice_hotstate::lane_store::{Fenced, HydrateBegin, LeaseInstall};
use sluice_hotstate::testing::RedisServer;
use sluice_hotstate::{LaneStore, RedisHotState, RedisSettings};
use tokio::runtime::Runtime;

const COUPON: CouponId = CouponId(7);
const FENCE: LaneFence = LaneFence {
    lane: LaneId(0),
    epoch: Epoch(1),
    keeper: KeeperNumber(1),
};
/// Claims per call; the last is the most that a gateway sends.
const BATCHES: [usize; 3] = [1, 16, 128];

/// A lane on a server of its own, open, with one coupon that is ready.
struct Stage {
    runtime: Runtime,
    store: Arc<RedisHotState>,
    published: Arc<Published>,
    users: u64,
    _server: RedisServer,
    _folder: tempfile::TempDir,
}

fn must<T, E: Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error:?}"))
}

fn done<T: Debug>(answer: Result<Fenced<T>, StoreError>) -> T {
    match must(answer) {
        Fenced::Done(done) => done,
        refused => panic!("{refused:?}"),
    }
}

fn published() -> Arc<Published> {
    let json = r#"{"name":"c","currency":"USD","benefit":{"type":"fixed","off":"5.00"},
        "limits":{"total":null},"durability":"ledger"}"#;
    let spec = must(input::coupon(json.as_bytes()));
    let draft = change::create(COUPON, CouponNumber(1), spec, Timestamp::MIN);
    let live = must(change::publish(&draft, Timestamp::MIN));
    Arc::new(Published::of(&live, &[]).unwrap_or_else(|| panic!("it is published")))
}

impl Stage {
    /// Without an append-only file: how fast the disk is, is not the question here.
    fn set() -> Self {
        let folder = must(tempfile::Builder::new().prefix("slb").tempdir_in("/tmp"));
        let runtime = must(
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build(),
        );
        let quick = ["--appendonly", "no"];
        let server = must(runtime.block_on(RedisServer::start_with(folder.path(), &quick)));
        let mut settings = RedisSettings::new(vec![server.url()]);
        settings.opens_delay = std::time::Duration::ZERO;
        // Nobody drains the outbox of a bench.
        settings.outbox_entries_max = 1 << 32;
        let lanes = must(LaneCount::new(1));
        let store = must(runtime.block_on(async { RedisHotState::connect(settings, lanes) }));
        let published = published();
        runtime.block_on(open(&store, &published));
        Self {
            runtime,
            store,
            published,
            users: 0,
            _server: server,
            _folder: folder,
        }
    }

    fn list_lease(&self) {
        let lease = LeaseInstall {
            coupon: COUPON,
            lease: LeaseNumber(1),
            first: Ticket(0),
            size: u32::MAX,
            seq: 2,
        };
        done(
            self.runtime
                .block_on(self.store.install_lease(FENCE, lease)),
        );
    }

    /// A call of users who never asked before.
    fn call(&mut self, claims: usize) -> ClaimCall {
        let requests = (0..claims).map(|_claim| {
            self.users += 1;
            let mut hash = [0; 12];
            hash[..8].copy_from_slice(&self.users.to_be_bytes());
            ClaimRequest {
                user: must(UserId::new(&format!("user-{:010}", self.users))),
                claim_id: ClaimId::new(COUPON, hash),
                device: None,
                address: None,
                replay_only: false,
            }
        });
        ClaimCall {
            lane: FENCE.lane,
            coupon: COUPON,
            form: self.published.form,
            revision: self.published.revision,
            requests: requests.collect(),
        }
    }

    fn decide(&self, call: ClaimCall) -> ClaimReply {
        must(self.runtime.block_on(self.store.decide(call)))
    }

    /// Grants a batch; the number of its outbox entry.
    fn grant(&mut self, claims: usize) -> EntryNumber {
        let call = self.call(claims);
        match self.decide(call).answers.first() {
            Some(ClaimAnswer::Granted(record)) => record.entry,
            other => panic!("not granted: {other:?}"),
        }
    }
}

async fn open(store: &RedisHotState, published: &Arc<Published>) {
    done(store.fence(FENCE, LedgerId([1; 16])).await);
    must(store.install(FENCE.lane, FENCE.epoch, published).await);
    done(
        store
            .open(FENCE, Timestamp::MAX, &[COUPON], &[], 1, None)
            .await,
    );
    store.learn_epoch(FENCE.lane, FENCE.epoch);
    let begin = HydrateBegin {
        published: Arc::clone(published),
        last_lease: LeaseNumber(0),
        seq: 1,
    };
    done(store.hydrate_begin(FENCE, &begin, 1).await);
    done(store.hydrate_finish(FENCE, COUPON, 1, 0, 0, 0).await);
}

fn claims(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("claim script");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        let mut stage = Stage::set();
        stage.list_lease();
        group.bench_function(format!("{batch} granted"), |bench| {
            // Both closures need the stage; only one of them runs at a time.
            let stage = std::cell::RefCell::new(&mut stage);
            bench.iter_batched(
                || stage.borrow_mut().call(batch),
                |call| {
                    let reply = stage.borrow().decide(call);
                    assert!(matches!(reply.answers[0], ClaimAnswer::Granted(_)));
                },
                BatchSize::PerIteration,
            );
        });
        let mut stage = Stage::set();
        done(
            stage
                .runtime
                .block_on(stage.store.set_final(FENCE, COUPON, false)),
        );
        let call = stage.call(batch);
        group.bench_function(format!("{batch} sold out"), |bench| {
            bench.iter(|| {
                let reply = stage.decide(call.clone());
                assert!(matches!(reply.answers[0], ClaimAnswer::SoldOut(_)));
            });
        });
    }
    group.finish();
}

fn marks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mark and trim");
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch as u64));
        let mut stage = Stage::set();
        stage.list_lease();
        group.bench_function(format!("one entry of {batch}"), |bench| {
            let stage = std::cell::RefCell::new(&mut stage);
            bench.iter_batched(
                || stage.borrow_mut().grant(batch),
                |entry| {
                    let stage = stage.borrow();
                    done(stage.runtime.block_on(stage.store.mark(FENCE, entry, 2)));
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn quick() -> Criterion {
    // Every granted claim stays in Redis: seconds of it are enough, minutes would fill the memory.
    Criterion::default()
        .sample_size(30)
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = quick();
    targets = claims, marks
}
criterion_main!(benches);
