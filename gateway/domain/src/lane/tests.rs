use super::*;

/// The lane of a published coupon may never change: a keeper would not find its state.
#[test]
fn golden_values() {
    let lanes = LaneCount::new(16).unwrap();
    let found: Vec<u16> = (0..16).map(|id| lanes.lane_of(CouponId(id)).0).collect();
    assert_eq!(
        found,
        [13, 15, 1, 7, 5, 3, 10, 12, 7, 13, 12, 12, 3, 5, 9, 12]
    );
}

#[test]
fn counts_are_bounded_and_listed() {
    assert_eq!(LaneCount::new(0), Err(0));
    assert_eq!(LaneCount::new(257), Err(257));
    assert_eq!(LaneCount::new(256).map(LaneCount::get), Ok(256));
    let all: Vec<LaneId> = LaneCount::new(3).unwrap().iter().collect();
    assert_eq!(all, [LaneId(0), LaneId(1), LaneId(2)]);
}

#[test]
fn coupons_spread_over_the_lanes() {
    let lanes = LaneCount::new(16).unwrap();
    let mut counts = [0_u32; 16];
    for id in 0..16_000 {
        counts[usize::from(lanes.lane_of(CouponId(id)).0)] += 1;
    }
    assert!(
        counts.iter().all(|count| (800..1_200).contains(count)),
        "{counts:?}"
    );
}

/// Nor may the lane of a user change: a winner's repeat would not find the claim.
#[test]
fn golden_lanes_of_users() {
    let lanes = LaneCount::new(16).unwrap();
    let found: Vec<u16> = (0..8)
        .map(|number| UserId::new(&format!("u{number}")).unwrap())
        .map(|user| lanes.lane_for(CouponId(1), 4, &user).0)
        .collect();
    assert_eq!(found, [2, 0, 1, 0, 2, 15, 0, 2]);
}

#[test]
fn a_user_belongs_to_one_of_the_coupons_lanes_and_all_of_them_have_users() {
    for (count, shards) in [
        (16, 1),
        (16, 4),
        (16, 16),
        (16, 64),
        (3, 4),
        (1, 8),
        (256, 64),
    ] {
        let lanes = LaneCount::new(count).unwrap();
        for coupon in (0..40).map(CouponId) {
            let own: Vec<LaneId> = lanes.lanes_of(coupon, shards).collect();
            assert_eq!(own.len(), usize::from(shards.min(count)));
            assert_eq!(own[0], lanes.lane_of(coupon));
            let mut seen: Vec<LaneId> = (0..2_000)
                .map(|number| UserId::new(&format!("user-{number}")).unwrap())
                .map(|user| lanes.lane_for(coupon, shards, &user))
                .collect();
            seen.sort_unstable();
            seen.dedup();
            let mut sorted = own.clone();
            sorted.sort_unstable();
            assert_eq!(seen, sorted, "{count} lanes, {shards} shards");
            for lane in lanes.iter() {
                let place = own.iter().position(|other| *other == lane);
                assert_eq!(lanes.keeps(lane, coupon, shards), place.is_some());
                if let Some(place) = place {
                    assert_eq!(usize::from(lanes.shard_in(lane, coupon)), place);
                }
            }
        }
    }
}
