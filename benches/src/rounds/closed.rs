//! The phases of a sale under a closed loop: CPU per request.

use anyhow::Context;

use super::{CONNECTIONS, Round, measured};
use crate::goals::figure;
use crate::load::{Expected, Load};
use crate::peers::Peers;
use crate::results::{Contender, Phase};

/// Requests of each user above the limit, which lets 20 of them pass, and 5 a second.
const LIMITED_REQUESTS: usize = 1_000;
/// Users who make a coupon sold out.
const EARLY_USERS: usize = 1_000;

/// What the phases of one round share: who claims, and where.
struct Sale {
    users: Vec<String>,
    fresh: Vec<String>,
    hot: String,
    ledger: String,
    gone: String,
    mix: String,
    /// The claims of `hot`, as each gateway gave them out, by contender.
    won: Vec<(Contender, Vec<u64>)>,
}

/// Whether one worker or two serve more claims per CPU-second; the answer, and a line about it.
pub(super) async fn best_workers(requests: usize, say: fn(&str)) -> anyhow::Result<usize> {
    // Made up, but of a pass's form: a peer cuts the user out and checks nothing.
    let passes: Vec<String> = (0..requests)
        .map(|user| format!("sp_{:016}{user:012}{:032}", 0, 0))
        .collect();
    let mut best = (f64::MAX, 1);
    let mut words = Vec::new();
    for workers in [1, 2] {
        let nginx = Peers::start_nginx(workers).await?;
        let mut cost = f64::MAX;
        for turn in ["first", "second"] {
            nginx.publish(turn, requests).await?;
            let load = Load::claims(nginx.address(), turn, &passes);
            let meter = nginx.meter()?;
            let (_, sample) = measured(&meter, load, CONNECTIONS, Expected::Granted, None).await?;
            cost = cost.min(sample.cpu.total());
        }
        words.push(format!("{workers}: {cost:.1} us a claim"));
        if cost < best.0 {
            best = (cost, workers);
        }
    }
    say(&format!(
        "nginx workers, {}; taking {}",
        words.join(", "),
        best.1
    ));
    Ok(best.1)
}

impl Round<'_> {
    pub(super) async fn closed_phases(&mut self, say: fn(&str)) -> anyhow::Result<()> {
        use Contender::{Nginx, Pool, Sluice};
        let plan = self.plan;
        let mut sale = self.open_sale().await?;
        for phase in plan.phases.iter().copied() {
            let who = match phase {
                Phase::FirstSight | Phase::Ledger | Phase::Quote => vec![Sluice],
                Phase::Hot | Phase::SoldOut => vec![Sluice, Nginx, Pool],
                Phase::Replay | Phase::Denied | Phase::Mixed => vec![Sluice, Nginx],
                Phase::Batch | Phase::Low | Phase::Overload | Phase::Growth => continue,
            };
            let before = self.rule(CONNECTIONS).await?;
            for who in self.turns(who) {
                self.one(&mut sale, phase, who)
                    .await
                    .with_context(|| format!("phase {}, {}", phase.name(), who.name()))?;
            }
            let after = self.rule(CONNECTIONS).await?;
            self.results.add_ruler(phase, f64::midpoint(before, after));
            say(&format!("  {} done", phase.name()));
        }
        self.audit_peers(&sale).await
    }

    /// Publishes the coupons everywhere, and sells one out.
    async fn open_sale(&self) -> anyhow::Result<Sale> {
        let requests = self.plan.requests;
        let sluice = &self.sluice;
        let sale = Sale {
            users: sluice.passes(requests)?,
            fresh: sluice.passes_of("m", requests / 10)?,
            hot: sluice.publish("hot", requests, "hot").await?,
            ledger: sluice.publish("ledger", requests, "ledger").await?,
            gone: sluice.publish("gone", 1, "hot").await?,
            mix: sluice.publish("mix", requests, "hot").await?,
            won: Vec::new(),
        };
        let early = sluice.passes_of("e", EARLY_USERS)?;
        sluice.sell_out(&sale.gone, &early).await?;
        for (coupon, total) in [
            (&sale.hot, requests),
            (&sale.gone, 0),
            (&sale.mix, requests),
        ] {
            self.peers.nginx.publish(coupon, total).await?;
            self.peers.pool.publish(coupon, total).await?;
        }
        Ok(sale)
    }

    /// One contender's turn in one phase.
    async fn one(&mut self, sale: &mut Sale, phase: Phase, who: Contender) -> anyhow::Result<()> {
        let (address, meter, own) = match who {
            Contender::Nginx => (self.peers.nginx.address(), self.peers.nginx.meter()?, None),
            Contender::Pool => (self.peers.pool.address(), self.peers.pool.meter()?, None),
            Contender::Sluice | Contender::Single => {
                (self.sluice.data(), self.sluice.meter()?, Some(&self.sluice))
            }
        };
        let claims = |coupon: &str, passes: &[String]| Load::claims(address, coupon, passes);
        let requests = sale.users.len();
        let (load, expected) = match phase {
            Phase::Hot => (claims(&sale.hot, &sale.users), Expected::Granted),
            Phase::Ledger => (
                claims(&sale.ledger, &sale.users),
                Expected::GrantedOrPending,
            ),
            Phase::Replay => (claims(&sale.hot, &sale.users), Expected::Replayed),
            Phase::Quote => (Load::quotes(address, &sale.users), Expected::Priced),
            Phase::Denied => {
                let few = (requests / LIMITED_REQUESTS).max(1);
                let few = sale.users.iter().take(few).cycle();
                let passes: Vec<String> = few.take(requests).cloned().collect();
                (claims(&sale.gone, &passes), Expected::Limited)
            }
            Phase::Mixed => {
                let grants = (claims(&sale.mix, &sale.fresh), 1);
                let repeats = (claims(&sale.hot, &sale.users), 2);
                let refusals = (claims(&sale.gone, &sale.users), 7);
                let mixed = Load::mixed(address, &[grants, repeats, refusals]);
                (mixed, Expected::Mixed)
            }
            _sold_out => (claims(&sale.gone, &sale.users), Expected::SoldOut),
        };
        let calls = self.sluice.script_calls().await?;
        let (answers, sample) = measured(&meter, load, CONNECTIONS, expected, own).await?;
        if phase == Phase::SoldOut && who == Contender::Sluice {
            let calls = self.sluice.script_calls().await? - calls;
            let each = calls as f64 / requests as f64;
            self.results.add_figure(figure::CALLS, each);
        }
        if phase == Phase::Hot {
            sale.won.push((who, answers.claim_ids));
        } else if phase == Phase::Replay {
            let won = sale.won.iter().find(|(other, _)| *other == who);
            answers.same_claims(&won.context("no claims to repeat")?.1)?;
        }
        self.results.add(phase, who, sample);
        Ok(())
    }

    /// What the peers granted is what they were asked for.
    async fn audit_peers(&self, sale: &Sale) -> anyhow::Result<()> {
        let requests = self.plan.requests;
        let done = |phase: Phase| self.plan.phases.contains(&phase);
        let hot = if done(Phase::Hot) { requests } else { 0 };
        let mixed = if done(Phase::Mixed) {
            sale.fresh.len()
        } else {
            0
        };
        let peers = &self.peers;
        for (coupon, total, granted) in [(&sale.hot, requests, hot), (&sale.gone, 0, 0)] {
            peers.nginx.audit(coupon, total, granted).await?;
            peers.pool.audit(coupon, total, granted).await?;
        }
        peers.nginx.audit(&sale.mix, requests, mixed).await
    }
}
