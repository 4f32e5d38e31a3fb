//! 64 callers on one redemption: one legal path, and every caller a true answer.

use std::sync::Arc;

use sluice_checkout::{Refused, Settled};
use sluice_domain::id::RedemptionId;
use sluice_domain::reason::ReasonCode;
use sluice_domain::redemption::RedemptionStatus::{
    self, Cancelled, Confirmed, Expired, Held, PartiallyRefunded, Refunded,
};
use sluice_domain::redemption::{RefundLine, TransitionEvent};
use sluice_domain::refund::Wanted;
use tokio::task::JoinSet;

use super::shop::{NOW, OVER, Shop, anybody, shoes_order, user};

const CALLERS: u32 = 64;

/// What one caller did, and what it was told.
#[derive(Debug)]
enum Told {
    Confirm(Result<Settled, Refused>),
    Cancel(Result<Settled, Refused>),
    Refund(Result<RedemptionStatus, Refused>),
    Sweep,
}

async fn call(shop: &Shop, id: RedemptionId, n: u32) -> Told {
    // Half of the callers see the hold as over.
    let now = if n % 8 < 4 { OVER } else { NOW };
    match n % 4 {
        0 => Told::Confirm(shop.confirm(id, now).await),
        1 => Told::Cancel(shop.cancel(id, now).await),
        2 => {
            let piece = Wanted::Pieces(vec![RefundLine {
                id: "l1".to_owned(),
                quantity: 1,
            }]);
            let name = format!("r-{n}");
            let caller = anybody();
            let refunded = shop.checkout.refund(id, &name, piece, &caller, now).await;
            Told::Refund(
                refunded
                    .unwrap()
                    .map(|one| one.status)
                    .map_err(|refused| *refused),
            )
        }
        _ => {
            shop.checkout.sweep(OVER, 10).await.unwrap();
            Told::Sweep
        }
    }
}

/// One legal path without a gap.
fn check_path(events: &[TransitionEvent]) {
    let mut from = None;
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event.row_version.0 as usize, n + 1);
        assert_eq!(event.from, from);
        assert!(event.to.may_follow(from), "{from:?} to {:?}", event.to);
        from = Some(event.to);
    }
}

/// Whether an answer is true of what happened.
fn check_told(told: &Told, events: &[TransitionEvent]) {
    let reached = |status| events.iter().any(|event| event.to == status);
    let check_refused = |refused: &Refused| match refused.code {
        ReasonCode::Conflict => {
            let state = refused.status.expect("a conflict says what won");
            // A hold that ran out is called expired, swept or not.
            assert!(reached(state) || state == Expired, "{refused:?}");
        }
        ReasonCode::InvalidRequest => assert!(reached(PartiallyRefunded)),
        _ => panic!("{refused:?}"),
    };
    match told {
        Told::Confirm(Ok(settled)) => {
            assert_eq!(settled.redemption.status, Confirmed);
            assert!(reached(Confirmed));
        }
        Told::Cancel(Ok(settled)) => {
            assert_eq!(settled.redemption.status, Cancelled);
            assert!(reached(Cancelled));
        }
        Told::Refund(Ok(status)) => assert!(reached(*status)),
        Told::Confirm(Err(refused)) | Told::Cancel(Err(refused)) | Told::Refund(Err(refused)) => {
            check_refused(refused);
        }
        Told::Sweep => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_end_one_redemption_by_one_legal_path() {
    for round in 0..6_u32 {
        for shop in Shop::both().await {
            let shop = Arc::new(shop);
            let claim = shop.fixed(500, user(1)).await;
            let held = shop.hold(&shoes_order("o-1", user(1), &[claim]), NOW).await;
            let id = held.redemption.id;
            let mut tasks = JoinSet::new();
            for n in 0..CALLERS {
                let shop = Arc::clone(&shop);
                // Another caller is first in each round.
                tasks.spawn(async move { call(&shop, id, n + round).await });
            }
            let told = tasks.join_all().await;
            let events = shop.events(id).await;
            check_path(&events);
            for one in &told {
                check_told(one, &events);
            }
            let firsts = |wanted: fn(&Told) -> bool| told.iter().filter(|one| wanted(one)).count();
            let confirmed = firsts(|one| matches!(one, Told::Confirm(Ok(done)) if !done.replayed));
            let cancelled = firsts(|one| matches!(one, Told::Cancel(Ok(done)) if !done.replayed));
            assert_eq!(confirmed + cancelled, 1, "{events:?}");
            let refunded = firsts(|one| matches!(one, Told::Refund(Ok(_))));
            assert!(refunded <= 2, "there are two pieces");
            // The ledger's row and its uses are where the path ended.
            let row = shop.ledger.redemption(id).await.unwrap().unwrap();
            let last = events.last().unwrap();
            assert_eq!(row.status, last.to);
            assert_ne!(row.status, Held);
            let uses = shop.ledger.claim_uses(&[claim]).await.unwrap().len();
            let live = matches!(row.status, Confirmed | PartiallyRefunded);
            assert_eq!(uses, usize::from(live), "{:?}", row.status);
            assert!(row.paid_out() <= row.paid());
            if row.status == Refunded {
                assert_eq!(row.paid_out(), row.paid());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_hold_at_once_is_one_hold() {
    for shop in Shop::both().await {
        let shop = Arc::new(shop);
        let claim = shop.fixed(500, user(1)).await;
        let asked = shoes_order("o-1", user(1), &[claim]);
        let mut tasks = JoinSet::new();
        for _caller in 0..CALLERS {
            let (shop, asked) = (Arc::clone(&shop), asked.clone());
            tasks.spawn(async move { shop.try_hold(&asked, NOW).await.unwrap() });
        }
        let held = tasks.join_all().await;
        let firsts = held.iter().filter(|one| !one.replayed).count();
        assert_eq!(firsts, 1);
        assert!(held.iter().all(|one| one.redemption == held[0].redemption));
        assert_eq!(shop.events(held[0].redemption.id).await.len(), 1);
    }
}
