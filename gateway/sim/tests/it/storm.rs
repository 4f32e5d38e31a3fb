//! Rounds of the storm. `SLUICE_STORM_ROUNDS` says how many, `SLUICE_STORM_SEED` plays one again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sluice_sim::fault::Fault;
use sluice_sim::storm::{Bought, Mode, Outcome, Round, play};

/// Rounds of a plain `make test`.
const ROUNDS: u64 = 20;

/// Every so many rounds the process is a `sluice dev`: the seed says which, so that a replay is of
/// the same kind.
const ROUNDS_PER_DEV: u64 = 5;

fn round(seed: u64) -> Round {
    let dev = seed % ROUNDS_PER_DEV == ROUNDS_PER_DEV - 1;
    Round {
        mode: if dev { Mode::Dev } else { Mode::Serve },
        seed,
        binary: binary(),
        length: Duration::from_secs(4),
        shoppers: 32,
        buyers: 12,
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
    let mut sums = Sums::default();
    for seed in first..=last {
        let outcome = play(&round(seed)).await.unwrap_or_else(|error| {
            panic!(
                "round {seed} did not end: {error:#}\n{}",
                how_to_replay(seed)
            )
        });
        assert_exact(&outcome);
        say(&format!(
            "round {seed} ({:?}): {} requests, {} changes, {} ended, {} rows, {} at checkout: {:?}, \
             exact",
            outcome.mode,
            outcome.attempts,
            outcome.changes,
            outcome.ended,
            outcome.rows,
            outcome.checkouts,
            outcome.bought
        ));
        for (fault, count) in &outcome.faults {
            *faults.entry(*fault).or_default() += count;
        }
        sums.add(&outcome);
    }
    let line = format!(
        "storm: {} rounds ({} of dev) in {:.0?}, {faults:?}, {} requests, {} refused by device and \
         {} by address, {} changes, {} coupons ended, {} claims acknowledged, {} rows, 0 oversold, \
         0 lost, {} requests at checkout: {:?}, slowest recovery {:.1?}",
        last - first + 1,
        sums.dev,
        begun.elapsed(),
        sums.attempts,
        sums.limited[0],
        sums.limited[1],
        sums.changes,
        sums.ended,
        sums.acknowledged,
        sums.rows,
        sums.checkouts,
        sums.bought,
        sums.slowest_recovery
    );
    say(&line);
    // The coupon with limits may be ended early in a round; not in so many.
    let few = last - first < ROUNDS_PER_DEV;
    assert!(
        few || sums.limited.iter().all(|&refused| refused > 0),
        "a limit was never reached: nothing was said about it"
    );
    assert!(
        few || sums.bought.saw_everything(),
        "nothing was said about what never happened: {:?}",
        sums.bought
    );
}

/// All rounds together.
#[derive(Default)]
struct Sums {
    dev: u32,
    attempts: usize,
    limited: [usize; 2],
    changes: usize,
    ended: usize,
    acknowledged: usize,
    rows: usize,
    checkouts: usize,
    bought: Bought,
    slowest_recovery: Duration,
}

impl Sums {
    fn add(&mut self, outcome: &Outcome) {
        self.dev += u32::from(outcome.mode == Mode::Dev);
        self.attempts += outcome.attempts;
        self.limited[0] += outcome.limited[0];
        self.limited[1] += outcome.limited[1];
        self.changes += outcome.changes;
        self.ended += outcome.ended;
        self.acknowledged += outcome.acknowledged;
        self.rows += outcome.rows;
        self.checkouts += outcome.checkouts;
        self.bought.add(outcome.bought);
        self.slowest_recovery = self.slowest_recovery.max(outcome.slowest_recovery);
    }
}

fn how_to_replay(seed: u64) -> String {
    format!(
        "play it again: SLUICE_STORM_SEED={seed} cargo test --package sluice-sim --test it -- \
         --nocapture storm"
    )
}

#[expect(clippy::print_stdout, reason = "make test closes with this line")]
fn say(line: &str) {
    println!("{line}");
}

fn assert_exact(outcome: &Outcome) {
    let violations = outcome.violations();
    assert!(
        violations.is_empty(),
        "round {} ({:?}) after {:?}: {violations:#?}\n{}",
        outcome.seed,
        outcome.mode,
        outcome.faults,
        how_to_replay(outcome.seed)
    );
}
