//! Several processes at once on one ledger.

use std::sync::Arc;

use sluice_domain::id::LaneId;
use sluice_domain::lane::{LaneCount, LaneFence};
use sluice_ledger::audit_facts::AuditFacts;
use sluice_ledger::audit_log::{AuditLog, verify_chain};
use sluice_ledger::claims::{AppendFrom, Claims};
use sluice_ledger::conformance::{redeem, sample};
use sluice_ledger::coupons::Coupons;
use sluice_ledger::lanes::{LaneWrite, Lanes};
use sluice_ledger::leases::{LeaseOpened, Leases};
use sluice_ledger::redemptions::{Redemptions, TransitionOutcome};
use sluice_ledger::{CqlLedger, testing};
use tokio::task::JoinSet;

use crate::story::{COUPON, runtime};

const PROCESSES: usize = 3;
const CALLERS: u32 = 8;

/// Ledgers of as many processes, on the same keyspace.
async fn processes() -> Vec<Arc<CqlLedger>> {
    let options = testing::cql_options(LaneCount::new(1).unwrap());
    let migrate = |_n| CqlLedger::migrate(&options);
    // All at once: one of them makes the schema.
    let migrated = futures_util::future::join_all((0..PROCESSES).map(migrate)).await;
    assert!(migrated.iter().all(Result::is_ok), "{migrated:?}");
    let mut ledgers = Vec::new();
    for _process in 0..PROCESSES {
        ledgers.push(Arc::new(CqlLedger::open(&options).await.unwrap()));
    }
    let first = ledgers[0].identity();
    assert!(
        ledgers
            .iter()
            .all(|ledger| ledger.identity().id == first.id)
    );
    ledgers
}

/// Claims 0 to 7, all of user 0.
async fn granted(ledger: &CqlLedger) {
    let entry = sample::entry("coupon.create", "meeting");
    let coupon = sample::coupon(COUPON, None);
    ledger.create_coupon(&coupon, entry).await.unwrap();
    let seen = ledger.lane(LaneId(0)).await.unwrap();
    let taken = ledger.take_lane(&seen, "meeting", sample::NOW).await;
    let Ok(LaneWrite::Done(row)) = taken else {
        panic!("{taken:?}")
    };
    let fence = LaneFence {
        lane: row.lane,
        epoch: row.epoch,
        keeper: row.keeper,
    };
    let opened = ledger.open_lease(fence, COUPON, CALLERS, false).await;
    let Ok(LeaseOpened::Opened(lease, _seq)) = opened else {
        panic!("{opened:?}")
    };
    let mut batch = sample::batch(1, &lease, 0, 0..CALLERS);
    for grant in &mut batch.grants {
        grant.user = sample::user(0);
    }
    ledger
        .append(fence, AppendFrom::Current, &[batch])
        .await
        .unwrap();
}

#[test]
fn one_of_several_takes_the_lane() {
    runtime().block_on(async {
        let ledgers = processes().await;
        let seen = ledgers[0].lane(LaneId(0)).await.unwrap();
        let mut takers = JoinSet::new();
        for ledger in &ledgers {
            let (ledger, seen) = (Arc::clone(ledger), seen.clone());
            takers.spawn(async move { ledger.take_lane(&seen, "taker", sample::NOW).await });
        }
        let taken = takers.join_all().await;
        let done = |taken: &&Result<LaneWrite, _>| matches!(taken, Ok(LaneWrite::Done(_)));
        assert_eq!(taken.iter().filter(done).count(), 1, "{taken:?}");
        let row = ledgers[0].lane(LaneId(0)).await.unwrap();
        assert_eq!(row.keeper.0, 1);
    });
}

#[test]
fn numbers_and_audit_entries_of_several_are_one_sequence() {
    runtime().block_on(async {
        let ledgers = processes().await;
        let mut writers = JoinSet::new();
        for n in 0..CALLERS {
            let ledger = Arc::clone(&ledgers[n as usize % PROCESSES]);
            writers.spawn(async move {
                let entry = sample::entry("key.seen", &format!("k{n}"));
                ledger.append_audit(entry).await.unwrap();
                ledger.next_number().await.unwrap().0
            });
        }
        let mut numbers = writers.join_all().await;
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=CALLERS).collect::<Vec<_>>());
        let rows = ledgers[1].audit_entries(None, 0, 100).await.unwrap();
        assert_eq!(rows.len(), CALLERS as usize);
        assert_eq!(verify_chain([0; 32], &rows), Ok(()));
    });
}

#[test]
fn one_claim_a_budget_and_a_users_limit_hold_over_several() {
    runtime().block_on(async {
        let ledgers = processes().await;
        granted(&ledgers[0]).await;
        let mut callers = JoinSet::new();
        for n in 0..CALLERS {
            let ledger = Arc::clone(&ledgers[n as usize % PROCESSES]);
            // Two orders want each claim; three uses of the user; 5 each of a budget of 24.
            let taken = redeem::reserved(sample::claim_id(COUPON, n / 2), 5);
            let taken = redeem::per_user(redeem::budgeted(taken, 24), 3, "2026-11-27");
            let hold = redeem::hold(n, 0, "hold", vec![taken]);
            callers.spawn(async move { ledger.apply(&hold).await.unwrap() });
        }
        let told = callers.join_all().await;
        let won = told.iter().filter(|told| **told == TransitionOutcome::Done);
        assert_eq!(won.count(), 3, "{told:?}");
        let facts = ledgers[1].usage_facts(COUPON).await.unwrap();
        assert_eq!(facts.kept, facts.counted);
        assert_eq!((facts.kept.usage.uses, facts.kept.usage.value), (3, 15));
        let periods = [(COUPON, "2026-11-27".to_owned())];
        let counted = ledgers[2].uses_of_user(&periods, &sample::user(0)).await;
        assert_eq!(counted.unwrap(), [3]);
        let orphans = ledgers[2].redemption_orphans().await.unwrap();
        assert_eq!(orphans.uses_without_redemption.count, 0);
    });
}
