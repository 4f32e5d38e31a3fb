//! A buyer of the storm: holds claims for orders, and pays, gives up, forgets or returns
//! them; repeats with the same ids until the answer is definite.

mod request;
pub mod rush;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use sluice_domain::id::{ClaimId, OrderId, RedemptionId};
use sluice_domain::invariant::checkout::{Asked, CheckoutAnswer};
use sluice_domain::invariant::history::Answer;

use crate::http::Connection;
use crate::shopper::{Passes, Wanted, claim};
use crate::tally::Tally;

use request::{Order, ask};

/// Users that all buyers buy for: few, so that orders compete for claims.
const USERS: usize = 16;
/// Tries at one request before the buyer goes on to something else.
const TRIES_MAX: u32 = 12;
/// Between two tries at a claim before the first fault.
const WARM_PAUSE: Duration = Duration::from_millis(100);
/// Longer than a hold of the storm lasts.
const HOLD_PASSES: Duration = Duration::from_millis(1_100);

/// A buyer at work.
struct Buyer {
    random: SmallRng,
    connection: Connection,
    passes: Arc<Passes>,
    wallets: Arc<Wallets>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
}

/// The claims of each user that buyers buy for.
pub type Wallets = Vec<Vec<ClaimId>>;

/// Claims everything for the users that buyers buy for: checkout needs no hot state, so buyers are
/// not to wait for it.
///
/// # Errors
/// When somebody could claim nothing: there would be nothing to buy with.
pub async fn fill_wallets(
    connection: &mut Connection,
    passes: &Passes,
    wanted: &[Wanted],
    tally: &Tally,
) -> anyhow::Result<Wallets> {
    fill_wallets_of(USERS, connection, passes, wanted, tally).await
}

/// The same for the first so many users.
///
/// # Errors
/// When somebody could claim nothing.
pub async fn fill_wallets_of(
    users: usize,
    connection: &mut Connection,
    passes: &Passes,
    wanted: &[Wanted],
    tally: &Tally,
) -> anyhow::Result<Wallets> {
    let mut wallets = Wallets::new();
    for user in 0..users.min(passes.len()) {
        let mut wallet = Vec::new();
        for want in wanted {
            for number in 0..want.per_user {
                let key = match want.per_user {
                    1 => String::new(),
                    _many => format!("key-{number}"),
                };
                // A coupon that was published just now is warming up.
                for _attempt in 0..TRIES_MAX {
                    let answer = claim(connection, passes, user, want.coupon, &key, tally);
                    match answer.await {
                        Answer::Acknowledged { claim_id, .. } => wallet.push(claim_id),
                        Answer::Refused(_) => {}
                        Answer::Pending(_) | Answer::NotApplied | Answer::Unknown => {
                            tokio::time::sleep(WARM_PAUSE).await;
                            continue;
                        }
                    }
                    break;
                }
            }
        }
        anyhow::ensure!(!wallet.is_empty(), "user {user} could not claim anything");
        wallets.push(wallet);
    }
    Ok(wallets)
}

/// Buys at random until told to stop. `name` is part of its orders' ids.
pub async fn buy(
    seed: u64,
    name: usize,
    connection: Connection,
    passes: Arc<Passes>,
    wallets: Arc<Wallets>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) {
    let mut buyer = Buyer {
        random: SmallRng::seed_from_u64(seed),
        connection,
        passes,
        wallets,
        tally,
        stop,
    };
    for number in 0_u32.. {
        if buyer.stop.load(Ordering::Relaxed) {
            return;
        }
        let user = buyer.random.random_range(0..buyer.wallets.len().max(1));
        let claims = buyer.claims(user);
        let names = [
            format!("b{name}-{number}"),
            format!("b{name}-{number}-other"),
        ];
        // Half of the time two orders want the same claims.
        let orders = if buyer.random.random_bool(0.5) { 2 } else { 1 };
        for name in &names[..orders] {
            let Ok(order) = name.parse::<OrderId>() else {
                continue;
            };
            buyer.order(user, order, claims.clone()).await;
        }
    }
}

// === impl Buyer ===

impl Buyer {
    /// One or two claims of a user.
    fn claims(&mut self, user: usize) -> Vec<ClaimId> {
        let wallet = &self.wallets[user];
        let first = self.random.random_range(0..wallet.len().max(1));
        let many = self.random.random_range(1..3);
        let of_wallet = wallet.iter().cycle().skip(first);
        of_wallet.take(many.min(wallet.len())).copied().collect()
    }

    /// From the hold to whatever end.
    async fn order(&mut self, user: usize, id: OrderId, claims: Vec<ClaimId>) {
        let mut order = Order { user, id, claims };
        let mut quantity = self.random.random_range(1..4);
        let Some(redemption) = self.hold(&order, quantity).await else {
            return;
        };
        if self.random.random_bool(0.2) {
            self.hold(&order, quantity).await;
        }
        if self.random.random_bool(0.3) {
            // Other content: with another cart, and perhaps without a claim.
            quantity += 1;
            if self.random.random_bool(0.5) {
                order.claims.truncate(1);
            }
            self.hold(&order, quantity).await;
        }
        match self.random.random_range(0..10_u8) {
            0..=4 => self.pay(&order, redemption, quantity).await,
            5..=6 => {
                self.change(&order, redemption, Asked::Cancel, Value::Null)
                    .await;
                self.hold(&order, quantity).await;
            }
            7 => {
                tokio::time::sleep(HOLD_PASSES).await;
                self.pay(&order, redemption, quantity).await;
            }
            8 => {
                tokio::time::sleep(HOLD_PASSES).await;
                self.hold(&order, quantity).await;
            }
            _forgotten => {}
        }
    }

    /// Confirms, and gives back some or all of it.
    async fn pay(&mut self, order: &Order, redemption: RedemptionId, quantity: u32) {
        let paid = self
            .change(order, redemption, Asked::Confirm, Value::Null)
            .await;
        if !matches!(paid, CheckoutAnswer::Confirmed { .. }) {
            return;
        }
        if self.random.random_bool(0.3) {
            self.change(order, redemption, Asked::Cancel, Value::Null)
                .await;
        }
        for part in 0..self.random.random_range(0..3_u8) {
            let refund_id = format!("r-{part}");
            let body = if self.random.random_bool(0.4) {
                json!({"refund_id": refund_id, "full": true})
            } else {
                let pieces = self.random.random_range(1..quantity + 1);
                json!({"refund_id": refund_id, "lines": [{"id": "l1", "quantity": pieces}]})
            };
            for _repeat in 0..self.random.random_range(1..3_u8) {
                let asked = Asked::Refund(refund_id.clone());
                self.change(order, redemption, asked, body.clone()).await;
            }
        }
    }

    /// Asks for a hold until that is answered.
    async fn hold(&mut self, order: &Order, quantity: u32) -> Option<RedemptionId> {
        let body = order.body(quantity);
        match self.until_answered(order, None, &Asked::Hold, &body).await {
            CheckoutAnswer::Held { redemption, .. } => Some(redemption),
            _other => None,
        }
    }

    /// Asks for anything else until that is answered.
    async fn change(
        &mut self,
        order: &Order,
        redemption: RedemptionId,
        asked: Asked,
        body: Value,
    ) -> CheckoutAnswer {
        self.until_answered(order, Some(redemption), &asked, &body)
            .await
    }

    async fn until_answered(
        &mut self,
        order: &Order,
        redemption: Option<RedemptionId>,
        asked: &Asked,
        body: &Value,
    ) -> CheckoutAnswer {
        let pass = self.passes.get(order.user);
        for _attempt in 1..TRIES_MAX {
            let (answer, attempt) =
                ask(&mut self.connection, pass, order, redemption, asked, body).await;
            self.tally.checkout(attempt);
            let again = matches!(answer, CheckoutAnswer::Unknown | CheckoutAnswer::NotApplied);
            if !again || self.stop.load(Ordering::Relaxed) {
                return answer;
            }
            let pause = Duration::from_millis(self.random.random_range(5..80));
            tokio::time::sleep(pause).await;
        }
        CheckoutAnswer::Unknown
    }
}
