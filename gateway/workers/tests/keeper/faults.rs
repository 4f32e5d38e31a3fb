//! What may go wrong with Redis, the ledger and the keeper, one fault at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sluice_claim::port::{ClaimAnswer, StoreError};
use sluice_domain::id::Epoch;
use sluice_domain::lease::LeaseState;
use sluice_hotstate::model::fault::ModelKey;
use sluice_ledger::LedgerError;
use sluice_ledger::claims::Claims as _;
use sluice_ledger::model::Fault;
use sluice_workers::Clock as _;
use sluice_workers::keeper::{Keeper, Next, PhaseName};
use sluice_workers::settings::KeeperSettings;

use crate::fixture::settings;
use crate::gate::GateStore;
use crate::world::{LANE, World, now};

/// Decision 22: a cut tail held acknowledged `hot` claims.
#[test]
fn f03_after_a_cut_tail_no_ticket_is_issued_again_and_quarantine_holds() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(40), "hot");
    assert_eq!(world.sell(coupon, 0..10), 10);
    world.run(100);
    // Six more, acknowledged and not drained; then the log is cut by five transitions.
    for shopper in 10..16 {
        assert!(matches!(
            world.claim(coupon, shopper),
            Ok(ClaimAnswer::Granted(_))
        ));
    }
    assert_eq!(world.hot.forget_suffix(5), 5);
    let before = world.told[&coupon].clone();
    let epoch = world.row().epoch;
    let opened_at = world.clock.monotonic_ms();
    world.run(500);
    assert_eq!(world.status().phase, PhaseName::Open);
    assert_eq!(
        world.row().epoch,
        epoch.next(),
        "the epoch rises exactly once"
    );
    // The one that the cut left is a row; the other five stay blocked with the rest of the leases.
    assert_eq!(world.rows(coupon).len(), 11);
    let blocked = world.quarantined(coupon);
    assert!(blocked >= 5);
    let sold = world.sell(coupon, 100..140);
    assert_eq!(
        u64::from(sold) + 11 + blocked,
        40,
        "sold and quarantined are all there is"
    );
    let early = world.clock.monotonic_ms() - opened_at < world.settings.grace_ms;
    assert!(early, "the test has to ask before grace is over");
    for told in &world.told[&coupon][before.len()..] {
        assert!(
            before.iter().all(|old| old.ticket != told.ticket),
            "ticket {} was issued again",
            told.ticket
        );
    }
    assert!(matches!(
        world.claim(coupon, 900),
        Ok(ClaimAnswer::SoldOut(proof)) if proof.more_may_come
    ));
    let grace = world.settings.grace_ms;
    world.run(grace + 3_000);
    assert_eq!(world.quarantined(coupon), 0);
    world.sell(coupon, 200..260);
    assert_eq!(world.rows(coupon).len(), 40);
    assert_eq!(world.row().epoch, epoch.next(), "and never again");
}

#[test]
fn f05_a_flushed_server_is_recovered_from_the_ledger() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(50), "ledger");
    assert_eq!(world.sell(coupon, 0..20), 20);
    world.run(100);
    world.hot.flush_all();
    assert!(matches!(
        world.claim(coupon, 0),
        Err(StoreError::LaneNotReady { .. })
    ));
    world.run(500);
    assert_eq!(world.row().epoch, Epoch(2));
    assert!(matches!(
        world.claim(coupon, 3),
        Ok(ClaimAnswer::Replayed(_))
    ));
    assert_eq!(world.sell(coupon, 20..90), 30);
}

#[test]
fn f05_an_empty_restart_is_found_without_a_report() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(50), "ledger");
    assert_eq!(world.sell(coupon, 0..20), 20);
    world.run(100);
    world.hot.restart_empty();
    world.run(1_000);
    assert_eq!(world.row().epoch, Epoch(2));
    assert_eq!(world.sell(coupon, 20..90), 30);
}

#[test]
fn f08_a_step_down_and_up_that_lost_nothing_costs_one_epoch_and_no_ticket() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(50), "ledger");
    assert_eq!(world.sell(coupon, 0..20), 20);
    world.hot.step_down_and_up(0);
    world.run(1_000);
    assert_eq!(world.row().epoch, Epoch(2));
    assert_eq!(world.sell(coupon, 20..90), 30);
    assert_eq!(world.rows(coupon).len(), 50);
}

/// It never restarted, so its own id still stands in its lane hash; only its epoch is old.
#[test]
fn f07_an_old_server_that_is_back_as_it_was_left_is_recovered() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(20), "ledger");
    assert_eq!(world.sell(coupon, 0..5), 5);
    let (left, _behind) = world.hot.lagging_replica(0);
    left.promote(world.hot.replid());
    world.hot.restart_empty();
    world.run(1_000);
    assert_eq!(world.row().epoch, Epoch(2));
    world.hot = world.hot.connected_to(&left);
    world.gate = Arc::new(GateStore::new(world.hot.clone()));
    world.crash();
    world.run(1_000);
    assert_eq!(world.status().phase, PhaseName::Open);
    assert_eq!(world.row().epoch, Epoch(3), "one loss, one epoch");
    assert_eq!(world.sell(coupon, 10..14), 4);
    world.check();
}

#[test]
fn a_replica_is_waited_for_within_one_epoch() {
    let mut world = World::new();
    world.open();
    world.hot.set_primary(false);
    world.run(3_000);
    assert_eq!(world.row().epoch, Epoch(2));
    assert_eq!(world.status().phase, PhaseName::Recovering);
    world.hot.set_primary(true);
    world.run(3_000);
    assert_eq!(world.row().epoch, Epoch(2));
    assert_eq!(world.status().phase, PhaseName::Open);
}

#[test]
fn a_lost_key_is_a_loss() {
    for lose in [ModelKey::Mark, ModelKey::Lane, ModelKey::Outbox] {
        let mut world = World::new();
        world.open();
        let coupon = world.publish(Some(50), "ledger");
        assert_eq!(world.sell(coupon, 0..5), 5);
        world.run(100);
        // An entry that is not drained, so that a lost stream shows.
        assert!(matches!(
            world.claim(coupon, 6),
            Ok(ClaimAnswer::Granted(_))
        ));
        world.hot.lose_key(LANE, Epoch(1), lose);
        world.run(2_000);
        assert_eq!(world.row().epoch, Epoch(2), "{lose:?}");
        assert_eq!(world.status().phase, PhaseName::Open, "{lose:?}");
    }
}

#[test]
fn a_lost_coupon_is_a_loss_when_it_is_touched() {
    for after in [0, 100] {
        let mut world = World::new();
        world.open();
        let coupon = world.publish(Some(50), "ledger");
        assert_eq!(world.sell(coupon, 0..5), 5);
        world.run(after);
        world.hot.lose_key(LANE, Epoch(1), ModelKey::Coupon(coupon));
        world.keeper.touch(coupon);
        world.run(2_000);
        assert_eq!(world.row().epoch, Epoch(2));
        assert_eq!(world.sell(coupon, 5..90), 45);
    }
}

#[test]
fn f22_a_gap_is_a_loss_and_salvage_goes_over_it() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(50), "ledger");
    assert_eq!(world.sell(coupon, 0..1), 1);
    world.run(100);
    for shopper in 1..4 {
        assert!(matches!(
            world.claim(coupon, shopper),
            Ok(ClaimAnswer::Granted(_))
        ));
    }
    let lost = world.told[&coupon][2].entry;
    world.hot.lose_entry(LANE, Epoch(1), lost);
    world.run(2_000);
    assert_eq!(world.row().epoch, Epoch(2));
    assert_eq!(world.rows(coupon).len(), 3);
    assert_eq!(world.sell(coupon, 10..90), 47);
}

#[test]
fn a_stale_report_is_ignored() {
    let mut world = World::new();
    world.open();
    world
        .keeper
        .hear_of_loss(Epoch(0), sluice_claim::port::NotReady::Loss);
    world.run(500);
    assert_eq!(world.row().epoch, Epoch(1));
}

#[test]
fn f21_a_conflict_is_set_aside_and_blocks_nobody() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(20), "ledger");
    assert_eq!(world.sell(coupon, 0..2), 2);
    world.run(100);
    let other = world.steal_next_ticket(coupon);
    assert!(matches!(
        world.claim(coupon, 2),
        Ok(ClaimAnswer::Granted(_))
    ));
    assert!(matches!(
        world.claim(coupon, 3),
        Ok(ClaimAnswer::Granted(_))
    ));
    world.run(100);
    let letters = now(world.ledger.dead_letters(LANE)).unwrap();
    assert_eq!(letters.len(), 1);
    let told = &world.told[&coupon];
    assert_eq!(letters[0].claim_id, Some(told[2].claim_id));
    assert!(!told[2].acknowledged, "the mark passed a refused claim");
    assert!(told[3].acknowledged);
    assert!(world.rows(coupon).iter().any(|row| row.claim_id == other));
    // The shopper who was refused may claim again.
    assert!(matches!(
        world.claim(coupon, 2),
        Ok(ClaimAnswer::Granted(_))
    ));
}

#[test]
fn f14_f23_a_ledger_that_is_full_marks_nothing_and_loses_nothing() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(20), "ledger");
    assert_eq!(world.sell(coupon, 0..2), 2);
    world.run(100);
    assert!(matches!(
        world.claim(coupon, 2),
        Ok(ClaimAnswer::Granted(_))
    ));
    for _call in 0..5 {
        world.ledger.fail_next(Fault::Refuse(LedgerError::Full {
            reason: "disk full".to_owned(),
        }));
    }
    for _step in 0..5 {
        assert!(matches!(world.step(), Next::Backoff(_)));
    }
    world.run(3_000);
    assert_eq!(world.row().epoch, Epoch(1));
    assert!(world.told[&coupon].iter().all(|told| told.acknowledged));
}

#[test]
fn a_keeper_that_wakes_late_changes_nothing() {
    let mut world = World::with(KeeperSettings {
        exclusive: false,
        ..settings()
    });
    world.open();
    let coupon = world.publish(Some(30), "ledger");
    assert_eq!(world.sell(coupon, 0..5), 5);
    let second = world.another();
    let mut late = std::mem::replace(&mut world.keeper, second);
    world.run(500);
    assert_eq!(
        world.status().phase,
        PhaseName::Watching,
        "the row must stand unchanged first"
    );
    world.run(2_000);
    assert_eq!(world.status().phase, PhaseName::Open);
    assert_eq!(world.row().epoch, Epoch(1), "a take-over is no recovery");
    let row = world.row();
    late.nudge();
    late.touch(coupon);
    for _step in 0..20 {
        now(late.step());
        world.check();
    }
    assert_eq!(late.status().phase, PhaseName::Watching);
    assert_eq!(world.row(), row);
    assert_eq!(world.sell(coupon, 5..90), 25);
}

#[test]
fn two_keepers_in_turn_sell_everything_once() {
    let mut world = World::with(KeeperSettings {
        exclusive: false,
        ..settings()
    });
    world.open();
    let coupon = world.publish(Some(60), "ledger");
    let mut other: Keeper = world.another();
    for turn in 0..12 {
        world.sell(coupon, turn * 5..turn * 5 + 5);
        std::mem::swap(&mut world.keeper, &mut other);
        world.run(1_500);
    }
    world.sell(coupon, 60..90);
    assert_eq!(world.rows(coupon).len(), 60);
}

#[test]
fn quarantine_can_be_released_early_by_an_operator() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(8), "hot");
    assert_eq!(world.sell(coupon, 0..2), 2);
    world.run(100);
    world.hot.restart_keeping();
    world.run(1_000);
    assert_eq!(world.quarantined(coupon), 6);
    assert_eq!(now(world.keeper.release_quarantine(coupon)), Ok(6));
    assert_eq!(world.sell(coupon, 10..30), 6);
}

#[test]
fn leases_of_class_ledger_are_never_quarantined() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(30), "ledger");
    assert_eq!(world.sell(coupon, 0..5), 5);
    world.hot.restart_keeping();
    world.run(1_000);
    assert_eq!(world.quarantined(coupon), 0);
    let blocked = world
        .leases(coupon)
        .iter()
        .any(|lease| lease.state == LeaseState::Quarantined);
    assert!(!blocked);
    assert_eq!(world.sell(coupon, 5..60), 25);
}

/// A lease is closed only when the mark has passed what was granted from it.
#[test]
fn a_total_is_lowered_while_shoppers_claim() {
    for seed in 0..50 {
        let mut world = World::new();
        world.open();
        let coupon = world.publish(Some(40), "ledger");
        assert_eq!(world.sell(coupon, 0..5), 5);
        world.begin_rush(seed);
        let (reply, mut answer) = tokio::sync::oneshot::channel();
        world.keeper.lower_total(coupon, 20, reply);
        world.run(100);
        answer.try_recv().unwrap();
        world.run(2_000);
        world.end_rush();
        world.run(100);
        assert_eq!(
            world.row().epoch,
            Epoch(1),
            "seed {seed}: a closed lease was granted from"
        );
        assert!(world.told[&coupon].iter().all(|told| told.acknowledged));
    }
}

/// Leases are used up, closed and made again in the midst of everything the keeper does.
#[test]
fn a_rush_alone_never_costs_an_epoch_or_a_claim() {
    for seed in 0..40 {
        let mut world = World::with(KeeperSettings {
            sweep_ms: 1,
            lease_floor: 2,
            lease_floor_max: 8,
            ..settings()
        });
        world.open();
        let coupon = world.publish(Some(150), "hot");
        world.run(2_000);
        world.begin_rush(seed);
        for _turn in 0..600 {
            world.step();
            world.advance(1);
        }
        world.end_rush();
        world.run(100);
        assert_eq!(world.row().epoch, Epoch(1), "seed {seed}");
        assert!(now(world.ledger.dead_letters(LANE)).unwrap().is_empty());
        let sold = world.told[&coupon].len();
        assert!(sold > 50, "{sold}");
        assert_eq!(world.rows(coupon).len(), sold);
    }
}

#[test]
fn f21_an_entry_that_cannot_be_read_stops_the_mark_until_an_operator_decides() {
    let mut world = World::new();
    world.open();
    let coupon = world.publish(Some(30), "ledger");
    assert_eq!(world.sell(coupon, 0..2), 2);
    world.run(100);
    let bad = world.status().mark.next();
    world.gate.garble.store(bad.0, Ordering::SeqCst);
    // The first lease is used up behind it: it must stay open until its claims are rows.
    for shopper in 2..8 {
        assert!(matches!(
            world.claim(coupon, shopper),
            Ok(ClaimAnswer::Granted(_))
        ));
    }
    world.run(3_000);
    assert_eq!(world.status().phase, PhaseName::Open);
    assert_eq!(world.status().unreadable, Some(bad));
    assert_eq!(world.rows(coupon).len(), 2);
    let leases = world.leases(coupon);
    assert_eq!(
        leases[0].state,
        LeaseState::Open,
        "{:?} {leases:?}",
        world.told
    );
    assert!(world.keeper.recover_now());
    world.run(2_000);
    assert_eq!(world.status().phase, PhaseName::Open);
    assert_eq!(world.status().unreadable, None);
    assert_eq!(
        world.rows(coupon).len(),
        7,
        "all but the one in the bad entry"
    );
    let letters = now(world.ledger.dead_letters(LANE)).unwrap();
    assert_eq!((letters.len(), letters[0].entry), (1, bad));
    world.sell(coupon, 10..60);
    assert_eq!(world.rows(coupon).len(), 30);
}
