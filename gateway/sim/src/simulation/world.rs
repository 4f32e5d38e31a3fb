//! The world of one seed: servers, processes, what is sold, and the history.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluice_domain::hash::HashKeys;
use sluice_domain::id::{ClaimId, CouponId, UserId};
use sluice_domain::terms::MinorUnits;
use sluice_domain::time::Timestamp;
use sluice_hotstate::model::{ModelClock, ModelHotState};
use sluice_ledger::lanes::Lanes as _;

use super::dice::Dice;
use super::link::Net;
use super::mutation::Mutation;
use super::process::Process;
use super::story::WORLD;
use crate::storm::Sale;
use crate::tally::Tally;

/// Ids of servers are so far apart that none is ever given twice.
const REPLIDS_APART: u64 = 100_000;

/// A coupon that is sold.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) coupon: CouponId,
    pub(super) per_user: u16,
    pub(super) per_device: Option<u16>,
    pub(super) uses_per_claim: u32,
    pub(super) uses_per_user: Option<u32>,
    pub(super) budget: Option<MinorUnits>,
    /// Never of class `hot`, and never will be.
    pub(super) always_ledger: bool,
}

// === impl Offer ===

impl Offer {
    /// As the checks of the checkout know it.
    pub(super) const fn as_sale(&self) -> Sale {
        Sale {
            coupon: self.coupon,
            total: 0,
            per_user: self.per_user,
            per_device: self.per_device,
            per_address: None,
            uses_per_claim: self.uses_per_claim,
            uses_per_user: self.uses_per_user,
            budget: self.budget,
        }
    }
}

/// A claim that a look-up said is nowhere.
#[derive(Debug, Clone)]
pub(super) struct Gone {
    pub(super) claim_id: ClaimId,
    pub(super) user: UserId,
    pub(super) key: String,
    pub(super) asked_at: Timestamp,
}

/// The world.
pub(super) struct World {
    pub(super) net: Arc<Net>,
    pub(super) keys: HashKeys,
    pub(super) mutation: Option<Mutation>,
    pub(super) tally: Tally,
    pub(super) offers: Mutex<Vec<Offer>>,
    pub(super) gone: Mutex<Vec<Gone>>,
    /// Acknowledged claims, which may be used at the checkout.
    pub(super) won: Mutex<Vec<(ClaimId, UserId)>>,
    /// What the checkout called corrupt.
    pub(super) corrupt: Mutex<Vec<String>>,
    /// When the ledger was set back, if it was.
    pub(super) set_back_at: Mutex<Option<Timestamp>>,
    /// From when to when a process was served by an old primary.
    pub(super) split: Mutex<Vec<(Timestamp, Timestamp)>>,
    /// Processes that end are not started again.
    pub(super) no_restarts: AtomicBool,
    /// Nothing goes wrong any more, and nobody begins anything.
    calm: AtomicBool,
    server: Mutex<ModelHotState>,
    processes: Mutex<Vec<Option<Arc<Process>>>>,
    replids: AtomicU64,
}

// === impl World ===

impl World {
    pub(super) fn new(net: Arc<Net>, processes: usize, mutation: Option<Mutation>) -> Arc<Self> {
        let lanes = net.ledger_lanes();
        let server = ModelHotState::new(lanes, ModelClock::new(net.time.now()));
        server.set_flaw(mutation.and_then(Mutation::hot_flaw));
        net.ledger
            .set_flaw(mutation.and_then(Mutation::ledger_flaw));
        let keys = HashKeys::derive(&net.ledger.identity().hash_key);
        Arc::new(Self {
            net,
            keys,
            mutation,
            tally: Tally::default(),
            offers: Mutex::default(),
            gone: Mutex::default(),
            won: Mutex::default(),
            corrupt: Mutex::default(),
            set_back_at: Mutex::default(),
            split: Mutex::default(),
            no_restarts: AtomicBool::new(false),
            calm: AtomicBool::new(false),
            server: Mutex::new(server),
            processes: Mutex::new(vec![None; processes]),
            replids: AtomicU64::new(REPLIDS_APART),
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        self.net.time.now()
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub(super) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// The primary.
    pub(super) fn server(&self) -> ModelHotState {
        locked(&self.server).clone()
    }

    pub(super) fn set_server(&self, server: ModelHotState) {
        *locked(&self.server) = server;
    }

    /// An id that no server has had.
    pub(super) fn next_replid(&self) -> u64 {
        self.replids.fetch_add(REPLIDS_APART, Ordering::Relaxed)
    }

    pub(super) fn process_count(&self) -> usize {
        locked(&self.processes).len()
    }

    pub(super) fn process(&self, number: usize) -> Option<Arc<Process>> {
        locked(&self.processes).get(number)?.clone()
    }

    /// Those that are alive.
    pub(super) fn alive(&self) -> Vec<Arc<Process>> {
        locked(&self.processes).iter().flatten().cloned().collect()
    }

    /// Starts the process of this number, unless it runs. What others know of marks it is told.
    ///
    /// # Errors
    /// When its settings contradict each other.
    pub(super) fn start(self: &Arc<Self>, number: usize, dice: &mut Dice) -> anyhow::Result<()> {
        if self.process(number).is_some() {
            return Ok(());
        }
        let process = Process::start(self, number, dice)?;
        for other in self.alive() {
            for lane in self.net.ledger_lanes().iter() {
                if let Some(mark) = other.mark(lane).filter(|mark| mark.epoch.is_some()) {
                    process.hear(lane, mark);
                }
            }
        }
        self.tell("starts", number as u64, || format!("process {number}"));
        locked(&self.processes)[number] = Some(process);
        Ok(())
    }

    /// Ends a process at once.
    pub(super) fn kill(&self, number: usize) {
        let process = locked(&self.processes)
            .get_mut(number)
            .and_then(Option::take);
        if let Some(process) = process {
            process.kill();
        }
    }

    pub(super) fn offers(&self) -> Vec<Offer> {
        locked(&self.offers).clone()
    }

    /// Records a loss of hot state, as of now.
    pub(super) fn lose(&self) {
        self.tally.loss(self.now());
    }

    pub(super) fn tell(&self, what: &str, end: u64, words: impl FnOnce() -> String) {
        let at = self.net.time.now_ms();
        self.net.story.step(at, WORLD, what, end, words);
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
