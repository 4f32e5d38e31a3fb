//! A coupon's class changes while the keeper is making a lease: no claim of class `hot` is ever
//! granted from a lease without `hot_possible` (the world checks each row).

use std::sync::Arc;

use sluice_claim::port::{ClaimAnswer, ClaimStore as _};
use sluice_domain::change;
use sluice_domain::claim::Durability;
use sluice_domain::coupon::{Coupon, CouponSpec};
use sluice_domain::hash::HashKeys;
use sluice_domain::id::{CouponId, Epoch, UserId};
use sluice_domain::published::{Published, PublishedVersion};
use sluice_hotstate::LaneStore as _;
use sluice_hotstate::lane_store::Installed;
use sluice_hotstate::model::ModelHotState;
use sluice_ledger::ModelLedger;
use sluice_ledger::coupons::{CouponWrite, Coupons as _};
use sluice_ledger::lanes::Lanes as _;
use sluice_ledger::leases::Leases as _;
use sluice_workers::keeper::Next;

use crate::fixture::entry;
use crate::rush::single;
use crate::world::{LANE, World, now};

/// An open lane with a coupon of class `ledger` that needs its second lease, and a change of its
/// total that the lane does not have yet: the keeper installs it between reading the coupon and
/// making the lease.
fn about_to_lease() -> (World, CouponId) {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(40), "ledger");
    // Until the first grants of the epoch are due.
    world.run(2_000);
    for shopper in 0..6 {
        let granted = world.claim(coupon, shopper);
        assert!(matches!(granted, Ok(ClaimAnswer::Granted(_))));
    }
    world.raise_total(coupon, 41);
    assert_eq!(world.leases(coupon).len(), 1);
    (world, coupon)
}

fn with_class(world: &World, held: &Coupon, durability: Durability) -> Coupon {
    let spec = CouponSpec {
        durability,
        ..held.spec.clone()
    };
    change::edit(held, spec, sluice_workers::Clock::wall(&*world.clock)).unwrap()
}

/// What the control plane does in the ledger, flags first and again.
fn write(ledger: &ModelLedger, changed: &Coupon) {
    let hot = changed.spec.durability == Durability::Hot;
    if hot {
        now(ledger.set_hot_possible(changed.id)).unwrap();
    }
    let seen = now(ledger.coupon(changed.id)).unwrap().unwrap().revision;
    let written = now(ledger.update_coupon(seen, changed, "t", entry()));
    assert_eq!(written.unwrap(), CouponWrite::Done);
    if hot {
        now(ledger.set_hot_possible(changed.id)).unwrap();
    }
}

/// What the control plane does in the lane.
fn install(hot: &ModelHotState, ledger: &ModelLedger, changed: &Coupon) -> Installed {
    let rows = now(ledger.versions(changed.id)).unwrap();
    let earlier: Vec<PublishedVersion> = rows.into_iter().map(|row| row.published).collect();
    let published = Published::of(changed, &earlier).unwrap();
    now(hot.install(LANE, Epoch(1), &published)).unwrap()
}

#[test]
fn a_change_to_hot_between_reading_the_coupon_and_leasing_flags_the_lease() {
    let (mut world, coupon) = about_to_lease();
    let hot = with_class(&world, &world.coupon(coupon), Durability::Hot);
    let ledger = Arc::clone(&world.ledger);
    world.gate.before("install", move |store| {
        write(&ledger, &hot);
        assert_eq!(install(store, &ledger, &hot), Installed::Applied);
    });
    world.run(20);
    assert!(world.gate.interludes_are_over());
    assert_eq!(world.leases(coupon).len(), 2);
    assert_eq!(world.sell(coupon, 10..20), 10);
    assert!(world.leases(coupon)[1].hot_possible);
    assert!(world.rows(coupon)[15].durability == Durability::Hot);
}

#[test]
fn a_late_installation_of_hot_meets_no_lease_without_the_flag() {
    let (mut world, coupon) = about_to_lease();
    let hot = with_class(&world, &world.coupon(coupon), Durability::Hot);
    let back = with_class(&world, &hot, Durability::Ledger);
    // To `hot` and back in the ledger, before the lease is made ...
    let ledger = Arc::clone(&world.ledger);
    let changes = [hot.clone(), back.clone()];
    world.gate.before("install", move |_store| {
        changes.iter().for_each(|changed| write(&ledger, changed));
    });
    // ... and the first of the two reaches the lane just before the lease does.
    let ledger = Arc::clone(&world.ledger);
    let late = hot.clone();
    world.gate.before("install_lease", move |store| {
        install(store, &ledger, &late);
    });
    // No further than to that lease: the next look at the coupon would put the lane right.
    let mut steps = 0;
    while !world.gate.interludes_are_over() {
        steps += 1;
        assert!(steps < 100, "no lease was made");
        if let Next::After(wait) = world.step() {
            world.advance(wait);
        }
    }
    let leases = world.leases(coupon);
    assert!(leases.len() == 2 && !leases[1].hot_possible, "{leases:?}");
    // Shoppers at a gateway that saw `hot`. The first lease is used up by two of them.
    let keys = HashKeys::derive(&world.ledger.identity().hash_key);
    for shopper in 0..5 {
        let user = UserId::new(&format!("g{shopper}")).unwrap();
        let call = single(&keys, coupon, user, hot.terms_revision);
        now(world.hot.decide(call)).unwrap();
    }
    world.keeper.nudge();
    world.run(200);
    install(&world.hot, &world.ledger, &back);
    assert_eq!(world.sell(coupon, 10..20), 10);
    assert_eq!(world.row().epoch, Epoch(1));
}
