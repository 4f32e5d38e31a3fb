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
