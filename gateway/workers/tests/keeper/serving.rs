//! A lane that nothing happens to.

use std::sync::atomic::Ordering;

use sluice_claim::port::{ClaimAnswer, StoreError};
use sluice_domain::change;
use sluice_domain::id::Epoch;
use sluice_hotstate::model::fault::ModelOp;
use sluice_ledger::leases::Leases as _;
use sluice_workers::keeper::{LowerOutcome, Next, PhaseName};
use tokio::sync::oneshot;

use crate::world::{World, now};

#[test]
fn a_new_lane_opens_in_epoch_one() {
    let mut world = World::new();
    world.open();
    assert_eq!(world.row().epoch, Epoch(1));
    assert_eq!(world.row().opened, Epoch(1));
}

#[test]
fn every_unit_is_sold_and_not_one_more() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(100), "ledger");
    assert_eq!(world.sell(coupon, 0..150), 100);
    world.run(200);
    assert_eq!(world.rows(coupon).len(), 100);
    assert!(matches!(
        world.claim(coupon, 999),
        Ok(ClaimAnswer::SoldOut(_))
    ));
    assert!(world.told[&coupon].iter().all(|told| told.acknowledged));
}

#[test]
fn an_unlimited_coupon_goes_on() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(None, "ledger");
    assert_eq!(world.sell(coupon, 0..300), 300);
}

#[test]
fn a_restock_after_final_is_leased() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(5), "ledger");
    assert_eq!(world.sell(coupon, 0..10), 5);
    world.raise_total(coupon, 9);
    world.run(2_000);
    assert_eq!(world.sell(coupon, 20..40), 4);
}

#[test]
fn a_paused_coupon_gets_no_leases() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(100), "ledger");
    world.change(coupon, |held, now| change::pause(held, now).unwrap());
    world.run(3_000);
    assert!(world.leases(coupon).is_empty());
    world.change(coupon, |held, now| change::resume(held, now).unwrap());
    assert_eq!(world.sell(coupon, 0..3), 3);
}

#[test]
fn a_total_is_lowered_to_what_was_granted_and_not_below() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(100), "ledger");
    assert_eq!(world.sell(coupon, 0..30), 30);
    assert_eq!(lower(&mut world, coupon, 20), None);
    let outcome = lower(&mut world, coupon, 40);
    assert_eq!(outcome, Some(40));
    assert_eq!(world.coupon(coupon).spec.limits.total, Some(40));
    assert_eq!(world.sell(coupon, 100..200), 10);
    assert_eq!(world.rows(coupon).len(), 40);
}

/// The new total, or `None` where too much is taken.
fn lower(world: &mut World, coupon: sluice_domain::id::CouponId, target: u64) -> Option<u64> {
    let (reply, mut answer) = oneshot::channel();
    world.keeper.lower_total(coupon, target, reply);
    world.run(300);
    match answer.try_recv().unwrap() {
        LowerOutcome::Lowered(stock) => stock.total,
        LowerOutcome::TooMuch { stock, granted, .. } => {
            assert!(granted > target, "{stock:?}");
            None
        }
        LowerOutcome::Busy => panic!("busy"),
    }
}

#[test]
fn a_lowering_is_resumed_by_the_next_keeper() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(100), "ledger");
    assert_eq!(world.sell(coupon, 0..10), 10);
    // As a keeper leaves it that ends right after it wrote the target.
    now(world.ledger.set_target(coupon, Some(50))).unwrap();
    world.crash();
    world.run(3_000);
    assert_eq!(world.stock(coupon).total, Some(50));
    assert_eq!(world.stock(coupon).target, None);
    assert_eq!(world.sell(coupon, 100..300), 40);
}

#[test]
fn a_graceful_stop_leaves_nothing_leased() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(1_000), "hot");
    assert_eq!(world.sell(coupon, 0..30), 30);
    world.keeper.stop();
    while world.step() != Next::Stopped {}
    assert_eq!(
        world.stock(coupon).leased - world.stock(coupon).returned,
        30
    );
    world.crash();
    world.hot.restart_keeping();
    world.run(500);
    assert_eq!(world.status().phase, PhaseName::Open);
    assert_eq!(world.quarantined(coupon), 0);
    assert_eq!(world.sell(coupon, 100..130), 30);
}

#[test]
fn an_ended_coupon_leaves_hot_state_after_retention() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(100), "ledger");
    assert_eq!(world.sell(coupon, 0..10), 10);
    world.change(coupon, |held, now| change::end(held, now).unwrap());
    world.run(30_000);
    assert!(matches!(
        world.claim(coupon, 3),
        Ok(ClaimAnswer::Replayed(_))
    ));
    world.run(45_000);
    let figures = now(sluice_hotstate::LaneStore::figures(
        &world.hot,
        crate::world::LANE,
        coupon,
    ));
    assert_eq!(figures.unwrap(), None);
    let stock = world.stock(coupon);
    assert_eq!(stock.leased - stock.returned, 10);
    world.hot.restart_keeping();
    world.run(2_000);
    assert_eq!(world.status().phase, PhaseName::Open);
}

/// "Sold out" is said for good only when nothing can come back any more.
#[test]
fn final_waits_for_every_lease_that_is_still_closing() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(24), "ledger");
    world.run(2_000);
    assert_eq!(world.stock(coupon).leased, 8);
    // An entry that cannot be read stops the mark, and with it every closing.
    let bad = world.status().mark.next();
    world.gate.garble.store(bad.0, Ordering::SeqCst);
    for shopper in 0..8 {
        let granted = world.claim(coupon, shopper);
        assert!(matches!(granted, Ok(ClaimAnswer::Granted(_))));
    }
    // The second lease, all that is left, does not arrive. It is given up, which takes until the
    // mark moves.
    let lost = StoreError::Unavailable {
        reason: "the wire was cut".to_owned(),
    };
    world.hot.fail_next(ModelOp::InstallLease, lost);
    for _look in 0..10 {
        let told = world.claim(coupon, 50);
        assert!(matches!(told, Ok(ClaimAnswer::NeedLease)), "{told:?}");
        world.run(500);
    }
    assert_eq!(world.stock(coupon).unleased(), Some(0));
    assert!(world.status().closing > 0);
    // The operator gives the entry up: all of the second lease comes back, and the unit of the entry.
    assert!(world.keeper.recover_now());
    assert_eq!(world.sell(coupon, 50..90), 24 - 7);
    assert_eq!(world.rows(coupon).len(), 24);
    assert!(matches!(
        world.claim(coupon, 99),
        Ok(ClaimAnswer::SoldOut(_))
    ));
}

/// Passed over, the page's users would be strangers: they could claim again, and the numbers that a
/// hydration compares at its end would agree.
#[test]
fn a_page_of_claims_that_did_not_arrive_is_filled_in_again() {
    let reason = || "the wire was cut".to_owned();
    let faults = [
        StoreError::Unavailable { reason: reason() },
        StoreError::Unknown { reason: reason() },
    ];
    for fault in faults {
        let mut world = World::new();
        world.open();
        let coupon = world.publish(Some(30), "ledger");
        assert_eq!(world.sell(coupon, 0..20), 20);
        world.run(100);
        world.hot.flush_all();
        for _call in 0..2 {
            world.hot.fail_next(ModelOp::HydrateClaims, fault.clone());
        }
        world.run(4_000);
        for shopper in 0..20 {
            let repeated = world.claim(coupon, shopper);
            assert!(
                matches!(repeated, Ok(ClaimAnswer::Replayed(_))),
                "{fault}: shopper {shopper}: {repeated:?}"
            );
        }
        assert_eq!(world.sell(coupon, 20..60), 10);
    }
}
