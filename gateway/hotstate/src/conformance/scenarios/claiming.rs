//! Stories about claims.

use sluice_claim::port::{ClaimAnswer, ClaimRequest, ClaimStore, SoldOutProof, StoreError};
use sluice_domain::coupon::Lifecycle;
use sluice_domain::id::{EntryNumber, StockSeq, Ticket};

use super::stage::{COUPON, Stage, ask, done, from, granted, keyed};
use crate::conformance::fixture::{BEGIN, LANE, limits};
use crate::conformance::{Harness, OUTBOX_CAP};
use crate::lane_store::{LaneStore, LeaseInstalled};

pub(super) async fn a_repeat_answers_the_first_grant_whatever_happened_since<H: Harness>(
    harness: &H,
) {
    let mut stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(1, 10, 5).await;
    let first = stage.answer(ask(1)).await;
    let (ticket, entry, at) = granted(first);
    assert_eq!((ticket, entry), (Ticket(10), EntryNumber(1)));
    assert_eq!(at, BEGIN.plus_millis(1_200));
    stage.pass(5_000);
    stage
        .edit(|next| {
            next.lifecycle = Lifecycle::Ended;
            next.version = next.version.next();
        })
        .await;
    let ClaimAnswer::Granted(record) = first else {
        return;
    };
    assert_eq!(stage.answer(ask(1)).await, ClaimAnswer::Replayed(record));
    assert_eq!(stage.answer(ask(2)).await, ClaimAnswer::Ended);
    assert_eq!(stage.facts().await.tail, EntryNumber(1));
}

pub(super) async fn answers_come_in_their_order_of_precedence<H: Harness>(harness: &H) {
    let mut stage = Stage::set(harness, limits(1, None, None)).await;
    let poll = ClaimRequest {
        replay_only: true,
        ..ask(1)
    };
    assert_eq!(stage.answer(poll).await, ClaimAnswer::NoClaim);
    assert_eq!(stage.answer(ask(1)).await, ClaimAnswer::NeedLease);
    let old = stage.published.clone();
    let starts_at = BEGIN.plus_millis(9_000);
    stage
        .edit(|next| next.window.starts_at = Some(starts_at))
        .await;
    let not_started = ClaimAnswer::NotStarted { starts_at };
    assert_eq!(stage.answer(ask(1)).await, not_started);
    stage
        .edit(|next| next.window.ends_at = Some(BEGIN.plus_millis(1_200)))
        .await;
    assert_eq!(stage.answer(ask(1)).await, ClaimAnswer::Ended);
    stage.edit(|next| next.lifecycle = Lifecycle::Paused).await;
    assert_eq!(stage.answer(ask(1)).await, ClaimAnswer::Paused);
    stage.published = old;
    assert_eq!(stage.answer(ask(1)).await, ClaimAnswer::StaleDefinition);
    assert_eq!(stage.answer(poll).await, ClaimAnswer::NoClaim);
}

pub(super) async fn limits_hold_within_one_call<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(2, Some(2), None)).await;
    stage.lease(1, 1, 20).await;
    let mine = |key| ClaimRequest {
        device: from(1, 1).device,
        ..keyed(1, key)
    };
    let answers = stage
        .answers(&[mine(0), mine(0), mine(1), mine(2), from(2, 1), from(3, 2)])
        .await;
    assert!(matches!(answers[0], ClaimAnswer::Granted(_)), "{answers:?}");
    assert!(
        matches!(answers[1], ClaimAnswer::Replayed(_)),
        "{answers:?}"
    );
    assert!(matches!(answers[2], ClaimAnswer::Granted(_)), "{answers:?}");
    assert_eq!(answers[3], ClaimAnswer::UserLimit);
    assert_eq!(answers[4], ClaimAnswer::DeviceLimit);
    assert_eq!(granted(answers[5]).0, Ticket(3));
    let figures = stage.store().figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!((figures.users, figures.devices), (2, 2));
}

pub(super) async fn a_call_takes_from_one_lease<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(1, 1, 1).await;
    stage.lease(2, 50, 1).await;
    let answers = stage.answers(&[ask(1), ask(2)]).await;
    assert_eq!(granted(answers[0]).0, Ticket(1));
    assert_eq!(answers[1], ClaimAnswer::NextLease);
    let answers = stage.answers(&[ask(2), ask(3)]).await;
    assert_eq!(granted(answers[0]).0, Ticket(50));
    assert_eq!(answers[1], ClaimAnswer::NeedLease);
    let figures = stage.store().figures(LANE, COUPON).await.unwrap().unwrap();
    assert!(figures.leases.is_empty(), "{figures:?}");
}

pub(super) async fn sold_out_needs_final_and_restock_opens_late<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(1, 1, 1).await;
    stage.set_final().await;
    let answers = stage.answers(&[ask(1), ask(2)]).await;
    granted(answers[0]);
    let proof = SoldOutProof {
        epoch: stage.fence.epoch,
        revision: stage.published.revision,
        stock_seq: StockSeq(0),
        users: 1,
        more_may_come: false,
    };
    assert_eq!(answers[1], ClaimAnswer::SoldOut(proof));
    stage.pass(2_000);
    stage.lease(2, 2, 1).await;
    stage.pass(3_199);
    let opens_at = BEGIN.plus_millis(3_200);
    let soon = ClaimAnswer::OpensSoon { opens_at };
    assert_eq!(stage.answer(ask(2)).await, soon);
    stage.pass(3_200);
    granted(stage.answer(ask(2)).await);
}

pub(super) async fn final_is_taken_back_as_late_as_stock_comes<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(1, None, None)).await;
    stage.clear_final().await;
    assert_eq!(stage.answer(ask(1)).await, ClaimAnswer::NeedLease);
    stage.set_final().await;
    assert!(matches!(
        stage.answer(ask(1)).await,
        ClaimAnswer::SoldOut(_)
    ));
    stage.pass(2_000);
    stage.clear_final().await;
    let opens_at = BEGIN.plus_millis(3_200);
    let soon = ClaimAnswer::OpensSoon { opens_at };
    assert_eq!(stage.answer(ask(1)).await, soon);
    // Once is enough: a repeat does not put it off.
    stage.pass(3_000);
    stage.clear_final().await;
    stage.pass(3_200);
    assert_eq!(stage.answer(ask(1)).await, ClaimAnswer::NeedLease);
    let figures = stage.store().figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!((figures.is_final, figures.stock_seq), (false, StockSeq(1)));
}

pub(super) async fn a_full_outbox_grants_nothing_and_repeats_go_on<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(1, 1, 100).await;
    let cap = u8::try_from(OUTBOX_CAP).unwrap();
    for who in 0..cap {
        granted(stage.answer(ask(who)).await);
    }
    let refused = stage.claim(&[ask(0), ask(cap)]).await;
    assert!(
        matches!(refused, Err(StoreError::Backpressure { .. })),
        "{refused:?}"
    );
    let repeat = stage.answer(ask(0)).await;
    assert!(matches!(repeat, ClaimAnswer::Replayed(_)), "{repeat:?}");
    done(stage.store().mark(stage.fence, EntryNumber(1), 5).await);
    granted(stage.answer(ask(cap)).await);
}

pub(super) async fn a_filter_is_bound_to_its_proof<H: Harness>(harness: &H) {
    let stage = Stage::set(harness, limits(1, None, None)).await;
    stage.lease(1, 1, 1).await;
    stage.set_final().await;
    let answers = stage.answers(&[ask(1), ask(2)]).await;
    let ClaimAnswer::SoldOut(proof) = answers[1] else {
        panic!("not sold out: {answers:?}");
    };
    let store = stage.store();
    let page = store.winners(LANE, COUPON, proof, 0).await.unwrap();
    assert_eq!(page.unwrap().user_hashes.len(), 1);
    assert_eq!(store.load_filter(LANE, COUPON, proof).await.unwrap(), None);
    let filter = vec![1, 2, 3];
    let stored = store.store_filter(LANE, COUPON, proof, filter.clone());
    stored.await.unwrap();
    let loaded = store.load_filter(LANE, COUPON, proof).await.unwrap();
    assert_eq!(loaded, Some(filter));
    assert_eq!(stage.lease(2, 2, 1).await, LeaseInstalled::Listed);
    assert_eq!(store.load_filter(LANE, COUPON, proof).await.unwrap(), None);
    let page = store.winners(LANE, COUPON, proof, 0).await.unwrap();
    assert!(page.is_none(), "{page:?}");
}
