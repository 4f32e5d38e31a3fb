//! One round of a storm, from an empty folder to a verdict.

pub(crate) mod checkout;
mod configuration;
mod last_money;
mod offer;
mod setup;
mod verdict;

pub use checkout::Bought;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sluice_domain::id::CouponId;
use sluice_domain::invariant::Check;
use sluice_domain::invariant::history::{Answer, History};
use sluice_domain::terms::MinorUnits;

use crate::buyer::{Wallets, buy, fill_wallets};
use crate::fault::{self, Fault};
use crate::http::Connection;
use crate::operator::{Fate, operate, settle};
use crate::shopper::{Passes, Wanted, shop};
use crate::tally::Tally;

use setup::Stage;

/// How long a client waits for an answer before the outcome counts as unknown.
pub(crate) const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);

/// Which processes a round has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `sluice serve`, and a Redis of its own that lives on when the server is killed.
    Serve,
    /// `sluice dev`, whose Redis is its child.
    Dev,
    /// Two of `sluice serve` on a ledger of three CQL nodes and a Redis Cluster of three masters, each with
    /// a replica; the first coupon has shards.
    Distributed,
}

// === impl Mode ===

impl Mode {
    /// What may be broken in it.
    #[must_use]
    pub const fn faults(self) -> &'static [Fault] {
        match self {
            Self::Serve | Self::Dev => &Fault::ONE_MACHINE,
            Self::Distributed => &Fault::DISTRIBUTED,
        }
    }

    /// How long anything that follows the storm may take: quarantined units come back after their
    /// grace, which is longer where several machines have to agree.
    const fn patience(self) -> Duration {
        match self {
            Self::Serve | Self::Dev => Duration::from_secs(90),
            Self::Distributed => Duration::from_secs(180),
        }
    }
}

/// How a round is played.
#[derive(Debug, Clone)]
pub struct Round {
    /// Which processes there are.
    pub mode: Mode,
    /// Chooses everything that is chosen at random.
    pub seed: u64,
    /// The `sluice` binary.
    pub binary: PathBuf,
    /// How long shoppers, operator and faults go on.
    pub length: Duration,
    /// Shoppers at once.
    pub shoppers: usize,
    /// Buyers at once, who use claims on orders.
    pub buyers: usize,
    /// Users they claim for.
    pub users: usize,
}

/// What a round ended in.
#[derive(Debug)]
pub struct Outcome {
    /// The seed, to play it again.
    pub seed: u64,
    /// Which processes there were.
    pub mode: Mode,
    /// Claim requests.
    pub attempts: usize,
    /// Distinct claims acknowledged.
    pub acknowledged: usize,
    /// Claims in the ledger.
    pub rows: usize,
    /// Claim requests that a limit per device, or per address, refused.
    pub limited: [usize; 2],
    /// What buyers did.
    pub bought: Bought,
    /// Requests at the checkout.
    pub checkouts: usize,
    /// Coupons that were ended by the operator.
    pub ended: usize,
    /// Changes by the operator that were answered 200.
    pub changes: usize,
    /// Faults inflicted.
    pub faults: BTreeMap<Fault, u32>,
    /// Longest time from a fault until every lane served again.
    pub slowest_recovery: Duration,
    /// Every check, the audit's included.
    pub checks: Vec<Check>,
}

/// A coupon of the storm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sale {
    pub(crate) coupon: CouponId,
    /// Units of it at first.
    pub(crate) total: u64,
    pub(crate) per_user: u16,
    pub(crate) per_device: Option<u16>,
    pub(crate) per_address: Option<u16>,
    pub(crate) uses_per_claim: u32,
    /// Uses by one user on one day.
    pub(crate) uses_per_user: Option<u32>,
    /// All discounts together.
    pub(crate) budget: Option<MinorUnits>,
}

/// Plays a round.
///
/// # Errors
/// When the round could not be played to its end: a process did not start, or the system did not
/// come back by itself. A violated invariant is no error: it stands in the outcome.
pub async fn play(round: &Round) -> anyhow::Result<Outcome> {
    let mut stage = Stage::set(round).await?;
    let tally = Arc::new(Tally::default());
    let sales = stage.open_sales(&tally).await?;
    let passes = Arc::new(stage.passes(round.users)?);
    let stop = Arc::new(AtomicBool::new(false));

    let people = People::gather(&stage, &sales, &passes, &tally, &stop).await?;
    let shoppers = people.send(round, &stage)?;
    drop(people);
    let totals: Arc<[(CouponId, u64)]> =
        sales.iter().map(|sale| (sale.coupon, sale.total)).collect();
    let operator = tokio::spawn(operate(
        round.seed ^ 0x0be2,
        stage.admin()?,
        totals,
        Arc::clone(&tally),
        Arc::clone(&stop),
    ));
    let samples = tokio::spawn(setup::sample_lanes(
        stage.admin()?,
        Arc::clone(&tally),
        Arc::clone(&stop),
    ));

    let (faults, slowest_recovery) = inflict_faults(round, &mut stage, &tally).await?;

    stop.store(true, Ordering::Relaxed);
    for shopper in shoppers {
        shopper.await?;
    }
    operator.await?;
    samples.await?;
    stage.heal().await?;
    let mut fates = settle_all(&stage, &sales, &tally).await?;
    let last = last_money::rush_for_it(&stage, &passes, &tally).await?;
    fates.push((last, Fate::Live));
    verdict::sell_out(&stage, round.mode, &fates, &passes, &tally).await?;
    let (history, checkouts) = Arc::try_unwrap(tally)
        .map_err(|_shared| anyhow::anyhow!("the history is still being written"))?
        .into_history();
    let judged = verdict::judge(&mut stage, &fates, &passes, &history, &checkouts).await?;
    Ok(Outcome {
        seed: round.seed,
        mode: round.mode,
        attempts: history.attempts.len(),
        acknowledged: judged.acknowledged,
        rows: judged.rows,
        limited: ["device_limit_reached", "ip_limit_reached"].map(|code| refused(&history, code)),
        bought: judged.bought,
        checkouts: checkouts.len(),
        ended: fates
            .iter()
            .filter(|(_, fate)| *fate == Fate::Ended)
            .count(),
        changes: history
            .operator_calls
            .iter()
            .filter(|call| call.revision.is_some())
            .count(),
        faults,
        slowest_recovery,
        checks: judged.checks,
    })
}

/// Resumes what is not ended.
async fn settle_all(
    stage: &Stage,
    sales: &[Sale],
    tally: &Tally,
) -> anyhow::Result<Vec<(Sale, Fate)>> {
    let mut admin = stage.admin()?;
    let mut fates = Vec::new();
    for sale in sales {
        let fate = settle(&mut admin, sale.coupon, tally).await;
        let fate = fate
            .with_context(|| format!("coupon {} cannot be resumed after the storm", sale.coupon))?;
        fates.push((*sale, fate));
    }
    Ok(fates)
}

/// Claim requests refused with a code.
fn refused(history: &History, code: &str) -> usize {
    let answers = history.attempts.iter().map(|attempt| &attempt.answer);
    answers
        .filter(|answer| matches!(answer, Answer::Refused(with) if with == code))
        .count()
}

/// Everybody who claims, and everybody who buys.
struct People {
    wanted: Arc<[Wanted]>,
    wallets: Arc<Wallets>,
    passes: Arc<Passes>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
}

impl People {
    /// Fills the wallets of those who are bought for.
    async fn gather(
        stage: &Stage,
        sales: &[Sale],
        passes: &Arc<Passes>,
        tally: &Arc<Tally>,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let wanted: Arc<[Wanted]> = sales.iter().map(Sale::wanted).collect();
        let mut connection = Connection::new(stage.data(0)?, CLIENT_TIMEOUT);
        let wallets = fill_wallets(&mut connection, passes, &wanted, tally).await?;
        Ok(Self {
            wanted,
            wallets: Arc::new(wallets),
            passes: Arc::clone(passes),
            tally: Arc::clone(tally),
            stop: Arc::clone(stop),
        })
    }

    fn send(
        &self,
        round: &Round,
        stage: &Stage,
    ) -> anyhow::Result<Vec<tokio::task::JoinHandle<()>>> {
        let seed = |number: usize| {
            let whole = round.seed.wrapping_mul(1_000_003);
            whole.wrapping_add(number as u64)
        };
        let data = (0..stage.servers.len())
            .map(|server| stage.data(server))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let to = |number: usize| Connection::new(data[number % data.len()], CLIENT_TIMEOUT);
        let shoppers = (0..round.shoppers).map(|number| {
            tokio::spawn(shop(
                seed(number),
                to(number),
                Arc::clone(&self.passes),
                Arc::clone(&self.wanted),
                Arc::clone(&self.tally),
                Arc::clone(&self.stop),
            ))
        });
        let buyers = (0..round.buyers).map(|number| {
            tokio::spawn(buy(
                seed(round.shoppers + number),
                number,
                to(number),
                Arc::clone(&self.passes),
                Arc::clone(&self.wallets),
                Arc::clone(&self.tally),
                Arc::clone(&self.stop),
            ))
        });
        Ok(shoppers.chain(buyers).collect())
    }
}

impl Sale {
    fn wanted(&self) -> Wanted {
        Wanted {
            coupon: self.coupon,
            per_user: self.per_user,
        }
    }
}

async fn inflict_faults(
    round: &Round,
    stage: &mut Stage,
    tally: &Tally,
) -> anyhow::Result<(BTreeMap<Fault, u32>, Duration)> {
    let mut random = SmallRng::seed_from_u64(round.seed);
    let mut inflicted: BTreeMap<Fault, u32> = BTreeMap::new();
    let mut slowest = Duration::ZERO;
    let end = Instant::now() + round.length;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(random.random_range(150..700))).await;
        let faults = round.mode.faults();
        let fault = faults[random.random_range(0..faults.len())];
        let begun = Instant::now();
        let done = fault::inflict(fault, &mut random, stage.system(), tally);
        if done.await? {
            *inflicted.entry(fault).or_default() += 1;
        }
        // Half of the time the next fault comes before the lanes serve again.
        if random.random_bool(0.5) {
            stage.wait_until_ready().await?;
            slowest = slowest.max(begun.elapsed());
        }
    }
    Ok((inflicted, slowest))
}
