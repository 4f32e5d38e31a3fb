//! A run: rounds, each with fresh systems, in which every phase measures the ruler, then everybody,
//! then the ruler again. The order of everybody turns with each round (ABBA).
//!
//! An answer that a phase is not about, a repeat with another claim, an audit that is not exact, a
//! connection that broke or a generator without time to spare ends the run: nothing is printed.

mod closed;
mod growth;
mod low;
mod overload;

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::cpu::{self, Meter};
use crate::load::{Answers, Expected, Load};
use crate::peers::Peers;
use crate::results::{Contender, Phase, Results, Sample};
use crate::ruler::Ruler;
use crate::system::System;

/// Connections of the closed loop.
pub const CONNECTIONS: usize = 64;
/// Connections where batches are compared.
pub const MANY_CONNECTIONS: usize = 256;
/// Threads of the closed loop.
pub const GENERATOR_THREADS: usize = 2;
/// Share of its threads that the generator may be busy for.
const GENERATOR_SHARE_MAX: f64 = 0.95;
/// Request limits as they are, but for those of an address: all load comes from one.
const LIMITS: [(&str, &str); 4] = [
    ("SLUICE__LIMITS__ADDRESS_PER_SECOND", "1000000"),
    ("SLUICE__LIMITS__ADDRESS_BURST", "1000000"),
    ("SLUICE__LIMITS__KEYS_MAX", "1000000"),
    ("SLUICE__DATA__CONNECTIONS_PER_ADDRESS_MAX", "20000"),
];
/// More patience than a shopper has: phases that compare CPU are not about what neighbours of the
/// machine make late.
const PATIENCE: [(&str, &str); 3] = [
    ("SLUICE__CLAIM__QUEUE_WAIT_MS", "2000"),
    ("SLUICE__CLAIM__DECIDE_WITHIN_MS", "5000"),
    ("SLUICE__CLAIM__CALL_WITHIN_MS", "450"),
];
/// Batches of one claim.
const SINGLE: (&str, &str) = ("SLUICE__CLAIM__BATCH_CLAIMS_MAX", "1");

/// What a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The `sluice` to measure.
    pub binary: PathBuf,
    /// The phases, in their order.
    pub phases: Vec<Phase>,
    /// How often everything is measured.
    pub rounds: usize,
    /// Requests per measurement.
    pub requests: usize,
}

/// One round: everybody, running, and where results go.
struct Round<'a> {
    plan: &'a Plan,
    /// Counted from 0.
    number: usize,
    results: &'a mut Results,
    ruler: Ruler,
    sluice: System,
    peers: Peers,
}

/// Runs all rounds.
///
/// # Errors
/// Where something does not start, or a gate breaks: then there is no figure.
pub async fn run(plan: &Plan, say: fn(&str)) -> anyhow::Result<Results> {
    let mut results = Results::default();
    let workers = closed::best_workers(plan.requests / 2, say).await?;
    for number in 0..plan.rounds {
        let begun = std::time::Instant::now();
        let mut round = Round {
            plan,
            number,
            results: &mut results,
            ruler: Ruler::start()?,
            sluice: start(plan, Contender::Sluice).await?,
            peers: Peers::start(workers).await?,
        };
        round.run(say).await?;
        let took = begun.elapsed().as_secs();
        say(&format!(
            "round {} of {} took {took} s",
            number + 1,
            plan.rounds
        ));
    }
    Ok(results)
}

/// Starts a system with the limits of a bench, for phases that compare CPU.
async fn start(plan: &Plan, who: Contender) -> anyhow::Result<System> {
    let mut settings = [&LIMITS[..], &PATIENCE[..]].concat();
    if who == Contender::Single {
        settings.push(SINGLE);
    }
    System::start_with(&plan.binary, &settings).await
}

impl Round<'_> {
    async fn run(&mut self, say: fn(&str)) -> anyhow::Result<()> {
        self.closed_phases(say).await?;
        self.sluice.settle().await?;
        self.sluice.audit().context("the audit after the phases")?;
        let doing = |phase: Phase| self.plan.phases.contains(&phase);
        let (batch, low) = (doing(Phase::Batch), doing(Phase::Low));
        let (overload, growth) = (doing(Phase::Overload), doing(Phase::Growth));
        if batch {
            self.batch(low).await.context("phases batch and low")?;
        }
        if overload {
            self.overload(say).await.context("phase overload")?;
        }
        if growth {
            self.growth().await.context("phase growth")?;
        }
        Ok(())
    }

    /// Everybody's turn in a phase: the other way round in every second round.
    fn turns(&self, mut all: Vec<Contender>) -> Vec<Contender> {
        if self.number % 2 == 1 {
            all.reverse();
        }
        all
    }

    /// What the ruler costs now.
    async fn rule(&self, connections: usize) -> anyhow::Result<f64> {
        self.ruler.cost(connections, self.plan.requests).await
    }
}

/// A closed loop against one contender, with what it cost. `settle` waits until all that the load
/// has caused is done.
async fn measured(
    meter: &Meter,
    load: Load,
    connections: usize,
    expected: Expected,
    settle: Option<&System>,
) -> anyhow::Result<(Answers, Sample)> {
    let requests = load.len();
    let (before, own) = (meter.read()?, cpu::seconds(std::process::id())?);
    let answers = load.run(connections).await?;
    let own = cpu::seconds(std::process::id())? - own;
    answers.expect(expected, requests)?;
    let generator_cores = own / answers.took.as_secs_f64();
    if generator_cores > GENERATOR_SHARE_MAX * GENERATOR_THREADS as f64 {
        bail!("void: the generator was busy for {generator_cores:.2} of {GENERATOR_THREADS} cores");
    }
    if let Some(system) = settle {
        system.settle().await?;
    }
    let sample = Sample {
        cpu: (meter.read()? - before).scaled(1e6 / requests as f64),
        per_second: answers.rate(),
        generator_cores,
    };
    Ok((answers, sample))
}
