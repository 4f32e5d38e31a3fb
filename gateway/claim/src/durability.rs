//! How durable each lane is: the mark that its keeper publishes and that `ledger` claims wait for.

use std::collections::HashSet;
use std::sync::Arc;

use sluice_domain::id::{EntryNumber, Epoch, LaneId};
use sluice_domain::lane::LaneCount;
use tokio::sync::watch;

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
