//! The conformance suite on Redis: the same stories as on the model, and random histories on both,
//! side by side.

mod clocked;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use sluice_domain::time::Timestamp;
use sluice_hotstate::conformance::ModelHarness;
use sluice_hotstate::conformance::history::{compare, histories};
use tokio::runtime::Runtime;

use clocked::ClockedServer;

/// Histories per run; `SLUICE_CASES` asks for more.
const CASES: u32 = 256;
/// Ops in a history, at most.
const OPS: usize = 40;

#[test]
fn model_and_redis_tell_the_same_random_histories() {
    let seed = number("SLUICE_SEED").unwrap_or_else(rand::random);
    let cases = number("SLUICE_CASES").map_or(CASES, |cases| u32::try_from(cases).unwrap());
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(ClockedServer::start());
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 4_000,
        rng_seed: RngSeed::Fixed(seed),
        ..Config::default()
    });
    let outcome = runner.run(&histories(OPS), |history| {
        runtime.block_on(async {
            let redis = server.harness().await;
            let model = ModelHarness::new(Timestamp::MIN);
            compare(&history, &model, &redis)
                .await
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

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}
