//! The protocol's stories, one by one. Each panics where the ledger does something else.

use sluice_domain::id::{CouponId, Epoch, KeeperNumber, LaneId};
use sluice_domain::lane::LaneFence;
use sluice_domain::lease::{Lease, LeaseState, Stock};

use super::sample;
use crate::Ledger;
use crate::claims::{AppendFrom, Appended, Conflict, DeposedBy, Revoked};
use crate::lanes::LaneWrite;
use crate::leases::{LeaseOpened, LeaseStep, TargetSettled};

mod cause;
mod notification;
mod redemption;
mod shard;
mod word;

pub use shard::run_sharded;

const COUPON: CouponId = CouponId(7);

/// Runs all of them, each on a new ledger of one lane.
///
/// # Panics
/// Where the ledger does something else than the protocol asks for.
pub async fn run_all<L: Ledger>(fresh: impl AsyncFn() -> L) {
    run_granting(&fresh).await;
    redemption::run_all(&fresh).await;
    word::run_all(&fresh).await;
    cause::run_all(&fresh).await;
    notification::run_all(&fresh).await;
}

/// Those of lanes, leases and rows alone: what a claim needs.
pub async fn run_granting<L: Ledger>(fresh: &impl AsyncFn() -> L) {
    a_late_keeper_changes_nothing(&fresh().await).await;
    a_row_that_is_there_is_done(&fresh().await).await;
    a_taken_ticket_conflicts_and_blocks_nobody(&fresh().await).await;
    a_deposed_append_writes_nothing_at_all(&fresh().await).await;
    units_come_back_under_new_numbers(&fresh().await).await;
    a_total_is_lowered_by_its_target(&fresh().await).await;
    a_halted_lane_waits_for_the_operator(&fresh().await).await;
}

/// Takes the lane and makes a coupon of ten units.
async fn keeper(ledger: &dyn Ledger) -> LaneFence {
    if must(ledger.coupon(COUPON).await).is_none() {
        let entry = sample::entry("coupon.create", "story");
        must(
            ledger
                .create_coupon(&sample::coupon(COUPON, Some(10)), entry)
                .await,
        );
    }
    let seen = must(ledger.lane(LaneId(0)).await);
    match must(ledger.take_lane(&seen, "story", sample::NOW).await) {
        LaneWrite::Done(row) => LaneFence {
            lane: row.lane,
            epoch: row.epoch,
            keeper: row.keeper,
        },
        LaneWrite::Refused(row) => panic!("the lane was not taken: {row:?}"),
    }
}

fn must<T>(answer: Result<T, crate::LedgerError>) -> T {
    answer.unwrap_or_else(|error| panic!("{error}"))
}

async fn open(ledger: &dyn Ledger, fence: LaneFence, want: u32) -> Lease {
    match must(ledger.open_lease(fence, COUPON, want, false).await) {
        LeaseOpened::Opened(lease, _seq) => lease,
        other => panic!("no lease: {other:?}"),
    }
}

async fn close(ledger: &dyn Ledger, fence: LaneFence, lease: &Lease) -> Lease {
    match must(ledger.close_lease(fence, COUPON, lease.number).await) {
        LeaseStep::Done(lease, _seq) => lease,
        LeaseStep::Deposed => panic!("deposed"),
    }
}

async fn a_late_keeper_changes_nothing(ledger: &dyn Ledger) {
    let late = keeper(ledger).await;
    let lease = open(ledger, late, 4).await;
    let fence = keeper(ledger).await;
    assert_eq!(fence.keeper, KeeperNumber(late.keeper.0 + 1));
    let before = must(super::read_all(ledger, &[COUPON], &[]).await);
    let batch = [sample::batch(1, &lease, 0, 0..2)];
    let appended = must(ledger.append(late, AppendFrom::Current, &batch).await);
    let reason = DeposedBy::Lane;
    assert_eq!(appended, Appended::Deposed { reason });
    let opened = must(ledger.open_lease(late, COUPON, 1, false).await);
    assert_eq!(opened, LeaseOpened::Deposed);
    let closed = must(ledger.close_lease(late, COUPON, lease.number).await);
    assert_eq!(closed, LeaseStep::Deposed);
    let raised = must(ledger.raise_epoch(late).await);
    assert!(matches!(raised, LaneWrite::Refused(_)));
    assert_eq!(must(super::read_all(ledger, &[COUPON], &[]).await), before);
}

async fn a_row_that_is_there_is_done(ledger: &dyn Ledger) {
    let fence = keeper(ledger).await;
    let lease = open(ledger, fence, 4).await;
    let batch = [sample::batch(1, &lease, 0, 0..3)];
    for seq in [2, 3] {
        let appended = must(ledger.append(fence, AppendFrom::Current, &batch).await);
        let conflicts = Vec::new();
        assert_eq!(appended, Appended::Done { seq, conflicts });
    }
    let closed = close(ledger, fence, &lease).await;
    assert_eq!((closed.rows, closed.returned), (3, 1));
    let again = must(ledger.append(fence, AppendFrom::Current, &batch).await);
    assert!(
        matches!(again, Appended::Done { .. }),
        "closed or not: {again:?}"
    );
    assert_eq!(must(ledger.granted(COUPON).await), 3);
}

async fn a_taken_ticket_conflicts_and_blocks_nobody(ledger: &dyn Ledger) {
    let fence = keeper(ledger).await;
    let lease = open(ledger, fence, 6).await;
    let first = [sample::batch(1, &lease, 0, 0..2)];
    must(ledger.append(fence, AppendFrom::Current, &first).await);
    // Ticket 2 belongs to claim 1; claim 0 has another ticket already; claim 9 is new.
    let mut second = sample::batch(2, &lease, 1, 7..10);
    second.grants[1].claim_id = sample::claim_id(COUPON, 0);
    let appended = must(
        ledger
            .append(fence, AppendFrom::Current, &[second.clone()])
            .await,
    );
    let Appended::Done { conflicts, .. } = appended else {
        panic!("{appended:?}")
    };
    let conflict = |index: usize, holder: u32| Conflict {
        entry: second.entry,
        claim_id: second.grants[index].claim_id,
        ticket: second.grants[index].ticket,
        holder: sample::claim_id(COUPON, holder),
    };
    assert_eq!(conflicts, [conflict(0, 1), conflict(1, 0)]);
    assert!(must(ledger.claim(sample::claim_id(COUPON, 9)).await).is_some());
    assert_eq!(must(ledger.granted(COUPON).await), 3);
}

async fn a_deposed_append_writes_nothing_at_all(ledger: &dyn Ledger) {
    let fence = keeper(ledger).await;
    let (old, kept) = (open(ledger, fence, 2).await, open(ledger, fence, 2).await);
    close(ledger, fence, &old).await;
    let before = must(ledger.lane(fence.lane).await);
    let batches = [
        sample::batch(1, &kept, 0, 0..1),
        sample::batch(2, &old, 0, 1..2),
    ];
    let appended = must(ledger.append(fence, AppendFrom::Current, &batches).await);
    let (coupon, lease) = (COUPON, old.number);
    let reason = DeposedBy::Lease { coupon, lease };
    assert_eq!(appended, Appended::Deposed { reason });
    assert_eq!(must(ledger.granted(COUPON).await), 0);
    assert_eq!(must(ledger.lane(fence.lane).await), before);
}

async fn units_come_back_under_new_numbers(ledger: &dyn Ledger) {
    let fence = keeper(ledger).await;
    let first = open(ledger, fence, 8_192).await;
    assert_eq!(
        (first.size, first.first.0),
        (10, 1),
        "all that there is, from ticket 1"
    );
    let none = must(ledger.open_lease(fence, COUPON, 1, false).await);
    assert!(matches!(none, LeaseOpened::NothingLeft(_)));
    let batch = [sample::batch(1, &first, 0, 0..6)];
    must(ledger.append(fence, AppendFrom::Current, &batch).await);
    close(ledger, fence, &first).await;
    assert_eq!(
        close(ledger, fence, &first).await.returned,
        4,
        "closing again changes nothing"
    );
    for expected in [Revoked::Done, Revoked::Unchanged] {
        let revoked = must(ledger.revoke(sample::claim_id(COUPON, 0)).await);
        assert_eq!(revoked, expected);
    }
    let second = open(ledger, fence, 8_192).await;
    assert_eq!(
        (second.size, second.first.0),
        (5, 11),
        "the revoked unit too"
    );
}

async fn a_total_is_lowered_by_its_target(ledger: &dyn Ledger) {
    let fence = keeper(ledger).await;
    let lease = open(ledger, fence, 6).await;
    let batch = [sample::batch(1, &lease, 0, 0..4)];
    must(ledger.append(fence, AppendFrom::Current, &batch).await);
    must(ledger.set_target(COUPON, Some(5)).await);
    let none = must(ledger.open_lease(fence, COUPON, 1, false).await);
    assert!(
        matches!(none, LeaseOpened::NothingLeft(_)),
        "nothing above the target"
    );
    let early = must(ledger.settle_target(fence, COUPON, sample::NOW).await);
    assert!(
        matches!(early, TargetSettled::TooMuchGranted(_)),
        "six are leased"
    );
    must(ledger.set_target(COUPON, Some(5)).await);
    close(ledger, fence, &lease).await;
    let settled = must(ledger.settle_target(fence, COUPON, sample::NOW).await);
    let stock = Stock {
        total: Some(5),
        target: None,
        leased: 6,
        returned: 2,
    };
    assert_eq!(settled, TargetSettled::Lowered(stock));
    let coupon = must(ledger.coupon(COUPON).await);
    let written = coupon.map(|coupon| (coupon.spec.limits.total, coupon.revision.0));
    assert_eq!(written, Some((Some(5), 2)));
    let entries = must(ledger.audit_entries(Some(&COUPON.to_string()), 0, 10).await);
    assert_eq!(
        entries.last().map(|row| row.entry.actor.as_str()),
        Some("system")
    );
    assert_eq!(open(ledger, fence, 9).await.size, 1);
}

async fn a_halted_lane_waits_for_the_operator(ledger: &dyn Ledger) {
    let fence = keeper(ledger).await;
    let lease = open(ledger, fence, 2).await;
    must(ledger.halt_lane(fence, "set back").await);
    for refused in [
        must(ledger.raise_epoch(fence).await),
        must(ledger.set_opened(fence).await),
    ] {
        assert!(matches!(refused, LaneWrite::Refused(row) if row.halted.is_some()));
    }
    let accepted = must(ledger.accept_lane(fence, Epoch(8), 90).await);
    let LaneWrite::Done(row) = accepted else {
        panic!("not accepted")
    };
    assert_eq!((row.halted, row.epoch, row.seq), (None, Epoch(8), 90));
    let fence = LaneFence {
        epoch: Epoch(8),
        ..fence
    };
    let quarantined = ledger
        .quarantine_lease(fence, COUPON, lease.number, sample::NOW)
        .await;
    let LeaseStep::Done(lease, seq) = must(quarantined) else {
        panic!("deposed")
    };
    assert_eq!((lease.state, seq), (LeaseState::Quarantined, 91));
}
