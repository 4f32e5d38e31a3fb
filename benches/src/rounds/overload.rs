//! Three times what can be served: how much is still accepted, and how soon.
//!
//! Where there are two cores or more, the generator has the last one to itself, and the gateway and
//! its Redis share the others, at the peak as well. Else the load would take from the servers the
//! very CPU that it asks for.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::{LIMITS, MANY_CONNECTIONS, Round, measured};
use crate::goals::figure;
use crate::load::open::{Outcome, Pace};
use crate::load::{Expected, Load};
use crate::system::System;

/// Connections of the open load: with all of them waiting for answers, nothing more is sent.
const CONNECTIONS: usize = 1_000;
/// How long each load takes, in seconds.
const SECONDS: f64 = 3.0;
/// Shares of the peak that are offered.
const SHARES: [f64; 2] = [0.7, 3.0];
/// How late the generator may be, in milliseconds, in one of a hundred cases.
const LAG_MS_MAX: f64 = 5.0;
/// How often the load below the peak may be repeated because the generator was late.
const TRIES: usize = 3;

impl Round<'_> {
    pub(super) async fn overload(&mut self, say: fn(&str)) -> anyhow::Result<()> {
        // With its own patience: shedding is what this phase is about.
        let system = System::start_with(&self.plan.binary, &LIMITS).await?;
        let cores = std::thread::available_parallelism()?.get();
        let apart = cores > 1;
        if apart {
            pin(system.pid(), &format!("0-{}", cores - 2))?;
            pin(system.redis_pid()?, &format!("0-{}", cores - 2))?;
            pin(std::process::id(), &(cores - 1).to_string())?;
        }
        let done = self.loads(&system, say).await;
        if apart {
            pin(std::process::id(), &format!("0-{}", cores - 1))?;
        }
        done?;
        system.settle().await?;
        system.audit()
    }

    async fn loads(&mut self, system: &System, say: fn(&str)) -> anyhow::Result<()> {
        let requests = 2 * self.plan.requests;
        let coupon = system.publish("peak", requests, "hot").await?;
        let passes = system.passes_of("p", requests)?;
        let load = Load::claims(system.data(), &coupon, &passes);
        let meter = system.meter()?;
        let (_, sample) = measured(
            &meter,
            load,
            MANY_CONNECTIONS,
            Expected::Granted,
            Some(system),
        )
        .await?;
        let peak = sample.per_second;
        self.results.add_figure(figure::PEAK, peak);
        for (share, name) in SHARES.into_iter().zip(figure::P99) {
            let outcome = offered(system, share, peak).await?;
            let p99 = outcome.accepted.value_at_quantile(0.99) as f64 / 1e3;
            say(&format!(
                "  overload: {:.0}/s offered is {share} of the peak: {:.0}/s accepted, p99 {p99:.1} ms, \
                 {:?}, {} not sent; generator {:.2} cores, late by {:.2} ms (p99)",
                share * peak,
                outcome.accepted_rate(),
                outcome.by_status,
                outcome.unsent,
                outcome.busy_cores,
                outcome.lag.value_at_quantile(0.99) as f64 / 1e3,
            ));
            self.results.add_figure(name, p99);
            if share > 1.0 {
                let due = outcome.due as f64;
                self.results
                    .add_figure(figure::ACCEPTED, outcome.accepted_rate());
                let shed = outcome.shed.len() as f64 / due;
                self.results.add_figure(figure::SHED[0], shed);
                self.results
                    .add_figure(figure::SHED[1], outcome.unsent as f64 / due);
            }
        }
        Ok(())
    }
}

/// Offers a share of the peak. Below it everything has to be sent and granted.
async fn offered(system: &System, share: f64, peak: f64) -> anyhow::Result<Outcome> {
    let rate = share * peak;
    let pace = Pace {
        per_second: rate,
        connections: CONNECTIONS,
        seed: 1,
    };
    let requests = pace.requests(SECONDS);
    let mut late = None;
    for attempt in 0..TRIES {
        let name = format!("{}{attempt}", if share > 1.0 { "above" } else { "below" });
        let coupon = system.publish(&name, requests, "hot").await?;
        let passes = system.passes_of(&name, requests)?;
        let load = Load::claims(system.data(), &coupon, &passes);
        let outcome = load.open(pace).await?;
        let shed_too = [201, 202, 429, 503];
        if outcome
            .by_status
            .keys()
            .any(|status| !shed_too.contains(status))
        {
            bail!("void: {:?}", outcome.by_status);
        }
        match outcome.judge_generator(LAG_MS_MAX) {
            Ok(()) if share > 1.0 || outcome.unsent == 0 && outcome.shed.is_empty() => {
                return Ok(outcome);
            }
            Ok(()) => {
                late = Some(anyhow::anyhow!(
                    "void: below the peak {} were not sent, {:?}",
                    outcome.unsent,
                    outcome.by_status
                ));
            }
            Err(error) => late = Some(error),
        }
    }
    Err(late.unwrap_or_else(|| anyhow::anyhow!("nothing was tried")))
}

/// Keeps all threads of a process, and those that they start, on some cores.
fn pin(pid: u32, cores: &str) -> anyhow::Result<()> {
    let mut command = Command::new("taskset");
    let command = command.args(["-a", "-p", "-c", cores, &pid.to_string()]);
    let status = command
        .stdout(Stdio::null())
        .status()
        .context("cannot run taskset")?;
    if !status.success() {
        bail!("taskset could not keep {pid} on {cores}");
    }
    Ok(())
}
