//! A coupon whose shards are kept by different processes, and lanes that are handed over.

use sluice_domain::id::KeeperNumber;
use sluice_ledger::lanes::LaneRow;
use sluice_ledger::leases::Leases as _;

use super::*;

/// Takes a lane from whoever keeps it and leaves it free.
async fn set_free(ground: &Ground, lane: LaneId) -> KeeperNumber {
    let row = ground.ledger.lane(lane).await.unwrap();
    let taken = ground.ledger.take_lane(&row, "nobody", LaneRow::GIVEN_BACK);
    taken.await.unwrap();
    ground.ledger.lane(lane).await.unwrap().keeper
}

async fn until_open(process: &Process, lane: LaneId) {
    let handle = process.keepers.as_ref().unwrap().handle();
    let mut status = handle.watch(lane).unwrap();
    let open = status.wait_for(|held| held.phase == PhaseName::Open);
    tokio::time::timeout(PATIENCE, open).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unit_is_sold_where_the_shards_are_kept_by_two_processes() {
    let ground = Ground::lay().await;
    // Nobody looks by itself whether another shard is dry: what moves was asked for. And who lost a
    // lane waits long enough for the other to take it.
    let habits = |settings: &mut KeeperSettings| {
        settings.sweep_ms = 3_600_000;
        settings.backoff_ms_min = 3_000;
        settings.backoff_ms_max = 3_000;
    };
    let first = ground.start_with("first", true, habits);
    first.until_open().await;
    let second = ground.start_with("second", true, habits);
    let gateway = ground.start("gateway", false);
    let draft = ground.draft(60, "ledger", 2).await;
    let lanes: Vec<LaneId> = ground.lanes.lanes_of(draft.id, 2).collect();
    set_free(&ground, lanes[1]).await;
    until_open(&second, lanes[1]).await;
    let rule = |coupon: &Coupon, now| change::publish(coupon, now).unwrap();
    let coupon = ground.change(&first, &draft, rule).await.id;

    // Shoppers of one shard only, so that its half is gone while the other has all of its own.
    let mut users = (0..).map(|number| format!("u{number}")).filter(|name| {
        let user = UserId::new(name).unwrap();
        ground.lanes.lane_for(coupon, 2, &user) == lanes[0]
    });
    for number in 0..60 {
        let outcome = gateway.insist(coupon, &users.next().unwrap()).await;
        assert!(
            matches!(
                outcome,
                ClaimOutcome::Granted(_) | ClaimOutcome::Replayed(_)
            ),
            "{number}: {outcome:?}"
        );
    }
    let over = gateway.insist(coupon, &users.next().unwrap()).await;
    let ClaimOutcome::Refused(refusal) = over else {
        panic!("{over:?}");
    };
    assert_eq!(refusal.code, ReasonCode::SoldOut);
    assert_eq!(ground.ledger.granted(coupon).await.unwrap(), 60);
    // They still are two.
    let holder = async |lane| ground.ledger.lane(lane).await.unwrap().holder;
    assert_eq!(holder(lanes[0]).await, "first");
    assert_eq!(holder(lanes[1]).await, "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_stops_hands_its_leases_over_with_its_lanes() {
    let ground = Ground::lay().await;
    // Nobody could wait for this lease to end.
    let patient = |settings: &mut KeeperSettings| {
        settings.keeper_lease_ms = 600_000;
        settings.lane_lease_ms = 700_000;
        settings.grace_ms = 800_000;
    };
    let mut first = ground.start_with("first", true, patient);
    first.until_open().await;
    let second = ground.start_with("second", true, patient);
    let gateway = ground.start("gateway", false);
    let coupon = ground.publish(&first, 1_000).await.id;
    for number in 0..20 {
        gateway.insist(coupon, &format!("a{number}")).await;
    }
    let before = ground.ledger.leases(coupon).await.unwrap();
    assert!(first.keepers.take().unwrap().shutdown(PATIENCE).await);
    first.grid.leave().await;
    second.until_open().await;
    for lane in ground.lanes.iter() {
        let row = ground.ledger.lane(lane).await.unwrap();
        assert_eq!((row.epoch, &*row.holder), (Epoch(1), "second"));
    }
    let outcome = gateway.claim(coupon, "b").await;
    assert!(matches!(outcome, ClaimOutcome::Granted(_)), "{outcome:?}");
    let after = ground.ledger.leases(coupon).await.unwrap();
    assert_eq!(
        before.first().map(|lease| (lease.number, lease.state)),
        after.first().map(|lease| (lease.number, lease.state)),
        "the lease went on"
    );
    assert_eq!(ground.ledger.granted(coupon).await.unwrap(), 21);
}
