//! Pricing beside requests: small inputs at once, large ones away from the threads that serve
//! others, a few at a time.

use std::sync::Arc;
use std::time::Duration;

use sluice_domain::pricing::{self, Quote, QuoteInput};
use sluice_domain::reason::ReasonCode;

use crate::Checkout;
use crate::error::{Answer, CheckoutError, Refused};

/// Candidates times lines up to which a quote is computed in place: well below a millisecond.
const SMALL: usize = 600;
/// Candidates up to which the search for a combination is small: it grows with the number of
/// combinations, not with that of claims.
const SMALL_SEARCH: usize = 12;
/// How long a large quote may wait for its turn.
const TURN_WAIT: Duration = Duration::from_secs(1);

// === impl Checkout ===

impl Checkout {
    /// Prices; gives the input back for the record. Refused with `overloaded` where too many large
    /// carts are being priced.
    pub(crate) async fn price(&self, input: QuoteInput) -> Answer<(QuoteInput, Quote)> {
        self.compute(input, pricing::quote).await
    }

    /// Runs a pure computation over an input where its size says.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        input: QuoteInput,
        run: fn(&QuoteInput) -> T,
    ) -> Answer<(QuoteInput, T)> {
        if is_small(&input) {
            let output = run(&input);
            return Ok(Ok((input, output)));
        }
        self.in_turn(input, run).await
    }

    /// Runs it on a thread of its own, when one of the few turns is free.
    async fn in_turn<T: Send + 'static>(
        &self,
        input: QuoteInput,
        run: fn(&QuoteInput) -> T,
    ) -> Answer<(QuoteInput, T)> {
        let turn = Arc::clone(&self.large_quotes).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(TURN_WAIT, turn).await else {
            return Ok(Err(Refused::of(ReasonCode::Overloaded)));
        };
        let computed = tokio::task::spawn_blocking(move || {
            // Held by the computation, not by its caller: where that one goes away, the work goes
            // on, and counts.
            let _turn = turn;
            let output = run(&input);
            (input, output)
        });
        computed
            .await
            .map(Ok)
            .map_err(|error| CheckoutError::Corrupt {
                reason: format!("a quote panicked: {error}"),
            })
    }
}

/// Whether an input is computed in less time than matters to the requests beside it.
fn is_small(input: &QuoteInput) -> bool {
    let claims = input.candidates.len();
    claims <= SMALL_SEARCH && claims * input.cart.lines.len() <= SMALL
}

#[cfg(test)]
mod tests {
    use sluice_domain::cart::{Cart, CartLine};
    use sluice_domain::hash::HashKeys;
    use sluice_domain::id::UserId;
    use sluice_domain::lane::LaneCount;
    use sluice_domain::pricing::{Buyer, Choose};
    use sluice_domain::terms::Currency;
    use sluice_ledger::ModelLedger;

    use super::*;
    use crate::{CheckoutSettings, LARGE_QUOTES_MAX};

    fn input(lines: usize) -> QuoteInput {
        let line = |n: usize| CartLine {
            id: format!("l{n}"),
            sku: format!("S-{n}"),
            quantity: 1,
            unit_price: 100,
            categories: Vec::new(),
            brand: None,
            tags: Vec::new(),
            floor_price: 0,
        };
        QuoteInput {
            cart: Cart {
                currency: Currency(*b"USD"),
                lines: (0..lines).map(line).collect(),
                shipping: 0,
                channel: None,
            },
            buyer: Buyer {
                user: UserId::new("ann").unwrap(),
                groups: Vec::new(),
                is_new: None,
                verified: Vec::new(),
            },
            candidates: Vec::new(),
            choose: Choose::Best,
            limits: CheckoutSettings::default().order_limits,
            now: sluice_domain::time::Timestamp::from_millis(0),
        }
    }

    fn checkout() -> Checkout {
        let ledger = Arc::new(ModelLedger::new(LaneCount::new(1).unwrap()));
        let keys = HashKeys::derive(&[7; 32]);
        Checkout::new(ledger, keys, CheckoutSettings::default())
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_turn_in_time_is_told_to_come_back() {
        let checkout = checkout();
        let turns = Arc::clone(&checkout.large_quotes);
        let all = u32::try_from(LARGE_QUOTES_MAX).unwrap();
        let taken = turns.acquire_many_owned(all).await.unwrap();
        let large = checkout.in_turn(input(2), pricing::quote).await.unwrap();
        assert_eq!(large.unwrap_err().code, ReasonCode::Overloaded);
        // Small ones wait for nobody.
        let small = checkout.price(input(1)).await.unwrap().unwrap();
        assert_eq!(small.1.total, 100);
        drop(taken);
        let large = checkout.in_turn(input(2), pricing::quote).await.unwrap();
        assert_eq!(large.unwrap().1.total, 200);
        assert_eq!(checkout.large_quotes.available_permits(), LARGE_QUOTES_MAX);
    }

    #[tokio::test]
    async fn a_turn_lasts_as_long_as_the_work_whoever_waits_for_it() {
        use std::sync::Mutex;
        use std::sync::mpsc::{Receiver, channel};

        static GO_ON: Mutex<Option<Receiver<()>>> = Mutex::new(None);
        let (go_on, waits) = channel();
        *GO_ON.lock().unwrap() = Some(waits);
        let checkout = checkout();
        let waiting = checkout.in_turn(input(1), |_input| {
            let waits = GO_ON.lock().unwrap().take().unwrap();
            waits.recv().unwrap();
        });
        // Polled once, so that the work begins; then its caller goes away.
        let gone = tokio::time::timeout(Duration::ZERO, waiting).await;
        assert!(gone.is_err());
        let turns = Arc::clone(&checkout.large_quotes);
        assert_eq!(turns.available_permits(), LARGE_QUOTES_MAX - 1);
        go_on.send(()).unwrap();
        let all = u32::try_from(LARGE_QUOTES_MAX).unwrap();
        let _back = turns.acquire_many(all).await.unwrap();
    }
}
