//! Keepers in other processes: what an engine asks of a lane's keeper travels over the bus where
//! this process does not keep the lane, and what others ask of this one's keepers arrives by it.

use std::sync::{Arc, OnceLock};

use sluice_claim::durability::MarkBoard;
use sluice_claim::port::{KeeperRequests, NotReady};
use sluice_domain::id::{CouponId, Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use sluice_hotstate::RedisHotState;
use sluice_hotstate::redis::bus::{Bus, Listener, Word};
use sluice_hotstate::redis::relay::MarkRelay;

use crate::keeper::PhaseName;
use crate::lanes::KeeperHandle;

/// What is done when another process changed a coupon: its cached definition is dropped.
pub type OnChange = Box<dyn Fn(CouponId) + Send + Sync>;

/// This process among others that share the same hot state and ledger.
pub struct Grid {
    shared: Arc<Shared>,
    bus: Arc<Bus>,
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
        Arc::new(Self { shared, bus })
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

    /// Whether a keeper of this process is in charge of the lane.
    fn keeps(&self, lane: LaneId) -> bool {
        let watched = self.shared.own.as_ref().and_then(|own| own.watch(lane));
        watched.is_some_and(|lane| {
            !matches!(
                lane.borrow().phase,
                PhaseName::Watching | PhaseName::Stopped
            )
        })
    }
}

impl KeeperRequests for Grid {
    fn hydrate(&self, lane: LaneId, coupon: CouponId) {
        if let (true, Some(own)) = (self.keeps(lane), &self.shared.own) {
            own.hydrate(lane, coupon);
        } else {
            self.bus.say(Word::Wanted(lane, coupon));
        }
    }

    fn report_loss(&self, lane: LaneId, epoch: Epoch, reason: NotReady) {
        if let (true, Some(own)) = (self.keeps(lane), &self.shared.own) {
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
        if let (true, Some(own)) = (self.keeps(lane), &self.shared.own) {
            own.granted(lane);
        } else {
            self.bus.say(Word::Granted(lane));
        }
    }
}

// === impl Shared ===

impl Shared {
    fn change(&self, coupon: CouponId) {
        if let Some(act) = self.on_change.get() {
            act(coupon);
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
            // A keeper that only watches drops what it is told.
            Word::Granted(lane) => {
                if let Some(own) = &self.own {
                    own.granted(lane);
                }
            }
            Word::Wanted(lane, coupon) => {
                if let Some(own) = &self.own {
                    own.hydrate(lane, coupon);
                }
            }
            Word::Lost(lane, epoch, reason) => {
                if let Some(own) = &self.own {
                    own.report_loss(lane, epoch, reason);
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
