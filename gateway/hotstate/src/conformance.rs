//! One suite for every implementation of hot state.
//!
//! - [`scenarios`]: a story per rule of the protocol, each on a fresh lane
//! - [`history`]: random histories, run on two implementations side by side; every answer and the
//!   whole state must be the same
//!
//! An implementation takes part through a [`Harness`]. The server's clock is in the suite's hands,
//! so instants are compared as they are: nothing is rounded, nothing is waited for.

pub mod history;
#[expect(
    clippy::unwrap_used,
    reason = "stories are tests: they end where an answer is missing"
)]
pub mod scenarios;

mod fixture;
mod op;
mod snapshot;
mod step;

use std::future::Future;

use sluice_claim::port::ClaimStore;
use sluice_domain::id::{Epoch, LaneId};
use sluice_domain::time::Timestamp;

use crate::lane_store::LaneStore;
use crate::model::fault::ModelKey;
use crate::model::{ModelClock, ModelHotState};

/// The lane of every story.
pub const LANE: LaneId = fixture::LANE;

/// Outbox entries at which every implementation under test refuses to grant.
pub const OUTBOX_CAP: usize = 4;

/// An implementation under test, with its server in the test's hands.
pub trait Harness: Send + Sync {
    /// The implementation.
    type Store: ClaimStore + LaneStore;

    /// The implementation, connected to the server.
    fn store(&self) -> &Self::Store;

    /// Sets the server's clock, which stands still until it is set again.
    fn set_now(&self, now: Timestamp);

    /// Does something to the server.
    fn fault(&self, fault: Fault) -> impl Future<Output = ()> + Send;
}

/// What can be done to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// All data goes; the server stays the same.
    Flush,
    /// The primary steps down and up again: all data stays, the id changes.
    StepDownAndUp,
    /// One key of an epoch goes.
    Lose {
        /// The lane.
        lane: LaneId,
        /// The epoch it is of.
        epoch: Epoch,
        /// Which.
        key: ModelKey,
    },
}

/// The model under test.
#[derive(Debug)]
pub struct ModelHarness {
    model: ModelHotState,
}

// === impl ModelHarness ===

impl ModelHarness {
    /// A fresh model whose clock shows `now`.
    ///
    /// # Panics
    /// Never: 16 is a count of lanes.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let model = ModelHotState::new(fixture::lanes(), ModelClock::new(now));
        model.set_outbox_cap(OUTBOX_CAP);
        Self { model }
    }
}

impl Harness for ModelHarness {
    type Store = ModelHotState;

    fn store(&self) -> &ModelHotState {
        &self.model
    }

    fn set_now(&self, now: Timestamp) {
        self.model.clock().set(now);
    }

    async fn fault(&self, fault: Fault) {
        match fault {
            Fault::Flush => self.model.flush_all(),
            Fault::StepDownAndUp => {
                self.model.step_down_and_up(0);
            }
            Fault::Lose { lane, epoch, key } => self.model.lose_key(lane, epoch, key),
        }
    }
}
