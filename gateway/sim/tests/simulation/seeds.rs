//! Seeds of the whole system.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use sluice_sim::simulation::{EXPECTED, Report, run};

/// Seeds of an ordinary test run; `make sim` runs as many, or as are asked for.
const SEEDS: u64 = 10_000;
/// Seeds of which each is played twice.
const TWICE: u64 = 150;
/// Seeds from one word of progress to the next.
const PROGRESS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// A failing seed as a story, and how to play it again.
fn tell(report: &Report) -> String {
    let again = run(report.seed, None, true).unwrap();
    let mut text = again.story.join("\n");
    for check in again.violations() {
        let first: Vec<_> = check.violations.iter().take(3).collect();
        text += &format!("\n{} ({}): {first:#?}", check.invariant, check.name);
    }
    let seed = report.seed;
    format!("{text}\nseed {seed} fails; again: make sim SEEDS=1 FIRST={seed}")
}

#[derive(Default)]
struct Totals {
    counts: BTreeMap<&'static str, u64>,
    steps: u64,
    lasted_ms: u64,
}

thread_local! {
    /// Panics on this thread: a task that panics ends alone, and its seed would go on without it.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Counts panics from here on, besides printing them.
fn count_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.set(PANICS.get() + 1);
        print(panic);
    }));
}

/// Runs seeds on all cores, each on one thread; the first that fails is told and ends the test.
fn run_seeds(first: u64, seeds: u64) -> Totals {
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let totals = Mutex::new(Totals::default());
    let began = Instant::now();
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            let panics = PANICS.get();
            let report = run(seed, None, false).unwrap();
            if PANICS.get() != panics {
                failed.store(true, Ordering::Relaxed);
                panic!("a task panicked, see above; again: make sim SEEDS=1 FIRST={seed}");
            }
            if !report.violations().is_empty() {
                failed.store(true, Ordering::Relaxed);
                panic!("{}", tell(&report));
            }
            let mut totals = totals.lock().unwrap();
            for (what, count) in report.counts {
                *totals.counts.entry(what).or_default() += count;
            }
            totals.steps += report.steps;
            totals.lasted_ms += report.lasted_ms;
            let done = seed + 1 - first;
            if done.is_multiple_of(PROGRESS) {
                let rate = done as f64 / began.elapsed().as_secs_f64();
                println!("{done} seeds, {rate:.0} a second");
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _thread in 0..threads {
            scope.spawn(work);
        }
    });
    totals.into_inner().unwrap()
}

#[test]
fn seeds() {
    count_panics();
    let first = number("SLUICE_SIM_FIRST").unwrap_or(0);
    let asked = number("SLUICE_SIM_SEEDS");
    let seeds = asked.unwrap_or(SEEDS).max(1);
    let began = Instant::now();
    let totals = run_seeds(first, seeds);
    println!(
        "{seeds} seeds from {first} hold: {:.1} s, {} steps and {} ms of virtual time each",
        began.elapsed().as_secs_f64(),
        totals.steps / seeds,
        totals.lasted_ms / seeds
    );
    for (what, count) in &totals.counts {
        println!("{count:>9}  {what}");
    }
    // Few seeds cannot have everything in them.
    if seeds >= SEEDS {
        let missing: Vec<_> = EXPECTED
            .iter()
            .filter(|what| !totals.counts.contains_key(**what))
            .collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}

#[test]
fn a_seed_is_the_same_story_every_time() {
    for seed in 0..TWICE {
        let one = run(seed, None, true).unwrap();
        let other = run(seed, None, true).unwrap();
        let mut pairs = one.story.iter().zip(&other.story);
        let differs = pairs.position(|(one, other)| one != other);
        assert_eq!(
            differs.map(|at| (&one.story[at], &other.story[at])),
            None,
            "seed {seed} differs at step {differs:?}"
        );
        assert_eq!(one.fingerprint, other.fingerprint, "seed {seed}");
        assert_eq!(one.steps, other.steps, "seed {seed}");
    }
}
