//! The deterministic simulator: production code on stores in memory, in virtual time, on one thread,
//! with everything going wrong that can; and every invariant checked.
//!
//! # How it works
//!
//! One seed is one world. Two processes run what production runs (the claim engine with its
//! batcher, the keepers of all lanes with recovery and leases, the publisher of the control plane,
//! checkout and its sweeper) on [`ModelHotState`](sluice_hotstate::model::ModelHotState) and
//! [`ModelLedger`]. Between them and the stores is a `Link`: each call passes it, and the dice
//! decide when it arrives, whether once, twice, late or never, whether its answer comes back, and
//! whether the process that asked lives to see it. Beside that a gremlin kills, cuts off, stops and sets
//! back servers and processes. An operator changes coupons, shoppers claim, repeat and look up.
//!
//! Time is tokio's, paused: it stands still while anybody can go on and then jumps to the next timer,
//! so half a minute takes milliseconds. There is one thread and one source of chance, so the same
//! seed gives the same story, step by step; `Report::fingerprint` is that story as a number. What
//! tokio itself leaves to chance is who wakes first of several that wait for one mark: whoever may
//! have waited for one takes turns from there on (`VirtualTime::take_turn`).
//!
//! In the end everything heals, strangers buy what is left, the keepers stop, and history, ledger and
//! hot state are judged. After every write of the ledger, and whenever something leaves the outbox,
//! what can be judged at once is judged at once.
//!
//! Every fourth seed is a [`Scene`]: a world in which one row of faults comes again and again.
//!
//! A [`Mutation`] breaks the system in one place; the checks have to notice.

mod buyer;
mod count;
mod dice;
mod faults;
mod hot_port;
mod ledger_port;
mod link;
mod mutation;
mod operator;
mod process;
mod scene;
mod shopper;
mod story;
mod time;
mod verdict;
mod watch;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::anyhow;
use sluice_domain::invariant::{Check, CheckStatus};
use sluice_domain::lane::LaneCount;
use sluice_ledger::ModelLedger;
use tokio::runtime::Builder;

use self::buyer::Buyer;
pub use self::count::EXPECTED;
use self::dice::Dice;
use self::faults::Gremlin;
use self::link::Net;
pub use self::mutation::Mutation;
use self::operator::Operator;
pub use self::scene::Scene;
use self::shopper::Visitor;
use self::story::Story;
use self::time::{in_turn, pause};
use self::watch::Watch;
use self::world::World;

/// Processes of a world.
const PROCESSES: usize = 2;
/// The number of the shopper who stands for a crowd.
const RUSH: usize = 30;
/// The number of the shopper who stands for strangers that come one after the other.
const STREAM: usize = 31;
/// Requests of one shopper, at most.
const REQUESTS_MAX: u64 = 7;

/// What became of a seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Every check.
    pub checks: Vec<Check>,
    /// The story as a number: the same for the same seed.
    pub fingerprint: u64,
    /// How many steps it has.
    pub steps: u64,
    /// How long it took in virtual time, in milliseconds.
    pub lasted_ms: u64,
    /// What happened how often.
    pub counts: BTreeMap<&'static str, u64>,
    /// The story in words, where that was asked for.
    pub story: Vec<String>,
}

// === impl Report ===

impl Report {
    /// The checks that do not hold.
    #[must_use]
    pub fn violations(&self) -> Vec<&Check> {
        self.checks
            .iter()
            .filter(|check| check.status != CheckStatus::Held)
            .collect()
    }
}

/// Runs one seed. With `in_words` its story is kept.
///
/// # Errors
/// When the simulation itself cannot run. A violated invariant is no error.
pub fn run(seed: u64, mutation: Option<Mutation>, in_words: bool) -> anyhow::Result<Report> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    let report = runtime.block_on(simulate(seed, mutation, in_words));
    // Whatever still waits is of no interest any more.
    runtime.shutdown_background();
    report
}

async fn simulate(seed: u64, mutation: Option<Mutation>, in_words: bool) -> anyhow::Result<Report> {
    let mut dice = Dice::new(seed);
    let lanes = LaneCount::new(if dice.chance(400) { 2 } else { 1 });
    let lanes = lanes.map_err(|count| anyhow!("{count} lanes"))?;
    let ledger = Arc::new(ModelLedger::with_seed(lanes, seed % 16));
    let story = Story::new(in_words);
    let scene = Scene::of(seed);
    let (net, died) = Net::new(scene, dice.fork(), story, ledger, Watch::default());
    net.counts.add(scene.name());
    let world = World::new(Arc::clone(&net), PROCESSES, mutation);
    drop(tokio::spawn(faults::supervise(
        Arc::clone(&world),
        died,
        dice.fork(),
    )));
    for number in 0..PROCESSES {
        world.start(number, &mut dice)?;
    }
    let mut operator = Operator {
        world: Arc::clone(&world),
        dice: dice.fork(),
    };
    let coupons = if scene == Scene::Ordinary {
        dice.between(1, 4)
    } else {
        1
    };
    for _coupon in 0..coupons {
        operator.publish().await?;
    }
    storm(&world, &mut dice).await;
    let rest = verdict::heal(&world, &mut operator).await;
    let checks = verdict::judge(&world, rest).await?;
    let (fingerprint, steps) = net.story.fingerprint();
    for number in 0..PROCESSES {
        world.kill(number);
    }
    Ok(Report {
        seed,
        checks,
        fingerprint,
        steps,
        lasted_ms: net.time.now_ms(),
        counts: net.counts.take(),
        story: net.story.lines(),
    })
}

/// Everybody at work while things go wrong.
async fn storm(world: &Arc<World>, dice: &mut Dice) {
    let scene = world.net.scene;
    world.net.set_weather(scene.weather(dice));
    let is_ordinary = scene == Scene::Ordinary;
    let visitors = if is_ordinary {
        dice.between(6, 14)
    } else {
        dice.between(3, 7)
    };
    for number in 0..visitors {
        let number = usize::try_from(number).unwrap_or(0);
        let requests = u32::try_from(dice.between(2, REQUESTS_MAX)).unwrap_or(1);
        let visitor = Visitor::new(Arc::clone(world), number, dice.fork());
        drop(tokio::spawn(in_turn(
            number as u64,
            visitor.visit(requests),
        )));
    }
    let buyers = if !is_ordinary || dice.chance(400) {
        0
    } else {
        dice.between(2, 6)
    };
    for number in 0..buyers {
        let buyer = Buyer {
            world: Arc::clone(world),
            number,
            dice: dice.fork(),
        };
        drop(tokio::spawn(buyer.buy()));
    }
    if is_ordinary && dice.chance(600) {
        let visitor = Visitor::new(Arc::clone(world), RUSH, dice.fork());
        drop(tokio::spawn(in_turn(RUSH as u64, visitor.rush())));
    }
    if let Some(pauses) = scene.stream_pauses() {
        let visitor = Visitor::new(Arc::clone(world), STREAM, dice.fork());
        let strangers = visitor.stream(pauses);
        drop(tokio::spawn(in_turn(STREAM as u64, strangers)));
    }
    let operator = Operator {
        world: Arc::clone(world),
        dice: dice.fork(),
    };
    drop(tokio::spawn(operator.work()));
    let gremlin = Gremlin {
        world: Arc::clone(world),
        dice: dice.fork(),
    };
    if is_ordinary {
        let often_ms = [700, 1_500, 3_000][dice.index(3)];
        drop(tokio::spawn(gremlin.haunt(often_ms)));
    } else {
        drop(tokio::spawn(gremlin.direct()));
    }
    pause(scene.storm_ms()).await;
}
