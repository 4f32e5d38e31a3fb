//! The bus: what processes that share one hot state tell each other, over pub/sub.
//!
//! Words make things quick, never safe: one that is lost costs a wait. A mark that nobody heard is
//! found in Redis at the next reconnect, a coupon that nobody asked for is asked for again, a change
//! that nobody was told of is in force by its script.
//!
//! In a cluster a word is passed on to all nodes, so one connection hears everything. Every process
//! says once a second that it is alive and hears that too: a connection that has gone silent is
//! replaced, whatever its socket says.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use metrics::Counter;
use redis::{Msg, RedisError};
use sluice_claim::port::NotReady;
use sluice_domain::id::{CouponId, EntryNumber, Epoch, LaneId};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::RedisHotState;

/// Where words are said.
const CHANNEL: &str = "sluice:words";
/// Words that wait to be said. More are dropped, and counted.
const WAITING_MAX: usize = 4_096;
/// How often a process says that it is alive.
const ALIVE_EVERY: Duration = Duration::from_secs(1);
/// A connection that heard nothing for so long is replaced.
const SILENT_MAX: Duration = Duration::from_secs(4);
/// The wait before connecting again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// What one process tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// A lane is durable up to here. Whoever knows fewer refusals reads them before answering
    /// anyone.
    Mark {
        /// The lane.
        lane: LaneId,
        /// Its epoch.
        epoch: Epoch,
        /// Every entry up to this one is in the ledger, or refused.
        mark: EntryNumber,
        /// How many claims of this epoch are refused.
        refused: u64,
    },
    /// A coupon has a new revision.
    Changed(CouponId),
    /// Something was granted in a lane: its keeper is to look.
    Granted(LaneId),
    /// A coupon is not in hot state, or needs a lease.
    Wanted(LaneId, CouponId),
    /// A script saw a loss in this epoch.
    Lost(LaneId, Epoch, NotReady),
    /// The keeper of the first lane is to give back what it has of a coupon: the second one's
    /// shard ran dry.
    GiveBack(LaneId, CouponId, LaneId),
    /// A lane's keeper has given it back: whoever watches it may take it at once.
    Free(LaneId),
    /// The control plane of another process asks this of the lane's keeper.
    Ordered(LaneId, Order),
    /// The process is there.
    Alive,
}

/// What a control plane asks of a keeper in another process. Whether it was done is seen in the
/// ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Lower a coupon's total to this.
    Lower(CouponId, u64),
    /// Recover the lane.
    Recover,
    /// End a halt: the ledger is right.
    AcceptLedger,
    /// End the quarantine of a coupon's units.
    Release(CouponId),
}

/// Who hears the words of other processes. Called on the task that reads them: must not wait.
pub trait Listener: Send + Sync + 'static {
    /// Another process said this.
    fn hear(&self, word: Word);
    /// The connection is new: what was said before was not heard.
    fn begin(&self);
}

/// This process's end of the bus. Its tasks end with it.
#[derive(Debug)]
pub struct Bus {
    store: Arc<RedisHotState>,
    tag: u64,
    waiting: mpsc::Sender<Word>,
    dropped: Counter,
    _tasks: JoinSet<()>,
}

// === impl Bus ===

impl Bus {
    /// Joins the bus. Call it inside a tokio runtime.
    #[must_use]
    pub fn join(store: &Arc<RedisHotState>, listener: Arc<dyn Listener>) -> Self {
        let (waiting, words) = mpsc::channel(WAITING_MAX);
        // Tells one's own words from those of others; that is all the randomness this needs.
        let tag = RandomState::new().build_hasher().finish();
        let mut tasks = JoinSet::new();
        tasks.spawn(speak(Arc::clone(store), tag, words));
        tasks.spawn(listen(Arc::clone(store), tag, listener));
        Self {
            store: Arc::clone(store),
            tag,
            waiting,
            dropped: words_dropped(),
            _tasks: tasks,
        }
    }

    /// Says a word to all other processes, some time soon. Never waits.
    pub fn say(&self, word: Word) {
        if self.waiting.try_send(word).is_err() {
            self.dropped.increment(1);
        }
    }

    /// Says a word and returns when it was passed on, or cannot be: for what is said last, by a
    /// process that ends.
    pub async fn say_now(&self, word: Word) {
        publish(&self.store, self.tag, word).await;
    }
}

/// The counter of words that were not said, so that it is shown from the start.
pub fn words_dropped() -> Counter {
    metrics::counter!("sluice_hotstate_words_dropped_total")
}

async fn publish(store: &RedisHotState, tag: u64, word: Word) {
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(CHANNEL).arg(word.encode(tag));
    // A word that could not be said is lost, as if nobody had heard it.
    let _lost = store.keeper_way(word.lane()).send(&publish).await;
}

async fn speak(store: Arc<RedisHotState>, tag: u64, mut words: mpsc::Receiver<Word>) {
    loop {
        let word = match tokio::time::timeout(ALIVE_EVERY, words.recv()).await {
            Ok(Some(word)) => word,
            Ok(None) => return,
            Err(_quiet) => Word::Alive,
        };
        publish(&store, tag, word).await;
    }
}

async fn listen(store: Arc<RedisHotState>, tag: u64, listener: Arc<dyn Listener>) {
    // Another node each time: the one that was asked last may be the one that is gone.
    for turn in 0.. {
        if let Ok(mut stream) = store.subscribe(CHANNEL, turn).await {
            listener.begin();
            while let Ok(Some(message)) = tokio::time::timeout(SILENT_MAX, stream.next()).await {
                let word = Word::decode(message.get_payload_bytes(), tag);
                if let Some(word) = word.filter(|word| *word != Word::Alive) {
                    listener.hear(word);
                }
            }
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

impl RedisHotState {
    /// A connection of its own that hears a channel, to server number `turn` modulo their count.
    async fn subscribe(
        &self,
        channel: &str,
        turn: usize,
    ) -> Result<impl futures_util::Stream<Item = Msg> + Unpin + use<>, RedisError> {
        let view = self.places.view().await;
        let nobody = || RedisError::from(std::io::Error::from(std::io::ErrorKind::NotFound));
        let server = view
            .servers
            .get(turn % view.servers.len().max(1))
            .ok_or_else(nobody)?;
        let connected = async {
            let client = redis::Client::open(server.info.clone())?;
            let mut hearing = client.get_async_pubsub().await?;
            hearing.subscribe(channel).await?;
            Ok(hearing.into_on_message())
        };
        let late = |_elapsed| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
        tokio::time::timeout(self.settings.connect_timeout, connected)
            .await
            .map_err(late)?
    }
}

// === impl Word ===

impl Word {
    /// The lane whose server passes it on.
    const fn lane(self) -> LaneId {
        match self {
            Self::Mark { lane, .. }
            | Self::Granted(lane)
            | Self::Wanted(lane, _)
            | Self::Lost(lane, ..)
            | Self::GiveBack(lane, ..)
            | Self::Free(lane)
            | Self::Ordered(lane, _) => lane,
            Self::Changed(_) | Self::Alive => LaneId(0),
        }
    }

    fn encode(self, tag: u64) -> String {
        match self {
            Self::Mark {
                lane,
                epoch,
                mark,
                refused,
            } => format!("{tag:016x} mark {} {epoch} {mark} {refused}", lane.0),
            Self::Changed(coupon) => format!("{tag:016x} changed {coupon}"),
            Self::Granted(lane) => format!("{tag:016x} granted {}", lane.0),
            Self::Wanted(lane, coupon) => format!("{tag:016x} wanted {} {coupon}", lane.0),
            Self::Lost(lane, epoch, reason) => {
                format!("{tag:016x} lost {} {epoch} {}", lane.0, loss_name(reason))
            }
            Self::GiveBack(lane, coupon, from) => {
                format!("{tag:016x} giveback {} {coupon} {}", lane.0, from.0)
            }
            Self::Free(lane) => format!("{tag:016x} free {}", lane.0),
            Self::Ordered(lane, order) => match order {
                Order::Lower(coupon, target) => {
                    format!("{tag:016x} lower {} {coupon} {target}", lane.0)
                }
                Order::Recover => format!("{tag:016x} recover {}", lane.0),
                Order::AcceptLedger => format!("{tag:016x} accept {}", lane.0),
                Order::Release(coupon) => format!("{tag:016x} release {} {coupon}", lane.0),
            },
            Self::Alive => format!("{tag:016x} alive"),
        }
    }

    /// Reads a word; `None` for one's own and for what this program does not know.
    fn decode(payload: &[u8], own: u64) -> Option<Self> {
        let mut parts = std::str::from_utf8(payload).ok()?.split(' ');
        let tag = u64::from_str_radix(parts.next()?, 16).ok()?;
        let kind = parts.next()?;
        if kind == "alive" {
            return Some(Self::Alive);
        }
        if tag == own {
            return None;
        }
        let mut next = || parts.next();
        if kind == "changed" {
            return Some(Self::Changed(next()?.parse().ok()?));
        }
        // All others name their lane first.
        let lane = LaneId(next()?.parse().ok()?);
        Some(match kind {
            "mark" => Self::Mark {
                lane,
                epoch: Epoch(next()?.parse().ok()?),
                mark: EntryNumber(next()?.parse().ok()?),
                refused: next()?.parse().ok()?,
            },
            "granted" => Self::Granted(lane),
            "wanted" => Self::Wanted(lane, next()?.parse().ok()?),
            "lost" => Self::Lost(lane, Epoch(next()?.parse().ok()?), loss_of(next()?)?),
            "giveback" => {
                Self::GiveBack(lane, next()?.parse().ok()?, LaneId(next()?.parse().ok()?))
            }
            "free" => Self::Free(lane),
            "lower" => {
                let order = Order::Lower(next()?.parse().ok()?, next()?.parse().ok()?);
                Self::Ordered(lane, order)
            }
            "recover" => Self::Ordered(lane, Order::Recover),
            "accept" => Self::Ordered(lane, Order::AcceptLedger),
            "release" => Self::Ordered(lane, Order::Release(next()?.parse().ok()?)),
            _ => return None,
        })
    }
}

/// Reasons that are worth telling: losses, and a lane lease that is over.
const fn loss_name(reason: NotReady) -> &'static str {
    match reason {
        NotReady::Missing => "missing",
        NotReady::ServerChanged => "server_changed",
        NotReady::Loss => "loss",
        NotReady::LeaseOver => "lease_over",
        NotReady::Epoch(_) | NotReady::Recovering | NotReady::Halted => "none",
    }
}

fn loss_of(name: &str) -> Option<NotReady> {
    match name {
        "missing" => Some(NotReady::Missing),
        "server_changed" => Some(NotReady::ServerChanged),
        "loss" => Some(NotReady::Loss),
        "lease_over" => Some(NotReady::LeaseOver),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_heard_as_they_were_said_by_all_but_the_speaker() {
        let coupon = CouponId(0x0102_0304);
        for word in [
            Word::Mark {
                lane: LaneId(7),
                epoch: Epoch(3),
                mark: EntryNumber(900),
                refused: 2,
            },
            Word::Changed(coupon),
            Word::Granted(LaneId(200)),
            Word::Wanted(LaneId(0), coupon),
            Word::Lost(LaneId(1), Epoch(9), NotReady::ServerChanged),
            Word::Lost(LaneId(1), Epoch(9), NotReady::LeaseOver),
            Word::GiveBack(LaneId(3), coupon, LaneId(4)),
            Word::Free(LaneId(5)),
            Word::Ordered(LaneId(2), Order::Lower(coupon, 17)),
            Word::Ordered(LaneId(2), Order::Recover),
            Word::Ordered(LaneId(2), Order::AcceptLedger),
            Word::Ordered(LaneId(2), Order::Release(coupon)),
        ] {
            let said = word.encode(5);
            assert_eq!(Word::decode(said.as_bytes(), 6), Some(word), "{said}");
            assert_eq!(Word::decode(said.as_bytes(), 5), None, "{said}");
        }
        let alive = Word::Alive.encode(5);
        assert_eq!(Word::decode(alive.as_bytes(), 5), Some(Word::Alive));
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        for said in [
            "",
            "x",
            "0000000000000001",
            "0000000000000001 mark 1 2 3",
            "0000000000000001 mark 1 2 3 x",
            "0000000000000001 lost 1 2 none",
            "0000000000000001 later 1",
            "0000000000000001 giveback 1 x 2",
            "0000000000000001 lower 1",
        ] {
            assert_eq!(Word::decode(said.as_bytes(), 6), None, "{said}");
        }
        assert_eq!(Word::decode(&[0xff, 0xfe], 6), None);
    }
}
