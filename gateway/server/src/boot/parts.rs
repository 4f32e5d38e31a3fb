//! The parts that planes stand on: hot state, the claim engine, checkout, and what readiness looks at.

use std::sync::Arc;

use sluice_checkout::Checkout;
use sluice_claim::durability::MarkBoard;
use sluice_claim::engine::{Engine, EngineParts};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::LaneId;
use sluice_hotstate::redis::{RedisHotState, RedisSettings};
use sluice_ledger::Ledger;
use sluice_workers::keeper::PhaseName;
use sluice_workers::{KeeperHandle, hold_sweeper, reminders};

use super::ClaimEngine;
use super::company::Company;
use crate::adapter::LedgerReader;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::lane_watch::{Enough, LaneWatch};
use crate::ledger_store::LedgerStore;
use crate::readiness::Readiness;

/// Hot state, as the configuration names it; connects when first used.
pub(super) fn connect_hotstate(
    settings: &Settings,
    ledger: &Arc<dyn Ledger>,
) -> anyhow::Result<Arc<RedisHotState>> {
    let (connect_timeout, response_timeout) = settings.redis_timeouts();
    let engine = settings.engine();
    let redis = RedisSettings {
        cluster: settings.hotstate.cluster,
        connections: settings.hotstate.connections,
        connect_timeout,
        claim_timeout: engine.call_within,
        response_timeout,
        in_flight_max: settings.hotstate.in_flight_max,
        outbox_entries_max: settings.hotstate.outbox_entries_max,
        ..RedisSettings::new(settings.hotstate.redis_urls.clone())
    };
    Ok(RedisHotState::connect(redis, ledger.identity().lanes)?)
}

/// The claim engine: what decides claims in hot state and waits for the ledger.
pub(super) fn start_engine(
    settings: &Settings,
    ledger: &Arc<dyn Ledger>,
    hotstate: &Arc<RedisHotState>,
    marks: Arc<MarkBoard>,
    company: &Company,
    keys: &HashKeys,
) -> anyhow::Result<Arc<ClaimEngine>> {
    let parts = EngineParts {
        store: Arc::clone(hotstate),
        marks,
        reader: Arc::new(LedgerReader(Arc::clone(ledger))),
        keeper: company.requests(),
        keys: keys.clone(),
        lanes: ledger.identity().lanes,
    };
    let engine = Engine::new(parts, settings.engine())?;
    company.tell_of_changes(&engine);
    Ok(engine)
}

/// Checkout, on the ledger alone.
pub(super) fn checkout(settings: &Settings, ledger: &Arc<dyn Ledger>, keys: &HashKeys) -> Checkout {
    let rules = settings.checkout.settings();
    Checkout::new(Arc::clone(ledger), keys.clone(), rules)
}

/// The work that has a clock beside the keepers: the sweeper that frees holds which ran out, and the
/// reminders of claims that expire soon. Several processes may do both: each step is one conditional
/// write.
pub(super) fn start_clockwork(
    settings: &Settings,
    ledger: &Arc<dyn Ledger>,
    checkout: &Checkout,
    keys: &HashKeys,
    clock: SystemClock,
) {
    let reminding = settings.reminders.settings();
    let worker = reminders::Reminders::new(Arc::clone(ledger), keys.clone(), reminding);
    tokio::spawn(reminders::run(worker, Arc::new(clock)));
    tokio::spawn(hold_sweeper::run(
        checkout.clone(),
        Arc::new(clock),
        settings.checkout.sweep_interval(),
    ));
}

/// What must hold for claims to be served.
pub(super) fn watch_readiness(
    readiness: &Readiness,
    settings: &Settings,
    store: &LedgerStore,
    hotstate: &Arc<RedisHotState>,
    company: &Company,
) {
    crate::hotstate_watch::watch(readiness, hotstate);
    let written = store.clone();
    readiness.add(move || {
        written
            .unwritable()
            .map(|why| format!("the ledger cannot be written ({why}): claims of class ledger wait"))
    });
    let enough = Enough::new(settings.hotstate.cluster);
    match company {
        Company::Alone(keepers) => watch_keepers(readiness, keepers.clone(), enough),
        Company::Shared { own, .. } => LaneWatch {
            hotstate: Arc::clone(hotstate),
            lanes: store.ledger().identity().lanes,
            enough,
            gauges: own.is_none(),
        }
        .start(readiness),
    }
}

/// The lanes, as the keepers of the only process say.
fn watch_keepers(readiness: &Readiness, keepers: KeeperHandle, enough: Enough) {
    readiness.add(move || {
        let lanes = keepers.status();
        let away: Vec<(LaneId, String)> = lanes
            .iter()
            .filter(|status| status.phase != PhaseName::Open)
            .map(|status| match &status.halted {
                Some(why) => (status.lane, format!("halted: {why}")),
                None => (status.lane, status.phase.label().to_owned()),
            })
            .collect();
        enough.complaint(lanes.len(), &away)
    });
}
