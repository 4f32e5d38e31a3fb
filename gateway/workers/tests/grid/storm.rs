//! A sale while the cluster is broken: only the lanes concerned pause, and nothing is lost or sold
//! twice.

use std::collections::BTreeSet;

use sluice_domain::id::{Epoch, LaneId};

use crate::stage::Stage;

/// More than all crowds together ask for, so that nobody waits for a lease.
const PLENTY: u64 = 8_000;
const CROWD: usize = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unit_of_a_coupon_with_shards_is_sold_exactly() {
    let stage = Stage::set().await;
    let coupon = stage.publish(300).await;
    let first = stage.crowd(coupon, "a", 450).await;
    assert_eq!(first.granted.len(), 300);
    assert_eq!(first.sold_out.len(), 150);
    // Winners keep their answer, strangers theirs.
    let again = stage.crowd(coupon, "a", 450).await;
    assert_eq!(again.granted, first.granted);
    assert_eq!(again.sold_out, first.sold_out);
    stage.check(coupon, &[&first, &again]).await;
    assert_eq!(stage.rows(coupon).await.len(), 300);
    let lanes = stage.lanes_of(coupon);
    let used: BTreeSet<LaneId> = first
        .granted
        .keys()
        .map(|user| stage.lanes.lane_for(coupon, 4, user))
        .collect();
    assert_eq!(used, lanes.into_iter().collect());
    assert!(stage.keepers.shutdown(crate::stage::PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f06_a_master_is_killed_and_its_replica_promoted_in_the_midst_of_a_sale() {
    let mut stage = Stage::set().await;
    let (plenty, scarce) = (stage.publish(PLENTY).await, stage.publish(400).await);
    let before = stage.crowd(plenty, "a", CROWD).await;
    let scarce_before = stage.crowd(scarce, "a", 200).await;
    let mut lost = BTreeSet::new();
    for lane in stage.lanes.iter() {
        if stage.master_of(lane).await == 0 {
            lost.insert(lane);
        }
    }
    stage.cluster.server(0).kill().unwrap();
    let promote = async {
        stage.cluster.promote(3).await.unwrap();
        for lane in &lost {
            stage.until_open(*lane, Epoch(2)).await;
        }
    };
    let (during, scarce_during, ()) = tokio::join!(
        stage.crowd(plenty, "b", CROWD),
        stage.crowd(scarce, "b", 150),
        promote
    );
    assert!(
        during.paused.is_subset(&lost),
        "{:?} {lost:?}",
        during.paused
    );
    assert!(!during.paused.is_empty(), "nobody noticed");
    for lane in stage.lanes.iter() {
        let epoch = Epoch(1 + u64::from(lost.contains(&lane)));
        assert_eq!(stage.epoch(lane), epoch, "{lane}");
    }
    // Whoever was served before is answered in the new epoch.
    let again = stage.crowd(plenty, "a", CROWD).await;
    assert_eq!(again.granted, before.granted);
    let rest = stage.crowd(scarce, "c", 150).await;
    let sold = scarce_before.granted.len() + scarce_during.granted.len() + rest.granted.len();
    assert_eq!(sold, 400);
    assert_eq!(rest.sold_out.len(), 100);
    stage.check(plenty, &[&before, &during, &again]).await;
    stage
        .check(scarce, &[&scarce_before, &scarce_during, &rest])
        .await;
    assert_eq!(stage.rows(scarce).await.len(), 400);
    assert!(stage.keepers.shutdown(crate::stage::PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_slot_moves_in_the_midst_of_a_sale() {
    let stage = Stage::set().await;
    let plenty = stage.publish(PLENTY).await;
    let before = stage.crowd(plenty, "a", CROWD).await;
    let lane = stage.lanes_of(plenty)[0];
    let (from, slot) = (stage.master_of(lane).await, stage.slot(lane).await);
    let to = (from + 1) % 3;
    let moving = async {
        stage.cluster.begin_move(slot, from, to).await.unwrap();
        stage.cluster.end_move(slot, from, to).await.unwrap();
        stage.until_open(lane, Epoch(2)).await;
    };
    let (during, ()) = tokio::join!(stage.crowd(plenty, "b", 2 * CROWD), moving);
    let only = BTreeSet::from([lane]);
    assert!(during.paused.is_subset(&only), "{:?} {lane}", during.paused);
    for other in stage.lanes.iter() {
        let epoch = Epoch(1 + u64::from(other == lane));
        assert_eq!(stage.epoch(other), epoch, "{other}");
    }
    assert_eq!(stage.master_of(lane).await, to);
    let again = stage.crowd(plenty, "a", CROWD).await;
    assert_eq!(again.granted, before.granted);
    stage.check(plenty, &[&before, &during, &again]).await;
    assert_eq!(stage.rows(plenty).await.len(), 3 * CROWD);
    assert!(stage.keepers.shutdown(crate::stage::PATIENCE).await);
}
