//! Tickets, leases and the several ways of having none.

use std::time::Duration;

use sluice_claim::port::ClaimAnswer;
use sluice_domain::id::{EntryNumber, LeaseNumber, StockSeq, Ticket};
use sluice_domain::time::Timestamp;
use sluice_hotstate::LaneStore;
use sluice_hotstate::lane_store::{LeaseInstalled, Retire};

use super::fixture::{COUPON, LANE, Stage, by, granted, lease, ok, published};

fn retire(only: Option<u32>, last: u32) -> Retire {
    Retire {
        coupon: COUPON,
        only: only.map(LeaseNumber),
        last: LeaseNumber(last),
        seq: 50,
    }
}

#[tokio::test]
async fn without_a_lease_the_keeper_is_asked() {
    let stage = Stage::serving(&published(), 0).await;
    assert_eq!(stage.claim(by("ann")).await, ClaimAnswer::NeedLease);
}

#[tokio::test]
async fn a_call_takes_from_one_lease_only() {
    let stage = Stage::serving(&published(), 1).await;
    stage.lease(2, 2).await;
    let answers = stage.claims(vec![by("a"), by("b"), by("c")]).await.answers;
    assert_eq!(granted(answers[0]).ticket, Ticket(1_000));
    assert_eq!(
        &answers[1..],
        [ClaimAnswer::NextLease, ClaimAnswer::NextLease]
    );
    // A used-up lease left the list by itself.
    let figures = stage.store.figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!(
        figures.leases,
        [(LeaseNumber(2), Ticket(2_000), Ticket(2_002))]
    );
    let answers = stage.claims(vec![by("b"), by("c"), by("d")]).await.answers;
    assert_eq!(granted(answers[1]).ticket, Ticket(2_001));
    assert_eq!(answers[2], ClaimAnswer::NeedLease);
    let entries = stage.outbox(0).await;
    assert_eq!(entries[1].lease, LeaseNumber(2));
}

#[tokio::test]
async fn final_stock_is_sold_out_when_the_list_is_empty() {
    let stage = Stage::serving(&published(), 1).await;
    ok(stage.store.set_final(stage.fence, COUPON, true).await);
    let answers = stage.claims(vec![by("a"), by("b")]).await.answers;
    granted(answers[0]);
    let ClaimAnswer::SoldOut(proof) = answers[1] else {
        panic!("{:?}", answers[1]);
    };
    assert_eq!((proof.epoch, proof.users), (stage.fence.epoch, 1));
    assert_eq!((proof.stock_seq, proof.more_may_come), (StockSeq(0), true));
    ok(stage.store.set_final(stage.fence, COUPON, false).await);
    let ClaimAnswer::SoldOut(proof) = stage.claim(by("b")).await else {
        panic!("it is sold out");
    };
    assert!(!proof.more_may_come);
}

#[tokio::test]
async fn stock_after_final_opens_soon_and_then_is_granted() {
    let stage = Stage::bare(|settings| settings.opens_delay = Duration::from_millis(300)).await;
    stage.open(&published()).await;
    // The first grant of an epoch waits for memories of the epoch before.
    let ClaimAnswer::OpensSoon { opens_at } = stage.claim(by("a")).await else {
        panic!("the epoch has just begun");
    };
    let now = stage.store.facts(LANE).await.unwrap().unwrap().lane_time;
    assert!(opens_at > now && opens_at <= now.plus_millis(300));
    wait_until(&stage, opens_at).await;
    assert_eq!(stage.claim(by("a")).await, ClaimAnswer::NeedLease);
    ok(stage.store.set_final(stage.fence, COUPON, false).await);
    assert!(matches!(
        stage.claim(by("a")).await,
        ClaimAnswer::SoldOut(_)
    ));
    let before = stage.store.facts(LANE).await.unwrap().unwrap().lane_time;
    stage.lease(1, 1).await;
    let ClaimAnswer::OpensSoon { opens_at } = stage.claim(by("a")).await else {
        panic!("stock came after final");
    };
    assert!(opens_at >= before.plus_millis(300));
    let figures = stage.store.figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!((figures.is_final, figures.stock_seq), (false, StockSeq(1)));
    wait_until(&stage, opens_at).await;
    granted(stage.claim(by("a")).await);
}

async fn wait_until(stage: &Stage, instant: Timestamp) {
    while stage.store.facts(LANE).await.unwrap().unwrap().lane_time < instant {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_lease_is_never_installed_twice() {
    let stage = Stage::serving(&published(), 5).await;
    let again = stage.store.install_lease(stage.fence, lease(1, 5)).await;
    assert_eq!(
        ok(again),
        LeaseInstalled::Ignored {
            last: LeaseNumber(1)
        }
    );
    stage.lease(3, 5).await;
    let late = stage.store.install_lease(stage.fence, lease(2, 5)).await;
    assert_eq!(
        ok(late),
        LeaseInstalled::Ignored {
            last: LeaseNumber(3)
        }
    );
    let figures = stage.store.figures(LANE, COUPON).await.unwrap().unwrap();
    let numbers: Vec<_> = figures.leases.iter().map(|(lease, ..)| lease.0).collect();
    assert_eq!(numbers, [1, 3]);
    let unknown = sluice_domain::id::CouponId(77);
    let other = sluice_hotstate::lane_store::LeaseInstall {
        coupon: unknown,
        ..lease(9, 1)
    };
    let answer = stage.store.install_lease(stage.fence, other).await;
    assert_eq!(ok(answer), LeaseInstalled::NotHydrated);
}

#[tokio::test]
async fn retiring_takes_leases_off_and_outruns_installs() {
    let stage = Stage::serving(&published(), 5).await;
    stage.lease(2, 5).await;
    stage.lease(3, 5).await;
    granted(stage.claim(by("a")).await);
    let retired = ok(stage.store.retire(stage.fence, retire(Some(2), 2)).await);
    assert_eq!(retired.tail, EntryNumber(1));
    let figures = stage.store.figures(LANE, COUPON).await.unwrap().unwrap();
    assert_eq!(
        figures.leases[0],
        (LeaseNumber(1), Ticket(1_001), Ticket(1_005))
    );
    assert_eq!(figures.leases[1].0, LeaseNumber(3));
    // The current one goes, the next comes up.
    ok(stage.store.retire(stage.fence, retire(Some(1), 1)).await);
    assert_eq!(granted(stage.claim(by("b")).await).ticket, Ticket(3_000));
    // All go; an install that was under way is ignored.
    ok(stage.store.retire(stage.fence, retire(None, 7)).await);
    assert_eq!(stage.claim(by("c")).await, ClaimAnswer::NeedLease);
    let late = stage.store.install_lease(stage.fence, lease(7, 5)).await;
    assert_eq!(
        ok(late),
        LeaseInstalled::Ignored {
            last: LeaseNumber(7)
        }
    );
    stage.lease(8, 5).await;
    assert_eq!(granted(stage.claim(by("c")).await).ticket, Ticket(8_000));
    let seq = stage.store.facts(LANE).await.unwrap().unwrap().seq;
    assert_eq!(seq, 50);
}

#[tokio::test]
async fn retiring_without_hydration_answers_the_tail() {
    let stage = Stage::serving(&published(), 5).await;
    granted(stage.claim(by("a")).await);
    let other = Retire {
        coupon: sluice_domain::id::CouponId(77),
        ..retire(None, 4)
    };
    assert_eq!(
        ok(stage.store.retire(stage.fence, other).await).tail,
        EntryNumber(1)
    );
}
