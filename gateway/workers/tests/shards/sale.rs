//! Stories of a giant sale.

use sluice_claim::port::ClaimAnswer;
use sluice_domain::change;
use sluice_domain::id::LaneId;
use sluice_hotstate::LaneStore as _;
use sluice_hotstate::model::fault::ModelKey;
use sluice_ledger::claims::Claims as _;
use sluice_ledger::coupons::Coupons as _;
use sluice_ledger::lanes::Lanes as _;
use sluice_workers::keeper::LowerOutcome;

use crate::crowd::{Crowd, now};

#[test]
fn each_shard_gets_its_share_ahead_of_any_claim() {
    let crowd = Crowd::new(4, 24);
    let lanes = crowd.own_lanes();
    let listed: Vec<u64> = lanes.iter().map(|lane| crowd.listed(*lane)).collect();
    assert!(listed.iter().all(|left| *left >= 1), "{listed:?}");
    assert!(listed.iter().all(|left| *left <= 8), "{listed:?}");
    for lane in crowd.lanes.iter().filter(|lane| !lanes.contains(lane)) {
        let figures = now(crowd.hot.figures(lane, crowd.coupon)).unwrap();
        assert!(figures.is_none(), "{lane} keeps no shard");
    }
}

#[test]
fn every_unit_is_sold_to_a_crowd_that_is_all_in_one_shard() {
    for shard in 0..4 {
        let mut crowd = Crowd::new(4, 100);
        let lane = crowd.own_lanes()[shard];
        let users = crowd.users_of(lane, 105);
        assert!(crowd.sell(&users));
        assert_eq!(crowd.granted.len(), 100);
        let last = crowd.claim(users[104]).unwrap();
        assert!(matches!(last, ClaimAnswer::SoldOut(_)), "{last:?}");
        crowd.check_at_rest();
    }
}

#[test]
fn the_last_unit_is_found_without_a_word_between_keepers() {
    let mut crowd = Crowd::new(3, 30);
    crowd.deaf = true;
    let lane = crowd.own_lanes()[2];
    let users = crowd.users_of(lane, 31);
    assert!(crowd.sell(&users));
    assert_eq!(crowd.granted.len(), 30);
    crowd.check_at_rest();
}

#[test]
fn a_user_has_one_claim_whatever_shards_there_are() {
    let mut crowd = Crowd::new(8, 50);
    let users: Vec<_> = (0..8)
        .flat_map(|shard| crowd.users_of(crowd.own_lanes()[shard], 3))
        .collect();
    for _round in 0..3 {
        assert!(crowd.sell(&users));
    }
    assert_eq!(crowd.granted.len(), users.len());
    crowd.check_at_rest();
}

#[test]
fn one_more_unit_after_the_end_is_for_whoever_asks() {
    let mut crowd = Crowd::new(4, 20);
    let lanes = crowd.own_lanes();
    let crowds: Vec<_> = lanes.iter().map(|lane| crowd.users_of(*lane, 40)).collect();
    assert!(crowd.sell(&crowds[0][..25]));
    for users in &crowds {
        let answer = crowd.claim(users[39]);
        let over = matches!(answer, Ok(ClaimAnswer::SoldOut(_) | ClaimAnswer::NeedLease));
        assert!(over, "{answer:?}");
    }
    for (round, users) in crowds.iter().enumerate() {
        crowd.raise_total(21 + round as u64);
        crowd.run(100);
        // Whichever shard leased it, somebody of this one gets it.
        assert!(crowd.sell(&users[30..32]));
        assert_eq!(crowd.granted.len(), 21 + round, "shard {round}");
    }
    crowd.check_at_rest();
}

#[test]
fn a_revoked_unit_is_sold_in_another_shard() {
    let mut crowd = Crowd::new(4, 12);
    let lanes = crowd.own_lanes();
    let (here, there) = (crowd.users_of(lanes[1], 13), crowd.users_of(lanes[3], 2));
    assert!(crowd.sell(&here));
    crowd.run(1_000);
    let row = crowd.rows()[0].clone();
    now(crowd.ledger.revoke(row.claim_id)).unwrap();
    crowd.granted.remove(&row.claim_id);
    crowd.run(3_000);
    assert!(crowd.sell(&there));
    assert_eq!(crowd.granted.len(), 12);
}

#[test]
fn a_total_is_lowered_over_all_shards() {
    let mut crowd = Crowd::new(4, 40);
    let lanes = crowd.own_lanes();
    let crowds: Vec<_> = lanes.iter().map(|lane| crowd.users_of(*lane, 20)).collect();
    for users in &crowds {
        assert!(crowd.sell(&users[..3]));
    }
    let mut answer = crowd.lower_total(20);
    crowd.run(2_000);
    let lowered = answer.try_recv().unwrap();
    assert!(
        matches!(&lowered, LowerOutcome::Lowered(stock) if stock.total == Some(20)),
        "{lowered:?}"
    );
    for users in &crowds {
        assert!(crowd.sell(&users[3..10]));
    }
    assert_eq!(crowd.granted.len(), 20);
    let mut answer = crowd.lower_total(5);
    crowd.run(2_000);
    let refused = answer.try_recv().unwrap();
    assert!(
        matches!(&refused, LowerOutcome::TooMuch { granted: 20, .. }),
        "{refused:?}"
    );
    crowd.check_at_rest();
}

#[test]
fn a_lost_shard_pauses_its_own_users_and_is_filled_with_them_alone() {
    let mut crowd = Crowd::new(4, 80);
    let lanes = crowd.own_lanes();
    let crowds: Vec<_> = lanes.iter().map(|lane| crowd.users_of(*lane, 30)).collect();
    for users in &crowds {
        assert!(crowd.sell(&users[..5]));
    }
    crowd.run(500);
    let lost = lanes[2];
    let epoch = now(crowd.ledger.lane(lost)).unwrap().epoch;
    crowd
        .hot
        .lose_key(lost, epoch, ModelKey::Users(crowd.coupon));
    assert!(crowd.claim(crowds[2][6]).is_err());
    for (shard, users) in crowds.iter().enumerate().filter(|(shard, _)| *shard != 2) {
        let answer = crowd.claim(users[6]);
        let granted = matches!(answer, Ok(ClaimAnswer::Granted(_)));
        assert!(granted, "shard {shard}: {answer:?}");
    }
    crowd.run(1_500);
    assert!(crowd.all_open());
    let after: Vec<_> = lanes
        .iter()
        .map(|lane| now(crowd.ledger.lane(*lane)).unwrap().epoch)
        .collect();
    assert_eq!(after[2], epoch.next());
    assert!(
        after
            .iter()
            .enumerate()
            .all(|(index, other)| index == 2 || *other == epoch)
    );
    // Repeats are answered, in every shard.
    for users in &crowds {
        let answer = crowd.claim(users[0]);
        assert!(matches!(answer, Ok(ClaimAnswer::Replayed(_))), "{answer:?}");
    }
    for users in &crowds {
        assert!(crowd.sell(users));
    }
    assert_eq!(crowd.granted.len(), 80);
    crowd.check_at_rest();
}

#[test]
fn a_stop_leaves_nothing_leased() {
    let mut crowd = Crowd::new(4, 80);
    let users = crowd.users_of(crowd.own_lanes()[1], 9);
    assert!(crowd.sell(&users));
    crowd.stop();
    let stock = crowd.stock();
    assert_eq!(stock.leased - stock.returned, 9);
    assert_eq!(crowd.open_leases(), [] as [LaneId; 0]);
}

#[test]
fn an_ended_coupon_leaves_every_lane_and_its_home_last() {
    let mut crowd = Crowd::new(3, 12);
    let lanes = crowd.own_lanes();
    let users = crowd.users_of(lanes[1], 4);
    assert!(crowd.sell(&users));
    crowd.change(|coupon, now| change::end(coupon, now).unwrap());
    crowd.run(59_000);
    let home = lanes[0];
    let retired = |crowd: &Crowd| {
        let listed = now(crowd.ledger.published_coupons(home)).unwrap();
        listed.iter().any(|(_, retired)| *retired)
    };
    assert!(!retired(&crowd));
    crowd.run(20_000);
    assert!(retired(&crowd));
    for lane in lanes {
        let figures = now(crowd.hot.figures(lane, crowd.coupon)).unwrap();
        assert!(figures.is_none(), "{lane}");
    }
    assert_eq!(crowd.rows().len(), 4);
}
