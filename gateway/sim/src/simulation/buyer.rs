//! Buyers: they hold claims for orders, pay, give up, forget or return them, and repeat with the same
//! ids until they are told for certain.

use std::sync::Arc;

use sluice_checkout::{Ask, CheckoutError, HoldAsk, Holding, Operation, Refused, Settled};
use sluice_domain::cart::{Cart, CartLine};
use sluice_domain::id::{ClaimId, OrderId, RedemptionId, UserId};
use sluice_domain::invariant::checkout::{Asked, CheckoutAnswer, CheckoutAttempt};
use sluice_domain::pricing::{Buyer as OfCart, Choose};
use sluice_domain::redemption::{RedemptionStatus, RefundLine};
use sluice_domain::refund::Wanted;
use sluice_domain::terms::Currency;

use super::dice::Dice;
use super::process::Process;
use super::story::WORLD;
use super::time::pause;
use super::world::{World, locked};

/// Tries at one request.
const TRIES_MAX: u32 = 5;
/// Longer than a hold lasts.
const HOLD_PASSES_MS: u64 = 1_150;

/// A buyer at work.
pub(super) struct Buyer {
    pub(super) world: Arc<World>,
    pub(super) number: u64,
    pub(super) dice: Dice,
}

/// An order.
#[derive(Clone)]
struct Order {
    id: OrderId,
    user: UserId,
    claims: Vec<ClaimId>,
    pieces: u32,
}

// === impl Buyer ===

impl Buyer {
    /// Buys until the world is calm.
    pub(super) async fn buy(mut self) {
        for round in 0_u32.. {
            pause(self.dice.between(100, 900)).await;
            if self.world.is_calm() {
                return;
            }
            let Some((user, claims)) = self.claims() else {
                continue;
            };
            // Often two orders want the same claims.
            let orders: &[&str] = if self.dice.chance(500) {
                &["", "-x"]
            } else {
                &[""]
            };
            for other in orders {
                let Ok(id) = format!("b{}-{round}{other}", self.number).parse() else {
                    return;
                };
                let order = Order {
                    id,
                    user,
                    claims: claims.clone(),
                    pieces: u32::try_from(self.dice.between(1, 4)).unwrap_or(1),
                };
                self.order(order).await;
            }
        }
    }

    /// One or two claims of one user.
    fn claims(&mut self) -> Option<(UserId, Vec<ClaimId>)> {
        let won = locked(&self.world.won).clone();
        let (first, user) = *won.get(self.dice.index(won.len()))?;
        let mut claims = vec![first];
        if self.dice.chance(300) {
            let second = won
                .iter()
                .find(|(claim, of)| *of == user && *claim != first);
            claims.extend(second.map(|(claim, _of)| *claim));
        }
        Some((user, claims))
    }

    /// From the hold to whatever end.
    async fn order(&mut self, mut order: Order) {
        let CheckoutAnswer::Held { redemption, .. } =
            self.until_told(&order, None, &Asked::Hold).await
        else {
            return;
        };
        if self.dice.chance(300) {
            order.pieces += 1;
            self.until_told(&order, None, &Asked::Hold).await;
        }
        let redemption = Some(redemption);
        match self.dice.below(10) {
            0..5 => self.pay(&order, redemption).await,
            5 => {
                self.until_told(&order, redemption, &Asked::Cancel).await;
                self.until_told(&order, None, &Asked::Hold).await;
            }
            6..8 => {
                pause(HOLD_PASSES_MS).await;
                self.pay(&order, redemption).await;
            }
            8 => {
                // The moment at which it runs out.
                pause(self.dice.between(900, 1_010)).await;
                self.pay(&order, redemption).await;
            }
            _forgotten => {}
        }
    }

    async fn pay(&mut self, order: &Order, redemption: Option<RedemptionId>) {
        let paid = self.until_told(order, redemption, &Asked::Confirm).await;
        if !matches!(paid, CheckoutAnswer::Confirmed { .. }) {
            return;
        }
        for part in 0..self.dice.below(3) {
            let refund = Asked::Refund(format!("r{part}"));
            for _repeat in 0..self.dice.between(1, 3) {
                self.until_told(order, redemption, &refund).await;
            }
        }
    }

    async fn until_told(
        &mut self,
        order: &Order,
        redemption: Option<RedemptionId>,
        asked: &Asked,
    ) -> CheckoutAnswer {
        for _try in 0..TRIES_MAX {
            let answer = self.ask(order, redemption, asked).await;
            let again = matches!(answer, CheckoutAnswer::Unknown | CheckoutAnswer::NotApplied);
            if !again || self.world.is_calm() {
                return answer;
            }
            pause(self.dice.between(5, 120)).await;
        }
        CheckoutAnswer::Unknown
    }

    /// One request at some process.
    async fn ask(
        &mut self,
        order: &Order,
        redemption: Option<RedemptionId>,
        asked: &Asked,
    ) -> CheckoutAnswer {
        let world = Arc::clone(&self.world);
        let sent_at = world.now();
        let answer = match world.process(self.dice.index(world.process_count())) {
            None => CheckoutAnswer::NotApplied,
            Some(process) => {
                let asking = carry_out(&process, order, redemption, asked, sent_at);
                match process.living(asking).await {
                    None => CheckoutAnswer::Unknown,
                    Some(Ok(Ok(answer))) => answer,
                    Some(Ok(Err(refused))) => {
                        CheckoutAnswer::Refused(refused.code.as_str().to_owned())
                    }
                    Some(Err(CheckoutError::Unavailable { .. })) => CheckoutAnswer::NotApplied,
                    Some(Err(CheckoutError::OutcomeUnknown { .. })) => CheckoutAnswer::Unknown,
                    Some(Err(CheckoutError::Corrupt { reason })) => {
                        locked(&world.corrupt).push(reason);
                        CheckoutAnswer::Unknown
                    }
                }
            }
        };
        let at = world.net.time.now_ms();
        let words = || format!("order {}: {asked:?}: {answer:?}", order.id);
        world.net.story.step(at, WORLD, "buys", 0, words);
        world.tally.checkout(CheckoutAttempt {
            sent_at,
            answered_at: world.now(),
            order: order.id.clone(),
            asked: asked.clone(),
            answer: answer.clone(),
        });
        answer
    }
}

async fn carry_out(
    process: &Process,
    order: &Order,
    redemption: Option<RedemptionId>,
    asked: &Asked,
    now: sluice_domain::time::Timestamp,
) -> Result<Result<CheckoutAnswer, Box<Refused>>, CheckoutError> {
    let checkout = &process.checkout;
    let operation = Operation {
        owner: Some(order.user),
        actor: format!("user:{}", order.user),
        key: None,
    };
    let settled = match (asked, redemption) {
        (Asked::Hold, _) | (_, None) => match checkout.hold(&order.hold(), now).await? {
            Ok(Holding::Settled(settled)) => Ok(settled),
            // There are no codes here.
            Ok(Holding::Unclaimed(_)) => return Ok(Ok(CheckoutAnswer::NotApplied)),
            Err(refused) => Err(refused),
        },
        (Asked::Confirm, Some(id)) => checkout.confirm(id, &operation, now).await?,
        (Asked::Cancel, Some(id)) => checkout.cancel(id, &operation, now).await?,
        (Asked::Refund(refund_id), Some(id)) => {
            let wanted = order.wanted(refund_id);
            let refunded = checkout
                .refund(id, refund_id, wanted, &operation, now)
                .await?;
            return Ok(refunded.map(|refunded| CheckoutAnswer::Refunded {
                redemption: id,
                amount: refunded.refund.amount,
                claims_returned: refunded.refund.claims_returned,
            }));
        }
    };
    Ok(settled.map(|settled| answer_of(&settled)))
}

fn answer_of(settled: &Settled) -> CheckoutAnswer {
    let held = &settled.redemption;
    let applied = held.record.quote.applied.iter();
    let claims = applied.map(|applied| applied.claim_id).collect();
    let redemption = held.id;
    match held.status {
        RedemptionStatus::Held => CheckoutAnswer::Held {
            redemption,
            held_until: held.held_until,
            claims,
        },
        RedemptionStatus::Confirmed
        | RedemptionStatus::PartiallyRefunded
        | RedemptionStatus::Refunded => CheckoutAnswer::Confirmed { redemption, claims },
        RedemptionStatus::Cancelled => CheckoutAnswer::Cancelled { redemption },
        RedemptionStatus::Expired => CheckoutAnswer::Unknown,
    }
}

// === impl Order ===

impl Order {
    fn hold(&self) -> HoldAsk {
        let line = CartLine {
            id: "l1".to_owned(),
            sku: "A-1".to_owned(),
            quantity: self.pieces,
            unit_price: 3_001,
            categories: Vec::new(),
            brand: None,
            tags: Vec::new(),
            floor_price: 0,
        };
        HoldAsk {
            order: self.id.clone(),
            ask: Ask {
                cart: Cart {
                    currency: Currency(*b"USD"),
                    lines: vec![line],
                    shipping: 499,
                    channel: None,
                },
                buyer: OfCart {
                    user: self.user,
                    groups: Vec::new(),
                    is_new: None,
                    verified: Vec::new(),
                },
                claims: self.claims.clone(),
                codes: Vec::new(),
                choose: Choose::Given,
            },
            expected_total: None,
            actor: format!("user:{}", self.user),
        }
    }

    /// One piece, or with the second refund everything.
    fn wanted(&self, refund_id: &str) -> Wanted {
        if refund_id == "r1" {
            return Wanted::Everything;
        }
        Wanted::Pieces(vec![RefundLine {
            id: "l1".to_owned(),
            quantity: 1,
        }])
    }
}
