//! The suite of [`sluice_ledger::conformance`] on both implementations.

use proptest::test_runner::{Config, TestRunner};
use sluice_ledger::conformance::history;
use sluice_ledger::sqlite::OpenOptions;
use sluice_ledger::{ModelLedger, SqliteLedger};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
}

/// The model and SQLite answer every step of a random history alike, and end alike.
#[test]
fn model_and_sqlite_agree_on_random_histories() {
    let config = Config {
        cases: 150,
        failure_persistence: None,
        ..Config::default()
    };
    let runtime = runtime();
    let outcome = TestRunner::new(config).run(&history::histories(60), |ops| {
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
