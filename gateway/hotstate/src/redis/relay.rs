//! Durable marks between processes: the keeper's process tells them, the waiter's hears them.
//!
//! A mark travels with its epoch and the number of refused claims. Whoever knows fewer refusals
//! reads them before the mark is shown to any waiter, so that nobody takes a refused claim for a
//! durable one. Marks only move forward here; a lane that is recovered begins again with its epoch.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sluice_claim::durability::{LaneMark, MarkBoard};
use sluice_domain::id::{EntryNumber, Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::RedisHotState;
use super::bus::{Bus, Word};
use crate::lane_store::{LaneState, LaneStore as _};

/// The wait after hot state did not answer.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Passes marks on, both ways. Its tasks end with it.
#[derive(Debug)]
pub struct MarkRelay {
    heard: Arc<[watch::Sender<News>]>,
    look: Arc<[Notify]>,
    _tasks: JoinSet<()>,
}

/// The last that was heard of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct News {
    epoch: Epoch,
    mark: EntryNumber,
    refused: u64,
}

// === impl MarkRelay ===

impl MarkRelay {
    /// A relay between this board and the bus. Call it inside a tokio runtime.
    #[must_use]
    pub fn start(
        store: &Arc<RedisHotState>,
        board: &Arc<MarkBoard>,
        bus: &Arc<Bus>,
        lanes: LaneCount,
    ) -> Self {
        let heard: Arc<[_]> = lanes.iter().map(|_lane| watch::Sender::default()).collect();
        let look: Arc<[_]> = lanes.iter().map(|_lane| Notify::new()).collect();
        let mut tasks = JoinSet::new();
        for lane in lanes.iter() {
            let index = usize::from(lane.0);
            let news = heard[index].subscribe();
            tasks.spawn(tell(lane, Arc::clone(board), Arc::clone(bus), news.clone()));
            tasks.spawn(show(lane, Arc::clone(store), Arc::clone(board), news));
            tasks.spawn(catch_up(
                lane,
                Arc::clone(store),
                Arc::clone(&heard),
                Arc::clone(&look),
            ));
        }
        Self {
            heard,
            look,
            _tasks: tasks,
        }
    }

    /// Another process says how far a lane is durable.
    pub fn hear(&self, lane: LaneId, epoch: Epoch, mark: EntryNumber, refused: u64) {
        if let Some(heard) = self.heard.get(usize::from(lane.0)) {
            note(
                heard,
                News {
                    epoch,
                    mark,
                    refused,
                },
            );
        }
    }

    /// A word of this lane was missed: it is asked for its mark.
    pub fn look_at(&self, lane: LaneId) {
        if let Some(look) = self.look.get(usize::from(lane.0)) {
            look.notify_one();
        }
    }

    /// Something may have been missed: every lane is asked for its mark.
    pub fn begin(&self) {
        for look in &*self.look {
            look.notify_one();
        }
    }
}

/// Takes news over where they are newer.
fn note(heard: &watch::Sender<News>, news: News) {
    heard.send_if_modified(|held| {
        let newer = news > *held;
        if newer {
            *held = news;
        }
        newer
    });
}

/// Tells the others what the keeper of this process says; not what they said themselves.
async fn tell(lane: LaneId, board: Arc<MarkBoard>, bus: Arc<Bus>, heard: watch::Receiver<News>) {
    let Some(mut marks) = board.subscribe(lane) else {
        return;
    };
    while marks.changed().await.is_ok() {
        let said = {
            let held = marks.borrow_and_update();
            held.epoch.map(|epoch| News {
                epoch,
                mark: held.mark,
                refused: held.refused.len() as u64,
            })
        };
        if let Some(said) = said.filter(|said| *said > *heard.borrow()) {
            bus.say(Word::Mark {
                lane,
                epoch: said.epoch,
                mark: said.mark,
                refused: said.refused,
            });
        }
    }
}

/// Shows the waiters of this process what was heard, once its refusals are known.
async fn show(
    lane: LaneId,
    store: Arc<RedisHotState>,
    board: Arc<MarkBoard>,
    mut heard: watch::Receiver<News>,
) {
    let Some(marks) = board.subscribe(lane) else {
        return;
    };
    while heard.changed().await.is_ok() {
        let news = *heard.borrow_and_update();
        let held = marks.borrow().clone();
        let same_epoch = held.epoch == Some(news.epoch);
        if held.epoch > Some(news.epoch) || (same_epoch && held.mark >= news.mark) {
            continue;
        }
        let known = if same_epoch {
            held.refused
        } else {
            Arc::default()
        };
        let refused = if known.len() as u64 >= news.refused {
            known
        } else {
            let Ok(read) = store.refused(lane, news.epoch).await else {
                // The next mark, or the next look at the lane, brings it up again.
                continue;
            };
            let read: HashSet<_> = read.into_iter().collect();
            if (read.len() as u64) < news.refused {
                continue;
            }
            Arc::new(read)
        };
        board.advance(
            lane,
            LaneMark {
                epoch: Some(news.epoch),
                mark: news.mark,
                refused,
            },
        );
        store.learn_epoch(lane, news.epoch);
    }
}

/// Reads a lane's mark where words may have been missed.
async fn catch_up(
    lane: LaneId,
    store: Arc<RedisHotState>,
    heard: Arc<[watch::Sender<News>]>,
    look: Arc<[Notify]>,
) {
    let index = usize::from(lane.0);
    loop {
        look[index].notified().await;
        loop {
            match store.facts(lane).await {
                Ok(Some(facts)) if facts.same_server && facts.state == LaneState::Open => {
                    store.learn_epoch(lane, facts.epoch);
                    note(
                        &heard[index],
                        News {
                            epoch: facts.epoch,
                            mark: facts.mark.unwrap_or_default(),
                            refused: facts.refused,
                        },
                    );
                    break;
                }
                // Whoever opens the lane says so; until then it is asked again.
                Ok(_) | Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    }
}
