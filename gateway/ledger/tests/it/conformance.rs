//! The suite of [`sluice_ledger::conformance`] on every implementation.

use proptest::test_runner::{Config, TestRunner};
use sluice_domain::lane::LaneCount;
use sluice_ledger::conformance::{history, scenario};
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{ModelLedger, SqliteLedger};

use crate::cql::Keyspace;
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

/// Each implementation, with a coupon that is sold in several lanes.
#[test]
fn all_sell_a_coupon_in_several_lanes() {
    let lanes = LaneCount::new(3).unwrap();
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        scenario::run_sharded(ModelLedger::new(lanes)).await;
        let path = folder.path().join("ledger.db");
        let sqlite = SqliteLedger::open(path, OpenOptions::new(lanes)).unwrap();
        scenario::run_sharded(sqlite).await;
    });
}

#[test]
fn cql_sells_a_coupon_in_several_lanes() {
    let lanes = LaneCount::new(3).unwrap();
    runtime().block_on(async {
        let keyspace = Keyspace::new(lanes).await;
        scenario::run_sharded(keyspace.ledger().await).await;
    });
}

#[test]
fn cql_tells_every_story() {
    let lanes = LaneCount::new(1).unwrap();
    runtime().block_on(async {
        let keyspace = Keyspace::new(lanes).await;
        scenario::run_all(async || keyspace.ledger().await).await;
    });
}

/// The model and CQL answer every step of a random history alike, and end alike. Fewer than on
/// SQLite, as each step is several round trips.
#[test]
fn model_and_cql_agree_on_random_histories() {
    let config = Config {
        cases: 12,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..Config::default()
    };
    let runtime = runtime();
    let keyspace = runtime.block_on(Keyspace::new(history::lanes()));
    let outcome = TestRunner::new(config).run(&history::histories(80), |ops| {
        let model = ModelLedger::new(history::lanes());
        let compared = runtime.block_on(async {
            let cql = keyspace.ledger().await;
            history::compare(&model, &cql, &ops).await
        });
        compared.map_err(proptest::test_runner::TestCaseError::fail)
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
