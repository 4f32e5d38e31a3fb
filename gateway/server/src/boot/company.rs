//! The company that a process is in: alone with its ledger, or one of several that share it.

use std::sync::Arc;

use sluice_claim::durability::MarkBoard;
use sluice_claim::port::KeeperRequests;
use sluice_control::port::Gateways;
use sluice_domain::id::LaneId;
use sluice_domain::lane::LaneCount;
use sluice_hotstate::redis::RedisHotState;
use sluice_hotstate::redis::bus;
use sluice_workers::{Grid, KeeperHandle};

use super::ClaimEngine;
use crate::adapter::{AllGateways, OwnGateway};
use crate::config::{Backend, Settings};

/// How this process reaches the lanes' keepers and the other gateways.
#[derive(Clone)]
pub(crate) enum Company {
    /// The only process of its ledger: all keepers are here.
    Alone(KeeperHandle),
    /// One of several.
    Shared {
        /// The others.
        grid: Arc<Grid>,
        /// The keepers of this process, of which some or none have their lane.
        own: Option<KeeperHandle>,
    },
}

/// Where a lane's keeper is.
pub(crate) enum Keeper<'a> {
    /// In this process.
    Here(&'a KeeperHandle),
    /// In another, or nowhere for now.
    Elsewhere(&'a Grid),
}

// === impl Company ===

impl Company {
    /// Joins the others, where the ledger can have any. Call it inside the runtime that claims and
    /// keepers live in.
    pub(crate) fn join(
        settings: &Settings,
        hotstate: &Arc<RedisHotState>,
        marks: &Arc<MarkBoard>,
        own: Option<KeeperHandle>,
        lanes: LaneCount,
    ) -> Self {
        // Shown from the start, also where nothing is ever said.
        bus::words_dropped().increment(0);
        match (settings.ledger_backend(), own) {
            (Backend::Sqlite, Some(own)) => Self::Alone(own),
            (Backend::Sqlite | Backend::Cql, own) => Self::Shared {
                grid: Grid::join(hotstate, marks, own.clone(), lanes),
                own,
            },
        }
    }

    /// What the claim engine and the control plane tell keepers.
    pub(crate) fn requests(&self) -> Arc<dyn KeeperRequests> {
        match self {
            Self::Alone(own) => Arc::new(own.clone()),
            Self::Shared { grid, .. } => Arc::clone(grid) as Arc<dyn KeeperRequests>,
        }
    }

    /// The keepers of this process.
    pub(crate) const fn own(&self) -> Option<&KeeperHandle> {
        match self {
            Self::Alone(own) => Some(own),
            Self::Shared { own, .. } => own.as_ref(),
        }
    }

    /// Where a lane's keeper is.
    pub(crate) fn keeper(&self, lane: LaneId) -> Keeper<'_> {
        match self {
            Self::Alone(own) => Keeper::Here(own),
            Self::Shared { grid, own } => match own {
                Some(own) if own.keeps(lane) => Keeper::Here(own),
                Some(_) | None => Keeper::Elsewhere(grid),
            },
        }
    }

    /// The caches of definitions that a change makes old: this engine's, and those of the others.
    pub(crate) fn gateways(&self, engine: &Arc<ClaimEngine>) -> Arc<dyn Gateways> {
        match self {
            Self::Alone(_) => Arc::new(OwnGateway(Arc::clone(engine))),
            Self::Shared { grid, .. } => Arc::new(AllGateways(Arc::clone(grid))),
        }
    }

    /// Lets the engine of this process hear of changes that others make.
    pub(crate) fn tell_of_changes(&self, engine: &Arc<ClaimEngine>) {
        if let Self::Shared { grid, .. } = self {
            let engine = Arc::clone(engine);
            grid.on_change(Box::new(move |coupon| engine.invalidate(coupon)));
        }
    }

    /// Says good-bye: after the keepers of this process have stopped.
    pub(crate) async fn leave(&self) {
        match self {
            Self::Shared { grid, own: Some(_) } => grid.leave().await,
            Self::Shared { own: None, .. } | Self::Alone(_) => {}
        }
    }
}
