//! `bench-scale`: what a claim costs with ten times the users, many live definitions and a long ledger,
//! against a small system in the same run; how long starting takes there, and the recovery of a lane
//! with many winners.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sluice_benches::fill::{Filled, History, fill};
use sluice_benches::flags::Flags;
use sluice_benches::load::{Expected, Load};
use sluice_benches::memory::verdict;
use sluice_benches::statistics::Spread;
use sluice_benches::system::System;

/// Connections of the load generator.
const CONNECTIONS: usize = 64;
/// Users of the large system, as a multiple of those of the small one.
const MORE_USERS: usize = 10;
/// The goal: cost of a claim in the large system over that in the small one.
const GOAL: f64 = 1.1;
/// How long a recovery may take.
const RECOVERY_WAIT: Duration = Duration::from_secs(600);
/// Of both systems: limits off, and waits that neighbours of the machine do not reach, so that CPU is
/// counted and nothing is turned away.
const SETTINGS: [(&str, &str); 6] = [
    ("SLUICE__LIMITS__ENABLED", "false"),
    ("SLUICE__CLAIM__QUEUE_WAIT_MS", "2000"),
    ("SLUICE__CLAIM__CALL_WITHIN_MS", "2000"),
    ("SLUICE__CLAIM__DECIDE_WITHIN_MS", "5000"),
    ("SLUICE__CLAIM__DURABLE_WITHIN_MS", "5000"),
    ("SLUICE__HOTSTATE__RESPONSE_TIMEOUT_MS", "3000"),
];
/// What is measured.
const PHASES: [&str; 3] = ["granted", "replay", "sold out"];

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse(
        std::env::args().skip(1),
        &[
            ("rows", 1_000_000),
            ("winners", 1_000_000),
            ("definitions", 100_000),
            ("users", 5_000),
            ("rounds", 4),
        ],
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(measure(&flags))
}

async fn measure(flags: &Flags) -> anyhow::Result<()> {
    let users = flags.number("users");
    let (large, filled) = large(flags).await?;
    let small = System::start_with(&flags.sluice, &SETTINGS).await?;
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); PHASES.len()];
    for round in 0..flags.number("rounds") {
        // ABBA: who is measured first alternates.
        let (one, ten);
        if round % 2 == 0 {
            one = costs(&small, users, round).await?;
            ten = costs(&large, users * MORE_USERS, round).await?;
        } else {
            ten = costs(&large, users * MORE_USERS, round).await?;
            one = costs(&small, users, round).await?;
        }
        for (phase, (one, ten)) in one.into_iter().zip(ten).enumerate() {
            ratios[phase].push(ten / one);
            report(&format!(
                "round {}: {}: small {one:.1} us, large {ten:.1} us",
                round + 1,
                PHASES[phase]
            ));
        }
    }
    for (phase, ratios) in PHASES.iter().zip(ratios) {
        let spread = Spread::of(ratios).context("no round")?;
        report(&format!(
            "{phase}: {} ({:.2}-{:.2})",
            verdict(spread.median, GOAL),
            spread.low,
            spread.high
        ));
    }
    small.audit()?;
    if let Some(coupon) = &filled.winners_of {
        recover(&large, coupon, flags.number("winners")).await?;
    }
    Ok(())
}

/// The large system, started on a ledger that was filled before.
async fn large(flags: &Flags) -> anyhow::Result<(System, Filled)> {
    let folder = tempfile::tempdir()?;
    let history = History {
        definitions: flags.number("definitions"),
        winners: flags.number("winners"),
        rows: flags.number("rows"),
    };
    let begun = Instant::now();
    let own = std::process::id();
    let cpu = sluice_benches::cpu::seconds(own)?;
    let filled = fill(&folder.path().join("ledger.sqlite"), history).await?;
    let rows = history.winners + history.rows;
    report(&format!(
        "filled in {:.0} s: {} definitions, {rows} rows ({:.1} us of CPU a row, definitions counted)",
        begun.elapsed().as_secs_f64(),
        history.definitions,
        (sluice_benches::cpu::seconds(own)? - cpu) * 1e6 / rows.max(1) as f64
    ));
    let begun = Instant::now();
    let system = System::start_in(&flags.sluice, folder, &SETTINGS)?;
    let listening = begun.elapsed();
    system.wait_ready().await?;
    report(&format!(
        "start: listening after {:.1} s, ready after {:.1} s",
        listening.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    ));
    if let Some(coupon) = &filled.winners_of {
        let pass = system.passes_of("w", 1)?;
        answered(&system, coupon, &pass, begun).await?;
        report(&format!(
            "start: a winner's repeat answered after {:.1} s",
            begun.elapsed().as_secs_f64()
        ));
    }
    Ok((system, filled))
}

/// CPU microseconds of each phase, everything counted.
async fn costs(system: &System, users: usize, round: usize) -> anyhow::Result<Vec<f64>> {
    let passes = system.passes_of(&format!("r{round}"), users)?;
    let coupon = system
        .publish(&format!("r{round}"), users, "ledger")
        .await?;
    let gone = system.publish(&format!("g{round}"), 1, "ledger").await?;
    let sellers = system.passes_of(&format!("s{round}"), 2_000)?;
    system.sell_out(&gone, &sellers).await?;
    let meter = system.meter()?;
    let mut costs = Vec::new();
    for (coupon, expected) in [
        (&coupon, Expected::GrantedOrPending),
        (&coupon, Expected::Replayed),
        (&gone, Expected::SoldOut),
    ] {
        let load = Load::claims(system.data(), coupon, &passes);
        let before = meter.read()?;
        let answers = load.run(CONNECTIONS).await?;
        answers.expect(expected, users)?;
        system.settle().await?;
        let used = meter.read()? - before;
        costs.push(used.total() * 1e6 / users as f64);
    }
    Ok(costs)
}

/// Empties Redis and waits until a winner is answered again.
async fn recover(system: &System, coupon: &str, winners: usize) -> anyhow::Result<()> {
    let pass = system.passes_of("w", 1)?;
    system.redis().await?.call(&[b"FLUSHALL"]).await?;
    let begun = Instant::now();
    answered(system, coupon, &pass, begun).await?;
    report(&format!(
        "recovery of a lane with {winners} winners: {:.1} s until one of them was answered",
        begun.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Waits until the first winner's repeat is answered as such.
async fn answered(
    system: &System,
    coupon: &str,
    pass: &[String],
    begun: Instant,
) -> anyhow::Result<()> {
    loop {
        let claim = Load::claims(system.data(), coupon, pass);
        let answers = claim.run(1).await?;
        if answers.with(200) == 1 {
            return Ok(());
        }
        if answers.with(201) > 0 {
            bail!("void: a winner was granted a second claim");
        }
        if begun.elapsed() > RECOVERY_WAIT {
            bail!("void: no winner was answered within {RECOVERY_WAIT:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the figures are what the program is for"
)]
fn report(text: &str) {
    println!("{text}");
}
