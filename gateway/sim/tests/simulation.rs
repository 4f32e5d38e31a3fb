//! The simulator's seeds.

use sluice_sim::simulation::{Report, run};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Prints a failing seed as a story, and how to play it again.
fn tell(report: &Report) -> String {
    let again = run(report.seed, None, true).unwrap();
    let mut text = again.story.join("\n");
    for check in report.violations() {
        text += &format!("\n{} ({}): {:?}", check.invariant, check.name, check.violations);
    }
    format!("{text}\nseed {}; again: make sim SEEDS=1 FIRST={}", report.seed, report.seed)
}

#[test]
fn seeds() {
    let first = number("SLUICE_SIM_FIRST").unwrap_or(0);
    let seeds = number("SLUICE_SIM_SEEDS").unwrap_or(200);
    let began = std::time::Instant::now();
    let mut totals = std::collections::BTreeMap::new();
    let (mut steps, mut lasted) = (0, 0);
    for seed in first..first + seeds {
        let report = run(seed, None, false).unwrap();
        assert!(report.violations().is_empty(), "{}", tell(&report));
        for (what, count) in report.counts {
            *totals.entry(what).or_insert(0) += count;
        }
        steps += report.steps;
        lasted += report.lasted_ms;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{seeds} seeds in {seconds:.1} s, {} steps and {} ms each", steps / seeds, lasted / seeds);
    for (what, count) in totals {
        println!("{count:>9}  {what}");
    }
}

#[test]
fn a_seed_is_the_same_story_every_time() {
    for seed in 0..30 {
        let (one, other) = (run(seed, None, true).unwrap(), run(seed, None, true).unwrap());
        if one.fingerprint != other.fingerprint {
            let at = one.story.iter().zip(&other.story).position(|(a, b)| a != b);
            let at = at.unwrap_or(0);
            let around = at.saturating_sub(6)..at + 3;
            panic!("seed {seed} differs at {at}:\n{:#?}\n{:#?}", &one.story[around.clone()], &other.story[around]);
        }
    }
}
