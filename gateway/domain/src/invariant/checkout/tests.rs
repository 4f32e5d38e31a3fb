//! What shoppers saw, sound and then broken in one way that the checker has to see.

use super::*;
use crate::invariant::CheckStatus;
use crate::redemption::decide::{Answer, Command};
use crate::redemption::sample::{Deal, Reply, Shop, cart, claim, line};
use crate::refund::Wanted;
use crate::sample::user;

const STEP_MS: i64 = 100;

/// Runs commands on a shop and writes down what their callers saw.
struct Scene {
    shop: Shop,
    attempts: Vec<CheckoutAttempt>,
}

impl Scene {
    fn run(&mut self, order: &str, asked: Asked) {
        let command = match &asked {
            Asked::Hold => {
                let offer = (
                    claim(1, &user("ann")),
                    Deal::Spend {
                        spend: 5_000,
                        off: 500,
                    },
                );
                let cart = cart(vec![line("shoes", 3, 3_000)], 500);
                self.shop.hold(order, &cart, &[offer])
            }
            Asked::Confirm => Command::Confirm { key: None },
            Asked::Cancel => Command::Cancel { key: None },
            Asked::Refund(id) => Command::Refund {
                refund_id: id.clone(),
                wanted: Wanted::Everything,
            },
        };
        let sent_at = self.shop.now;
        let answer = match self.shop.run(order, &command) {
            Reply::Done(answer) => seen(order, answer),
            Reply::Refused(refusal) => CheckoutAnswer::Refused(refusal.code().as_str().to_owned()),
            Reply::NotFree(_) | Reply::Budget(_) => {
                CheckoutAnswer::Refused("held_by_order".to_owned())
            }
        };
        self.attempts.push(CheckoutAttempt {
            sent_at,
            answered_at: sent_at.plus_millis(STEP_MS / 2),
            order: order.parse().unwrap(),
            asked,
            answer,
        });
        self.shop.now = self.shop.now.plus_millis(STEP_MS);
    }

    fn last(&mut self) -> &mut CheckoutAttempt {
        self.attempts.last_mut().unwrap()
    }

    fn violated(&self) -> Vec<(u8, &'static str)> {
        let rows = self.shop.store.rows();
        let checks = [
            acknowledged_is_kept(&self.attempts, &rows),
            claims_are_used_within_their_uses(&self.attempts, |_claim| 1),
            no_hold_is_lost(&self.attempts, |_claim| 1),
            refused_left_nothing(&self.attempts, &rows),
        ];
        for check in &checks {
            assert!(check.examined > 0, "{} looked at nothing", check.name);
        }
        let violated = checks
            .iter()
            .filter(|check| check.status == CheckStatus::Violated);
        violated
            .map(|check| (check.invariant, check.name))
            .collect()
    }

    fn loses_a_hold(&self) -> bool {
        let check = no_hold_is_lost(&self.attempts, |_claim| 1);
        assert!(check.examined > 0, "looked at nothing");
        check.status == CheckStatus::Violated
    }

    fn assert_only(&self, name: &str) {
        let violated = self.violated();
        assert_eq!(violated.len(), 1, "{violated:?}");
        assert!(violated[0].1.contains(name), "{violated:?}");
    }
}

fn seen(order: &str, answer: Answer) -> CheckoutAnswer {
    let redemption = Shop::id(order);
    match answer {
        Answer::Refund { refund, .. } => CheckoutAnswer::Refunded {
            redemption,
            amount: refund.amount,
            claims_returned: refund.claims_returned,
        },
        Answer::Redemption(row) => {
            let applied = row.record.quote.applied.iter();
            let claims = applied.map(|applied| applied.claim_id).collect();
            match row.status {
                RedemptionStatus::Held => CheckoutAnswer::Held {
                    redemption,
                    held_until: row.held_until,
                    claims,
                },
                RedemptionStatus::Cancelled => CheckoutAnswer::Cancelled { redemption },
                _ => CheckoutAnswer::Confirmed { redemption, claims },
            }
        }
    }
}

/// One claim goes through three orders, each in its own way.
fn sound() -> Scene {
    let mut scene = Scene {
        shop: Shop::new(),
        attempts: Vec::new(),
    };
    scene.run("o-1", Asked::Hold);
    scene.run("o-2", Asked::Hold);
    scene.run("o-1", Asked::Cancel);
    scene.run("o-1", Asked::Confirm);
    scene.run("o-2", Asked::Hold);
    scene.run("o-2", Asked::Confirm);
    scene.run("o-2", Asked::Refund("r-1".to_owned()));
    scene.run("o-3", Asked::Hold);
    scene.run("o-3", Asked::Confirm);
    scene
}

#[test]
fn a_claim_that_goes_from_order_to_order_is_sound() {
    let scene = sound();
    assert_eq!(scene.violated(), []);
    let refused = scene
        .attempts
        .iter()
        .filter(|attempt| matches!(attempt.answer, CheckoutAnswer::Refused(_)));
    assert_eq!(
        refused.count(),
        2,
        "the second hold and the confirm of a cancelled order"
    );
}

#[test]
fn invariant_9_an_acknowledged_confirm_that_is_not_there_or_undone_is_seen() {
    let mut scene = sound();
    let id = Shop::id("o-3");
    scene.shop.store.redemptions.get_mut(&id).unwrap().status = RedemptionStatus::Expired;
    scene.assert_only("in the ledger");
    scene.shop.store.redemptions.remove(&id);
    scene.assert_only("in the ledger");
}

#[test]
fn invariant_9_an_acknowledged_hold_cancel_or_refund_that_is_not_there_is_seen() {
    let mut scene = sound();
    scene.shop.store.events[0].result = scene.shop.store.events[2].result.clone();
    scene.assert_only("in the ledger");
    let mut scene = sound();
    let row = scene.shop.store.redemptions.get_mut(&Shop::id("o-1"));
    row.unwrap().status = RedemptionStatus::Held;
    scene.assert_only("in the ledger");
    let mut scene = sound();
    let row = scene.shop.store.redemptions.get_mut(&Shop::id("o-2"));
    row.unwrap().refunds[0].amount -= 1;
    scene.assert_only("in the ledger");
}

#[test]
fn invariant_9_a_claim_used_by_two_orders_is_seen() {
    let mut scene = sound();
    // Had the refund not returned the claim, the third order could not have it.
    for attempt in &mut scene.attempts {
        if let CheckoutAnswer::Refunded {
            claims_returned, ..
        } = &mut attempt.answer
        {
            claims_returned.clear();
        }
    }
    scene.assert_only("used too often");
    // A refund whose answer was lost may have returned it.
    for attempt in &mut scene.attempts {
        if matches!(attempt.answer, CheckoutAnswer::Refunded { .. }) {
            attempt.answer = CheckoutAnswer::Unknown;
        }
    }
    assert_eq!(scene.violated(), []);
}

#[test]
fn invariant_9_a_hold_that_somebody_else_got_is_seen() {
    let mut scene = sound();
    scene.shop = Shop::new();
    scene.attempts.clear();
    scene.run("o-1", Asked::Hold);
    scene.shop.store.uses.clear();
    scene.run("o-2", Asked::Hold);
    assert!(scene.loses_a_hold());
    // Answered after the end of the first hold, it may have been decided after it.
    let end = scene.shop.row("o-1").held_until;
    scene.last().answered_at = end;
    assert!(!scene.loses_a_hold());
    scene.last().answered_at = end.plus_millis(-STEP_MS);
    assert!(scene.loses_a_hold());
    // A cancel whose answer was lost may have ended the hold.
    let lost = CheckoutAttempt {
        asked: Asked::Cancel,
        answer: CheckoutAnswer::Unknown,
        ..scene.attempts[0].clone()
    };
    scene.attempts.push(lost);
    assert!(!scene.loses_a_hold());
}

#[test]
fn invariant_7_a_refused_request_that_was_carried_out_is_seen() {
    for asked in [
        Asked::Hold,
        Asked::Confirm,
        Asked::Cancel,
        Asked::Refund("r-1".to_owned()),
    ] {
        for answer in [
            CheckoutAnswer::Refused("conflict".to_owned()),
            CheckoutAnswer::NotApplied,
        ] {
            let mut scene = sound();
            for attempt in &mut scene.attempts {
                if attempt.asked == asked {
                    attempt.answer = answer.clone();
                }
            }
            let rows = scene.shop.store.rows();
            let check = refused_left_nothing(&scene.attempts, &rows);
            assert_eq!(check.status, CheckStatus::Violated, "{asked:?}");
        }
    }
}
