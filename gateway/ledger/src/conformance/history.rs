//! Random histories on two ledgers side by side.

use proptest::prelude::{Strategy, any, prop, prop_oneof};
use sluice_domain::id::{CouponId, UserId};
use sluice_domain::lane::LaneCount;

use super::{read_all, sample};
use crate::Ledger;

mod apply;
pub(super) mod cause;
pub(super) mod notify;
mod redeem;

pub use cause::CauseStep;
pub use notify::NotifyStep;
pub use redeem::{Redeem, Wanted};

/// Lanes of the ledgers that histories run on.
#[must_use]
pub fn lanes() -> LaneCount {
    LaneCount::new(2).unwrap_or_else(|count| panic!("{count} lanes are allowed"))
}

const COUPONS: u32 = 3;
const USERS: u32 = 4;

/// A step of a history. Numbers are small, so that steps meet each other.
#[derive(Debug, Clone)]
pub enum Op {
    /// A keeper takes a lane, or tries to by an old row.
    Take { lane: u16, stale: bool },
    /// A lane step under a fence.
    Lane { fence: Fence, step: LaneStep },
    /// A new coupon.
    Create {
        coupon: u32,
        total: Option<u64>,
        hot: bool,
    },
    /// A change of one.
    Update(Update),
    /// A lease.
    Open {
        fence: Fence,
        coupon: u32,
        want: u32,
        hot: bool,
    },
    /// A step on a lease.
    Lease {
        fence: Fence,
        coupon: u32,
        lease: u32,
        quarantine: bool,
    },
    /// Outbox entries.
    Append {
        fence: Fence,
        salvage: Option<u64>,
        batches: Vec<Batch>,
    },
    /// A transition of a redemption.
    Redeem(Redeem),
    /// A grant because of an order.
    Cause { order: u8, step: CauseStep },
    /// A message to a shopper.
    Notify(NotifyStep),
    /// A claim is taken back.
    Revoke { coupon: u32, claim: u32 },
    /// A lowering begins, or is given up.
    Target { coupon: u32, target: Option<u64> },
    /// A lowering ends.
    Settle { fence: Fence, coupon: u32 },
    /// Before a change to class `hot`.
    HotPossible { coupon: u32 },
    /// Retention.
    Retire { coupon: u32, retired: bool },
    /// Something is set aside.
    SetAside {
        lane: u16,
        entry: u64,
        claim: Option<u32>,
    },
    /// An idempotent call of the admin API.
    Operation { key: u8, status: u16 },
    /// A key is made or revoked.
    Key { prefix: u8, revoke: bool },
    /// A number is given.
    Number,
}

/// Which fence a step carries.
#[derive(Debug, Clone, Copy)]
pub struct Fence {
    /// The lane; `None` is the lane of the coupon.
    pub lane: Option<u16>,
    /// 0 is the current epoch, 1 the one before.
    pub epochs_behind: u64,
    /// 0 is the keeper in charge, 1 the one before.
    pub keepers_behind: u64,
}

/// A lane step.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is the method of the same name")]
pub enum LaneStep {
    Renew,
    RaiseEpoch,
    SetOpened,
    Halt,
    Accept { epoch: u64, seq: u64 },
}

/// A change of a coupon.
#[derive(Debug, Clone)]
pub struct Update {
    /// The coupon.
    pub coupon: u32,
    /// Made from the revision before.
    pub stale: bool,
    /// The new total.
    pub total: Option<u64>,
    /// Which lifecycle.
    pub lifecycle: u8,
    /// With a new version, or with other terms under the old one.
    pub version: Option<bool>,
    /// Milliseconds from now at which it starts and ends.
    pub window: (Option<i64>, Option<i64>),
    /// Class `hot`.
    pub hot: bool,
    /// Which public word.
    pub word: Option<u8>,
}

/// An outbox entry.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The coupon.
    pub coupon: u32,
    /// The lease.
    pub lease: u32,
    /// (ticket from the lease's first, claim, user, device).
    pub grants: Vec<(u64, u32, u32, Option<u8>)>,
}

/// Histories of up to `steps` steps.
pub fn histories(steps: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(ops(), 1..steps).prop_map(|ops| {
        let mut all = opening();
        all.extend(ops);
        all
    })
}

/// Every history begins with kept lanes, coupons and claims, so that few steps are in vain.
fn opening() -> Vec<Op> {
    let fence = Fence {
        lane: None,
        epochs_behind: 0,
        keepers_behind: 0,
    };
    let takes = (0..lanes().get()).map(|lane| Op::Take { lane, stale: false });
    let creates = (0..COUPONS - 1).map(|coupon| Op::Create {
        coupon,
        total: Some(9),
        hot: false,
    });
    let leases = (0..COUPONS - 1).map(|coupon| Op::Open {
        fence,
        coupon,
        want: 4,
        hot: false,
    });
    // Two claims of each of two users.
    let grants = |n: u32| (u64::from(n), n, n / 2, None);
    let appends = (0..COUPONS - 1).map(move |coupon| Op::Append {
        fence,
        salvage: None,
        batches: vec![Batch {
            coupon,
            lease: 1,
            grants: (0..4).map(grants).collect(),
        }],
    });
    takes.chain(creates).chain(leases).chain(appends).collect()
}

fn fences() -> impl Strategy<Value = Fence> {
    let lane = prop_oneof![9 => proptest::strategy::Just(None), 1 => (0..3_u16).prop_map(Some)];
    let behind = || prop_oneof![9 => proptest::strategy::Just(0_u64), 1 => 1..2_u64];
    (lane, behind(), behind()).prop_map(|(lane, epochs_behind, keepers_behind)| Fence {
        lane,
        epochs_behind,
        keepers_behind,
    })
}

fn lane_steps() -> impl Strategy<Value = Op> {
    let step = prop_oneof![
        3 => proptest::strategy::Just(LaneStep::Renew),
        4 => proptest::strategy::Just(LaneStep::RaiseEpoch),
        2 => proptest::strategy::Just(LaneStep::SetOpened),
        1 => proptest::strategy::Just(LaneStep::Halt),
        2 => (0..6_u64, 0..60_u64).prop_map(|(epoch, seq)| LaneStep::Accept { epoch, seq }),
    ];
    (fences(), 0..2_u16, step).prop_map(|(fence, lane, step)| Op::Lane {
        fence: Fence {
            lane: Some(lane),
            ..fence
        },
        step,
    })
}

fn totals() -> impl Strategy<Value = Option<u64>> {
    prop::option::weighted(0.85, 0..14_u64)
}

fn updates() -> impl Strategy<Value = Op> {
    let instant = || prop::option::of(-2..3_i64);
    let version = prop::option::weighted(
        0.3,
        prop_oneof![4 => proptest::strategy::Just(true), 1 => proptest::strategy::Just(false)],
    );
    (
        0..COUPONS,
        prop::bool::weighted(0.1),
        totals(),
        0..5_u8,
        version,
        (instant(), instant()),
        prop::bool::weighted(0.2),
        prop::option::of(0..2_u8),
    )
        .prop_map(
            |(coupon, stale, total, lifecycle, version, window, hot, word)| {
                Op::Update(Update {
                    coupon,
                    stale,
                    total,
                    lifecycle,
                    version,
                    window,
                    hot,
                    word,
                })
            },
        )
}

/// Mostly for one coupon: a coupon of another lane refuses the whole append.
fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let grant = (0..7_u64, 0..8_u32, 0..USERS, prop::option::of(0..2_u8));
    let batch = (
        prop::option::weighted(0.05, 0..COUPONS),
        1..4_u32,
        prop::collection::vec(grant, 1..5),
    );
    (0..COUPONS, prop::collection::vec(batch, 0..4)).prop_map(|(coupon, batches)| {
        let with_coupon = batches.into_iter().map(|(other, lease, mut grants)| {
            for (index, grant) in grants.iter_mut().enumerate() {
                // Tickets outside the lease (6) are rare, as they refuse the whole append too.
                if grant.0 != 6 || grant.1 % 4 != 0 {
                    grant.0 = (grant.0 + index as u64) % 6;
                }
            }
            Batch {
                coupon: other.unwrap_or(coupon),
                lease,
                grants,
            }
        });
        with_coupon.collect()
    })
}

fn ops() -> impl Strategy<Value = Op> {
    let coupon = || 0..COUPONS;
    prop_oneof![
        1 => (0..2_u16, any::<bool>()).prop_map(|(lane, stale)| Op::Take { lane, stale }),
        3 => lane_steps(),
        1 => (coupon(), totals(), any::<bool>())
            .prop_map(|(coupon, total, hot)| Op::Create { coupon, total, hot }),
        4 => updates(),
        6 => (fences(), coupon(), 0..6_u32, any::<bool>())
            .prop_map(|(fence, coupon, want, hot)| Op::Open { fence, coupon, want, hot }),
        4 => (fences(), coupon(), 1..5_u32, any::<bool>()).prop_map(
            |(fence, coupon, lease, quarantine)| Op::Lease { fence, coupon, lease, quarantine }),
        12 => (fences(), prop::option::weighted(0.2, 0..3_u64), batches())
            .prop_map(|(fence, salvage, batches)| Op::Append { fence, salvage, batches }),
        16 => redeem::redeems().prop_map(Op::Redeem),
        6 => (0..cause::ORDERS, cause::steps())
            .prop_map(|(order, step)| Op::Cause { order, step }),
        5 => notify::steps().prop_map(Op::Notify),
        4 => (coupon(), 0..8_u32).prop_map(|(coupon, claim)| Op::Revoke { coupon, claim }),
        2 => (coupon(), prop::option::weighted(0.8, 0..12_u64))
            .prop_map(|(coupon, target)| Op::Target { coupon, target }),
        2 => (fences(), coupon()).prop_map(|(fence, coupon)| Op::Settle { fence, coupon }),
        1 => coupon().prop_map(|coupon| Op::HotPossible { coupon }),
        1 => (coupon(), any::<bool>()).prop_map(|(coupon, retired)| Op::Retire { coupon, retired }),
        1 => (0..2_u16, 0..3_u64, prop::option::of(0..2_u32))
            .prop_map(|(lane, entry, claim)| Op::SetAside { lane, entry, claim }),
        1 => (0..2_u8, 200..202_u16).prop_map(|(key, status)| Op::Operation { key, status }),
        1 => (0..2_u8, any::<bool>()).prop_map(|(prefix, revoke)| Op::Key { prefix, revoke }),
        1 => proptest::strategy::Just(Op::Number),
    ]
}

/// Runs a history on both and compares.
///
/// # Errors
/// With the first step whose answers differ, or with what differs at the end.
pub async fn compare(left: &dyn Ledger, right: &dyn Ledger, history: &[Op]) -> Result<(), String> {
    for (index, op) in history.iter().enumerate() {
        // Fences and revisions are resolved by the left one, so that both get the same call.
        let call = apply::resolve(left, op).await?;
        let answers = (
            apply::apply(left, &call).await,
            apply::apply(right, &call).await,
        );
        if answers.0 != answers.1 {
            return Err(format!(
                "step {index}, {op:?}:\n left {}\nright {}",
                answers.0, answers.1
            ));
        }
    }
    let coupons: Vec<CouponId> = (0..COUPONS).map(CouponId).collect();
    let users: Vec<UserId> = (0..USERS).map(sample::user).collect();
    let read = (
        read_all(left, &coupons, &users).await,
        read_all(right, &coupons, &users).await,
    );
    let (Ok(left), Ok(right)) = &read else {
        return Err(format!("the end cannot be read: {read:?}"));
    };
    for (left, right) in left.lines().zip(right.lines()) {
        if left != right {
            return Err(format!("at the end:\n left {left}\nright {right}"));
        }
    }
    if left.len() == right.len() {
        Ok(())
    } else {
        Err("at the end: one can be read further than the other".to_owned())
    }
}
