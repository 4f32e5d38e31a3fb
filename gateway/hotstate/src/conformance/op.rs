//! What random histories are made of. Each op is a few small numbers, of which 0 means the most
//! ordinary choice: so shrinking leads to the plainest history that still differs. What a number
//! means is decided by the caller in `history`, who knows what happened before.

use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;

/// One move in a history.
#[derive(Debug, Clone)]
pub enum Op {
    /// A recovery as it should be: fence, install, open, learn; the first grants are due.
    Recover,
    /// A hydration, of some rows.
    Hydrate {
        /// 0 or 1.
        coupon: u8,
        /// 0 nothing, 1 wrong counts, 2 a new revision before the end, 3 begun again before it.
        twist: u8,
        /// What is filled in.
        rows: Vec<RowPick>,
    },
    /// "Final", and a call that takes what is left.
    SellOut {
        /// 0 or 1.
        coupon: u8,
    },
    /// A lease, by some keeper.
    Lease {
        /// 0 or 1.
        coupon: u8,
        /// Who writes.
        who: u8,
        /// 0 the next number, 1 the last again, 2 one left out.
        number: u8,
        /// Tickets.
        size: u8,
    },
    /// Claims.
    Claims {
        /// 0 or 1.
        coupon: u8,
        /// 0 the revision in force, 1 the first, 2 one that hot state has not.
        revision: u8,
        /// Who asks for what.
        picks: Vec<ClaimPick>,
    },
    /// A revision.
    Install {
        /// 0 or 1.
        coupon: u8,
        /// 0 new terms, 1 only stock, 2 the same again, 3 an old one.
        change: u8,
        /// 0 live, 1 paused, 2 ended, 3 archived.
        life: u8,
        /// 0 for ever, 1 not yet, 2 over, 3 soon over.
        window: u8,
        /// Which limits.
        limits: u8,
        /// 0 the lane's epoch, 1 the one before.
        epoch: u8,
    },
    /// A single step of a hydration, perhaps out of order.
    HydrateStep {
        /// 0 or 1.
        coupon: u8,
        /// Who writes.
        who: u8,
        /// 0 begin, 1 fill, 2 finish, 3 finish with wrong counts.
        step: u8,
        /// 0 the running attempt (a new one for begin), 1 an older, 2 the same again.
        attempt: u8,
        /// 0 the definition in force, 1 the first one.
        definition: u8,
        /// What is filled in.
        rows: Vec<RowPick>,
    },
    /// Writes of keepers that take one word: see [`KeeperWord`].
    Keeper {
        /// Who writes.
        who: u8,
        /// What.
        word: KeeperWord,
    },
    /// A bare fence, take or open.
    Power {
        /// 0 fence, 1 take, 2 open.
        move_: u8,
        /// 0 the next epoch (take: this one), 1 this one (take: the next), 2 the one before.
        epoch: u8,
        /// 0 the same keeper (take: the next), 1 the next (take: the same), 2 the one before.
        keeper: u8,
        /// 0 two minutes, 1 a second, 2 now, 3 over.
        lease: u8,
    },
    /// The process learns the lane's epoch.
    Learn,
    /// Winners and filters, under the last proof (0), an altered one (1 to 4).
    Proof {
        /// 0 winners, 1 load, 2 store, 3 all three.
        call: u8,
        /// What is altered.
        altered: u8,
    },
    /// The clock moves on: 0 a millisecond, 1 the opening delay less one, 2 the delay, 3 a minute,
    /// 4 past a lane's lease.
    Advance {
        /// Which.
        by: u8,
    },
    /// Something happens to the server.
    Fault {
        /// 0 down and up, 1 flush, from 2 on a lost key.
        kind: u8,
        /// 0 or 1.
        coupon: u8,
    },
}

/// What a keeper writes.
#[derive(Debug, Clone, Copy)]
pub enum KeeperWord {
    /// Renews for as long as the number says (as in [`Op::Power`]).
    Renew(u8),
    /// Marks: 0 the tail, 1 one before, 2 beyond, 3 zero.
    Mark(u8),
    /// Refuses a claim that was granted: the number counts back from the last.
    Refuse(u8),
    /// Says that a coupon is final; the second is "more may come".
    Final(u8, bool),
    /// Says that it is not.
    ClearFinal(u8),
    /// Retires: 0 all, else the lease of that number; the third raises `last_lease`.
    Retire(u8, u8, bool),
    /// Forgets a coupon.
    Forget(u8),
    /// Halts the lane.
    Halt,
    /// Sweeps the epoch so many before this one.
    Sweep(u8),
}

/// A row to hydrate from.
#[derive(Debug, Clone, Copy)]
pub struct RowPick {
    /// Who.
    pub user: u8,
    /// Which of their claims.
    pub key: u8,
    /// 0 none.
    pub device: u8,
    /// 0 none.
    pub address: u8,
    /// Taken back.
    pub revoked: bool,
}

/// A claim to ask for.
#[derive(Debug, Clone, Copy)]
pub struct ClaimPick {
    /// Who.
    pub user: u8,
    /// Which of their claims.
    pub key: u8,
    /// Their device.
    pub device: u8,
    /// Their address.
    pub address: u8,
    /// Never grant.
    pub replay_only: bool,
    /// Device and address are present where they should not be, and the other way round.
    pub wrong_presence: bool,
}

/// A history: whether it begins with a lane that serves, and its ops.
pub(super) fn histories(length: usize) -> impl Strategy<Value = (bool, Vec<Op>)> {
    (
        prop_oneof![4 => Just(true), 1 => Just(false)],
        proptest::collection::vec(ops(), 1..=length),
    )
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Recover),
        5 => (0..2_u8, sometimes(4), rows())
            .prop_map(|(coupon, twist, rows)| Op::Hydrate { coupon, twist, rows }),
        4 => (0..2_u8).prop_map(|coupon| Op::SellOut { coupon }),
        8 => (0..2_u8, who(), rarely(3), 1..6_u8).prop_map(|(coupon, who, number, size)| {
            Op::Lease { coupon, who, number, size }
        }),
        24 => (0..2_u8, rarely(3), proptest::collection::vec(claim(), 1..7))
            .prop_map(|(coupon, revision, picks)| Op::Claims { coupon, revision, picks }),
        5 => (0..2_u8, 0..4_u8, sometimes(4), sometimes(4), 0..4_u8, rarely(2)).prop_map(
            |(coupon, change, life, window, limits, epoch)| {
                Op::Install { coupon, change, life, window, limits, epoch }
            }
        ),
        6 => (0..2_u8, who(), 0..4_u8, rarely(3), rarely(2), rows()).prop_map(
            |(coupon, who, step, attempt, definition, rows)| {
                Op::HydrateStep { coupon, who, step, attempt, definition, rows }
            }
        ),
        18 => (who(), word()).prop_map(|(who, word)| Op::Keeper { who, word }),
        4 => (0..3_u8, 0..3_u8, 0..3_u8, rarely(4)).prop_map(|(move_, epoch, keeper, lease)| {
            Op::Power { move_, epoch, keeper, lease }
        }),
        2 => Just(Op::Learn),
        5 => (0..4_u8, rarely(5)).prop_map(|(call, altered)| Op::Proof { call, altered }),
        6 => (0..5_u8).prop_map(|by| Op::Advance { by }),
        1 => (0..13_u8, 0..2_u8).prop_map(|(kind, coupon)| Op::Fault { kind, coupon }),
    ]
}

fn word() -> impl Strategy<Value = KeeperWord> {
    let coupon = || 0..2_u8;
    prop_oneof![
        3 => rarely(4).prop_map(KeeperWord::Renew),
        4 => prop_oneof![3 => Just(0_u8), 2 => 1..4_u8].prop_map(KeeperWord::Mark),
        4 => (0..5_u8).prop_map(KeeperWord::Refuse),
        5 => (coupon(), any::<bool>()).prop_map(|(coupon, more)| KeeperWord::Final(coupon, more)),
        2 => coupon().prop_map(KeeperWord::ClearFinal),
        3 => (coupon(), 0..5_u8, any::<bool>())
            .prop_map(|(coupon, only, raise)| KeeperWord::Retire(coupon, only, raise)),
        1 => coupon().prop_map(KeeperWord::Forget),
        1 => Just(KeeperWord::Halt),
        1 => (0..3_u8).prop_map(KeeperWord::Sweep),
    ]
}

fn rows() -> impl Strategy<Value = Vec<RowPick>> {
    let row = (0..6_u8, 0..3_u8, 0..4_u8, 0..4_u8, rarely(2));
    let row = row.prop_map(|(user, key, device, address, revoked)| RowPick {
        user,
        key,
        device,
        address,
        revoked: revoked == 1,
    });
    proptest::collection::vec(row, 0..4)
}

fn claim() -> impl Strategy<Value = ClaimPick> {
    let claim = (0..8_u8, 0..4_u8, 1..5_u8, 1..5_u8, rarely(2), rarely(2));
    claim.prop_map(
        |(user, key, device, address, replay_only, wrong)| ClaimPick {
            user,
            key,
            device,
            address,
            replay_only: replay_only == 1,
            wrong_presence: wrong == 1,
        },
    )
}

/// Who writes: nearly always the keeper in charge.
fn who() -> impl Strategy<Value = u8> {
    prop_oneof![14 => Just(0_u8), 1 => 1..5_u8]
}

/// 0, but now and then another number below `end`.
fn rarely(end: u8) -> impl Strategy<Value = u8> {
    prop_oneof![9 => Just(0_u8), 1 => 0..end]
}

/// 0, and every third time any number below `end`.
fn sometimes(end: u8) -> impl Strategy<Value = u8> {
    prop_oneof![2 => Just(0_u8), 1 => 0..end]
}
