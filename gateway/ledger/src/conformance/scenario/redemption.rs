//! Stories of checkout: every answer of a transition, every limit.

use sluice_domain::id::{ClaimId, RedemptionId};
use sluice_domain::redemption::{
    CouponUsage, Redemption, RedemptionStatus, RowVersion, Transition, UseChange,
};

use super::{COUPON, keeper, must, open};
use crate::Ledger;
use crate::claims::{AppendFrom, Revoked};
use crate::conformance::redeem::{
    HELD_UNTIL, budgeted, follow, free, hold, limited, per_user, redemption_id, reserved, spent,
};
use crate::conformance::{read_all, sample};
use crate::redemptions::{RedemptionsPage, TransitionOutcome};

use RedemptionStatus::{Cancelled, Confirmed, Expired, Held, PartiallyRefunded, Refunded};

/// Runs all of them, each on a new ledger of one lane.
pub(super) async fn run_all<L: Ledger>(fresh: &impl AsyncFn() -> L) {
    a_use_is_held_spent_and_given_back(&fresh().await).await;
    a_repeated_operation_gets_its_result(&fresh().await).await;
    a_late_transition_is_told_the_winner(&fresh().await).await;
    a_claim_has_so_many_uses(&fresh().await).await;
    only_an_owner_uses_a_claim(&fresh().await).await;
    a_claim_in_use_is_not_taken_back(&fresh().await).await;
    a_user_has_so_many_uses_in_a_period(&fresh().await).await;
    a_budget_is_never_exceeded(&fresh().await).await;
    a_held_order_is_held_anew(&fresh().await).await;
    holds_that_are_over_are_found(&fresh().await).await;
    a_transition_that_cannot_be_is_refused(&fresh().await).await;
    frozen_terms_are_found(&fresh().await).await;
}

/// Claims 0 to 5 of the coupon: 0 to 3 of user 0, the others of user 1.
async fn granted(ledger: &dyn Ledger) {
    let fence = keeper(ledger).await;
    let lease = open(ledger, fence, 8).await;
    let mut batch = sample::batch(1, &lease, 0, 0..6);
    for (index, grant) in batch.grants.iter_mut().enumerate() {
        grant.user = sample::user(u32::from(index > 3));
    }
    must(ledger.append(fence, AppendFrom::Current, &[batch]).await);
}

fn claim(n: u32) -> ClaimId {
    sample::claim_id(COUPON, n)
}

async fn done(ledger: &dyn Ledger, transition: &Transition) -> Redemption {
    let outcome = must(ledger.apply(transition).await);
    assert_eq!(outcome, TransitionOutcome::Done);
    let held = must(ledger.redemption(transition.redemption.id).await);
    assert_eq!(held.as_ref(), Some(&transition.redemption));
    transition.redemption.clone()
}

/// Applies what must not be written, and sees that nothing was.
async fn refused(ledger: &dyn Ledger, transition: &Transition) -> TransitionOutcome {
    let before = must(read_all(ledger, &[COUPON], &[]).await);
    let outcome = must(ledger.apply(transition).await);
    assert_ne!(outcome, TransitionOutcome::Done);
    assert_eq!(must(read_all(ledger, &[COUPON], &[]).await), before);
    outcome
}

async fn usage(ledger: &dyn Ledger) -> (u64, i64, u64) {
    let usage = must(ledger.coupon_usage(&[COUPON]).await);
    let CouponUsage { uses, value } = usage[0];
    (uses, value, must(ledger.redeemed(COUPON).await))
}

async fn a_use_is_held_spent_and_given_back(ledger: &dyn Ledger) {
    granted(ledger).await;
    let first = done(ledger, &hold(1, 0, "h", vec![reserved(claim(0), 500)])).await;
    assert_eq!(usage(ledger).await, (1, 500, 0));
    let uses = must(ledger.claim_uses(&[claim(1), claim(0), claim(0)]).await);
    assert_eq!(uses.len(), 1);
    assert_eq!((uses[0].claim_id, uses[0].use_number), (claim(0), 1));
    assert_eq!(uses[0].held_until, Some(HELD_UNTIL));
    assert_eq!(uses[0].order, first.order);

    let paid = follow(&first, Confirmed, "c", vec![spent(claim(0), 500)]);
    let paid = done(ledger, &paid).await;
    assert_eq!(usage(ledger).await, (1, 500, 1));
    let less = follow(&paid, PartiallyRefunded, "r1", vec![spent(claim(0), 200)]);
    let less = done(ledger, &less).await;
    assert_eq!(usage(ledger).await, (1, 200, 1));
    let all = follow(&less, Refunded, "r2", vec![free(claim(0))]);
    done(ledger, &all).await;
    assert_eq!(usage(ledger).await, (0, 0, 0));

    let events = must(ledger.events(first.id).await);
    let path: Vec<_> = events.iter().map(|event| (event.from, event.to)).collect();
    let expected = [
        (None, Held),
        (Some(Held), Confirmed),
        (Some(Confirmed), PartiallyRefunded),
        (Some(PartiallyRefunded), Refunded),
    ];
    assert_eq!(path, expected);
    let page = RedemptionsPage {
        after: None,
        limit: 10,
    };
    let listed = must(ledger.redemptions_of_coupon(COUPON, page).await);
    assert_eq!(listed.len(), 1, "also after everything came back");
}

async fn a_repeated_operation_gets_its_result(ledger: &dyn Ledger) {
    granted(ledger).await;
    let first = hold(1, 0, "h", vec![reserved(claim(0), 500)]);
    let id = first.redemption.id;
    assert_eq!(must(ledger.redemption_operation(id, "h").await), None);
    let held = done(ledger, &first).await;
    let known = must(ledger.redemption_operation(id, "h").await);
    assert_eq!(known.as_ref(), Some(&first.event), "a lost answer is found");

    let again = refused(ledger, &first).await;
    assert_eq!(again, TransitionOutcome::Repeated(first.event.clone()));
    let mut other = first.clone();
    other.event.fingerprint = [2; 32];
    let reused = refused(ledger, &other).await;
    assert_eq!(
        reused,
        TransitionOutcome::OperationReused(first.event.clone())
    );

    // Known also when much has happened since.
    done(ledger, &follow(&held, Cancelled, "x", vec![free(claim(0))])).await;
    let late = refused(ledger, &first).await;
    assert_eq!(late, TransitionOutcome::Repeated(first.event));
}

async fn a_late_transition_is_told_the_winner(ledger: &dyn Ledger) {
    granted(ledger).await;
    let held = done(ledger, &hold(1, 0, "h", vec![reserved(claim(0), 500)])).await;
    let expire = follow(&held, Expired, "e", vec![free(claim(0))]);
    let paid = follow(&held, Confirmed, "c", vec![spent(claim(0), 500)]);
    let paid = done(ledger, &paid).await;
    let stale = TransitionOutcome::Stale(Box::new(paid));
    assert_eq!(refused(ledger, &expire).await, stale);
    let again = hold(1, 0, "h2", vec![reserved(claim(1), 500)]);
    assert_eq!(refused(ledger, &again).await, stale);
    let mut other = again.clone();
    other.redemption.id = redemption_id(2);
    other.event.redemption = other.redemption.id;
    assert_eq!(refused(ledger, &other).await, TransitionOutcome::OrderTaken);
}

async fn a_claim_has_so_many_uses(ledger: &dyn Ledger) {
    granted(ledger).await;
    let twice = |change| limited(change, |wanted| wanted.uses_per_claim = 2);
    let first = done(ledger, &hold(1, 0, "h", vec![twice(reserved(claim(0), 1))])).await;
    done(ledger, &hold(2, 0, "h", vec![twice(reserved(claim(0), 2))])).await;
    let third = hold(
        3,
        0,
        "h",
        vec![reserved(claim(1), 9), twice(reserved(claim(0), 3))],
    );
    let uses = must(ledger.claim_uses(&[claim(0)]).await);
    let numbers: Vec<_> = uses.iter().map(|held| held.use_number).collect();
    assert_eq!(numbers, [1, 2]);
    let claim_id = claim(0);
    let full = TransitionOutcome::ClaimNotFree { claim_id, uses };
    assert_eq!(refused(ledger, &third).await, full);
    let cancel = follow(&first, Cancelled, "x", vec![free(claim(0))]);
    done(ledger, &cancel).await;
    done(ledger, &third).await;
    let uses = must(ledger.claim_uses(&[claim(0)]).await);
    let numbers: Vec<_> = uses
        .iter()
        .map(|held| (held.use_number, held.value))
        .collect();
    assert_eq!(numbers, [(1, 3), (2, 2)], "the number that came back");
}

async fn only_an_owner_uses_a_claim(ledger: &dyn Ledger) {
    granted(ledger).await;
    assert_eq!(must(ledger.revoke(claim(3)).await), Revoked::Done);
    // Another user's, an unknown one, a revoked one: all the same.
    for n in [4, 99, 3] {
        let wanted = hold(
            1,
            0,
            "h",
            vec![reserved(claim(0), 1), reserved(claim(n), 1)],
        );
        let claim_id = claim(n);
        assert_eq!(
            refused(ledger, &wanted).await,
            TransitionOutcome::ClaimGone { claim_id }
        );
    }
}

async fn a_claim_in_use_is_not_taken_back(ledger: &dyn Ledger) {
    granted(ledger).await;
    let held = done(ledger, &hold(1, 0, "h", vec![reserved(claim(0), 5)])).await;
    let uses = must(ledger.claim_uses(&[claim(0)]).await);
    assert_eq!(must(ledger.revoke(claim(0)).await), Revoked::InUse(uses));
    done(ledger, &follow(&held, Cancelled, "x", vec![free(claim(0))])).await;
    assert_eq!(must(ledger.revoke(claim(0)).await), Revoked::Done);
}

async fn a_user_has_so_many_uses_in_a_period(ledger: &dyn Ledger) {
    granted(ledger).await;
    let on = |day: &str, n| per_user(reserved(claim(n), 1), 2, day);
    let first = done(ledger, &hold(1, 0, "h", vec![on("2026-11-27", 0)])).await;
    let both = hold(2, 0, "h", vec![on("2026-11-27", 1), on("2026-11-27", 2)]);
    let full = |n, uses| TransitionOutcome::UserLimitReached {
        claim_id: claim(n),
        uses,
    };
    assert_eq!(
        refused(ledger, &both).await,
        full(2, 2),
        "it counts its own too"
    );
    done(ledger, &hold(2, 0, "h", vec![on("2026-11-27", 1)])).await;
    let third = hold(3, 0, "h", vec![on("2026-11-27", 2)]);
    assert_eq!(refused(ledger, &third).await, full(2, 2));
    let other_day = done(ledger, &hold(3, 0, "h", vec![on("2026-11-28", 2)])).await;
    done(ledger, &hold(4, 1, "h", vec![on("2026-11-27", 4)])).await;
    let days = ["2026-11-27", "2026-11-28", "2026-11-29"].map(|day| (COUPON, day.to_owned()));
    let counted = must(ledger.uses_of_user(&days, &sample::user(0)).await);
    assert_eq!(counted, [2, 1, 0]);

    // Held anew on another day: what counted there already does not count twice.
    let moved = follow(&other_day, Held, "h2", vec![on("2026-11-27", 2)]);
    assert_eq!(refused(ledger, &moved).await, full(2, 2));
    let stays = follow(&first, Held, "h2", vec![on("2026-11-27", 0)]);
    let stays = done(ledger, &stays).await;
    done(
        ledger,
        &follow(&stays, Cancelled, "x", vec![free(claim(0))]),
    )
    .await;
    done(ledger, &moved).await;
    let counted = must(ledger.uses_of_user(&days, &sample::user(0)).await);
    assert_eq!(counted, [2, 0, 0]);
}

async fn a_budget_is_never_exceeded(ledger: &dyn Ledger) {
    granted(ledger).await;
    let within = |n, value| budgeted(reserved(claim(n), value), 100);
    let full = |n, left| TransitionOutcome::BudgetReached {
        claim_id: claim(n),
        coupon: COUPON,
        left,
    };
    let both = hold(1, 0, "h", vec![within(0, 60), within(1, 41)]);
    assert_eq!(refused(ledger, &both).await, full(1, 40));
    let first = done(ledger, &hold(1, 0, "h", vec![within(0, 60)])).await;
    let second = done(ledger, &hold(2, 1, "h", vec![within(4, 40)])).await;
    assert_eq!(
        refused(ledger, &hold(3, 0, "h", vec![within(1, 1)])).await,
        full(1, 0)
    );
    done(ledger, &hold(4, 0, "h", vec![within(1, 0)])).await;

    // A use that is there counts only what it rises by.
    let rises = follow(&first, Held, "h2", vec![within(0, 61)]);
    assert_eq!(refused(ledger, &rises).await, full(0, 60));
    let lower = |n, value, budget| vec![budgeted(reserved(claim(n), value), budget)];
    let first = done(ledger, &follow(&first, Held, "h3", lower(0, 50, 10))).await;
    let same = budgeted(spent(claim(0), 50), 10);
    let first = done(ledger, &follow(&first, Confirmed, "c", vec![same])).await;
    done(ledger, &hold(5, 0, "h", vec![within(2, 10)])).await;

    // Given back by expiry, by a refund in part and by the rest of it.
    assert_eq!(usage(ledger).await, (4, 100, 1));
    done(ledger, &follow(&second, Expired, "e", vec![free(claim(4))])).await;
    let part = follow(&first, PartiallyRefunded, "r", vec![spent(claim(0), 20)]);
    let first = done(ledger, &part).await;
    assert_eq!(usage(ledger).await, (3, 30, 1));
    done(
        ledger,
        &follow(&first, Refunded, "r2", vec![free(claim(0))]),
    )
    .await;
    done(ledger, &hold(6, 1, "h", vec![within(5, 90)])).await;
    assert_eq!(
        refused(ledger, &hold(7, 1, "h", vec![within(4, 1)])).await,
        full(4, 0)
    );
}

async fn a_held_order_is_held_anew(ledger: &dyn Ledger) {
    granted(ledger).await;
    let within = |n, value| budgeted(reserved(claim(n), value), 100);
    let first = done(ledger, &hold(1, 0, "h", vec![within(0, 90)])).await;
    // The budget that the freed use gives back is there for the new one.
    let other = follow(&first, Held, "h2", vec![within(1, 95), free(claim(0))]);
    let other = done(ledger, &other).await;
    assert_eq!(usage(ledger).await, (1, 95, 0));
    // Freed and taken: taken anew.
    let anew = follow(&other, Held, "h3", vec![within(1, 100), free(claim(1))]);
    let anew = done(ledger, &anew).await;
    assert_eq!(usage(ledger).await, (1, 100, 0));
    let gone = done(ledger, &follow(&anew, Expired, "e", vec![free(claim(1))])).await;
    assert_eq!(usage(ledger).await, (0, 0, 0));
    // Over, and paid all the same: everything is taken again, if it is still there.
    let late = follow(
        &gone,
        Confirmed,
        "c",
        vec![budgeted(spent(claim(1), 100), 100)],
    );
    let rival = done(ledger, &hold(2, 1, "h", vec![within(4, 1)])).await;
    let full = TransitionOutcome::BudgetReached {
        claim_id: claim(1),
        coupon: COUPON,
        left: 99,
    };
    assert_eq!(refused(ledger, &late).await, full);
    done(
        ledger,
        &follow(&rival, Cancelled, "x", vec![free(claim(4))]),
    )
    .await;
    done(ledger, &late).await;
    assert_eq!(usage(ledger).await, (1, 100, 1));
}

async fn holds_that_are_over_are_found(ledger: &dyn Ledger) {
    granted(ledger).await;
    let mut made = Vec::new();
    for (n, millis) in [(1, 30), (2, 10), (3, 20), (4, 10)] {
        let mut transition = hold(n, 0, "h", Vec::new());
        transition.redemption.held_until = sample::NOW.plus_millis(millis);
        made.push(done(ledger, &transition).await);
    }
    let ids = |all: &[u32]| all.iter().map(|n| redemption_id(*n)).collect::<Vec<_>>();
    let now = sample::NOW.plus_millis(20);
    let due = async |after: Option<RedemptionId>, limit| must(ledger.due(now, after, limit).await);
    assert_eq!(due(None, 10).await, ids(&[2, 4, 3]), "not yet the first");
    assert_eq!(due(None, 2).await, ids(&[2, 4]));
    assert_eq!(due(Some(redemption_id(4)), 2).await, ids(&[3]));
    done(ledger, &follow(&made[3], Expired, "e", Vec::new())).await;
    assert_eq!(
        due(Some(redemption_id(4)), 2).await,
        ids(&[3]),
        "also once it expired"
    );
    assert_eq!(due(None, 10).await, ids(&[2, 3]));
}

async fn a_transition_that_cannot_be_is_refused(ledger: &dyn Ledger) {
    granted(ledger).await;
    let held = done(ledger, &hold(1, 0, "h", vec![reserved(claim(0), 5)])).await;
    let uses = |uses: Vec<UseChange>| follow(&held, Held, "bad", uses);
    let with = |change: &dyn Fn(&mut Transition)| {
        let mut transition = uses(Vec::new());
        change(&mut transition);
        transition
    };
    let defects = [
        uses(vec![free(claim(1))]),
        uses(vec![free(claim(0)), free(claim(0))]),
        uses(vec![reserved(claim(0), 5), reserved(claim(0), 6)]),
        uses(vec![reserved(claim(1), -1)]),
        uses(vec![per_user(reserved(claim(1), 1), 0, "ever")]),
        uses(vec![limited(reserved(claim(1), 1), |wanted| {
            wanted.uses_per_claim = 0
        })]),
        uses(vec![spent(claim(0), 5)]),
        uses(vec![limited(reserved(claim(0), 5), |wanted| {
            wanted.held_until = Some(sample::NOW);
        })]),
        follow(&held, Confirmed, "bad", Vec::new()),
        follow(&held, Cancelled, "bad", Vec::new()),
        follow(&held, Expired, "bad", Vec::new()),
        follow(&held, Refunded, "bad", vec![free(claim(0))]),
        hold(2, 0, "bad", vec![spent(claim(1), 5)]),
        with(&|transition| transition.redemption.row_version = RowVersion(3)),
        with(&|transition| transition.event.row_version = RowVersion(3)),
        with(&|transition| transition.event.to = Cancelled),
        with(&|transition| transition.event.redemption = redemption_id(2)),
        with(&|transition| transition.event.from = Some(Expired)),
        with(&|transition| transition.redemption.user = sample::user(1)),
        with(&|transition| transition.redemption.order = crate::conformance::redeem::order(2)),
        with(&|transition| transition.redemption.created_at = HELD_UNTIL),
        with(&|transition| {
            transition.redemption.id = redemption_id(2);
            transition.event.redemption = redemption_id(2);
        }),
    ];
    let before = must(read_all(ledger, &[COUPON], &[]).await);
    for (index, defect) in defects.iter().enumerate() {
        let answer = ledger.apply(defect).await;
        let corrupt = matches!(answer, Err(crate::LedgerError::Corrupt { .. }));
        assert!(corrupt, "defect {index}: {answer:?}");
    }
    assert_eq!(must(read_all(ledger, &[COUPON], &[]).await), before);
}

async fn frozen_terms_are_found(ledger: &dyn Ledger) {
    use sluice_domain::id::{CouponId, Version};
    granted(ledger).await;
    let key = (COUPON, Version(1));
    let found = must(ledger.terms(&[key, key]).await);
    let named: Vec<_> = found.iter().map(|row| row.terms.name.as_str()).collect();
    assert_eq!(named, ["Coupon 7", "Coupon 7"]);
    for missing in [(COUPON, Version(2)), (CouponId(8), Version(1))] {
        let answer = ledger.terms(&[key, missing]).await;
        assert!(answer.is_err(), "{answer:?}");
    }
}
