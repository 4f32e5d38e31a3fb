//! The system, broken in one place: the checks have to notice.
//!
//! Three broken variants of the protocol have no meaning here. "No fence of a coupon before salvage" and
//! "a reservation given back without raising the version" are about a ledger without transactions;
//! their like on these stores is `SalvageUnfenced` (the lane's fence) and `VersionUnchecked`. "An install
//! that does not read the epoch after" changes nothing where the ledger is one line of transactions:
//! a change is written before its epoch is read, and a recovery raises the epoch before it reads
//! definitions, so whatever epoch the install misses has the change from the ledger.

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sluice_hotstate::model::flaw::Flaw as Hot;
use sluice_ledger::model::flaw::Flaw as Ledger;
use sluice_sim::simulation::{Mutation, Scene, run};

/// Ordinary worlds in which a broken system has to be noticed.
const ORDINARY_MAX: usize = 2_000;
/// A scene's worlds are hunted among these seeds, which the whole system is played through as well.
const SEEDS: u64 = 10_000;

/// What is broken and has to be noticed, and in which worlds.
const MUTANTS: &[(Mutation, Scene)] = &[
    (Mutation::Hot(Hot::ReplidUnchecked), Scene::Ordinary),
    (Mutation::Hot(Hot::RoleUnchecked), Scene::Ordinary),
    (Mutation::Hot(Hot::UnsalvagedForgotten), Scene::Ordinary),
    (Mutation::Hot(Hot::SalvageUnfenced), Scene::Ordinary),
    (Mutation::Hot(Hot::LastLeaseIgnored), Scene::Ordinary),
    (Mutation::Hot(Hot::TailForgotten), Scene::Ordinary),
    (Mutation::Hot(Hot::TrimmedBeyondMark), Scene::Ordinary),
    (Mutation::Hot(Hot::CountsBelieved), Scene::Ordinary),
    (Mutation::Hot(Hot::ReplayAfterSoldOut), Scene::Ordinary),
    (Mutation::Hot(Hot::UserLimitIgnored), Scene::Ordinary),
    (Mutation::Hot(Hot::TicketLast), Scene::TornScripts),
    (Mutation::Hot(Hot::TornUnnoticed), Scene::TornScripts),
    (Mutation::Hot(Hot::EntryLast), Scene::TornScripts),
    (Mutation::Hot(Hot::LaneLeaseUnchecked), Scene::OldPrimary),
    (
        Mutation::Hot(Hot::HydratedOverServed),
        Scene::HydrationEchoes,
    ),
    (Mutation::Hot(Hot::OlderRevisionTaken), Scene::Changes),
    (Mutation::Hot(Hot::PauseIgnored), Scene::Changes),
    (Mutation::KeeperNumberIgnored, Scene::Ordinary),
    (
        Mutation::Ledger(Ledger::ClassByDefinition),
        Scene::LostHotClaims,
    ),
    (Mutation::Ledger(Ledger::NoGrace), Scene::LostHotClaims),
    (Mutation::Ledger(Ledger::ClosedTwice), Scene::LostAnswers),
    (Mutation::Ledger(Ledger::VersionUnchecked), Scene::Ordinary),
    (Mutation::Ledger(Ledger::ExpiryUnchecked), Scene::Ordinary),
    (Mutation::Ledger(Ledger::BudgetUnchecked), Scene::Ordinary),
    (Mutation::Ledger(Ledger::PeriodUnchecked), Scene::Ordinary),
    (Mutation::Ledger(Ledger::UsesUnchecked), Scene::Ordinary),
    (Mutation::MarkBeforeAppend, Scene::Ordinary),
    (Mutation::NothingSetAside, Scene::Ordinary),
    (Mutation::DeafToRefusals, Scene::Ordinary),
    (Mutation::RefusedByClaim, Scene::Ordinary),
    (Mutation::OldEpochApplied, Scene::Ordinary),
    (Mutation::SoldOutForEver, Scene::Ordinary),
    (Mutation::EarlyYes, Scene::Ordinary),
    (Mutation::TornAndTwice, Scene::TornScripts),
    (Mutation::SeqUnchecked, Scene::OldLedger),
];

/// How a mutant was noticed; `None` where it was not.
fn hunt(mutation: Mutation, scene: Scene) -> Option<String> {
    let worlds = (0..SEEDS).filter(|seed| Scene::of(*seed) == scene);
    for (played, seed) in (1..=ORDINARY_MAX).zip(worlds) {
        // Code that believes in a rule may well panic where it is broken.
        let Ok(report) = catch_unwind(|| run(seed, Some(mutation), false)) else {
            return Some(format!("{played:>4} of {scene:?} by a panic"));
        };
        let report = report.unwrap();
        if let Some(check) = report.violations().first() {
            let first = check.violations.first();
            return Some(format!(
                "{played:>4} of {scene:?} by invariant {} ({}): {}",
                check.invariant,
                check.name,
                first.map_or("", String::as_str)
            ));
        }
    }
    None
}

#[test]
fn every_mutant_is_caught() {
    let only = std::env::var("SLUICE_SIM_MUTANT").unwrap_or_default();
    let asked = |(mutation, _scene): &&(Mutation, Scene)| format!("{mutation:?}").contains(&only);
    let mutants: Vec<&(Mutation, Scene)> = MUTANTS.iter().filter(asked).collect();
    let next = AtomicUsize::new(0);
    let escaped = Mutex::new(Vec::new());
    let work = || {
        while let Some((mutation, scene)) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = format!("{mutation:?}");
            match hunt(*mutation, *scene) {
                Some(how) => println!("{name:<32} caught after {how:.300}"),
                None => escaped.lock().unwrap().push(name),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _thread in 0..threads {
            scope.spawn(work);
        }
    });
    let escaped = escaped.into_inner().unwrap();
    assert!(
        escaped.is_empty(),
        "not caught in the first {SEEDS} seeds: {escaped:?}"
    );
}
