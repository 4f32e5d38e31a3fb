//! The suite of [`sluice_ledger::conformance`] on every implementation.

use proptest::test_runner::{Config, TestRunner};
use sluice_domain::lane::LaneCount;
use sluice_ledger::conformance::{history, scenario};
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{CqlLedger, ModelLedger, SqliteLedger};
use sluice_ledger::testing;

use crate::story::{options, runtime};

/// The model and SQLite answer every step of a random history alike, and end alike.
#[test]
fn model_and_sqlite_agree_on_random_histories() {
    let config = Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let runtime = runtime();
    let outcome = TestRunner::new(config).run(&history::histories(80), |ops| {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions::new(history::lanes());
        let sqlite = SqliteLedger::open(folder.path().join("ledger.db"), options).unwrap();
        let model = ModelLedger::new(history::lanes());
        let compared = runtime.block_on(async {
            let compared = history::compare(&model, &sqlite, &ops).await;
            sqlite.close().await;
            compared
        });
        compared.map_err(proptest::test_runner::TestCaseError::fail)
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn the_model_tells_every_story() {
    let lanes = LaneCount::new(1).unwrap();
    runtime().block_on(scenario::run_all(async || ModelLedger::new(lanes)));
}

#[test]
fn sqlite_tells_every_story() {
    let folder = tempfile::tempdir().unwrap();
    let files = std::cell::Cell::new(0);
    let fresh = async || {
        files.set(files.get() + 1);
        let path = folder.path().join(format!("ledger{}.db", files.get()));
        SqliteLedger::open(path, options()).unwrap()
    };
    runtime().block_on(scenario::run_all(fresh));
}

/// A new ledger on the shared node.
async fn cql(lanes: LaneCount) -> CqlLedger {
    let options = testing::cql_options(lanes);
    let t = std::time::Instant::now();
    CqlLedger::migrate(&options).await.unwrap();
    eprintln!("migrate {:?}", t.elapsed());
    let l = CqlLedger::open(&options).await.unwrap();
    eprintln!("open {:?}", t.elapsed());
    l
}

#[test]
fn cql_tells_every_story() {
    let lanes = LaneCount::new(1).unwrap();
    runtime().block_on(scenario::run_all(async || cql(lanes).await));
}
