//! Rounds of the storm. `SLUICE_STORM_ROUNDS` says how many, `SLUICE_STORM_SEED` plays one again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use sluice_sim::fault::Fault;
use sluice_sim::storm::{Bought, Mode, Outcome, Round, play};

/// Rounds of a plain `make test`.
const ROUNDS: u64 = 20;
/// On a CQL ledger and a Redis Cluster, which take half a minute to start: played by `make faults`.
const DISTRIBUTED_ROUNDS: u64 = 1;
/// Every so many rounds of many is one of these.
const ROUNDS_PER_DISTRIBUTED: u64 = 20;

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
    }
}

/// The same people, in a system of eleven processes: a fault and its end take seconds there.
fn distributed_round(seed: u64) -> Round {
    Round {
        mode: Mode::Distributed,
        length: Duration::from_secs(25),
        buyers: 6,
        ..round(seed)
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
    storm("storm", rounds(ROUNDS), round).await;
}

/// The same on the engines of several machines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_faults_on_several_machines_ends_exact() {
    let of_many = number("SLUICE_STORM_ROUNDS").map(|all| all.div_ceil(ROUNDS_PER_DISTRIBUTED));
    let seeds = rounds(DISTRIBUTED_ROUNDS);
    let seeds = match (of_many, number("SLUICE_STORM_SEED")) {
        (Some(many), None) => *seeds.start()..=seeds.start() + many - 1,
        _ => seeds,
    };
    storm("distributed storm", seeds, distributed_round).await;
}

/// The seeds to be played.
fn rounds(of_plain_test: u64) -> RangeInclusive<u64> {
    if let Some(replay) = number("SLUICE_STORM_SEED") {
        return replay..=replay;
    }
    let first = u64::from(std::process::id()) * 1_000;
    first..=first + number("SLUICE_STORM_ROUNDS").unwrap_or(of_plain_test) - 1
}

/// One storm at a time: each is for a machine of its own.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn storm(name: &str, seeds: RangeInclusive<u64>, round: fn(u64) -> Round) {
    let _turn = TURN.lock().await;
    let (first, last) = (*seeds.start(), *seeds.end());
    let begun = Instant::now();
    let mut faults: BTreeMap<Fault, u32> = BTreeMap::new();
    let mut sums = Sums::default();
    for seed in seeds {
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
    say(&format!(
        "{name}: {} rounds ({} of dev) in {:.0?}, {faults:?}, {} requests, {} refused by device and \
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
    ));
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
