//! Many callers at once on one redemption, one claim, one limit.

use std::sync::Arc;

use sluice_domain::id::{ClaimId, RedemptionId};
use sluice_domain::redemption::{
    Redemption, RedemptionStatus, Transition, TransitionEvent, UseChange,
};
use sluice_ledger::SqliteLedger;
use sluice_ledger::audit_facts::AuditFacts;
use sluice_ledger::claims::{AppendFrom, Claims};
use sluice_ledger::conformance::{redeem, sample};
use sluice_ledger::leases::{LeaseOpened, Leases};
use sluice_ledger::redemptions::{Redemptions, TransitionOutcome};
use tokio::task::JoinSet;

use crate::story::{COUPON, Keeper, options, runtime};

use RedemptionStatus::{Cancelled, Confirmed, Expired, PartiallyRefunded, Refunded};

const CALLERS: u32 = 64;

/// What a caller was told in the end.
#[derive(Debug)]
enum Told {
    /// Its operation was carried out, by this call or by another of the same operation.
    Mine(TransitionEvent),
    /// It cannot be any more: the redemption as it was then.
    Lost(Box<Redemption>),
}

/// A ledger with claims 0 to 63, each of the user that `owner` says.
async fn granted(path: &std::path::Path, owner: fn(u32) -> u32) -> Arc<SqliteLedger> {
    let keeper = Keeper::start(SqliteLedger::open(path, options()).unwrap()).await;
    let opened = keeper
        .ledger
        .open_lease(keeper.fence, COUPON, CALLERS, false);
    let LeaseOpened::Opened(lease, _seq) = opened.await.unwrap() else {
        panic!("an unlimited coupon has leases")
    };
    let mut batch = sample::batch(1, &lease, 0, 0..CALLERS);
    for (grant, n) in batch.grants.iter_mut().zip(0..) {
        grant.user = sample::user(owner(n));
    }
    let (from, batches) = (AppendFrom::Current, [batch]);
    keeper
        .ledger
        .append(keeper.fence, from, &batches)
        .await
        .unwrap();
    Arc::new(keeper.ledger)
}

fn claim(n: u32) -> ClaimId {
    sample::claim_id(COUPON, n)
}

/// Decides on the row as it is, and again where another transition came first.
async fn carry_out(ledger: &SqliteLedger, to: RedemptionStatus, operation: &str) -> Told {
    let id = redeem::redemption_id(1);
    let mut held = ledger.redemption(id).await.unwrap().unwrap();
    loop {
        if let Some(event) = ledger.redemption_operation(id, operation).await.unwrap() {
            return Told::Mine(event);
        }
        if !to.may_follow(Some(held.status)) {
            return Told::Lost(Box::new(held));
        }
        let uses = match to {
            Cancelled | Expired | Refunded => vec![redeem::free(claim(0))],
            _ => vec![redeem::spent(claim(0), 400)],
        };
        let transition = redeem::follow(&held, to, operation, uses);
        match ledger.apply(&transition).await.unwrap() {
            TransitionOutcome::Done => return Told::Mine(transition.event),
            TransitionOutcome::Repeated(event) => return Told::Mine(event),
            TransitionOutcome::Stale(now) => held = *now,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn many_callers_end_one_redemption_by_one_legal_path() {
    for round in 0..8_u32 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        runtime().block_on(async {
            let ledger = granted(&path, |_n| 0).await;
            let first = redeem::hold(1, 0, "hold", vec![redeem::reserved(claim(0), 500)]);
            assert_eq!(ledger.apply(&first).await.unwrap(), TransitionOutcome::Done);
            let mut callers = JoinSet::new();
            for n in 0..CALLERS {
                // Each round begins with another kind; two callers share an operation.
                let kinds = [Confirmed, Cancelled, Expired, PartiallyRefunded, Refunded];
                let to = kinds[((n / 2 + round) % 5) as usize];
                let ledger = Arc::clone(&ledger);
                callers.spawn(async move {
                    let operation = format!("op{}", n / 2);
                    (
                        to,
                        operation.clone(),
                        carry_out(&ledger, to, &operation).await,
                    )
                });
            }
            let told = callers.join_all().await;
            check_story(&ledger, &told).await;
            ledger.close().await;
        });
    }
}

/// One legal path, and every caller was told the truth about it.
async fn check_story(ledger: &SqliteLedger, told: &[(RedemptionStatus, String, Told)]) {
    let id = redeem::redemption_id(1);
    let events = ledger.events(id).await.unwrap();
    let mut from = None;
    for (event, version) in events.iter().zip(1..) {
        assert_eq!((event.from, event.row_version.0), (from, version));
        assert!(event.to.may_follow(from), "{from:?} to {:?}", event.to);
        from = Some(event.to);
    }
    let end = ledger.redemption(id).await.unwrap().unwrap();
    assert_eq!(Some(end.status), from);
    for (to, operation, told) in told {
        let carried_out = events.iter().find(|event| event.operation_id == *operation);
        match told {
            Told::Mine(event) => assert_eq!(Some(event), carried_out),
            Told::Lost(seen) => {
                // True when it was said: only its twin, later, can have found the way free.
                let later = |event: &TransitionEvent| event.row_version > seen.row_version;
                assert!(
                    carried_out.is_none_or(later),
                    "{operation} was told that it lost"
                );
                assert!(!to.may_follow(Some(seen.status)));
                let was = events
                    .iter()
                    .find(|event| event.row_version == seen.row_version);
                assert_eq!(was.map(|event| event.to), Some(seen.status));
            }
        }
    }
    let live = ledger.claim_uses(&[claim(0)]).await.unwrap();
    let expected = usize::from(matches!(end.status, Confirmed | PartiallyRefunded));
    assert_eq!(live.len(), expected, "{:?}", end.status);
    check_counters(ledger, expected as u64).await;
}

async fn check_counters(ledger: &SqliteLedger, uses: u64) {
    let facts = ledger.usage_facts(COUPON).await.unwrap();
    assert_eq!(facts.kept, facts.counted);
    assert_eq!(facts.kept.usage.uses, uses);
}

/// Holds as many orders at once, and gives what each was told.
async fn hold_all(
    ledger: &Arc<SqliteLedger>,
    hold: impl Fn(u32) -> Transition,
) -> Vec<(RedemptionId, TransitionOutcome)> {
    let mut callers = JoinSet::new();
    for n in 0..CALLERS {
        let (ledger, transition) = (Arc::clone(ledger), hold(n));
        callers.spawn(async move {
            let told = ledger.apply(&transition).await.unwrap();
            (transition.redemption.id, told)
        });
    }
    callers.join_all().await
}

/// Splits the winners from what the others were told.
fn split(
    told: Vec<(RedemptionId, TransitionOutcome)>,
) -> (Vec<RedemptionId>, Vec<TransitionOutcome>) {
    let (won, lost): (Vec<_>, Vec<_>) = told
        .into_iter()
        .partition(|(_id, outcome)| *outcome == TransitionOutcome::Done);
    let ids = won.into_iter().map(|(id, _done)| id).collect();
    (
        ids,
        lost.into_iter().map(|(_id, outcome)| outcome).collect(),
    )
}

#[test]
fn one_of_many_orders_gets_the_claim() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let ledger = granted(&folder.path().join("ledger.db"), |_n| 0).await;
        let uses = || vec![redeem::reserved(claim(0), 500)];
        let told = hold_all(&ledger, |n| redeem::hold(n, 0, "hold", uses())).await;
        let (won, lost) = split(told);
        assert_eq!((won.len(), lost.len()), (1, 63));
        let live = ledger.claim_uses(&[claim(0)]).await.unwrap();
        assert_eq!(live[0].redemption, won[0]);
        let claim_id = claim(0);
        let expected = TransitionOutcome::ClaimNotFree {
            claim_id,
            uses: live,
        };
        assert!(lost.iter().all(|outcome| *outcome == expected), "{lost:?}");
        check_counters(&ledger, 1).await;
        ledger.close().await;
    });
}

#[test]
fn a_budget_and_a_users_limit_hold_under_many_orders() {
    let folder = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let path = folder.path().join("ledger.db");
        let ledger = granted(&path, |n| n % 2).await;
        // User 0 may use ten; all together may take off 20 times 5 and 4 more.
        let uses = |n: u32| -> Vec<UseChange> {
            let taken = redeem::budgeted(redeem::reserved(claim(n), 5), 104);
            let count = if n.is_multiple_of(2) { 10 } else { 1_000 };
            vec![redeem::per_user(taken, count, "2026-11-27")]
        };
        let told = hold_all(&ledger, |n| redeem::hold(n, n % 2, "hold", uses(n))).await;
        let (won, lost) = split(told);
        assert_eq!(won.len(), 20);
        for outcome in &lost {
            let truth = match outcome {
                TransitionOutcome::UserLimitReached { uses, .. } => *uses == 10,
                TransitionOutcome::BudgetReached { left, .. } => *left == 4,
                _ => false,
            };
            assert!(truth, "{outcome:?}");
        }
        let (periods, user) = ([(COUPON, "2026-11-27".to_owned())], sample::user(0));
        let counted = ledger.uses_of_user(&periods, &user).await.unwrap();
        assert!(counted[0] <= 10);
        check_counters(&ledger, 20).await;
        ledger.close().await;
    });
}

#[test]
fn a_reader_beside_the_writer_sees_redemptions_and_writes_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    runtime().block_on(async {
        let ledger = granted(&path, |_n| 0).await;
        let beside = SqliteLedger::open_read_only(&path).unwrap();
        let first = redeem::hold(1, 0, "hold", vec![redeem::reserved(claim(0), 500)]);
        ledger.apply(&first).await.unwrap();
        let seen = beside.redemption_facts(None, None, 10).await.unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].events, std::slice::from_ref(&first.event));
        let cancel = redeem::follow(
            &first.redemption,
            Cancelled,
            "x",
            vec![redeem::free(claim(0))],
        );
        let refused = beside.apply(&cancel).await;
        assert!(
            matches!(refused, Err(sluice_ledger::LedgerError::Full { .. })),
            "{refused:?}"
        );
        beside.close().await;
        ledger.close().await;
    });
}
