//! What goes on beside requests: key files, forgotten subjects, slices of shared quotas.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use super::Edge;
use crate::claims::Claims;
use crate::limits::slice::{QuotaSource, SliceAsk};

/// The background work of one process, before it is started.
pub(super) struct Background {
    pub(super) quota: Option<Arc<dyn QuotaSource>>,
    pub(super) asks: mpsc::Receiver<SliceAsk>,
}

impl Background {
    /// Starts it. It ends when `draining` does: the tasks hold the edge only while they work.
    pub(super) fn spawn<C: Claims>(self, edge: &Arc<Edge<C>>, draining: watch::Receiver<bool>) {
        if let (Some(limits), Some(quota)) = (edge.limits.clone(), self.quota) {
            let mut ended = draining.clone();
            let asks = self.asks;
            tokio::spawn(async move {
                tokio::select! {
                    () = limits.fetch_slices(quota, asks) => {}
                    _drained = ended.wait_for(|draining| *draining) => {}
                }
            });
        }
        tokio::spawn(keep_house(Arc::clone(edge), draining));
    }
}

async fn keep_house<C: Claims>(edge: Arc<Edge<C>>, mut draining: watch::Receiver<bool>) {
    let mut keys = tokio::time::interval(edge.settings.key_files_interval);
    let mut sweep = tokio::time::interval(edge.settings.limits.sweep_interval);
    keys.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let work = tokio::select! {
            _drained = draining.wait_for(|draining| *draining) => return,
            _tick = keys.tick() => Work::Keys,
            _tick = sweep.tick() => Work::Sweep,
        };
        let edge = Arc::clone(&edge);
        // Both block for a moment (files, locks over many subjects): not on a request's thread.
        let done = tokio::task::spawn_blocking(move || work.run(&edge)).await;
        if let Err(error) = done {
            tracing::error!(%error, "background work of the data plane panicked");
        }
    }
}

#[derive(Clone, Copy)]
enum Work {
    Keys,
    Sweep,
}

impl Work {
    fn run<C: Claims>(self, edge: &Edge<C>) {
        match self {
            Self::Keys => {
                if let Err(error) = edge.identity.reload() {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "a key file is not taken over; old keys stay");
                }
            }
            Self::Sweep => {
                if let Some(limits) = &edge.limits {
                    for (limiter, held) in limits.sweep() {
                        edge.metrics.limiter_keys(limiter, held);
                    }
                }
            }
        }
    }
}
