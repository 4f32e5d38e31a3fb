//! `bench-peers`: the product beside its peers in the same run, phase by phase, and how each goal of
//! performance came out. See README.md.

use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::json;
use sluice_benches::results::Phase;
use sluice_benches::rounds::{self, Plan};
use sluice_benches::{goals, report};

const USAGE: &str = "usage: bench-peers --sluice PATH [--phases NAME,NAME…] [--rounds N] \
                     [--requests N] [--json FILE]";

/// What was asked for on the command line.
#[derive(Debug)]
struct Arguments {
    plan: Plan,
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = parse(std::env::args().skip(1))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(rounds::GENERATOR_THREADS)
        .enable_all()
        .build()?;
    let plan = &arguments.plan;
    let results = runtime.block_on(rounds::run(plan, say))?;
    let all = goals::goals(&results);
    say(&format!("\n{}", report::costs(&results)));
    say(&report::figures(&results));
    say(&report::goals(&all));
    if let Some(path) = &arguments.json {
        let settings = json!({
            "rounds": plan.rounds,
            "requests": plan.requests,
            "connections": rounds::CONNECTIONS,
            "phases": plan.phases.iter().map(|phase| phase.name()).collect::<Vec<_>>(),
            "cores": std::thread::available_parallelism()?.get(),
        });
        let document = report::document(&results, &all, settings);
        std::fs::write(path, format!("{document:#}\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn parse(mut words: impl Iterator<Item = String>) -> anyhow::Result<Arguments> {
    let mut plan = Plan {
        binary: PathBuf::new(),
        phases: Phase::ALL.to_vec(),
        rounds: 3,
        requests: 20_000,
    };
    let mut json = None;
    while let Some(flag) = words.next() {
        let value = words
            .next()
            .with_context(|| format!("{flag} needs a value\n{USAGE}"))?;
        match &*flag {
            "--sluice" => plan.binary = value.into(),
            "--json" => json = Some(value.into()),
            "--rounds" => plan.rounds = number(&flag, &value, 1)?,
            "--requests" => plan.requests = number(&flag, &value, 1_000)?,
            "--phases" => {
                let names = value.split(',');
                let phases = names.map(|name| Phase::named(name).with_context(|| unknown(name)));
                plan.phases = Phase::with_needs(&phases.collect::<anyhow::Result<Vec<_>>>()?);
            }
            _other => bail!("{flag} is not known\n{USAGE}"),
        }
    }
    if plan.binary.as_os_str().is_empty() {
        bail!("--sluice names the program to measure\n{USAGE}");
    }
    Ok(Arguments { plan, json })
}

fn number(flag: &str, value: &str, least: usize) -> anyhow::Result<usize> {
    let number = value.parse().with_context(|| format!("{flag} {value}"))?;
    if number < least {
        bail!("{flag} is at least {least}");
    }
    Ok(number)
}

fn unknown(phase: &str) -> String {
    let names: Vec<&str> = Phase::ALL.iter().map(|phase| phase.name()).collect();
    format!("there is no phase `{phase}`, only {}", names.join(", "))
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn say(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::{Phase, parse};

    fn of(line: &str) -> anyhow::Result<super::Arguments> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn everything_is_measured_unless_less_is_asked_for() {
        assert_eq!(of("--sluice s").unwrap().plan.phases, Phase::ALL);
        let some = of("--sluice s --phases replay --rounds 1 --json f").unwrap();
        assert_eq!(some.plan.phases, [Phase::Hot, Phase::Replay]);
        assert_eq!((some.plan.rounds, some.json.is_some()), (1, true));
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        for wrong in [
            "",
            "--sluice",
            "--sluice s --phases tepid",
            "--sluice s --rounds 0",
            "--x y",
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
