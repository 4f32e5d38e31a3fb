//! What a keeper writes, and that a keeper whose time is over writes nothing.

use std::sync::Arc;

use sluice_claim::port::{ClaimAnswer, NotReady, StoreError};
use sluice_domain::id::{EntryNumber, Epoch, KeeperNumber, LeaseNumber, LedgerId};
use sluice_domain::lane::LaneFence;
use sluice_domain::time::Timestamp;
use sluice_hotstate::LaneStore;
use sluice_hotstate::lane_store::{Fenced, HydrateBegin, Installed, LaneState, Refusal, Retire};

use super::fixture::{
    COUPON, FAR, LANE, LEDGER, Stage, by, claim_id, from, granted, keyed, lease, limited, ok,
    published, revised, subject, user,
};

fn refusal(name: &str, key: u8, entry: u64) -> Refusal {
    Refusal {
        coupon: COUPON,
        claim_id: claim_id(name, key),
        entry: EntryNumber(entry),
        user: user(name),
        device: None,
        address: None,
    }
}

/// Every call of a keeper, with a fence that is not in force; each answer, in words.
async fn all_writes(stage: &Stage, fence: LaneFence) -> Vec<String> {
    let store = &stage.store;
    let begin = HydrateBegin {
        published: Arc::new(published()),
        last_lease: LeaseNumber(0),
        seq: 1,
    };
    let retire = Retire {
        coupon: COUPON,
        only: None,
        last: LeaseNumber(1),
        seq: 1,
    };
    vec![
        format!("{:?}", store.renew(fence, FAR, 1).await.unwrap()),
        format!("{:?}", store.halt(fence).await.unwrap()),
        format!(
            "{:?}",
            store.open(fence, FAR, &[], &[], 1, None).await.unwrap()
        ),
        format!("{:?}", store.mark(fence, EntryNumber(1), 1).await.unwrap()),
        format!(
            "{:?}",
            store.refuse(fence, refusal("ann", 0, 1)).await.unwrap()
        ),
        format!(
            "{:?}",
            store.install_lease(fence, lease(8, 1)).await.unwrap()
        ),
        format!("{:?}", store.set_final(fence, COUPON, false).await.unwrap()),
        format!("{:?}", store.retire(fence, retire).await.unwrap()),
        format!("{:?}", store.hydrate_begin(fence, &begin, 9).await.unwrap()),
        format!(
            "{:?}",
            store.hydrate_claims(fence, COUPON, 9, &[]).await.unwrap()
        ),
        format!(
            "{:?}",
            store
                .hydrate_finish(fence, COUPON, 9, 0, 0, 0)
                .await
                .unwrap()
        ),
        format!("{:?}", store.forget(fence, COUPON).await.unwrap()),
    ]
}

#[tokio::test]
async fn f07_a_deposed_keeper_writes_nothing() {
    let stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("ann")).await);
    let before = stage.digest().await;
    let deposed = "Deposed { epoch: Epoch(1), keeper: KeeperNumber(1) }";
    let wrong_keepers = [0, 2].map(|keeper| LaneFence {
        keeper: KeeperNumber(keeper),
        ..stage.fence
    });
    let wrong_epochs = [0, 2].map(|epoch| LaneFence {
        epoch: Epoch(epoch),
        ..stage.fence
    });
    for fence in wrong_keepers.into_iter().chain(wrong_epochs) {
        for answer in all_writes(&stage, fence).await {
            assert_eq!(answer, deposed, "{fence:?}");
        }
    }
    assert_eq!(stage.digest().await, before);
}

#[tokio::test]
async fn a_new_keeper_takes_over_and_the_old_one_is_deposed() {
    let stage = Stage::serving(&published(), 5).await;
    let taker = LaneFence {
        keeper: KeeperNumber(4),
        ..stage.fence
    };
    let facts = ok(stage.store.take(taker, LEDGER, FAR).await);
    assert_eq!((facts.keeper, facts.epoch), (KeeperNumber(4), Epoch(1)));
    assert_eq!(
        (facts.state, facts.ledger_id, facts.mark),
        (LaneState::Open, LEDGER, Some(EntryNumber(0)),)
    );
    let deposed = Fenced::Deposed {
        epoch: Epoch(1),
        keeper: KeeperNumber(4),
    };
    assert_eq!(stage.store.halt(stage.fence).await.unwrap(), deposed);
    for keeper in [3, 4] {
        let late = LaneFence {
            keeper: KeeperNumber(keeper),
            ..stage.fence
        };
        let taken = stage.store.take(late, LEDGER, FAR).await.unwrap();
        assert!(
            matches!(
                taken,
                Fenced::Deposed {
                    keeper: KeeperNumber(4),
                    ..
                }
            ),
            "{taken:?}"
        );
    }
    let elsewhere = LaneFence {
        epoch: Epoch(2),
        keeper: KeeperNumber(9),
        ..stage.fence
    };
    let taken = stage.store.take(elsewhere, LEDGER, FAR).await.unwrap();
    assert!(
        matches!(
            taken,
            Fenced::Deposed {
                epoch: Epoch(1),
                ..
            }
        ),
        "{taken:?}"
    );
    granted(stage.claim(by("ann")).await);
}

#[tokio::test]
async fn f07_past_its_lease_a_lane_stands_still_until_renewed() {
    let stage = Stage::bare(|_settings| {}).await;
    ok(stage.store.fence(stage.fence, LEDGER).await);
    stage
        .store
        .install(LANE, stage.fence.epoch, &published())
        .await
        .unwrap();
    stage.hydrate(&published(), &[]).await;
    let past = Timestamp::from_millis(1);
    ok(stage
        .store
        .open(stage.fence, past, &[COUPON], &[], 1, None)
        .await);
    stage.store.learn_epoch(LANE, stage.fence.epoch);
    let error = stage.claim_error(by("ann")).await;
    assert!(matches!(
        error,
        StoreError::LaneNotReady {
            reason: NotReady::LeaseOver,
            ..
        }
    ));
    let over = Fenced::NotReady(NotReady::LeaseOver);
    assert_eq!(
        stage
            .store
            .set_final(stage.fence, COUPON, false)
            .await
            .unwrap(),
        over
    );
    let new = revised(&published(), |_next| {});
    let installed = stage
        .store
        .install(LANE, stage.fence.epoch, &new)
        .await
        .unwrap();
    assert_eq!(installed, Installed::NotReady(NotReady::LeaseOver));
    let facts = ok(stage.store.renew(stage.fence, FAR, 7).await);
    assert_eq!((facts.lease_until, facts.seq), (FAR, 7));
    assert_eq!(stage.claim(by("ann")).await, ClaimAnswer::NeedLease);
    // A delayed renewal takes nothing back.
    let facts = ok(stage.store.renew(stage.fence, past, 3).await);
    assert_eq!((facts.lease_until, facts.seq), (FAR, 7));
}

#[tokio::test]
async fn taking_works_past_the_lease_but_prolongs_no_foreign_ledgers_lane() {
    let stage = Stage::bare(|_settings| {}).await;
    let past = Timestamp::from_millis(1);
    ok(stage.store.fence(stage.fence, LEDGER).await);
    ok(stage.store.open(stage.fence, past, &[], &[], 1, None).await);
    let foreign = LaneFence {
        keeper: KeeperNumber(2),
        ..stage.fence
    };
    let facts = ok(stage.store.take(foreign, LedgerId([1; 16]), FAR).await);
    assert_eq!((facts.lease_until, facts.ledger_id), (past, LEDGER));
    let own = LaneFence {
        keeper: KeeperNumber(3),
        ..stage.fence
    };
    assert_eq!(
        ok(stage.store.take(own, LEDGER, FAR).await).lease_until,
        FAR
    );
}

#[tokio::test]
async fn a_halted_lane_serves_nothing_until_a_higher_epoch() {
    let stage = Stage::serving(&published(), 5).await;
    ok(stage.store.halt(stage.fence).await);
    let error = stage.claim_error(by("ann")).await;
    assert!(matches!(
        error,
        StoreError::LaneNotReady {
            reason: NotReady::Halted,
            ..
        }
    ));
    let halted = Fenced::NotReady(NotReady::Halted);
    assert_eq!(
        stage
            .store
            .open(stage.fence, FAR, &[], &[], 1, None)
            .await
            .unwrap(),
        halted
    );
    assert_eq!(
        stage
            .store
            .set_final(stage.fence, COUPON, false)
            .await
            .unwrap(),
        halted
    );
    let new = revised(&published(), |_next| {});
    let installed = stage
        .store
        .install(LANE, stage.fence.epoch, &new)
        .await
        .unwrap();
    assert_eq!(installed, Installed::NotReady(NotReady::Halted));
    let renewed = stage.store.renew(stage.fence, FAR, 1).await.unwrap();
    assert_eq!(renewed, Fenced::NotReady(NotReady::Halted));
    let taker = LaneFence {
        keeper: KeeperNumber(2),
        ..stage.fence
    };
    assert_eq!(
        ok(stage.store.take(taker, LEDGER, FAR).await).state,
        LaneState::Halted
    );
    let next = LaneFence {
        epoch: Epoch(2),
        ..taker
    };
    assert_eq!(
        ok(stage.store.fence(next, LEDGER).await).facts.state,
        LaneState::Recovering
    );
}

#[tokio::test]
async fn f22_the_mark_goes_forward_only_and_trims() {
    let stage = Stage::serving(&published(), 5).await;
    for name in ["a", "b", "c"] {
        granted(stage.claim(by(name)).await);
    }
    let facts = ok(stage.store.mark(stage.fence, EntryNumber(2), 9).await);
    assert_eq!(
        (facts.mark, facts.tail),
        (Some(EntryNumber(2)), EntryNumber(3))
    );
    assert_eq!(facts.seq, 9);
    let left: Vec<_> = stage
        .outbox(0)
        .await
        .iter()
        .map(|batch| batch.entry.0)
        .collect();
    assert_eq!(left, [3]);
    let before = stage.digest().await;
    for wrong in [1, 4] {
        let answer = stage
            .store
            .mark(stage.fence, EntryNumber(wrong), 9)
            .await
            .unwrap();
        assert_eq!(answer, Fenced::NotReady(NotReady::Loss));
    }
    ok(stage.store.mark(stage.fence, EntryNumber(2), 9).await);
    assert_eq!(stage.digest().await, before);
    stage.redis(&["DEL", "{l00}:1:mark"]).await;
    let answer = stage
        .store
        .mark(stage.fence, EntryNumber(3), 9)
        .await
        .unwrap();
    assert_eq!(answer, Fenced::NotReady(NotReady::Loss));
    assert_eq!(stage.store.facts(LANE).await.unwrap().unwrap().mark, None);
}

#[tokio::test]
async fn a_refused_claim_leaves_no_trace_and_may_be_repeated() {
    let stage = Stage::serving(&limited(1, Some(1), Some(1)), 5).await;
    let request = from("ann", Some(1), Some(2));
    let first = granted(stage.claim(request).await);
    let refusal = Refusal {
        device: Some(subject(1)),
        address: Some(subject(2)),
        ..refusal("ann", 0, first.entry.0)
    };
    ok(stage.store.refuse(stage.fence, refusal).await);
    let figures = stage.store.figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!(
        (figures.users, figures.devices, figures.addresses),
        (0, 0, 0)
    );
    let second = granted(stage.claim(request).await);
    assert_eq!(second.claim_id, first.claim_id);
    assert_ne!((second.entry, second.ticket), (first.entry, first.ticket));
    // A repeat refuses the first entry only; the second claim stands.
    ok(stage.store.refuse(stage.fence, refusal).await);
    assert_eq!(stage.claim(request).await, ClaimAnswer::Replayed(second));
    let refused = stage.store.refused(LANE, stage.fence.epoch).await.unwrap();
    assert_eq!(refused, [(first.claim_id, first.entry)]);
    assert_eq!(ok(stage.store.renew(stage.fence, FAR, 1).await).refused, 1);
}

#[tokio::test]
async fn a_refusal_of_another_entry_takes_nothing() {
    let stage = Stage::serving(&limited(2, Some(9), None), 5).await;
    let with_device = |key| {
        let mut request = keyed("ann", key);
        request.device = Some(subject(1));
        request
    };
    let one = granted(stage.claim(with_device(1)).await);
    let two = granted(stage.claim(with_device(2)).await);
    let device = Some(subject(1));
    ok(stage
        .store
        .refuse(
            stage.fence,
            Refusal {
                device,
                ..refusal("ann", 1, 77)
            },
        )
        .await);
    assert_eq!(
        stage.claim(with_device(1)).await,
        ClaimAnswer::Replayed(one)
    );
    // One of two claims goes; user and device stay.
    ok(stage
        .store
        .refuse(
            stage.fence,
            Refusal {
                device,
                ..refusal("ann", 1, 1)
            },
        )
        .await);
    let figures = stage.store.figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!((figures.users, figures.devices), (1, 1));
    assert_eq!(
        stage.claim(with_device(2)).await,
        ClaimAnswer::Replayed(two)
    );
    granted(stage.claim(with_device(3)).await);
    // Without hydration only the set changes.
    let other = Refusal {
        coupon: sluice_domain::id::CouponId(7),
        ..refusal("bob", 0, 1)
    };
    ok(stage.store.refuse(stage.fence, other).await);
    assert_eq!(
        stage
            .store
            .refused(LANE, stage.fence.epoch)
            .await
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn installs_rise_and_bind_the_epoch() {
    let stage = Stage::serving(&published(), 5).await;
    let epoch = stage.fence.epoch;
    let again = stage
        .store
        .install(LANE, epoch, &published())
        .await
        .unwrap();
    assert!(matches!(again, Installed::Older { in_force } if in_force.0 == 1));
    let next = revised(&published(), |_next| {});
    assert_eq!(
        stage.store.install(LANE, epoch, &next).await.unwrap(),
        Installed::Applied
    );
    let elsewhere = stage.store.install(LANE, Epoch(5), &next).await.unwrap();
    assert_eq!(elsewhere, Installed::Epoch(epoch));
}
