use super::*;

#[test]
fn a_lease_knows_its_range() {
    let lease = Lease {
        coupon: CouponId(1),
        number: LeaseNumber(3),
        lane: LaneId(0),
        epoch: Epoch(1),
        first: Ticket(100),
        size: 10,
        state: LeaseState::Open,
        hot_possible: false,
        returned: 0,
        grace_until: None,
        rows: 0,
    };
    assert_eq!(lease.end(), Ticket(110));
    for (ticket, inside) in [(99, false), (100, true), (109, true), (110, false)] {
        assert_eq!(lease.contains(Ticket(ticket)), inside, "{ticket}");
    }
}

#[test]
fn what_is_left_to_lease() {
    let stock = |total, target, leased, returned| Stock {
        total,
        target,
        leased,
        returned,
    };
    for (stock, unleased) in [
        (stock(None, None, 5, 0), None),
        (stock(Some(10), None, 0, 0), Some(10)),
        (stock(Some(10), None, 8, 3), Some(5)),
        (stock(Some(10), None, 10, 0), Some(0)),
        (stock(Some(10), Some(6), 4, 0), Some(2)),
        (stock(Some(10), Some(3), 4, 0), Some(0)),
        (stock(Some(10), Some(20), 4, 0), Some(6)),
    ] {
        assert_eq!(stock.unleased(), unleased, "{stock:?}");
    }
}
