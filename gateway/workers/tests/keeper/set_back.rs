//! Redis and the ledger are not of one past: who is believed, and who has to be asked.

use sluice_claim::port::{ClaimAnswer, NotReady, StoreError};
use sluice_domain::change;
use sluice_domain::id::Epoch;
use sluice_domain::published::Published;
use sluice_hotstate::LaneStore as _;
use sluice_hotstate::lane_store::Installed;
use sluice_hotstate::model::fault::ModelKey;
use sluice_ledger::claims::Claims as _;
use sluice_workers::keeper::PhaseName;

use crate::world::{LANE, World, now};

#[test]
fn f34_a_ledger_that_was_set_back_halts_until_an_operator_decides() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(100), "ledger");
    assert_eq!(world.sell(coupon, 0..5), 5);
    world.run(100);
    let backup = world.ledger.snapshot();
    assert_eq!(world.sell(coupon, 5..30), 25);
    world.run(100);
    world.ledger.restore(&backup);
    // What the backup does not know is lost by the operator's decision, not by ours.
    world.told.clear();
    world.forget_numbers();
    world.crash();
    world.run(1_000);
    let status = world.status();
    assert_eq!(status.phase, PhaseName::Halted);
    assert!(status.halted.unwrap().contains("set back"));
    assert!(world.row().halted.is_some());
    assert!(matches!(
        world.claim(coupon, 77),
        Err(StoreError::LaneNotReady { .. })
    ));
    world.crash();
    world.run(1_000);
    assert_eq!(
        world.status().phase,
        PhaseName::Halted,
        "also after a restart"
    );
    now(world.keeper.accept_ledger()).unwrap();
    world.run(1_000);
    assert_eq!(world.status().phase, PhaseName::Open);
    assert_eq!(world.row().halted, None);
    // The five rows stand; all else is sold once.
    world.sell(coupon, 100..300);
    assert_eq!(world.rows(coupon).len(), 100);
}

/// An accepted backup gives the revisions it does not have to other terms than were sold.
#[test]
fn claims_under_terms_that_the_accepted_ledger_does_not_have_are_for_a_person_to_see() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(100), "ledger");
    assert_eq!(world.sell(coupon, 0..5), 5);
    world.run(100);
    let backup = world.ledger.snapshot();
    let granted = |answer| matches!(answer, Ok(ClaimAnswer::Granted(_)));
    assert!(granted(world.claim(coupon, 5)));
    assert!(granted(world.claim(coupon, 6)));
    world.change(coupon, |held, now| change::pause(held, now).unwrap());
    world.change(coupon, |held, now| change::resume(held, now).unwrap());
    // The keeper would bring the change there, but would drain the outbox as well.
    let changed = Published::of(&world.coupon(coupon), &[]).unwrap();
    let installed = now(world.hot.install(LANE, Epoch(1), &changed)).unwrap();
    assert_eq!(installed, Installed::Applied);
    assert!(granted(world.claim(coupon, 7)));
    world.ledger.restore(&backup);
    world.told.clear();
    world.forget_numbers();
    world.crash();
    world.run(1_000);
    assert_eq!(world.status().phase, PhaseName::Halted);
    now(world.keeper.accept_ledger()).unwrap();
    world.run(1_000);
    assert_eq!(world.status().phase, PhaseName::Open);
    assert_eq!(world.rows(coupon).len(), 7, "what it has terms for is kept");
    let letters = now(world.ledger.dead_letters(LANE)).unwrap();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].reason.contains("revision"), "{letters:?}");
}

/// Decision of an operator: this ledger is right, although the lane belongs to another one.
#[test]
fn a_lane_that_was_given_to_another_ledger_stays_with_it() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(20), "ledger");
    assert_eq!(world.sell(coupon, 0..5), 5);
    world.swap_ledger();
    world.run(1_000);
    let status = world.status();
    assert_eq!(status.phase, PhaseName::Halted);
    assert!(status.halted.unwrap().contains("another ledger"));
    now(world.keeper.accept_ledger()).unwrap();
    // A process that ends before the lane is open is asked again.
    world.step();
    world.crash();
    world.run(1_000);
    assert_eq!(world.status().phase, PhaseName::Halted);
    now(world.keeper.accept_ledger()).unwrap();
    world.open();
    let coupon = world.publish(Some(20), "ledger");
    for restart in 0..3 {
        assert_eq!(world.sell(coupon, restart * 5..restart * 5 + 5), 5);
        world.crash();
        world.run(1_000);
        let status = world.status();
        assert_eq!(status.phase, PhaseName::Open, "{restart}: {status:?}");
    }
    // Recoveries do not bring the first one back either.
    world.hot.restart_keeping();
    world.run(1_000);
    assert_eq!(world.status().phase, PhaseName::Open);
    assert_eq!(world.sell(coupon, 15..40), 5);
}

/// The figures of hot state tell nothing of a coupon that was not hydrated in its epoch.
#[test]
fn a_revision_of_a_cold_coupon_that_only_redis_knows_halts_the_lane() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(20), "ledger");
    world.run(100);
    world.hot.restart_keeping();
    world.keeper.hear_of_loss(Epoch(1), NotReady::ServerChanged);
    while world.status().phase != PhaseName::Open || world.row().epoch == Epoch(1) {
        world.step();
    }
    let backup = world.ledger.snapshot();
    world.change(coupon, |held, now| change::pause(held, now).unwrap());
    let paused = Published::of(&world.coupon(coupon), &[]).unwrap();
    let installed = now(world.hot.install(LANE, Epoch(2), &paused)).unwrap();
    assert_eq!(installed, Installed::Applied);
    world.ledger.restore(&backup);
    world.crash();
    world.run(2_000);
    let status = world.status();
    assert_eq!(status.phase, PhaseName::Halted, "{status:?}");
    assert!(status.halted.unwrap().contains("above revision 2"));
}

/// What a changed server still knows of its coupons counts: a pause that only Redis remembers must
/// not be undone without a word.
#[test]
fn a_revision_that_only_redis_knows_halts_the_lane_also_after_a_server_change() {
    for server_changes in [false, true] {
        let mut world = World::new();
        world.open();
        let coupon = world.publish(Some(20), "ledger");
        assert_eq!(world.sell(coupon, 0..5), 5);
        world.run(100);
        let backup = world.ledger.snapshot();
        world.change(coupon, |held, now| change::pause(held, now).unwrap());
        world.run(100);
        assert!(matches!(world.claim(coupon, 9), Ok(ClaimAnswer::Paused)));
        let row = world.row();
        world.ledger.restore(&backup);
        world.forget_numbers();
        // Nothing else tells: a change of a coupon moves no number of the lane.
        assert_eq!((world.row().seq, world.row().epoch), (row.seq, row.epoch));
        if server_changes {
            world.hot.restart_keeping();
        }
        world.crash();
        world.run(2_000);
        let status = world.status();
        assert_eq!(status.phase, PhaseName::Halted, "{server_changes}");
        assert!(status.halted.unwrap().contains("at revision"));
        now(world.keeper.accept_ledger()).unwrap();
        world.run(1_000);
        assert_eq!(world.status().phase, PhaseName::Open);
    }
}

/// Epoch 1 was thought lost, epoch 2 was opened without it, and then it turns up again.
#[test]
fn what_an_epoch_older_than_the_last_opened_one_still_holds_is_for_a_person_to_see() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(40), "hot");
    assert_eq!(world.sell(coupon, 0..5), 5);
    world.run(100);
    // Not drained; the last of them only makes the moment before it one that can be gone back to.
    for shopper in 5..9 {
        assert!(matches!(
            world.claim(coupon, shopper),
            Ok(ClaimAnswer::Granted(_))
        ));
    }
    let late: Vec<_> = world.told[&coupon][5..8].to_vec();
    world.hot.lose_key(LANE, Epoch(1), ModelKey::Lane);
    world
        .keeper
        .hear_of_loss(Epoch(1), sluice_claim::port::NotReady::Missing);
    // Only just: nobody has looked at the coupon's leases yet, so the ledger itself would take rows.
    while world.row().opened != Epoch(2) {
        world.step();
    }
    assert_eq!(
        (world.row().opened, world.rows(coupon).len()),
        (Epoch(2), 5)
    );
    // The old state comes back, as a server that was cut off does.
    while now(world.hot.facts(LANE))
        .unwrap()
        .is_none_or(|facts| facts.epoch != Epoch(1))
    {
        assert_eq!(world.hot.forget_suffix(1), 1);
    }
    world.run(2_000);
    assert_eq!(world.status().phase, PhaseName::Open);
    assert_eq!(world.row().opened, Epoch(3));
    let letters = now(world.ledger.dead_letters(LANE)).unwrap();
    assert_eq!(letters.len(), late.len());
    for letter in &letters {
        assert!(
            letter.reason.contains("older than the last opened"),
            "{letter:?}"
        );
        assert_eq!(letter.epoch, Epoch(1));
    }
    for told in late {
        let applied = world
            .rows(coupon)
            .iter()
            .any(|row| row.claim_id == told.claim_id);
        assert!(!applied, "{told:?}");
    }
    assert_eq!(world.rows(coupon).len(), 5);
}
