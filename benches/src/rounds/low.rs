//! Grants over many connections, and latency at 5 % of what was reached there, each beside a
//! gateway with batches of one.

use super::{MANY_CONNECTIONS, Round, measured, start};
use crate::goals::figure;
use crate::load::open::{Outcome, Pace};
use crate::load::{Expected, Load};
use crate::results::{Contender, Phase};
use crate::system::System;
use anyhow::{Context, bail};
use hdrhistogram::Histogram;

/// Share of the peak.
const SHARE: f64 = 0.05;
/// How long one turn of low load takes, in seconds.
const SECONDS: f64 = 4.0;
/// Connections of low load.
const CONNECTIONS: usize = 64;
/// How late the generator may be, in milliseconds, in one of a hundred cases.
const LAG_MS_MAX: f64 = 1.0;
/// How often a turn may be repeated because the generator was late.
const TRIES: usize = 4;

impl Round<'_> {
    /// Both phases; the second only where `low` says so.
    pub(super) async fn batch(&mut self, low: bool) -> anyhow::Result<()> {
        let sluice = start(self.plan, Contender::Sluice).await?;
        let single = start(self.plan, Contender::Single).await?;
        let before = self.rule(MANY_CONNECTIONS).await?;
        let mut peak = 0.0;
        for who in self.turns(vec![Contender::Sluice, Contender::Single]) {
            let system = if who == Contender::Sluice {
                &sluice
            } else {
                &single
            };
            let per_second = self.many(system, who).await.context(who.name())?;
            if who == Contender::Sluice {
                peak = per_second;
            }
        }
        let after = self.rule(MANY_CONNECTIONS).await?;
        self.results
            .add_ruler(Phase::Batch, f64::midpoint(before, after));
        if low {
            self.low(&sluice, &single, SHARE * peak).await?;
        }
        for system in [sluice, single] {
            system.settle().await?;
            system.audit()?;
        }
        Ok(())
    }

    /// Grants in two halves, so that the second one begins when the ledger's writer is at work.
    async fn many(&mut self, system: &System, who: Contender) -> anyhow::Result<f64> {
        let requests = self.plan.requests;
        let coupon = system.publish("many", requests, "hot").await?;
        let passes = system.passes_of("b", requests)?;
        let (first, second) = passes.split_at(requests / 2);
        let load = |passes| Load::claims(system.data(), &coupon, passes);
        let meter = system.meter()?;
        let granted = Expected::Granted;
        let (_, one) = measured(&meter, load(first), MANY_CONNECTIONS, granted, None).await?;
        let rows = system.rows_written().await?;
        let (answers, mut two) =
            measured(&meter, load(second), MANY_CONNECTIONS, granted, None).await?;
        let rows = system.rows_written().await? - rows;
        system.settle().await?;
        if who == Contender::Sluice {
            let drained = rows / answers.total as f64;
            self.results.add_figure(figure::DRAINED, drained);
        }
        two.cpu = (one.cpu + two.cpu).scaled(0.5);
        self.results.add(Phase::Batch, who, two);
        Ok(two.per_second)
    }

    async fn low(&mut self, sluice: &System, single: &System, rate: f64) -> anyhow::Result<()> {
        let mut own: Option<Histogram<u64>> = None;
        let mut other: Option<Histogram<u64>> = None;
        // ABBA within the round, because latencies are the neighbours' as well.
        for (turn, is_own) in [true, false, false, true].into_iter().enumerate() {
            let system = if is_own { sluice } else { single };
            let outcome = quiet(system, turn, rate).await?;
            let into = if is_own { &mut own } else { &mut other };
            match into {
                Some(all) => all.add(&outcome.accepted)?,
                None => *into = Some(outcome.accepted),
            }
        }
        for (histogram, names) in [(own, &figure::LOW[..2]), (other, &figure::LOW[2..])] {
            for (name, quantile) in names.iter().zip([0.5, 0.99]) {
                let latency = histogram
                    .as_ref()
                    .map(|all| all.value_at_quantile(quantile));
                self.results
                    .add_figure(name, latency.unwrap_or(0) as f64 / 1e3);
            }
        }
        Ok(())
    }
}

/// One turn of low load; once more where the generator was late.
async fn quiet(system: &System, turn: usize, rate: f64) -> anyhow::Result<Outcome> {
    let pace = Pace {
        per_second: rate,
        connections: CONNECTIONS,
        seed: turn as u64 + 1,
    };
    let requests = pace.requests(SECONDS);
    let mut late = None;
    for attempt in 0..TRIES {
        let name = format!("l{turn}{attempt}");
        let coupon = system.publish(&name, requests, "hot").await?;
        let passes = system.passes_of(&name, requests)?;
        let load = Load::claims(system.data(), &coupon, &passes);
        let outcome = load.open(pace).await?;
        if outcome.unsent > 0 || outcome.by_status.keys().any(|status| *status != 201) {
            bail!("void: {} not sent, {:?}", outcome.unsent, outcome.by_status);
        }
        match outcome.judge_generator(LAG_MS_MAX) {
            Ok(()) => return Ok(outcome),
            Err(error) => late = Some(error),
        }
    }
    Err(late.unwrap_or_else(|| anyhow::anyhow!("nothing was tried")))
}
