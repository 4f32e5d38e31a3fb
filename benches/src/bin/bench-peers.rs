//! `bench-peers`: CPU per request of each phase of a sale, beside a bare hyper server in the same
//! run. CPU time is the figure of record, because neighbours disturb wall-clock time, hardly CPU.
//!
//! A round measures the ruler, then every phase, then the ruler again (ABBA over rounds); what is
//! printed is the median over rounds with its spread. A round in which an answer was not the
//! expected one is void and ends the run.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde_json::json;
use sluice_benches::load::{Expected, Load};
use sluice_benches::ruler::Ruler;
use sluice_benches::statistics::Spread;
use sluice_benches::system::System;

/// Connections of the load generator.
const CONNECTIONS: usize = 64;
/// Requests per phase.
const REQUESTS: usize = 40_000;
/// Rounds.
const ROUNDS: usize = 3;

/// One measurement: microseconds of CPU per request.
#[derive(Debug, Clone, Copy)]
struct Cost {
    gateway: f64,
    redis: f64,
    ruler: f64,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("--sluice") => {
            let binary = arguments.next().context("--sluice names the binary")?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?;
            runtime.block_on(measure(PathBuf::from(binary)))
        }
        _other => bail!("usage: bench-peers --sluice PATH"),
    }
}

async fn measure(binary: PathBuf) -> anyhow::Result<()> {
    let phases = [
        "granted hot",
        "granted ledger",
        "sold out",
        "replay",
        "quote",
    ];
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); phases.len()];
    for round in 0..ROUNDS {
        let ruler = Ruler::start()?;
        let system = System::start(&binary).await?;
        let users = system.passes(REQUESTS)?;
        let strangers = system.passes_of("s", REQUESTS)?;
        let hot = system.publish("hot", REQUESTS, "hot").await?;
        let ledger = system.publish("ledger", REQUESTS, "ledger").await?;
        let empty = system.publish("gone", 1, "ledger").await?;
        system.sell_out(&empty, &users).await?;
        let claims = |coupon: &str, passes: &[String]| Load::claims(system.data(), coupon, passes);
        let runs: [(&dyn Fn() -> Load, Expected); 5] = [
            (&|| claims(&hot, &users), Expected::Granted),
            (&|| claims(&ledger, &users), Expected::GrantedOrPending),
            (&|| claims(&empty, &strangers), Expected::SoldOut),
            (&|| claims(&hot, &users), Expected::Replayed),
            // By now each wallet has two claims.
            (&|| Load::quotes(system.data(), &users), Expected::Priced),
        ];
        for (phase, (load, expected)) in runs.into_iter().enumerate() {
            let before = ruler.cost(CONNECTIONS, REQUESTS).await?;
            let load = load();
            let (gateway, redis) = (system.cpu()?, system.redis_cpu()?);
            let answers = load.run(CONNECTIONS).await?;
            answers
                .expect(expected, REQUESTS)
                .with_context(|| format!("phase {}", phases[phase]))?;
            system.settle().await?;
            let per_request = |cpu: f64| cpu * 1e6 / answers.total as f64;
            let after = ruler.cost(CONNECTIONS, REQUESTS).await?;
            costs[phase].push(Cost {
                gateway: per_request(system.cpu()? - gateway),
                redis: per_request(system.redis_cpu()? - redis),
                ruler: f64::midpoint(before, after),
            });
        }
        report(&format!("round {} of {ROUNDS} done", round + 1));
    }
    print(&phases, &costs);
    Ok(())
}

fn print(phases: &[&str], costs: &[Vec<Cost>]) {
    let mut table = String::from(
        "\nphase            gateway us  redis us  together us  hyper us  gateway/hyper  together/hyper (spread)\n",
    );
    let mut rows = Vec::new();
    for (name, rounds) in phases.iter().zip(costs) {
        let of = |pick: fn(&Cost) -> f64| median(rounds.iter().map(pick).collect());
        let ratio = |cost: &Cost| (cost.gateway + cost.redis) / cost.ruler;
        let ratios: Vec<f64> = rounds.iter().map(ratio).collect();
        let (low, high) = ratios
            .iter()
            .fold((f64::MAX, 0.0_f64), |(low, high), &value| {
                (low.min(value), high.max(value))
            });
        let together = of(|cost| cost.gateway + cost.redis);
        // Writing into a string has no way to fail.
        writeln!(
            table,
            "{name:<16} {:>10.1} {:>9.1} {:>12.1} {:>9.1} {:>14.2} {:>15.2} ({low:.2}-{high:.2})",
            of(|cost| cost.gateway),
            of(|cost| cost.redis),
            together,
            of(|cost| cost.ruler),
            of(|cost| cost.gateway / cost.ruler),
            median(ratios),
        )
        .unwrap_or_default();
        rows.push(json!({
            "phase": name,
            "gateway_us": of(|cost| cost.gateway),
            "redis_us": of(|cost| cost.redis),
            "ruler_us": of(|cost| cost.ruler),
            "ratio_gateway": of(|cost| cost.gateway / cost.ruler),
            "ratio_together": of(|cost| (cost.gateway + cost.redis) / cost.ruler),
        }));
    }
    report(&table);
    report(&json!({"connections": CONNECTIONS, "requests": REQUESTS, "phases": rows}).to_string());
}

fn median(values: Vec<f64>) -> f64 {
    Spread::of(values).map_or(0.0, |spread| spread.median)
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn report(text: &str) {
    println!("{text}");
}
