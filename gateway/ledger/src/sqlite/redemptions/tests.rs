//! What a hold costs, counted in steps of SQLite's virtual machine: the same on every machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, params};
use sluice_domain::id::CouponId;
use sluice_domain::lane::LaneCount;
use sluice_domain::redemption::Transition;

use super::super::{connection, coupons, identity, migrate};
use super::transition::apply;
use crate::conformance::{redeem, sample};
use crate::redemptions::TransitionOutcome;

const COUPON: CouponId = CouponId(7);
const CLAIMS: u32 = 4_000;

/// A ledger whose one user has many claims of one coupon.
fn granted(path: &Path) -> Connection {
    let mut connection = connection::writer(path).unwrap();
    migrate::migrate(&mut connection).unwrap();
    let lanes = LaneCount::new(1).unwrap();
    identity::ensure(&mut connection, lanes).unwrap();
    let transaction = connection.transaction().unwrap();
    let entry = sample::entry("coupon.create", "cost");
    let coupon = sample::coupon(COUPON, None);
    let made = coupons::create(&transaction, lanes, &coupon, entry);
    assert!(made.is_ok());
    for n in 0..CLAIMS {
        transaction
            .prepare_cached(
                "INSERT INTO claims (coupon, ticket, lease, hash, user, revision, version,
                                     granted_at, durability)
                 VALUES (?1, ?2, 1, ?3, ?4, 1, 1, 0, 0)",
            )
            .unwrap()
            .execute(params![
                COUPON.0,
                n + 1,
                sample::claim_id(COUPON, n).hash(),
                sample::user(n).as_str()
            ])
            .unwrap();
    }
    transaction.commit().unwrap();
    connection
}

/// A hold of one claim under every limit.
fn hold(n: u32) -> Transition {
    let taken = redeem::budgeted(redeem::reserved(sample::claim_id(COUPON, n), 1), 1_000_000);
    let taken = redeem::per_user(taken, 1, "2026-11-27");
    redeem::hold(n, n, "hold", vec![taken])
}

/// Holds, and gives the steps that it took.
fn steps(connection: &mut Connection, n: u32) -> u64 {
    let steps = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&steps);
    let count = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        false
    };
    connection.progress_handler(1, Some(count)).unwrap();
    let Ok(held) = apply(connection, &hold(n)) else {
        panic!("the hold of claim {n} failed")
    };
    assert_eq!(held, TransitionOutcome::Done);
    connection
        .progress_handler(0, None::<fn() -> bool>)
        .unwrap();
    steps.load(Ordering::Relaxed)
}

#[test]
fn a_hold_costs_the_same_whatever_was_held_before() {
    let folder = tempfile::tempdir().unwrap();
    let mut connection = granted(&folder.path().join("ledger.db"));
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The first prepares its statements and makes the coupon's counter.
    steps(&mut connection, 0);
    let early = steps(&mut connection, 1);
    for n in 2..CLAIMS - 1 {
        steps(&mut connection, n);
    }
    let late = steps(&mut connection, CLAIMS - 1);
    assert!(early < 600, "{early} steps");
    assert!(
        late <= early + 10,
        "{early} steps, and {late} after {CLAIMS} holds"
    );
}
