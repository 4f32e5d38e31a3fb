//! Stories of a coupon that is sold in two lanes of three.

use sluice_domain::id::{CouponId, LaneId, Ticket};
use sluice_domain::lane::LaneFence;

use super::{COUPON, close, must, open};
use crate::Ledger;
use crate::LedgerError;
use crate::claims::{AppendFrom, Appended, ClaimsPage, DeposedBy};
use crate::conformance::sample;
use crate::lanes::LaneWrite;
use crate::leases::LeaseOpened;

/// Tickets of each lease.
const SIZE: u32 = 4;

/// Runs all of them, on a new ledger of three lanes.
///
/// # Panics
/// Where the ledger does something else than the protocol asks for.
pub async fn run_sharded<L: Ledger>(ledger: L) {
    let lanes: Vec<LaneId> = ledger.identity().lanes.lanes_of(COUPON, 3).collect();
    let [home, second, without] = lanes[..] else {
        panic!("not a ledger of three lanes: {lanes:?}")
    };
    let mut coupon = sample::coupon(COUPON, Some(100));
    coupon.spec.shards = 2;
    let entry = sample::entry("coupon.create", "shards");
    must(ledger.create_coupon(&coupon, entry).await);
    for (lane, kept) in [(home, true), (second, true), (without, false)] {
        let published = must(ledger.published_coupons(lane).await);
        let expected: &[(CouponId, bool)] = if kept { &[(COUPON, false)] } else { &[] };
        assert_eq!(published, expected, "lane {lane}");
    }
    assert_eq!(must(ledger.coupon_ids(None, 10).await), [COUPON], "once");
    // Keepers of the second lane were replaced once more often: numbers are counted in each lane.
    take(&ledger, second).await;
    let fences = [take(&ledger, home).await, take(&ledger, second).await];
    each_lane_has_leases_of_its_own(&ledger, fences).await;
    let foreign = take(&ledger, without).await;
    let refused = ledger.open_lease(foreign, COUPON, SIZE, false).await;
    assert!(matches!(refused, Err(LedgerError::Corrupt { .. })));
    a_flag_of_class_reaches_every_lane(&ledger, fences, without).await;
    revoked_claims_are_hydrated(&ledger).await;
}

async fn take(ledger: &dyn Ledger, lane: LaneId) -> LaneFence {
    let seen = must(ledger.lane(lane).await);
    match must(ledger.take_lane(&seen, "story", sample::NOW).await) {
        LaneWrite::Done(row) => LaneFence {
            lane: row.lane,
            epoch: row.epoch,
            keeper: row.keeper,
        },
        LaneWrite::Refused(row) => panic!("the lane was not taken: {row:?}"),
    }
}

/// Leases of both lanes, by turns: no lane's numbers get in the way of another's.
async fn each_lane_has_leases_of_its_own(ledger: &dyn Ledger, fences: [LaneFence; 2]) {
    let [at_home, beside] = fences;
    let mut first = 1;
    let mut leases = Vec::new();
    for fence in [beside, at_home, beside] {
        let lease = open(ledger, fence, SIZE).await;
        assert_eq!((lease.lane, lease.first), (fence.lane, Ticket(first)));
        first += u64::from(SIZE);
        leases.push(lease);
    }
    let live = must(ledger.live_leases(beside.lane).await);
    assert_eq!(live, [leases[0].clone(), leases[2].clone()]);
    let live = must(ledger.live_leases(at_home.lane).await);
    assert_eq!(live, [leases[1].clone()]);

    let batches = [
        sample::batch(1, &leases[0], 0, 0..2),
        sample::batch(2, &leases[2], 0, 2..3),
    ];
    let done = ledger.append(beside, AppendFrom::Current, &batches).await;
    assert!(matches!(must(done), Appended::Done { .. }));
    let rows = vec![sample::batch(3, &leases[1], 0, 3..4)];
    // The epochs are the same number, and yet the lease is not this lane's.
    let refused = ledger.append(beside, AppendFrom::Current, &rows).await;
    assert!(matches!(refused, Err(LedgerError::Corrupt { .. })));
    let foreign = [sample::batch(4, &leases[0], 2, 4..5)];
    let refused = ledger.append(at_home, AppendFrom::Current, &foreign);
    let reason = DeposedBy::Lease {
        coupon: COUPON,
        lease: leases[0].number,
    };
    assert_eq!(must(refused.await), Appended::Deposed { reason });
    let done = ledger.append(at_home, AppendFrom::Current, &rows).await;
    assert!(matches!(must(done), Appended::Done { .. }));
    let page = ClaimsPage {
        after: None,
        limit: 10,
    };
    let rows = must(ledger.claims_of_coupon(COUPON, page).await);
    let tickets: Vec<u64> = rows.iter().map(|row| row.ticket.0).collect();
    assert_eq!(tickets, [1, 2, 5, 9]);
    let closed = close(ledger, beside, &leases[2]).await;
    assert_eq!((closed.lane, closed.returned), (beside.lane, SIZE - 1));
    let again = ledger.close_lease(at_home, COUPON, leases[0].number).await;
    assert!(matches!(again, Err(LedgerError::Corrupt { .. })));
    // A coupon that is not there has its one shard at its home.
    let unknown = CouponId(COUPON.0 + 3);
    let opened = ledger.open_lease(at_home, unknown, SIZE, false).await;
    let lane = ledger.identity().lanes.lane_of(unknown);
    if lane == at_home.lane {
        assert!(matches!(opened, Ok(LeaseOpened::NothingLeft(_))));
    } else {
        assert!(matches!(opened, Err(LedgerError::Corrupt { .. })));
    }
}

async fn a_flag_of_class_reaches_every_lane(
    ledger: &dyn Ledger,
    fences: [LaneFence; 2],
    without: LaneId,
) {
    let lanes = [fences[0].lane, fences[1].lane, without];
    let seqs = async || {
        let mut seqs = [0; 3];
        for (seq, lane) in seqs.iter_mut().zip(lanes) {
            *seq = must(ledger.lane(lane).await).seq;
        }
        seqs
    };
    let [home, beside, other] = seqs().await;
    must(ledger.set_hot_possible(COUPON).await);
    let flagged = [home + 1, beside + 1, other];
    assert_eq!(seqs().await, flagged, "open leases are in two lanes");
    must(ledger.set_hot_possible(COUPON).await);
    assert_eq!(seqs().await, flagged, "nothing was left to flag");
}

async fn revoked_claims_are_hydrated(ledger: &dyn Ledger) {
    must(ledger.revoke(sample::claim_id(COUPON, 1)).await);
    let rows = must(ledger.claims_by_user_order(COUPON, None, 10).await);
    let revoked: Vec<bool> = rows.iter().map(|row| row.revoked).collect();
    assert_eq!(revoked, [false, true, false, false]);
}
