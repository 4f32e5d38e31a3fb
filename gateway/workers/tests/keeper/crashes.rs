//! A fault at every call: the keeper ends there, another goes on, and everything holds.

use sluice_domain::id::CouponId;
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

/// A fault that is to happen.
#[derive(Debug, Clone, Copy)]
struct Aim {
    /// The part of the history in whose beginning it happens.
    phase: u32,
    at: At,
    /// At which call from there.
    index: u64,
    /// The keeper ends with it.
    dies: bool,
}

impl Aim {
    fn arm(self, world: &World) {
        match self.at {
            At::StoreBefore => world.gate.fail(self.index, false),
            At::StoreAfter => world.gate.fail(self.index, true),
            At::LedgerBefore | At::LedgerAfter => {
                for _call in 0..self.index {
                    world.ledger.fail_next(Fault::Pass);
                }
                world.ledger.fail_next(match self.at {
                    At::LedgerAfter => Fault::LoseAnswer,
                    _ => Fault::Refuse(LedgerError::Unavailable {
                        reason: "gone".to_owned(),
                    }),
                });
            }
        }
    }

    /// Lets the fault happen where its phase begins, by steps only, so that nobody else's calls
    /// are counted; true where it did.
    fn strike(self, world: &mut World, phase: u32) -> bool {
        if phase != self.phase {
            return false;
        }
        self.arm(world);
        let mut met = false;
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
        if self.dies {
            world.crash();
        }
        world.check();
        met
    }
}

/// One history with everything in it: opening, sale, lowering, restock, a loss, grace. False where
/// the fault was not met.
fn history(aim: Aim) -> bool {
    let mut world = World::new();
    let mut met = aim.strike(&mut world, 0);
    world.run(4_000);
    let coupon = world.publish(Some(40), "hot");
    met |= aim.strike(&mut world, 1);
    world.sell(coupon, 0..20);
    met |= aim.strike(&mut world, 2);
    claim_all(&mut world, coupon, 20..25);
    met |= aim.strike(&mut world, 3);
    world.run(200);
    let (reply, _answer) = oneshot::channel();
    world.keeper.lower_total(coupon, 35, reply);
    met |= aim.strike(&mut world, 4);
    world.run(1_000);
    world.raise_total(coupon, 50);
    met |= aim.strike(&mut world, 5);
    claim_all(&mut world, coupon, 30..33);
    world.hot.forget_suffix(2);
    met |= aim.strike(&mut world, 6);
    world.run(2_000);
    met |= aim.strike(&mut world, 7);
    world.sell(coupon, 100..140);
    let grace = world.settings.grace_ms;
    world.run(grace + 4_000);
    met |= aim.strike(&mut world, 8);
    world.sell(coupon, 200..280);
    world.run(1_000);
    assert_eq!(
        world.rows(coupon).len() as u64,
        50,
        "{aim:?}: {:?} {:?}",
        world.status(),
        world.stock(coupon),
    );
    met
}

/// Claims once each, whatever the answer.
fn claim_all(world: &mut World, coupon: CouponId, shoppers: std::ops::Range<u32>) {
    for shopper in shoppers {
        let _granted_or_not = world.claim(coupon, shopper);
    }
}

fn every_call(at: At) {
    let mut met = 0;
    for phase in 0..9 {
        for dies in [false, true] {
            // A fault that the keeper gets over without a pause counts as not met: a few of them
            // in a row are the end.
            let mut missed = 0;
            for index in 0..80 {
                let struck = history(Aim {
                    phase,
                    at,
                    index,
                    dies,
                });
                met += u32::from(struck);
                missed = if struck { 0 } else { missed + 1 };
                if missed == 3 {
                    break;
                }
            }
        }
    }
    assert!(met > 80, "{met}");
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
