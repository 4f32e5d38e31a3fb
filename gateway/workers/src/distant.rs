//! Keepers in other processes.
//!
//! What an engine asks of a lane's keeper travels over the bus where this process does not keep the
//! lane, and what others ask of this one's keepers arrives by it. So do words between keepers of one
//! coupon's lanes, and what a control plane orders.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sluice_claim::durability::MarkBoard;
use sluice_claim::port::{KeeperRequests, NotReady};
use sluice_domain::id::{CouponId, Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use sluice_hotstate::RedisHotState;
use sluice_hotstate::redis::bus::{Bus, Listener, Order, Word};
use sluice_hotstate::redis::relay::MarkRelay;
use tokio::task::JoinSet;

use crate::keeper::{PhaseName, ShardNote, ShardWord};
use crate::lanes::KeeperHandle;

/// How long a process that ends waits for its last words to be passed on.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(1);

/// What is done when another process changed a coupon: its cached definition is dropped.
pub type OnChange = Box<dyn Fn(CouponId) + Send + Sync>;

/// This process among others that share the same hot state and ledger.
pub struct Grid {
    shared: Arc<Shared>,
    bus: Arc<Bus>,
    /// One for each lane: says that it is free when its keeper has given it back.
    last_words: Mutex<JoinSet<()>>,
}

/// What arriving words are given to.
struct Shared {
    /// The keepers of this process; a process without the workers' role has none.
    own: Option<KeeperHandle>,
    relay: OnceLock<MarkRelay>,
    on_change: OnceLock<OnChange>,
}

// === impl Grid ===

impl Grid {
    /// Joins the others: marks on `board` travel both ways from here on. Call it inside a tokio
    /// runtime; it ends when it is dropped.
    #[must_use]
    pub fn join(
        store: &Arc<RedisHotState>,
        board: &Arc<MarkBoard>,
        own: Option<KeeperHandle>,
        lanes: LaneCount,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared {
            own,
            relay: OnceLock::new(),
            on_change: OnceLock::new(),
        });
        let listener = Arc::clone(&shared) as Arc<dyn Listener>;
        let bus = Arc::new(Bus::join(store, listener));
        let relay = MarkRelay::start(store, board, &bus, lanes);
        // What was said before the relay was there is read from the lanes.
        relay.begin();
        // It is set once, here.
        let _first = shared.relay.set(relay);
        let mut last_words = JoinSet::new();
        if let Some(own) = &shared.own {
            let post = Arc::clone(&bus);
            own.send_elsewhere(Box::new(move |note| post.say(word_of(note))));
            for lane in lanes.iter() {
                last_words.spawn(say_when_free(own.clone(), lane, Arc::clone(&bus)));
            }
        }
        Arc::new(Self {
            shared,
            bus,
            last_words: Mutex::new(last_words),
        })
    }

    /// After the keepers of this process have stopped: waits, a moment at most, until the others
    /// were told which lanes are free.
    pub async fn leave(&self) {
        let mut words = {
            let mut held = self
                .last_words
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *held)
        };
        let said = async { while words.join_next().await.is_some() {} };
        if tokio::time::timeout(LAST_WORDS_WAIT, said).await.is_err() {
            tracing::warn!("the others were not told of every lane; they find out by themselves");
        }
    }

    /// Gives an order to the keeper of a lane, wherever it is. Nobody answers: what came of it is
    /// seen in the ledger, and an order that was lost is given again.
    pub fn order(&self, lane: LaneId, order: Order) {
        match self.shared.keeper_of(lane) {
            Some(own) => own.begin(lane, order),
            None => self.bus.say(Word::Ordered(lane, order)),
        }
    }

    /// What to do when another process changed a coupon; set once, before the first claim.
    pub fn on_change(&self, act: OnChange) {
        if self.shared.on_change.set(act).is_err() {
            tracing::error!("a second listener for changed coupons was refused");
        }
    }

    /// Tells all processes, this one too, that a coupon has a new revision.
    pub fn changed(&self, coupon: CouponId) {
        self.shared.change(coupon);
        self.bus.say(Word::Changed(coupon));
    }
}

impl KeeperRequests for Grid {
    fn hydrate(&self, lane: LaneId, coupon: CouponId) {
        if let Some(own) = self.shared.keeper_of(lane) {
            own.hydrate(lane, coupon);
        } else {
            self.bus.say(Word::Wanted(lane, coupon));
        }
    }

    fn report_loss(&self, lane: LaneId, epoch: Epoch, reason: NotReady) {
        if let Some(own) = self.shared.keeper_of(lane) {
            own.report_loss(lane, epoch, reason);
        } else if matches!(reason, NotReady::Epoch(_)) || epoch == Epoch(0) {
            // The lane moved on, and the word of it was missed.
            if let Some(relay) = self.shared.relay.get() {
                relay.look_at(lane);
            }
        } else {
            self.bus.say(Word::Lost(lane, epoch, reason));
        }
    }

    fn granted(&self, lane: LaneId) {
        if let Some(own) = self.shared.keeper_of(lane) {
            own.granted(lane);
        } else {
            self.bus.say(Word::Granted(lane));
        }
    }
}

/// A note between keepers, as the bus carries it.
fn word_of(note: ShardNote) -> Word {
    match note.word {
        ShardWord::GiveBack { from } => Word::GiveBack(note.to, note.coupon, from),
        ShardWord::Look => Word::Wanted(note.to, note.coupon),
    }
}

async fn say_when_free(own: KeeperHandle, lane: LaneId, bus: Arc<Bus>) {
    let Some(mut status) = own.watch(lane) else {
        return;
    };
    let stopped = status.wait_for(|status| status.phase == PhaseName::Stopped);
    if stopped.await.is_ok() {
        bus.say_now(Word::Free(lane)).await;
    }
}

// === impl Shared ===

impl Shared {
    fn change(&self, coupon: CouponId) {
        if let Some(act) = self.on_change.get() {
            act(coupon);
        }
    }

    /// This process's keepers, where one of them is in charge of the lane.
    fn keeper_of(&self, lane: LaneId) -> Option<&KeeperHandle> {
        self.own.as_ref().filter(|own| own.keeps(lane))
    }

    /// Words to a lane's keeper are heard by the process that has it; keepers that only watch are
    /// not woken by them, since each time they would ask the ledger for the lane.
    fn tell_keeper(&self, lane: LaneId, tell: impl FnOnce(&KeeperHandle)) {
        if let Some(own) = self.keeper_of(lane) {
            tell(own);
        }
    }
}

impl Listener for Shared {
    fn hear(&self, word: Word) {
        match word {
            Word::Mark {
                lane,
                epoch,
                mark,
                refused,
            } => {
                if let Some(relay) = self.relay.get() {
                    relay.hear(lane, epoch, mark, refused);
                }
            }
            Word::Changed(coupon) => self.change(coupon),
            Word::Granted(lane) => self.tell_keeper(lane, |own| own.granted(lane)),
            Word::Wanted(lane, coupon) => {
                self.tell_keeper(lane, |own| own.hydrate(lane, coupon));
            }
            Word::Lost(lane, epoch, reason) => {
                self.tell_keeper(lane, |own| own.report_loss(lane, epoch, reason));
            }
            Word::GiveBack(to, coupon, from) => self.tell_keeper(to, |own| {
                own.hear(ShardNote {
                    to,
                    coupon,
                    word: ShardWord::GiveBack { from },
                });
            }),
            Word::Ordered(lane, order) => self.tell_keeper(lane, |own| own.begin(lane, order)),
            Word::Free(lane) => {
                // Whoever watches it looks at once.
                if let Some(own) = &self.own {
                    own.nudge(lane);
                }
            }
            Word::Alive => {}
        }
    }

    fn begin(&self) {
        if let Some(relay) = self.relay.get() {
            relay.begin();
        }
    }
}
