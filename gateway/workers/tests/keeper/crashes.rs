//! A fault at every call: the keeper ends there, another goes on, and everything holds.

use sluice_ledger::LedgerError;
use sluice_ledger::model::Fault;
use sluice_workers::keeper::Next;
use tokio::sync::oneshot;

use crate::world::World;

/// Which store fails, and when.
#[derive(Debug, Clone, Copy)]
enum At {
    StoreBefore,
    StoreAfter,
    LedgerBefore,
    LedgerAfter,
}

/// One history with everything in it: opening, sale, restock, lowering, a loss, grace, a stop.
/// `fault` happens at the `index`-th call counted from `phase`; with `dies` the keeper ends with
/// it. False where the history made fewer calls.
fn history(phase: u32, at: At, index: u64, dies: bool) -> bool {
    let mut world = World::new();
    let mut met = false;
    let mut arm = |world: &mut World, now: u32| {
        if now != phase {
            return;
        }
        match at {
            At::StoreBefore => world.gate.fail(index, false),
            At::StoreAfter => world.gate.fail(index, true),
            At::LedgerBefore | At::LedgerAfter => {
                for _call in 0..index {
                    world.ledger.fail_next(Fault::Pass);
                }
                world.ledger.fail_next(if matches!(at, At::LedgerAfter) {
                    Fault::LoseAnswer
                } else {
                    Fault::Refuse(LedgerError::Unavailable {
                        reason: "gone".to_owned(),
                    })
                });
            }
        }
        // Until the fault was met: steps only, so that nobody else's calls are counted.
        for _step in 0..200 {
            match world.step() {
                Next::Backoff(_) => {
                    met = true;
                    break;
                }
                // At rest: what the keeper does from here on it does over and over.
                Next::After(wait) if wait > 200 => break,
                Next::After(wait) => world.advance(wait),
                Next::Now => {}
                Next::Stopped => break,
            }
        }
        world.gate.disarm();
        world.ledger.clear_faults();
        if dies {
            world.crash();
        }
        world.check();
    };
    arm(&mut world, 0);
    world.run(4_000);
    let coupon = world.publish(Some(40), "hot");
    arm(&mut world, 1);
    world.sell(coupon, 0..20);
    arm(&mut world, 2);
    for shopper in 20..25 {
        let _refused_or_not = world.claim(coupon, shopper);
    }
    arm(&mut world, 3);
    world.run(200);
    let (reply, _answer) = oneshot::channel();
    world.keeper.lower_total(coupon, 35, reply);
    arm(&mut world, 4);
    world.run(1_000);
    let stored = world.coupon(coupon);
    if stored.spec.limits.total != Some(50) {
        world.raise_total(coupon, 50);
    }
    arm(&mut world, 5);
    for shopper in 30..33 {
        let _refused_or_not = world.claim(coupon, shopper);
    }
    world.hot.forget_suffix(2);
    arm(&mut world, 6);
    world.run(2_000);
    arm(&mut world, 7);
    world.sell(coupon, 100..140);
    let grace = world.settings.grace_ms;
    world.run(grace + 4_000);
    arm(&mut world, 8);
    world.sell(coupon, 200..280);
    world.run(1_000);
    let total = world.stock(coupon).total.unwrap();
    assert_eq!(
        world.rows(coupon).len() as u64 + world.quarantined(coupon),
        total,
        "phase {phase}, {at:?}, call {index}, dies {dies}: {:?} {:?}",
        world.status(),
        world.stock(coupon),
    );
    met
}

fn every_call(at: At) {
    let mut histories = 0;
    for phase in 0..9 {
        for dies in [false, true] {
            for index in 0..60 {
                histories += 1;
                if !history(phase, at, index, dies) {
                    break;
                }
            }
        }
    }
    assert!(histories > 100, "{histories}");
}

#[test]
fn a_fault_before_any_call_of_hot_state() {
    every_call(At::StoreBefore);
}

#[test]
fn a_lost_answer_of_any_call_of_hot_state() {
    every_call(At::StoreAfter);
}

#[test]
fn a_fault_before_any_call_of_the_ledger() {
    every_call(At::LedgerBefore);
}

#[test]
fn a_lost_answer_of_any_call_of_the_ledger() {
    every_call(At::LedgerAfter);
}
