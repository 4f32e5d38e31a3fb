//! Cost per claim with ten times the winners of a coupon and rows of the ledger, against the first
//! ones of the same coupon.

use super::{CONNECTIONS, Round, measured, start};
use crate::goals::figure;
use crate::load::{Expected, Load};
use crate::results::Contender;

/// How many times the first measurement's claims are there before the second one.
const TIMES: usize = 10;

impl Round<'_> {
    pub(super) async fn growth(&mut self) -> anyhow::Result<()> {
        let system = start(self.plan, Contender::Sluice).await?;
        let requests = self.plan.requests;
        let users = (TIMES + 1) * requests;
        let passes = system.passes_of("g", users)?;
        let coupon = system.publish("growth", users, "hot").await?;
        let load = |passes| Load::claims(system.data(), &coupon, passes);
        let meter = system.meter()?;
        for (part, passes) in passes.chunks_exact(requests).enumerate() {
            let granted = Expected::Granted;
            let settle = Some(&system);
            let (_, sample) = measured(&meter, load(passes), CONNECTIONS, granted, settle).await?;
            // The first claims of a coupon and a process are not like the others.
            let name = match part {
                1 => figure::GROWTH[0],
                TIMES => figure::GROWTH[1],
                _between => continue,
            };
            self.results.add_figure(name, sample.cpu.total());
        }
        system.audit()
    }
}
