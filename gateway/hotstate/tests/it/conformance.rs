//! The conformance suite on Redis: the same stories as on the model, and random histories on both,
//! side by side.

mod broken;
mod clocked;
mod clustered;

use std::cell::RefCell;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use sluice_domain::time::Timestamp;
use sluice_hotstate::conformance::history::{Reached, compare, histories};
use sluice_hotstate::conformance::scenarios::tell_all;
use sluice_hotstate::conformance::{Harness, ModelHarness};
use tokio::runtime::Runtime;

use clocked::ClockedServer;
use clustered::ClockedCluster;

/// Histories per run; `SLUICE_CASES` asks for more.
const CASES: u32 = 256;
/// The same on a cluster, where emptying and moving take longer.
const CLUSTER_CASES: u32 = 64;
/// Ops in a history, at most.
const OPS: usize = 40;

/// A seed whose histories meet all of [`MET`]. Fixed, so that chance fails no run.
const MET_SEED: u64 = 3;

/// What histories have to meet, or they do not test what they are for.
const MET: [&str; 23] = [
    "begin: Done(Superseded)",
    "claims: AddressLimit",
    "claims: DeviceLimit",
    "claims: Ended",
    "claims: Granted(GrantRecord",
    "claims: NeedLease",
    "claims: NextLease",
    "claims: NoClaim",
    "claims: NotStarted",
    "claims: OpensSoon",
    "claims: Paused",
    "claims: Replayed(GrantRecord",
    "claims: SoldOut(SoldOutProof",
    "claims: StaleDefinition",
    "claims: UserLimit",
    "claims: backpressure",
    "claims: lane  is not ready: Loss",
    "claims: lane  is not ready: ServerChanged",
    "filter: Some(",
    "finish: Done(CountsDiffer)",
    "finish: Done(StaleRevision)",
    "mark: Deposed",
    "winners: Some(",
];

#[tokio::test]
async fn the_model_tells_every_story() {
    tell_all(async || ModelHarness::new(Timestamp::MIN)).await;
}

#[tokio::test]
async fn redis_tells_every_story() {
    let server = ClockedServer::start().await;
    tell_all(|| server.harness()).await;
}

#[tokio::test]
async fn a_redis_cluster_tells_every_story() {
    let cluster = ClockedCluster::start().await;
    tell_all(|| cluster.harness()).await;
}

#[test]
fn model_and_redis_tell_the_same_random_histories() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(ClockedServer::start());
    let cases = number("SLUICE_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap());
    same_histories(&runtime, cases, || server.harness());
}

#[test]
fn model_and_a_redis_cluster_tell_the_same_random_histories() {
    let runtime = Runtime::new().unwrap();
    let cluster = runtime.block_on(ClockedCluster::start());
    same_histories(&runtime, CLUSTER_CASES, || cluster.harness());
}

fn same_histories<H, F>(runtime: &Runtime, cases: u32, fresh: impl Fn() -> F)
where
    H: Harness,
    F: Future<Output = H>,
{
    let seed = seed();
    let outcome = runner(cases, seed).run(&histories(OPS), |history| {
        runtime.block_on(async {
            let redis = fresh().await;
            let model = ModelHarness::new(Timestamp::MIN);
            compare(&history, &model, &redis)
                .await
                .map(|_reached| ())
                .map_err(|difference| TestCaseError::fail(difference.report))
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(report, history)) => {
            panic!("model and Redis differ (SLUICE_SEED={seed}); shrunk to {history:#?}\n{report}")
        }
        Err(abort @ TestError::Abort(_)) => panic!("SLUICE_SEED={seed}: {abort}"),
    }
}

#[test]
fn histories_meet_what_they_are_for() {
    let runtime = Runtime::new().unwrap();
    let met = RefCell::new(Reached::new());
    let outcome = runner(CASES, MET_SEED).run(&histories(OPS), |history| {
        let (model, twin) = (
            ModelHarness::new(Timestamp::MIN),
            ModelHarness::new(Timestamp::MIN),
        );
        let reached = runtime
            .block_on(compare(&history, &model, &twin))
            .map_err(|difference| TestCaseError::fail(difference.report))?;
        met.borrow_mut().extend(reached);
        Ok(())
    });
    outcome.unwrap();
    let met = met.borrow();
    let missing: Vec<_> = MET.iter().filter(|kind| !met.contains(**kind)).collect();
    assert!(missing.is_empty(), "no history met {missing:?}");
}

fn runner(cases: u32, seed: u64) -> TestRunner {
    TestRunner::new(config(cases, seed))
}

fn config(cases: u32, seed: u64) -> Config {
    Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4_000,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    }
}

fn seed() -> u64 {
    number("SLUICE_SEED").unwrap_or_else(rand::random)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}
