//! A ledger that fails at any one call: every answer stays true, and the same call again tells.

use std::sync::Arc;

use sluice_checkout::{CheckoutError, CheckoutSettings, HoldAsk, Holding};
use sluice_domain::id::RedemptionId;
use sluice_domain::redemption::{Redemption, RefundLine};
use sluice_domain::refund::Wanted;
use sluice_ledger::model::Fault;
use sluice_ledger::{LedgerError, ModelLedger};

use super::shop::{NOW, OVER, Shop, anybody, shoes_order, user};

/// More calls than any operation makes.
const CALLS_MAX: usize = 60;

#[derive(Debug, Clone, Copy)]
enum Doing {
    Hold,
    /// A hold that frees another order's lapsed one first.
    HoldOverLapsed,
    Confirm,
    /// After the sweeper was there.
    ConfirmLate,
    Cancel,
    Refund,
}

const ALL: [Doing; 6] = [
    Doing::Hold,
    Doing::HoldOverLapsed,
    Doing::Confirm,
    Doing::ConfirmLate,
    Doing::Cancel,
    Doing::Refund,
];

/// What a caller hears: whether it was done before, and what is there now.
type Heard = Result<bool, CheckoutError>;

struct Scene {
    shop: Shop,
    ledger: Arc<ModelLedger>,
    asked: HoldAsk,
    id: RedemptionId,
}

/// Everything up to the operation.
async fn scene(doing: Doing) -> Scene {
    let (shop, ledger) = Shop::on_model(CheckoutSettings::default()).await;
    let claim = shop.fixed(500, user(1)).await;
    let asked = shoes_order("o-1", user(1), &[claim]);
    let id = shop.keys.redemption_id(&asked.order);
    match doing {
        Doing::Hold => {}
        Doing::HoldOverLapsed => {
            shop.hold(&shoes_order("o-2", user(1), &[claim]), NOW).await;
        }
        Doing::Confirm | Doing::Cancel => {
            shop.hold(&asked, NOW).await;
        }
        Doing::ConfirmLate => {
            shop.hold(&asked, NOW).await;
            shop.checkout.sweep(OVER, 10).await.unwrap();
        }
        Doing::Refund => {
            shop.hold(&asked, NOW).await;
            shop.confirm(id, NOW).await.unwrap();
        }
    }
    Scene {
        shop,
        ledger,
        asked,
        id,
    }
}

async fn act(scene: &Scene, doing: Doing) -> Heard {
    let (checkout, id) = (&scene.shop.checkout, scene.id);
    let now = match doing {
        Doing::HoldOverLapsed | Doing::ConfirmLate => OVER,
        Doing::Hold | Doing::Confirm | Doing::Cancel | Doing::Refund => NOW,
    };
    Ok(match doing {
        Doing::Hold | Doing::HoldOverLapsed => {
            match checkout.hold(&scene.asked, now).await?.unwrap() {
                Holding::Settled(settled) => settled.replayed,
                Holding::Unclaimed(_) => panic!("no codes here"),
            }
        }
        Doing::Confirm | Doing::ConfirmLate => {
            let confirmed = checkout.confirm(id, &anybody(), now).await?;
            confirmed.unwrap().replayed
        }
        Doing::Cancel => {
            checkout
                .cancel(id, &anybody(), now)
                .await?
                .unwrap()
                .replayed
        }
        Doing::Refund => {
            let piece = Wanted::Pieces(vec![RefundLine {
                id: "l1".to_owned(),
                quantity: 1,
            }]);
            let refunded = checkout.refund(id, "r-1", piece, &anybody(), now).await?;
            refunded.unwrap().replayed
        }
    })
}

/// The row and how many events it has.
async fn state(scene: &Scene) -> (Option<Redemption>, usize) {
    let row = scene.ledger_row().await;
    (row, scene.shop.events(scene.id).await.len())
}

impl Scene {
    async fn ledger_row(&self) -> Option<Redemption> {
        self.shop.ledger.redemption(self.id).await.unwrap()
    }

    /// Lets the call after so many others fail.
    fn fail_after(&self, calls: usize, fault: Fault) {
        for _call in 0..calls {
            self.ledger.fail_next(Fault::Pass);
        }
        self.ledger.fail_next(fault);
    }
}

fn unavailable() -> Fault {
    Fault::Refuse(LedgerError::Unavailable {
        reason: "told to".to_owned(),
    })
}

fn unknown() -> Fault {
    Fault::Refuse(LedgerError::Unknown {
        reason: "told to".to_owned(),
    })
}

/// How many calls an operation makes: the first place at which a fault is not met.
async fn calls_of(doing: Doing) -> usize {
    for calls in 0..CALLS_MAX {
        let scene = scene(doing).await;
        scene.fail_after(calls, unavailable());
        if act(&scene, doing).await.is_ok() {
            return calls;
        }
    }
    panic!("{doing:?} makes more than {CALLS_MAX} calls");
}

#[tokio::test]
async fn wherever_the_ledger_fails_every_answer_is_true() {
    for doing in ALL {
        let calls = calls_of(doing).await;
        let mut resolved = 0;
        for at in 0..calls {
            for fault in [unavailable(), unknown(), Fault::LoseAnswer] {
                let scene = scene(doing).await;
                let before = state(&scene).await;
                let what = format!("{doing:?}, call {at} of {calls}, {fault:?}");
                scene.fail_after(at, fault);
                let heard = act(&scene, doing).await;
                scene.ledger.clear_faults();
                let after = state(&scene).await;
                match &heard {
                    Ok(replayed) => {
                        assert!(!replayed, "{what}");
                        assert_eq!(after.1, before.1 + 1, "{what}");
                        resolved += 1;
                    }
                    Err(CheckoutError::Unavailable { .. }) => assert_eq!(after, before, "{what}"),
                    Err(CheckoutError::OutcomeUnknown { .. }) => {}
                    Err(error) => panic!("{what}: {error}"),
                }
                // The same call again: done now or before, and once in all.
                let again = act(&scene, doing).await.unwrap();
                assert_eq!(again, after.1 > before.1, "{what}");
                assert_eq!(state(&scene).await.1, before.1 + 1, "{what}");
            }
        }
        // One call is the write itself: its lost answer was found by its operation id.
        assert!(resolved >= 1, "{doing:?} resolves a lost answer");
    }
}
