//! Rounds of the storm. `SLUICE_STORM_ROUNDS` says how many, `SLUICE_STORM_SEED` plays one again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sluice_sim::fault::Fault;
use sluice_sim::storm::{Outcome, Round, play};

/// Rounds of a plain `make test`.
const ROUNDS: u64 = 20;

fn round(seed: u64) -> Round {
    Round {
        seed,
        binary: binary(),
        length: Duration::from_secs(4),
        shoppers: 32,
        users: 500,
        faults: Fault::ALL.to_vec(),
    }
}

/// The server's binary, built before the tests run.
fn binary() -> PathBuf {
    let mut folder = std::env::current_exe().expect("the test's own path");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let binary = folder.join("sluice");
    assert!(
        binary.exists(),
        "build the server first: cargo build --package sluice"
    );
    binary
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_no_number| panic!("{variable} is no number: {text}")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_faults_ends_exact() {
    let replay = number("SLUICE_STORM_SEED");
    let rounds = number("SLUICE_STORM_ROUNDS").unwrap_or(ROUNDS);
    let first = replay.unwrap_or_else(|| u64::from(std::process::id()) * 1_000);
    let last = if replay.is_some() {
        first
    } else {
        first + rounds - 1
    };
    let begun = Instant::now();
    let mut faults: BTreeMap<Fault, u32> = BTreeMap::new();
    let mut sums = (0, 0, 0, Duration::ZERO);
    for seed in first..=last {
        let outcome = play(&round(seed))
            .await
            .unwrap_or_else(|error| panic!("round SLUICE_STORM_SEED={seed}: {error:#}"));
        assert_exact(&outcome);
        say(&format!(
            "round {seed}: {} requests, {} rows, exact",
            outcome.attempts, outcome.rows
        ));
        for (fault, count) in &outcome.faults {
            *faults.entry(*fault).or_default() += count;
        }
        sums.0 += outcome.attempts;
        sums.1 += outcome.acknowledged;
        sums.2 += outcome.rows;
        sums.3 = sums.3.max(outcome.slowest_recovery);
    }
    let line = format!(
        "storm: {} rounds in {:.0?}, {faults:?}, {} requests, {} claims acknowledged, {} rows, 0 \
         oversold, 0 lost, slowest recovery {:.1?}",
        last - first + 1,
        begun.elapsed(),
        sums.0,
        sums.1,
        sums.2,
        sums.3
    );
    say(&line);
}

#[expect(clippy::print_stdout, reason = "make test closes with this line")]
fn say(line: &str) {
    println!("{line}");
}

fn assert_exact(outcome: &Outcome) {
    let violations = outcome.violations();
    assert!(
        violations.is_empty(),
        "round SLUICE_STORM_SEED={} after {:?}: {violations:#?}",
        outcome.seed,
        outcome.faults
    );
}
