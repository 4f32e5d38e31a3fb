//! Epochs: fence, salvage, open, and sweeping what is left of the old one.

use sluice_claim::port::{ClaimAnswer, ClaimStore, DefinitionAnswer, NotReady, StoreError};
use sluice_domain::id::{CouponId, EntryNumber, Epoch, KeeperNumber, LedgerId};
use sluice_domain::lane::LaneFence;
use sluice_hotstate::LaneStore;
use sluice_hotstate::lane_store::{Fenced, LaneState, OutboxEntry};

use super::fixture::{COUPON, FAR, LANE, LEDGER, Stage, by, granted, ok, published, revised, row};

#[tokio::test]
async fn the_first_fence_makes_the_lane() {
    let stage = Stage::bare(|_settings| {}).await;
    let facts = ok(stage.store.fence(stage.fence, LEDGER).await).facts;
    assert_eq!(
        (facts.epoch, facts.state),
        (Epoch(1), LaneState::Recovering)
    );
    assert_eq!(
        (facts.ledger_id, facts.seq, facts.tail),
        (LEDGER, 0, EntryNumber(0))
    );
    assert_eq!((facts.mark, facts.unsalvaged.len()), (None, 0));
    assert!(facts.same_server);
    stage.store.learn_epoch(LANE, Epoch(1));
    let error = stage.store.definition(LANE, COUPON).await.unwrap_err();
    assert!(matches!(
        error,
        StoreError::LaneNotReady {
            reason: NotReady::Recovering,
            ..
        }
    ));
}

#[tokio::test]
async fn a_whole_recovery_keeps_n_seq_and_the_old_stream() {
    let mut stage = Stage::serving(&published(), 5).await;
    let ann = granted(stage.claim(by("ann")).await);
    let old = stage.fence;
    stage.fence = LaneFence {
        epoch: Epoch(2),
        keeper: KeeperNumber(2),
        ..old
    };
    let off = ok(stage.store.fence(stage.fence, LedgerId([1; 16])).await).facts;
    assert_eq!(off.unsalvaged, [Epoch(1)]);
    assert_eq!(
        (off.tail, off.ledger_id, off.seq),
        (EntryNumber(1), LEDGER, 2)
    );
    // Nothing is granted from the old epoch any more.
    let error = stage.claim_error(by("bob")).await;
    assert!(matches!(
        error,
        StoreError::LaneNotReady {
            reason: NotReady::Epoch(Epoch(2)),
            ..
        }
    ));
    // Its stream is salvaged.
    let read = stage
        .store
        .read_outbox(LANE, Epoch(1), EntryNumber(0), 10)
        .await
        .unwrap();
    let [OutboxEntry::Batch(batch)] = &read[..] else {
        panic!("{read:?}");
    };
    assert_eq!(batch.grants[0].claim_id, ann.claim_id);
    stage
        .store
        .install(LANE, Epoch(2), &published())
        .await
        .unwrap();
    // Published meanwhile, and therefore not on the list that the keeper read.
    let mut second = published();
    second.id = CouponId(5);
    stage.store.install(LANE, Epoch(2), &second).await.unwrap();
    ok(stage
        .store
        .open(stage.fence, FAR, &[COUPON], &[], 9, None)
        .await);
    let facts = stage.store.facts(LANE).await.unwrap().unwrap();
    assert_eq!(
        (facts.mark, facts.tail),
        (Some(EntryNumber(1)), EntryNumber(1))
    );
    assert_eq!(
        (facts.state, facts.unsalvaged.len(), facts.seq),
        (LaneState::Open, 0, 9)
    );
    stage.store.learn_epoch(LANE, Epoch(2));
    let known = stage.store.coupons(LANE).await.unwrap();
    assert_eq!(known, [(CouponId(5), false), (COUPON, false)]);
    let found = stage.store.definition(LANE, CouponId(5)).await.unwrap();
    assert!(matches!(found, DefinitionAnswer::Found(_)));
    stage
        .hydrate(&published(), &[row("ann", None, None, 1_000)])
        .await;
    stage.lease(2, 5).await;
    assert!(matches!(
        stage.claim(by("ann")).await,
        ClaimAnswer::Replayed(_)
    ));
    let bob = granted(stage.claim(by("bob")).await);
    assert_eq!(bob.entry, EntryNumber(2));
    assert_eq!(stage.outbox(0).await[0].entry, EntryNumber(2));
}

#[tokio::test]
async fn epochs_and_keepers_only_rise() {
    let stage = Stage::serving(&published(), 5).await;
    let at = |epoch, keeper| LaneFence {
        lane: LANE,
        epoch: Epoch(epoch),
        keeper: KeeperNumber(keeper),
    };
    let before = stage.digest().await;
    for late in [at(0, 9), at(1, 1), at(1, 9), at(2, 0)] {
        let answer = stage.store.fence(late, LEDGER).await.unwrap();
        let deposed = Fenced::Deposed {
            epoch: Epoch(1),
            keeper: KeeperNumber(1),
        };
        assert_eq!(answer, deposed, "{late:?}");
    }
    assert_eq!(stage.digest().await, before);
    ok(stage.store.fence(at(2, 1), LEDGER).await);
    // A repeat while recovering is the same fence.
    assert_eq!(
        ok(stage.store.fence(at(2, 1), LEDGER).await)
            .facts
            .unsalvaged,
        [Epoch(1)]
    );
    assert!(matches!(
        stage.store.fence(at(2, 2), LEDGER).await.unwrap(),
        Fenced::Deposed { .. }
    ));
    // A recovery that did not finish leaves its epoch to the next.
    let facts = ok(stage.store.fence(at(3, 2), LEDGER).await).facts;
    assert_eq!(facts.unsalvaged, [Epoch(1), Epoch(2)]);
    let opened = stage
        .store
        .open(at(3, 1), FAR, &[], &[], 1, None)
        .await
        .unwrap();
    assert!(matches!(opened, Fenced::Deposed { .. }));
}

#[tokio::test]
async fn a_repeated_open_changes_nothing() {
    let stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("ann")).await);
    let before = stage.digest().await;
    ok(stage
        .store
        .open(stage.fence, FAR, &[CouponId(9)], &[], 99, None)
        .await);
    assert_eq!(stage.digest().await, before);
}

#[tokio::test]
async fn retired_coupons_stay_retired_over_a_recovery() {
    let stage = Stage::bare(|_settings| {}).await;
    ok(stage.store.fence(stage.fence, LEDGER).await);
    stage
        .store
        .install(LANE, Epoch(1), &published())
        .await
        .unwrap();
    ok(stage
        .store
        .open(stage.fence, FAR, &[], &[COUPON], 1, None)
        .await);
    stage.store.learn_epoch(LANE, Epoch(1));
    let found = stage.store.definition(LANE, COUPON).await.unwrap();
    assert!(matches!(found, DefinitionAnswer::Retired(_)));
    ok(stage.store.renew(stage.fence, FAR, 1).await);
}

#[tokio::test]
async fn a_restarted_server_recovers_under_its_own_id() {
    let mut stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("ann")).await);
    stage.server.restart().await.unwrap();
    while stage.store.ping().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    stage.fence = LaneFence {
        epoch: Epoch(2),
        keeper: KeeperNumber(2),
        ..stage.fence
    };
    assert!(
        ok(stage.store.fence(stage.fence, LEDGER).await)
            .facts
            .same_server
    );
    let read = stage
        .store
        .read_outbox(LANE, Epoch(1), EntryNumber(0), 10)
        .await
        .unwrap();
    assert_eq!(read.len(), 1);
}

#[tokio::test]
async fn ended_epochs_are_swept_and_others_are_not() {
    let mut stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("ann")).await);
    assert!(!sweep(&stage, Epoch(1)).await, "the current epoch");
    stage.fence = LaneFence {
        epoch: Epoch(2),
        keeper: KeeperNumber(2),
        ..stage.fence
    };
    ok(stage.store.fence(stage.fence, LEDGER).await);
    let next = revised(&published(), |_next| {});
    stage.store.install(LANE, Epoch(2), &next).await.unwrap();
    assert!(!sweep(&stage, Epoch(1)).await, "not yet salvaged");
    ok(stage
        .store
        .open(stage.fence, FAR, &[COUPON], &[], 9, None)
        .await);
    assert!(sweep(&stage, Epoch(1)).await);
    let left = format!("{:?}", stage.redis(&["KEYS", "*"]).await);
    assert!(!left.contains(":1:") && left.contains(":2:"), "{left}");
}

/// Sweeps until it says that nothing is left, some times at most.
async fn sweep(stage: &Stage, ended: Epoch) -> bool {
    for _slice in 0..5 {
        if stage.store.sweep_epoch(LANE, ended).await.unwrap() {
            return true;
        }
    }
    false
}
