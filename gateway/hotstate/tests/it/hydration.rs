//! Filling a coupon from the ledger, and forgetting it.

use std::sync::Arc;

use sluice_claim::port::{ClaimAnswer, ClaimStore, DefinitionAnswer, NotReady, StoreError};
use sluice_domain::id::{CouponId, EntryNumber, LeaseNumber, Revision};
use sluice_domain::published::Published;
use sluice_hotstate::LaneStore;
use sluice_hotstate::lane_store::{
    Fenced, HydrateBegin, Hydration, Installed, LeaseInstalled, Retire,
};

use super::fixture::{
    COUPON, FAR, LANE, LEDGER, Stage, by, claim_id, from, granted, keyed, lease, limited, ok,
    published, revised, row,
};

fn begin(published: &Published, last_lease: u32) -> HydrateBegin {
    HydrateBegin {
        published: Arc::new(published.clone()),
        last_lease: LeaseNumber(last_lease),
        seq: 1,
    }
}

/// An open lane without any coupon.
async fn empty() -> Stage {
    let stage = Stage::bare(|_settings| {}).await;
    ok(stage.store.fence(stage.fence, LEDGER).await);
    ok(stage.store.open(stage.fence, FAR, &[], &[], 1, None).await);
    stage.store.learn_epoch(LANE, stage.fence.epoch);
    stage
}

#[tokio::test]
async fn filled_claims_are_replayed_and_counted() {
    let stage = empty().await;
    let coupon = limited(1, Some(1), Some(2));
    stage
        .store
        .install(LANE, stage.fence.epoch, &coupon)
        .await
        .unwrap();
    let not_ready = stage.claim_error(from("a", Some(1), Some(1))).await;
    assert!(matches!(not_ready, StoreError::CouponNotReady { .. }));
    let rows = [row("a", Some(1), Some(1), 1), row("b", Some(2), Some(1), 2)];
    stage.hydrate(&coupon, &rows).await;
    stage.lease(1, 5).await;
    let ClaimAnswer::Replayed(record) = stage.claim(from("a", Some(1), Some(1))).await else {
        panic!("a has a claim");
    };
    assert_eq!(
        (record.claim_id, record.entry),
        (claim_id("a", 0), EntryNumber(0))
    );
    assert_eq!(
        (record.ticket, record.granted_at),
        (rows[0].ticket, rows[0].granted_at)
    );
    assert_eq!(
        stage.claim(from("c", Some(1), Some(9))).await,
        ClaimAnswer::DeviceLimit
    );
    assert_eq!(
        stage.claim(from("c", Some(9), Some(1))).await,
        ClaimAnswer::AddressLimit
    );
    granted(stage.claim(from("gone", Some(5), Some(5))).await);
    let (claims, next) = stage.store.claims(LANE, COUPON, 0).await.unwrap();
    assert_eq!((claims.len(), next), (3, None));
}

#[tokio::test]
async fn several_claims_of_a_user_and_repeated_calls() {
    let stage = empty().await;
    let coupon = limited(3, Some(9), None);
    let store = &stage.store;
    ok(store
        .hydrate_begin(stage.fence, &begin(&coupon, 4), 1)
        .await);
    let mut second = row("a", Some(1), None, 2);
    second.claim_id = claim_id("a", 1);
    let mut revoked = row("b", Some(2), None, 3);
    revoked.revoked = true;
    let rows = [row("a", Some(1), None, 1), second, revoked];
    for _repeat in 0..2 {
        let filled = store.hydrate_claims(stage.fence, COUPON, 1, &rows).await;
        assert_eq!(ok(filled), Hydration::Done);
    }
    assert_eq!(
        ok(store.hydrate_finish(stage.fence, COUPON, 1, 2, 2, 0).await),
        Hydration::Done
    );
    let counted = stage
        .redis(&["HVALS", &format!("{{l00}}:1:v:{COUPON}")])
        .await;
    let text = |count: &[u8]| redis::Value::BulkString(count.to_vec());
    let twice = redis::Value::Array(vec![text(b"2"), text(b"1")]);
    assert_eq!(counted, twice, "a repeated call counts no device again");
    let figures = store.figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!((figures.users, figures.devices), (2, 2));
    assert_eq!(figures.last_lease, LeaseNumber(4));
    assert!(figures.leases.is_empty() && figures.ready);
    let late = store.install_lease(stage.fence, lease(4, 5)).await;
    assert_eq!(
        ok(late),
        LeaseInstalled::Ignored {
            last: LeaseNumber(4)
        }
    );
    stage.lease(5, 5).await;
    let keyed_call = |key| {
        let mut request = keyed("a", key);
        request.device = Some(super::fixture::subject(1));
        request
    };
    assert!(matches!(
        stage.claim(keyed_call(1)).await,
        ClaimAnswer::Replayed(_)
    ));
    let mut taken_back = keyed("b", 0);
    taken_back.claim_id = row("b", None, None, 3).claim_id;
    taken_back.device = Some(super::fixture::subject(2));
    assert!(
        matches!(stage.claim(taken_back).await, ClaimAnswer::Replayed(_)),
        "a claim that was taken back is not granted a second time"
    );
    granted(stage.claim(keyed_call(2)).await);
    assert_eq!(stage.claim(keyed_call(3)).await, ClaimAnswer::UserLimit);
}

#[tokio::test]
async fn counts_that_differ_start_over() {
    let stage = empty().await;
    let coupon = limited(1, Some(1), Some(1));
    let store = &stage.store;
    ok(store
        .hydrate_begin(stage.fence, &begin(&coupon, 0), 1)
        .await);
    let rows = [row("a", Some(1), Some(1), 1)];
    ok(store.hydrate_claims(stage.fence, COUPON, 1, &rows).await);
    for (users, devices, addresses) in [(2, 1, 1), (1, 0, 1), (1, 1, 2)] {
        let finished = store
            .hydrate_finish(stage.fence, COUPON, 1, users, devices, addresses)
            .await;
        assert_eq!(ok(finished), Hydration::CountsDiffer);
    }
    assert!(!store.figures(LANE, COUPON).await.unwrap().unwrap().ready);
    // Starting over wipes what was filled.
    assert_eq!(
        ok(store
            .hydrate_begin(stage.fence, &begin(&coupon, 0), 2)
            .await),
        Hydration::Done
    );
    assert_eq!(
        ok(store.hydrate_finish(stage.fence, COUPON, 2, 0, 0, 0).await),
        Hydration::Done
    );
}

#[tokio::test]
async fn a_newer_revision_makes_a_hydration_stale() {
    let stage = empty().await;
    let (old, store) = (published(), &stage.store);
    let new = revised(&old, |next| next.limits.per_user = 1);
    ok(store.hydrate_begin(stage.fence, &begin(&old, 0), 1).await);
    assert_eq!(
        store.install(LANE, stage.fence.epoch, &new).await.unwrap(),
        Installed::Applied
    );
    let filled = store
        .hydrate_claims(stage.fence, COUPON, 1, &[row("a", None, None, 1)])
        .await;
    assert_eq!(ok(filled), Hydration::StaleRevision);
    let finished = store.hydrate_finish(stage.fence, COUPON, 1, 0, 0, 0).await;
    assert_eq!(ok(finished), Hydration::StaleRevision);
    let begun = store.hydrate_begin(stage.fence, &begin(&old, 0), 2).await;
    assert_eq!(ok(begun), Hydration::StaleRevision);
    ok(store.hydrate_begin(stage.fence, &begin(&new, 0), 3).await);
    assert_eq!(
        ok(store.hydrate_finish(stage.fence, COUPON, 3, 0, 0, 0).await),
        Hydration::Done
    );
    assert_eq!(
        store.figures(LANE, COUPON).await.unwrap().unwrap().revision,
        Revision(2)
    );
}

#[tokio::test]
async fn a_hydration_brings_a_definition_that_is_newer() {
    let stage = empty().await;
    let new = revised(&published(), |_next| {});
    ok(stage
        .store
        .hydrate_begin(stage.fence, &begin(&new, 0), 1)
        .await);
    let DefinitionAnswer::Found(found) = stage.store.definition(LANE, COUPON).await.unwrap() else {
        panic!("it was put in force");
    };
    assert_eq!(*found, new);
    let older = stage
        .store
        .install(LANE, stage.fence.epoch, &published())
        .await
        .unwrap();
    assert_eq!(
        older,
        Installed::Older {
            in_force: Revision(2)
        }
    );
}

#[tokio::test]
async fn of_two_hydrations_the_later_wins() {
    let stage = empty().await;
    let (coupon, store) = (published(), &stage.store);
    ok(store
        .hydrate_begin(stage.fence, &begin(&coupon, 0), 5)
        .await);
    let begun = store
        .hydrate_begin(stage.fence, &begin(&coupon, 0), 4)
        .await;
    assert_eq!(ok(begun), Hydration::Superseded);
    let filled = store
        .hydrate_claims(stage.fence, COUPON, 4, &[row("a", None, None, 1)])
        .await;
    assert_eq!(ok(filled), Hydration::Superseded);
    let finished = store.hydrate_finish(stage.fence, COUPON, 4, 0, 0, 0).await;
    assert_eq!(ok(finished), Hydration::Superseded);
    ok(store.hydrate_finish(stage.fence, COUPON, 5, 0, 0, 0).await);
    let before = stage.digest().await;
    let begun = store
        .hydrate_begin(stage.fence, &begin(&coupon, 0), 6)
        .await;
    assert_eq!(ok(begun), Hydration::AlreadyReady);
    let filled = store
        .hydrate_claims(stage.fence, COUPON, 6, &[row("a", None, None, 1)])
        .await;
    assert_eq!(ok(filled), Hydration::AlreadyReady);
    let finished = store.hydrate_finish(stage.fence, COUPON, 6, 0, 0, 0).await;
    assert_eq!(ok(finished), Hydration::AlreadyReady);
    assert_eq!(stage.digest().await, before);
}

#[tokio::test]
async fn retiring_while_hydrating_raises_the_last_lease() {
    let stage = empty().await;
    let store = &stage.store;
    ok(store
        .hydrate_begin(stage.fence, &begin(&published(), 2), 1)
        .await);
    let retire = Retire {
        coupon: COUPON,
        only: None,
        last: LeaseNumber(6),
        seq: 3,
    };
    ok(store.retire(stage.fence, retire).await);
    ok(store.hydrate_finish(stage.fence, COUPON, 1, 0, 0, 0).await);
    let figures = store.figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!(figures.last_lease, LeaseNumber(6));
}

#[tokio::test]
async fn it_is_filled_while_recovering_too() {
    let stage = Stage::bare(|_settings| {}).await;
    ok(stage.store.fence(stage.fence, LEDGER).await);
    stage
        .store
        .install(LANE, stage.fence.epoch, &published())
        .await
        .unwrap();
    stage
        .hydrate(&published(), &[row("a", None, None, 1)])
        .await;
    ok(stage
        .store
        .open(stage.fence, FAR, &[COUPON], &[], 1, None)
        .await);
    stage.store.learn_epoch(LANE, stage.fence.epoch);
    assert!(matches!(
        stage.claim(by("a")).await,
        ClaimAnswer::Replayed(_)
    ));
    assert_eq!(stage.store.coupons(LANE).await.unwrap(), [(COUPON, true)]);
}

#[tokio::test]
async fn a_forgotten_coupon_is_retired_and_stays_so() {
    let stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("a")).await);
    for _repeat in 0..2 {
        ok(stage.store.forget(stage.fence, COUPON).await);
    }
    assert!(matches!(
        stage.claim_error(by("a")).await,
        StoreError::CouponNotReady { .. }
    ));
    assert!(stage.store.figures(LANE, COUPON).await.unwrap().is_none());
    let answer = stage.store.definition(LANE, COUPON).await.unwrap();
    assert!(matches!(answer, DefinitionAnswer::Retired(found) if *found == published()));
    let begun = stage
        .store
        .hydrate_begin(stage.fence, &begin(&published(), 1), 9)
        .await;
    assert_eq!(ok(begun), Hydration::Superseded);
    let new = revised(&published(), |_next| {});
    stage
        .store
        .install(LANE, stage.fence.epoch, &new)
        .await
        .unwrap();
    let answer = stage.store.definition(LANE, COUPON).await.unwrap();
    assert!(matches!(answer, DefinitionAnswer::Retired(found) if *found == new));
    assert_eq!(stage.store.coupons(LANE).await.unwrap(), [(COUPON, false)]);
    // Nothing was lost by it.
    ok(stage.store.renew(stage.fence, FAR, 9).await);
}

#[tokio::test]
async fn a_hydration_does_not_paper_over_a_loss() {
    let stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("a")).await);
    stage
        .redis(&["UNLINK", &format!("{{l00}}:1:c:{COUPON}")])
        .await;
    let begun = stage
        .store
        .hydrate_begin(stage.fence, &begin(&published(), 1), 2)
        .await;
    assert_eq!(begun.unwrap(), Fenced::NotReady(NotReady::Loss));
}

#[tokio::test]
async fn an_unknown_coupon_is_unknown() {
    let stage = empty().await;
    let answer = stage.store.definition(LANE, CouponId(5)).await.unwrap();
    assert!(matches!(answer, DefinitionAnswer::Unknown));
}
