//! Stories about keepers, losses and recoveries.

use sluice_claim::port::{ClaimAnswer, NotReady, StoreError};
use sluice_domain::id::{EntryNumber, Epoch, KeeperNumber, LeaseNumber, LedgerId};
use sluice_domain::lane::LaneFence;

use super::stage::{COUPON, Stage, ask, done, granted};
use crate::conformance::fixture::{BEGIN, LANE, LEDGER, limits, row};
use crate::conformance::{Fault, Harness};
use crate::lane_store::{Fenced, Hydration, LaneState, LaneStore, LeaseInstalled, Refusal, Retire};
use crate::model::fault::ModelKey;

pub(super) async fn a_late_keeper_changes_nothing<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(1, 1, 5).await;
    granted(stage.answer(ask(1)).await);
    let (store, late) = (stage.store(), stage.fence);
    let taker = LaneFence {
        keeper: KeeperNumber(2),
        ..late
    };
    done(store.take(taker, LEDGER, BEGIN.plus_millis(200_000)).await);
    let before = stage.facts().await;
    assert_deposed(store.mark(late, EntryNumber(1), 9).await);
    let until = BEGIN.plus_millis(900_000);
    assert_deposed(store.renew(late, until, 9).await);
    assert_deposed(store.set_final(late, COUPON, false).await);
    assert_deposed(store.take(late, LEDGER, until).await);
    assert_eq!(stage.facts().await, before);
}

pub(super) async fn a_changed_server_serves_nothing<H: Harness>(harness: &H) {
    let mut stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(1, 1, 5).await;
    granted(stage.answer(ask(1)).await);
    harness.fault(Fault::StepDownAndUp).await;
    assert_eq!(stage.not_ready().await, NotReady::ServerChanged);
    assert!(!stage.facts().await.same_server);
    let refused = stage.store().refused(LANE, Epoch(1)).await;
    assert!(refused.is_err(), "a changed server was read: {refused:?}");
    stage.recover(2).await;
    let not_hydrated = stage.claim(&[ask(1)]).await;
    assert!(
        matches!(not_hydrated, Err(StoreError::CouponNotReady { .. })),
        "{not_hydrated:?}"
    );
    harness.fault(Fault::Flush).await;
    assert_eq!(stage.not_ready().await, NotReady::Missing);
}

pub(super) async fn lost_keys_are_losses<H: Harness>(harness: &H) {
    for (epoch, key) in [
        (1, ModelKey::Users(COUPON)),
        (2, ModelKey::Devices(COUPON)),
        (3, ModelKey::Coupon(COUPON)),
    ] {
        let mut stage = Stage::set(harness, limits(1, Some(1), None)).await;
        if epoch > 1 {
            stage.recover(epoch).await;
            stage.hydrate().await;
        }
        stage.lease(1, 1, 5).await;
        stage.pass(2_400);
        granted(stage.answer(super::stage::from(1, 1)).await);
        let lose = |key| Fault::Lose {
            lane: LANE,
            epoch: Epoch(epoch),
            key,
        };
        harness.fault(lose(key)).await;
        assert_eq!(stage.not_ready().await, NotReady::Loss);
        harness.fault(lose(ModelKey::Mark)).await;
        let until = BEGIN.plus_millis(130_000);
        let renewed = stage.store().renew(stage.fence, until, 2).await.unwrap();
        assert_eq!(renewed, Fenced::NotReady(NotReady::Loss));
        harness.fault(Fault::Flush).await;
    }
}

pub(super) async fn the_lane_lease_ends_grants<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(1, 1, 5).await;
    stage.pass(119_999);
    granted(stage.answer(ask(1)).await);
    stage.pass(120_000);
    assert_eq!(stage.not_ready().await, NotReady::LeaseOver);
    let mark = stage.store().mark(stage.fence, EntryNumber(1), 1).await;
    assert_eq!(mark.unwrap(), Fenced::NotReady(NotReady::LeaseOver));
    let until = BEGIN.plus_millis(240_000);
    let facts = done(stage.store().renew(stage.fence, until, 7).await);
    assert_eq!((facts.lease_until, facts.seq), (until, 7));
    let shorter = BEGIN.plus_millis(130_000);
    let facts = done(stage.store().renew(stage.fence, shorter, 3).await);
    assert_eq!((facts.lease_until, facts.seq), (until, 7));
    granted(stage.answer(ask(2)).await);
}

pub(super) async fn a_recovery_numbers_on_and_keeps_what_is_unsalvaged<H: Harness>(harness: &H) {
    let mut stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(1, 1, 5).await;
    granted(stage.answer(ask(1)).await);
    let (store, next) = (
        stage.store(),
        LaneFence {
            epoch: Epoch(2),
            ..stage.fence
        },
    );
    let fenced = done(store.fence(next, LEDGER).await);
    assert_eq!(fenced.facts.unsalvaged, [Epoch(1)]);
    assert_eq!(fenced.facts.tail, EntryNumber(1));
    assert_eq!(stage.not_ready().await, NotReady::Epoch(Epoch(2)));
    let old = store.read_outbox(LANE, Epoch(1), EntryNumber(0), 10).await;
    assert_eq!(old.unwrap().len(), 1);
    assert!(!store.sweep_epoch(LANE, Epoch(1)).await.unwrap());
    let again = done(store.fence(next, LEDGER).await);
    assert_eq!(again, fenced, "a repeated fence changed something");
    stage.fence = next;
    let until = BEGIN.plus_millis(120_000);
    let installed = store.install(LANE, Epoch(2), &stage.published).await;
    installed.unwrap();
    done(store.open(next, until, &[COUPON], &[], 1, None).await);
    store.learn_epoch(LANE, Epoch(2));
    let facts = stage.facts().await;
    assert_eq!(facts.mark, Some(EntryNumber(1)));
    assert!(facts.unsalvaged.is_empty(), "{facts:?}");
    stage.hydrate().await;
    stage.lease(2, 6, 5).await;
    let opens_at = BEGIN.plus_millis(2_400);
    let soon = ClaimAnswer::OpensSoon { opens_at };
    assert_eq!(stage.answer(ask(2)).await, soon);
    stage.pass(2_400);
    assert_eq!(granted(stage.answer(ask(2)).await).1, EntryNumber(2));
}

pub(super) async fn a_lease_is_installed_once<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(1, None, None)).await;
    assert_eq!(stage.lease(2, 1, 5).await, LeaseInstalled::Listed);
    let ignored = LeaseInstalled::Ignored {
        last: LeaseNumber(2),
    };
    assert_eq!(stage.lease(2, 1, 5).await, ignored);
    assert_eq!(stage.lease(1, 9, 5).await, ignored);
    let retire = Retire {
        coupon: COUPON,
        only: None,
        last: LeaseNumber(4),
        seq: 9,
    };
    done(stage.store().retire(stage.fence, retire).await);
    assert_eq!(stage.answer(ask(1)).await, ClaimAnswer::NeedLease);
    let under_way = LeaseInstalled::Ignored {
        last: LeaseNumber(4),
    };
    assert_eq!(stage.lease(4, 20, 5).await, under_way);
    assert_eq!(stage.lease(5, 30, 5).await, LeaseInstalled::Listed);
}

pub(super) async fn a_hydration_is_refused_when_anything_moved<H: Harness>(harness: &H) {
    let mut stage = Stage::set(harness, limits(1, None, None)).await;
    let served = stage.begin();
    let (store, fence) = (stage.store(), stage.fence);
    let again = done(store.hydrate_begin(fence, &served, 2).await);
    assert_eq!(again, Hydration::AlreadyReady);
    stage.recover(2).await;
    let fence = stage.fence;
    let begin = stage.begin();
    done(store.hydrate_begin(fence, &begin, 1).await);
    done(store.hydrate_begin(fence, &begin, 2).await);
    let rows = [row(COUPON, 1, 0), row(COUPON, 2, 0)];
    let late = done(store.hydrate_claims(fence, COUPON, 1, &rows).await);
    assert_eq!(late, Hydration::Superseded);
    done(store.hydrate_claims(fence, COUPON, 2, &rows).await);
    done(store.hydrate_claims(fence, COUPON, 2, &rows).await);
    let short = done(store.hydrate_finish(fence, COUPON, 2, 3, 0, 0).await);
    assert_eq!(short, Hydration::CountsDiffer);
    stage.edit(|next| next.limits.per_user = 1).await;
    let stale = done(store.hydrate_finish(fence, COUPON, 2, 2, 0, 0).await);
    assert_eq!(stale, Hydration::StaleRevision);
    let older = done(store.hydrate_begin(fence, &begin, 3).await);
    assert_eq!(older, Hydration::StaleRevision);
    done(store.hydrate_begin(fence, &stage.begin(), 3).await);
    done(store.hydrate_claims(fence, COUPON, 3, &rows).await);
    let finished = done(store.hydrate_finish(fence, COUPON, 3, 2, 0, 0).await);
    assert_eq!(finished, Hydration::Done);
    let repeat = stage.answer(ask(1)).await;
    let ClaimAnswer::Replayed(record) = repeat else {
        panic!("a row was not taken over: {repeat:?}");
    };
    assert_eq!(record.entry, EntryNumber(0));
}

pub(super) async fn a_refusal_takes_back_its_own_entry_only<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(1, 1, 5).await;
    let (_ticket, entry, _at) = granted(stage.answer(ask(1)).await);
    let refusal = Refusal {
        coupon: COUPON,
        claim_id: ask(1).claim_id,
        entry,
        user: ask(1).user,
        device: None,
        address: None,
    };
    done(stage.store().refuse(stage.fence, refusal).await);
    let (_ticket, second, _at) = granted(stage.answer(ask(1)).await);
    assert_eq!(second, EntryNumber(2));
    done(stage.store().refuse(stage.fence, refusal).await);
    let repeat = stage.answer(ask(1)).await;
    assert!(matches!(repeat, ClaimAnswer::Replayed(_)), "{repeat:?}");
    let refused = stage.store().refused(LANE, Epoch(1)).await.unwrap();
    assert_eq!(refused, [(ask(1).claim_id, entry)]);
}

pub(super) async fn an_opening_gives_the_lane_to_another_ledger_only_when_told<H: Harness>(
    harness: &H,
) {
    let mut stage = Stage::set(harness, limits(1, None, None)).await;
    let store = stage.store();
    let other = LedgerId([7; 16]);
    let until = BEGIN.plus_millis(120_000);
    for (epoch, adopt, owner) in [(2, None, LEDGER), (3, Some(other), other), (4, None, other)] {
        stage.fence.epoch = Epoch(epoch);
        let before = done(store.fence(stage.fence, other).await).facts.ledger_id;
        assert_eq!(before, if epoch == 4 { other } else { LEDGER });
        done(store.open(stage.fence, until, &[], &[], 1, adopt).await);
        assert_eq!(stage.facts().await.ledger_id, owner, "epoch {epoch}");
        // A repeat changes nothing, not even this.
        done(
            store
                .open(stage.fence, until, &[], &[], 1, Some(LedgerId([8; 16])))
                .await,
        );
        assert_eq!(stage.facts().await.ledger_id, owner, "epoch {epoch}");
    }
}

pub(super) async fn a_changed_server_still_tells_what_it_saw<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(4, 1, 5).await;
    let store = stage.store();
    let before = store.last_seen(LANE).await.unwrap();
    let figures = store.figures(LANE, COUPON).await.unwrap();
    assert_eq!(before.iter().collect::<Vec<_>>(), [&figures.unwrap()]);
    assert_eq!(before[0].last_lease, LeaseNumber(4));
    harness.fault(Fault::StepDownAndUp).await;
    assert!(store.figures(LANE, COUPON).await.is_err());
    assert!(store.coupons(LANE).await.is_err());
    assert_eq!(store.last_seen(LANE).await.unwrap(), before);
    let (lane, epoch) = (LANE, Epoch(1));
    let key = ModelKey::Hydrated;
    harness.fault(Fault::Lose { lane, epoch, key }).await;
    assert_eq!(store.last_seen(LANE).await.unwrap(), before, "in part");
    harness.fault(Fault::Flush).await;
    let gone = store.last_seen(LANE).await.unwrap_err();
    assert!(
        matches!(
            &gone,
            StoreError::LaneNotReady {
                reason: NotReady::Missing,
                ..
            }
        ),
        "{gone:?}"
    );
}

pub(super) async fn a_halt_ends_with_a_higher_epoch<H: Harness>(harness: &H) {
    let mut stage = Stage::set(harness, limits(1, None, None)).await;
    let store = stage.store();
    done(store.halt(stage.fence).await);
    assert_eq!(stage.not_ready().await, NotReady::Halted);
    let opened = store
        .open(stage.fence, BEGIN, &[], &[], 1, None)
        .await
        .unwrap();
    assert_eq!(opened, Fenced::NotReady(NotReady::Halted));
    let same = store.fence(stage.fence, LEDGER).await.unwrap();
    assert!(matches!(same, Fenced::Deposed { .. }), "{same:?}");
    assert_eq!(stage.facts().await.state, LaneState::Halted);
    stage.recover(2).await;
    assert_eq!(stage.facts().await.state, LaneState::Open);
}

fn assert_deposed<T: std::fmt::Debug>(answer: Result<Fenced<T>, StoreError>) {
    match answer {
        Ok(Fenced::Deposed {
            epoch: Epoch(1),
            keeper: KeeperNumber(2),
        }) => {}
        other => panic!("a late keeper was not told who is in charge: {other:?}"),
    }
}
