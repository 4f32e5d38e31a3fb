//! Implementations that are wrong on purpose: the comparison has to catch each, or it proves
//! nothing about Redis.

use proptest::test_runner::{TestCaseError, TestError};
use sluice_domain::time::Timestamp;
use sluice_hotstate::ModelHotState;
use sluice_hotstate::conformance::history::{compare, histories};
use sluice_hotstate::conformance::{Fault, Harness, ModelHarness, OUTBOX_CAP};
use tokio::runtime::Runtime;

use super::{CASES, OPS, runner, seed};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    /// Nobody looks at the server's id.
    NoReplidCheck,
    /// A lost key is not noticed.
    NoCounts,
    /// Instants are taken a millisecond late: windows, leases and delays end too early.
    ClockAhead,
    /// The outbox takes one entry more.
    LargerOutbox,
}

/// A model with a defect.
struct Broken {
    model: ModelHarness,
    defect: Defect,
}

impl Broken {
    fn new(defect: Defect) -> Self {
        let model = ModelHarness::new(Timestamp::MIN);
        if defect == Defect::LargerOutbox {
            model.store().set_outbox_cap(OUTBOX_CAP + 1);
        }
        Self { model, defect }
    }
}

impl Harness for Broken {
    type Store = ModelHotState;

    fn store(&self) -> &ModelHotState {
        self.model.store()
    }

    fn set_now(&self, now: Timestamp) {
        let late = i64::from(self.defect == Defect::ClockAhead);
        self.model.set_now(now.plus_millis(late));
    }

    async fn fault(&self, fault: Fault) {
        match (self.defect, fault) {
            (Defect::NoReplidCheck, Fault::StepDownAndUp)
            | (Defect::NoCounts, Fault::Lose { .. }) => {}
            (_, fault) => self.model.fault(fault).await,
        }
    }
}

#[test]
fn every_defect_is_caught() {
    let runtime = Runtime::new().unwrap();
    for defect in [
        Defect::NoReplidCheck,
        Defect::NoCounts,
        Defect::ClockAhead,
        Defect::LargerOutbox,
    ] {
        let seed = seed();
        let outcome = runner(CASES, seed).run(&histories(OPS), |history| {
            let model = ModelHarness::new(Timestamp::MIN);
            runtime
                .block_on(compare(&history, &model, &Broken::new(defect)))
                .map(|_reached| ())
                .map_err(|difference| TestCaseError::fail(difference.report))
        });
        assert!(
            matches!(outcome, Err(TestError::Fail(..))),
            "{defect:?} was not caught (SLUICE_SEED={seed})"
        );
    }
}
