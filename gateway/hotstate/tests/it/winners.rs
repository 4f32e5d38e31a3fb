//! The winners' list and the shared filter: good only under the very proof.

use sluice_claim::port::{ClaimAnswer, ClaimStore, SoldOutProof};
use sluice_domain::id::{Epoch, StockSeq};
use sluice_hotstate::LaneStore;
use xxhash_rust::xxh3::xxh3_64;

use super::fixture::{COUPON, LANE, Stage, by, granted, ok, published, revised};

async fn sold_out(winners: u32) -> (Stage, SoldOutProof) {
    let stage = Stage::serving(&published(), winners).await;
    ok(stage.store.set_final(stage.fence, COUPON, false).await);
    let names: Vec<String> = (0..winners).map(|n| format!("u{n}")).collect();
    for batch in names.chunks(100) {
        for answer in stage
            .claims(batch.iter().map(|name| by(name)).collect())
            .await
            .answers
        {
            granted(answer);
        }
    }
    let ClaimAnswer::SoldOut(proof) = stage.claim(by("stranger")).await else {
        panic!("it is sold out");
    };
    (stage, proof)
}

#[tokio::test]
async fn every_winner_is_listed() {
    let (stage, proof) = sold_out(900).await;
    let mut hashes = std::collections::HashSet::new();
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        let page = stage
            .store
            .winners(LANE, COUPON, proof, at)
            .await
            .unwrap()
            .unwrap();
        hashes.extend(page.user_hashes);
        cursor = page.next;
    }
    let expected = (0..900)
        .map(|n| xxh3_64(format!("u{n}").as_bytes()))
        .collect();
    assert_eq!(hashes, expected);
}

#[tokio::test]
async fn a_filter_is_shared_under_its_proof_only() {
    let (stage, proof) = sold_out(3).await;
    let store = &stage.store;
    assert_eq!(store.load_filter(LANE, COUPON, proof).await.unwrap(), None);
    store
        .store_filter(LANE, COUPON, proof, vec![1, 2, 3])
        .await
        .unwrap();
    assert_eq!(
        store.load_filter(LANE, COUPON, proof).await.unwrap(),
        Some(vec![1, 2, 3])
    );
    let others = [
        SoldOutProof { users: 4, ..proof },
        SoldOutProof {
            stock_seq: StockSeq(1),
            ..proof
        },
        SoldOutProof {
            revision: proof.revision.next(),
            ..proof
        },
        SoldOutProof {
            epoch: Epoch(2),
            ..proof
        },
    ];
    for other in others {
        assert_eq!(
            store.load_filter(LANE, COUPON, other).await.unwrap(),
            None,
            "{other:?}"
        );
        assert!(
            store
                .winners(LANE, COUPON, other, 0)
                .await
                .unwrap()
                .is_none(),
            "{other:?}"
        );
        store
            .store_filter(LANE, COUPON, other, vec![9])
            .await
            .unwrap();
    }
    assert_eq!(
        store.load_filter(LANE, COUPON, proof).await.unwrap(),
        Some(vec![1, 2, 3])
    );
}

#[tokio::test]
async fn new_stock_or_a_new_revision_ends_the_proof() {
    let (stage, proof) = sold_out(3).await;
    stage
        .store
        .store_filter(LANE, COUPON, proof, vec![1])
        .await
        .unwrap();
    stage.lease(2, 1).await;
    assert_eq!(
        stage.store.load_filter(LANE, COUPON, proof).await.unwrap(),
        None
    );
    assert!(
        stage
            .store
            .winners(LANE, COUPON, proof, 0)
            .await
            .unwrap()
            .is_none()
    );
    granted(stage.claim(by("late")).await);
    ok(stage.store.set_final(stage.fence, COUPON, false).await);
    assert_eq!(
        stage.store.load_filter(LANE, COUPON, proof).await.unwrap(),
        None
    );
    let ClaimAnswer::SoldOut(renewed) = stage.claim(by("stranger")).await else {
        panic!("it is sold out again");
    };
    assert_eq!((renewed.stock_seq, renewed.users), (StockSeq(1), 4));
    stage
        .store
        .store_filter(LANE, COUPON, renewed, vec![2])
        .await
        .unwrap();
    let next = revised(&published(), |next| {
        next.terms_revision = published().revision
    });
    stage
        .store
        .install(LANE, stage.fence.epoch, &next)
        .await
        .unwrap();
    assert_eq!(
        stage
            .store
            .load_filter(LANE, COUPON, renewed)
            .await
            .unwrap(),
        None
    );
}
