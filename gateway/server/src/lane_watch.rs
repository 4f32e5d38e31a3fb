//! Which lanes serve, as a gateway among several sees it: the keepers may be anywhere, so hot state
//! is asked, again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use sluice_domain::id::LaneId;
use sluice_domain::lane::LaneCount;
use sluice_hotstate::LaneStore as _;
use sluice_hotstate::lane_store::{LaneFacts, LaneState};
use sluice_hotstate::redis::RedisHotState;
use sluice_workers::metrics::LANE_STATE;

use crate::readiness::Readiness;

/// How often the lanes are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How a lane stands for whoever claims.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Open,
    Recovering,
    Halted,
    /// Hot state cannot be asked, is not the one that was opened, or no keeper renews the lane.
    Away(String),
}

/// What is to be watched, and how it is judged.
pub(crate) struct LaneWatch {
    /// Where the lanes are.
    pub(crate) hotstate: Arc<RedisHotState>,
    /// How many.
    pub(crate) lanes: LaneCount,
    /// How many of them have to serve.
    pub(crate) enough: Enough,
    /// Whether to show gauges: keepers of this process show their own.
    pub(crate) gauges: bool,
}

/// How many lanes have to serve: all of them. In a cluster the lanes of a lost primary stop alone:
/// once all were served, one that is left is enough, or a gateway would be taken from all the others.
pub(crate) struct Enough {
    in_parts: bool,
    all_served: AtomicBool,
}

// === impl Enough ===

impl Enough {
    pub(crate) const fn new(in_parts: bool) -> Self {
        Self {
            in_parts,
            all_served: AtomicBool::new(false),
        }
    }

    /// Why not enough of so many lanes serve, if so: those that do not, each with its reason.
    pub(crate) fn complaint(&self, lanes: usize, away: &[(LaneId, String)]) -> Option<String> {
        if away.is_empty() {
            self.all_served.store(true, Ordering::Relaxed);
            return None;
        }
        if self.in_parts && away.len() < lanes && self.all_served.load(Ordering::Relaxed) {
            return None;
        }
        let away: Vec<String> = away
            .iter()
            .map(|(lane, why)| format!("{lane} ({why})"))
            .collect();
        Some(format!("lanes that do not serve: {}", away.join(", ")))
    }
}

// === impl LaneWatch ===

impl LaneWatch {
    /// Adds the lanes to what must be ready, and looks at them until the runtime ends.
    pub(crate) fn start(self, readiness: &Readiness) {
        let found: Arc<Mutex<Vec<(LaneId, Standing)>>> = Arc::default();
        let shown = Arc::clone(&found);
        let Self {
            hotstate,
            lanes,
            enough,
            gauges,
        } = self;
        readiness.add(move || {
            let lanes = shown.lock().unwrap_or_else(PoisonError::into_inner);
            judge(&lanes, &enough)
        });
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(EVERY);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                let now = look(&hotstate, lanes).await;
                if gauges {
                    show(&now);
                }
                *found.lock().unwrap_or_else(PoisonError::into_inner) = now;
            }
        });
    }
}

async fn look(hotstate: &RedisHotState, lanes: LaneCount) -> Vec<(LaneId, Standing)> {
    let each = lanes.iter().map(|lane| async move {
        let standing = match hotstate.facts(lane).await {
            Ok(facts) => standing_of(facts.as_ref()),
            Err(error) => Standing::Away(error.to_string()),
        };
        (lane, standing)
    });
    join_all(each).await
}

/// Why not enough lanes serve, if so.
fn judge(lanes: &[(LaneId, Standing)], enough: &Enough) -> Option<String> {
    if lanes.is_empty() {
        return Some("the lanes have not been looked at yet".to_owned());
    }
    let away: Vec<(LaneId, String)> = lanes
        .iter()
        .filter_map(|(lane, standing)| Some((*lane, standing.complaint()?.to_owned())))
        .collect();
    enough.complaint(lanes.len(), &away)
}

fn standing_of(facts: Option<&LaneFacts>) -> Standing {
    let away = |why: &str| Standing::Away(why.to_owned());
    let Some(facts) = facts else {
        return away("never opened, or its state is missing");
    };
    match facts.state {
        LaneState::Halted => Standing::Halted,
        LaneState::Recovering => Standing::Recovering,
        LaneState::Open if !facts.same_server => away("its server restarted or changed role"),
        LaneState::Open if facts.lease_until <= facts.lane_time => away("no keeper renews it"),
        LaneState::Open => Standing::Open,
    }
}

fn show(lanes: &[(LaneId, Standing)]) {
    for (lane, standing) in lanes {
        for state in ["open", "recovering", "halted", "away"] {
            let is = if standing.label() == state { 1.0 } else { 0.0 };
            metrics::gauge!(LANE_STATE, "lane" => lane.to_string(), "state" => state).set(is);
        }
    }
}

// === impl Standing ===

impl Standing {
    const fn label(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Recovering => "recovering",
            Self::Halted => "halted",
            Self::Away(_) => "away",
        }
    }

    fn complaint(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::Recovering | Self::Halted => Some(self.label()),
            Self::Away(why) => Some(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(standings: &[Standing]) -> Vec<(LaneId, Standing)> {
        (0..).map(LaneId).zip(standings.iter().cloned()).collect()
    }

    #[test]
    fn every_lane_has_to_serve() {
        let all = Enough::new(false);
        assert!(judge(&[], &all).is_some());
        assert_eq!(judge(&lanes(&[Standing::Open, Standing::Open]), &all), None);
        let away = Standing::Away("no keeper renews it".to_owned());
        let said = judge(&lanes(&[Standing::Open, away]), &all).unwrap_or_default();
        assert_eq!(said, "lanes that do not serve: 1 (no keeper renews it)");
    }

    #[test]
    fn in_a_cluster_one_is_enough_once_all_served() {
        let (open, halted) = (Standing::Open, Standing::Halted);
        let one = Enough::new(true);
        let some = lanes(&[open.clone(), halted.clone()]);
        assert!(judge(&some, &one).is_some(), "it has yet to start");
        assert_eq!(judge(&lanes(&[open.clone(), open]), &one), None);
        assert_eq!(judge(&some, &one), None);
        assert!(judge(&lanes(&[halted.clone(), halted]), &one).is_some());
    }
}
