//! How durable each lane is: the mark that its keeper publishes and that `ledger` claims wait for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sluice_domain::id::{ClaimId, EntryNumber, Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::port::RefusedClaim;

/// What a keeper says about its lane.
#[derive(Debug, Clone)]
pub struct LaneMark {
    /// The epoch; `None` before the lane was opened by this process, and while it recovers.
    pub epoch: Option<Epoch>,
    /// Every entry up to this one is in the ledger, or set aside and in `refused`.
    pub mark: EntryNumber,
    /// Claims that the mark passed without a row of their own.
    pub refused: Arc<HashSet<RefusedClaim>>,
}

/// The marks of all lanes of this process. Keepers publish, claims wait.
#[derive(Debug)]
pub struct MarkBoard {
    lanes: Vec<watch::Sender<LaneMark>>,
}

impl MarkBoard {
    /// A board on which no lane is open yet.
    #[must_use]
    pub fn new(lanes: LaneCount) -> Self {
        let closed = || LaneMark {
            epoch: None,
            mark: EntryNumber(0),
            refused: Arc::new(HashSet::new()),
        };
        Self {
            lanes: lanes
                .iter()
                .map(|_lane| watch::Sender::new(closed()))
                .collect(),
        }
    }

    /// Publishes what the keeper knows. The caller has made the mark true in the ledger first.
    pub fn publish(&self, lane: LaneId, mark: LaneMark) {
        if let Some(sender) = self.lanes.get(usize::from(lane.0)) {
            sender.send_replace(mark);
        }
    }

    /// As [`publish`](Self::publish), where the mark is newer than what stands there: for marks that
    /// came from another process, and may come late.
    pub fn advance(&self, lane: LaneId, mark: LaneMark) {
        if let Some(sender) = self.lanes.get(usize::from(lane.0)) {
            sender.send_if_modified(|held| {
                let newer = (mark.epoch, mark.mark) > (held.epoch, held.mark);
                if newer {
                    *held = mark;
                }
                newer
            });
        }
    }

    /// Says that the lane serves no epoch (recovery, halt): waiters leave.
    pub fn close(&self, lane: LaneId) {
        if let Some(sender) = self.lanes.get(usize::from(lane.0)) {
            sender.send_modify(|held| held.epoch = None);
        }
    }

    /// Watches a lane; `None` for a lane that does not exist.
    #[must_use]
    pub fn subscribe(&self, lane: LaneId) -> Option<watch::Receiver<LaneMark>> {
        self.lanes
            .get(usize::from(lane.0))
            .map(watch::Sender::subscribe)
    }
}

/// How a wait for the durable mark ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// The mark has passed the entry, and the claim was not refused: it is a row.
    Durable,
    /// The keeper refused the claim of this entry: it is not, and will not become, a row.
    Refused,
    /// The lane left the epoch before the mark came.
    EpochEnded,
    /// The budget is used up.
    TimedOut,
}

/// Waits until the entry of `epoch` that carries the claim is durable, at most for `budget`.
pub async fn wait(
    marks: &MarkBoard,
    lane: LaneId,
    epoch: Epoch,
    entry: EntryNumber,
    claim_id: ClaimId,
    budget: Duration,
) -> Waited {
    let Some(mut lane) = marks.subscribe(lane) else {
        return Waited::EpochEnded;
    };
    let pair = (claim_id, entry);
    let decided = async {
        let mut was_open = false;
        loop {
            let seen = lane.borrow_and_update().judge(epoch, pair, was_open);
            match seen {
                Seen::Wait { open } => was_open |= open,
                Seen::Over(waited) => return waited,
            }
            // The board is gone: nobody will ever publish a mark.
            if lane.changed().await.is_err() {
                return Waited::EpochEnded;
            }
        }
    };
    timeout(budget, decided).await.unwrap_or(Waited::TimedOut)
}

/// One look at the board.
enum Seen {
    Wait { open: bool },
    Over(Waited),
}

impl LaneMark {
    /// Whether the claim of this pair, granted in `epoch`, is a row by now.
    #[must_use]
    pub fn is_durable(&self, epoch: Epoch, pair: RefusedClaim) -> bool {
        matches!(self.judge(epoch, pair, false), Seen::Over(Waited::Durable))
    }

    fn judge(&self, epoch: Epoch, pair: RefusedClaim, was_open: bool) -> Seen {
        match self.epoch {
            Some(held) if held == epoch => {
                // Refusals are published before the mark passes them, in one value with it.
                if self.refused.contains(&pair) {
                    Seen::Over(Waited::Refused)
                } else if self.mark >= pair.1 {
                    Seen::Over(Waited::Durable)
                } else {
                    Seen::Wait { open: true }
                }
            }
            Some(held) if held > epoch => Seen::Over(Waited::EpochEnded),
            // The lane was opened, and the keeper's word of it is still under way.
            Some(_earlier) => Seen::Wait { open: false },
            None if was_open => Seen::Over(Waited::EpochEnded),
            None => Seen::Wait { open: false },
        }
    }
}
