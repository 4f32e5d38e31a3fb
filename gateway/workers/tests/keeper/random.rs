//! Random histories: claims, changes, crashes and faults in any order, checked at every step.

use sluice_domain::id::CouponId;
use sluice_domain::lease::LeaseState;
use sluice_ledger::LedgerError;
use sluice_ledger::model::Fault;
use sluice_workers::keeper::Next;
use tokio::sync::oneshot;

use crate::dice::Dice;
use crate::world::World;

fn event(world: &mut World, dice: &mut Dice, coupons: &[CouponId]) {
    let coupon = coupons[usize::try_from(dice.roll(coupons.len() as u64)).unwrap()];
    match dice.roll(100) {
        0..45 => {
            let shopper = u32::try_from(dice.roll(40)).unwrap();
            let _refused_or_not = world.claim(coupon, shopper);
        }
        45..75 => match world.step() {
            Next::After(wait) | Next::Backoff(wait) => world.advance(wait.min(100)),
            Next::Now | Next::Stopped => {}
        },
        75..80 => world.advance(dice.roll(400)),
        80..83 => world.crash(),
        83..87 => {
            let (index, after) = (dice.roll(6), dice.roll(2) == 0);
            world.gate.fail(index, after);
        }
        87..91 => {
            let fault = match dice.roll(3) {
                0 => Fault::LoseAnswer,
                1 => Fault::Refuse(LedgerError::Unavailable {
                    reason: "gone".to_owned(),
                }),
                _ => Fault::Refuse(LedgerError::Full {
                    reason: "full".to_owned(),
                }),
            };
            world.ledger.fail_next(fault);
            world.step();
            world.ledger.clear_faults();
        }
        91..93 => {
            let lost = usize::try_from(dice.roll(8)).unwrap();
            world.hot.forget_suffix(lost);
        }
        93 => world.hot.flush_all(),
        94 => world.hot.restart_empty(),
        95 => world.advance(6_000),
        96 => {
            let total = 5 + dice.roll(40);
            let held = world.stock(coupon).total.unwrap();
            if total > held && world.stock(coupon).target.is_none() {
                world.raise_total(coupon, total);
            }
        }
        97 => {
            let target = 1 + dice.roll(30);
            if world
                .stock(coupon)
                .total
                .is_some_and(|total| target < total)
            {
                let (reply, _answer) = oneshot::channel();
                world.keeper.lower_total(coupon, target, reply);
            }
        }
        98 => {
            world.keeper.recover_now();
        }
        _ => {
            let grace = world.settings.grace_ms;
            world.run(grace / 4);
        }
    }
    world.check();
}

fn history(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::new();
    world.run(100);
    let coupons = [
        world.publish(Some(10 + dice.roll(30)), "ledger"),
        world.publish(Some(10 + dice.roll(30)), "hot"),
    ];
    let rush = dice.roll(2) == 0;
    if rush {
        world.begin_rush(seed);
    }
    for _event in 0..120 {
        event(&mut world, &mut dice, &coupons);
    }
    // Quiet: no more faults, grace passes, demand exceeds stock.
    world.end_rush();
    world.gate.disarm();
    world.ledger.clear_faults();
    let grace = world.settings.grace_ms;
    world.run(grace + 4_000);
    for coupon in coupons {
        world.sell(coupon, 1_000..1_060);
        world.run(300);
        let total = world.stock(coupon).total.unwrap();
        assert_eq!(
            world.rows(coupon).len() as u64,
            total,
            "6: sold exactly the total: {:?} {:?} {:#?}",
            world.status(),
            world.stock(coupon),
            world.leases(coupon)
        );
        let blocked = world
            .leases(coupon)
            .iter()
            .any(|lease| lease.state == LeaseState::Quarantined);
        assert!(!blocked);
    }
}

#[test]
fn random_histories_keep_every_invariant() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds: Vec<u64> = match number("SLUICE_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SLUICE_SEEDS").unwrap_or(2_000)).collect(),
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| history(seed));
        assert!(outcome.is_ok(), "failed with SLUICE_SEED={seed}");
    }
}
