//! Hold: claims are reserved for an order.

use sluice_domain::id::{ClaimId, OrderId, RedemptionId};
use sluice_domain::pricing::{Applied, Choose, Quote, QuoteInput};
use sluice_domain::reason::ReasonCode;
use sluice_domain::redemption::decide::{Command, Hold, HoldContent, Refusal, standing_hold};
use sluice_domain::redemption::{QuoteRecord, Redemption};
use sluice_domain::terms::MinorUnits;
use sluice_domain::time::Timestamp;

use crate::candidates::{Ask, Gathered, Unclaimed};
use crate::error::{Answer, CheckoutError, Refused, contended};
use crate::settle::{Carried, Settled};
use crate::{Checkout, LAPSED_FREED_MAX, ROUNDS_MAX, metrics};

/// What is to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldAsk {
    /// The order: the operation's idempotency key.
    pub order: OrderId,
    /// The cart, the buyer and the claims.
    pub ask: Ask,
    /// The total that the caller showed; another one is refused with `price_changed`.
    pub expected_total: Option<MinorUnits>,
    /// Who asks: `user:…` or `key:…`.
    pub actor: String,
}

/// What a hold came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Holding {
    /// The claims are reserved.
    Settled(Settled),
    /// Nothing was changed: these are to be claimed first, by their public codes. With them the
    /// cart is priced as the caller expects it.
    Unclaimed(Vec<Unclaimed>),
}

/// What a round of a hold came to.
enum Round {
    Over(Result<Holding, Box<Refused>>),
    /// Something changed meanwhile: read and decide again. Where it goes on like that, the refusal
    /// is the answer.
    Again(Option<Box<Refused>>),
}

// === impl Checkout ===

impl Checkout {
    /// Reserves claims, uses and budget for an order, for the time that a hold lasts.
    ///
    /// The same order and content again is answered with what is held; other content while it is
    /// held, or anything after the hold ran out, is a new hold of the same order. A claim that is
    /// asked for and does not apply changes nothing: it is refused with all its reasons.
    ///
    /// # Errors
    /// When the ledger does not answer; then nothing was changed, or the same call tells.
    pub async fn hold(&self, asked: &HoldAsk, now: Timestamp) -> Answer<Holding> {
        let mut refused = None;
        for round in 0..ROUNDS_MAX {
            match self.hold_round(asked, now).await? {
                // What strangers' lapsed holds keep of a coupon's budget is given back by the
                // sweeper within seconds. Whoever is refused for it need not wait for that.
                Round::Over(Err(last)) if round == 0 && is_about_limits(&last) => {
                    if self.sweep(now, LAPSED_FREED_MAX).await? == 0 {
                        return Ok(over(Err(last)));
                    }
                }
                Round::Over(answer) => return Ok(over(answer)),
                Round::Again(last) => refused = last,
            }
        }
        metrics::transition("hold", "contended");
        refused.map_or_else(|| Err(contended()), |refused| Ok(Err(refused)))
    }

    async fn hold_round(&self, asked: &HoldAsk, now: Timestamp) -> Result<Round, CheckoutError> {
        let id = self.keys.redemption_id(&asked.order);
        let seen = self.ledger.redemption(id).await?;
        let round = self.hold_over(asked, id, seen.as_ref(), now).await?;
        let Round::Over(Err(refused)) = round else {
            return Ok(round);
        };
        // The same hold may have been carried out for somebody else since that was read: then what
        // stands in the way is the order itself.
        let version = |redemption: &Redemption| redemption.row_version;
        let stands = self.ledger.redemption(id).await?;
        Ok(
            if stands.as_ref().map(version) == seen.as_ref().map(version) {
                Round::Over(Err(refused))
            } else {
                Round::Again(Some(refused))
            },
        )
    }

    /// A round over what was seen of the order.
    async fn hold_over(
        &self,
        asked: &HoldAsk,
        id: RedemptionId,
        seen: Option<&Redemption>,
        now: Timestamp,
    ) -> Result<Round, CheckoutError> {
        let ask = &asked.ask;
        let user = &ask.buyer.user;
        let fingerprint = HoldContent {
            order: &asked.order,
            user,
            cart: &ask.cart,
            claims: &ask.claims,
            codes: &ask.codes,
            choose: ask.choose,
        }
        .fingerprint();
        let expected = asked.expected_total;
        if let Some(standing) = standing_hold(seen, user, &fingerprint, expected, now) {
            return Ok(Round::Over(
                Settled::standing(standing).map(Holding::Settled),
            ));
        }
        let gathered = match self.gather_free(ask, seen, now).await? {
            Ok(gathered) => gathered,
            Err(refused) => return Ok(Round::Over(Err(refused))),
        };
        let unclaimed = gathered.unclaimed;
        let record = match self.record(gathered.input).await? {
            Ok(record) => record,
            Err(refused) => return Ok(Round::Over(Err(refused))),
        };
        if let Some(refused) = not_held(ask, &record.quote) {
            return Ok(Round::Over(Err(refused)));
        }
        let unclaimed = applied_of(unclaimed, &record.quote);
        if !unclaimed.is_empty() {
            let refused = price_changed(&record.quote, expected);
            return Ok(Round::Over(
                refused.map_or(Ok(Holding::Unclaimed(unclaimed)), Err),
            ));
        }
        let command = Command::Hold(Box::new(Hold {
            id,
            order: asked.order.clone(),
            fingerprint,
            expected_total: expected,
            record,
        }));
        let carried = self
            .carry_out(seen, None, &command, &asked.actor, now)
            .await?;
        Ok(match carried {
            Carried::Settled(settled) => Round::Over(Ok(Holding::Settled(settled))),
            Carried::Refused(refused) => Round::Over(Err(refused)),
            Carried::Refunded(_) | Carried::Again => Round::Again(None),
            // Its facts changed since they were read: the next round's quote says why.
            Carried::UsesRefused(refused) => Round::Again(Some(refused)),
        })
    }

    /// Gathers, after freeing what other orders' lapsed holds still have reserved.
    async fn gather_free(
        &self,
        ask: &Ask,
        seen: Option<&Redemption>,
        now: Timestamp,
    ) -> Answer<Gathered> {
        let gathered = match self.gather(ask, seen, now).await? {
            Ok(gathered) => gathered,
            Err(refused) => return Ok(Err(refused)),
        };
        if gathered.due.is_empty() {
            return Ok(Ok(gathered));
        }
        for redemption in gathered.due {
            self.expire(redemption, now).await?;
        }
        self.gather(ask, seen, now).await
    }

    /// Prices, and keeps what it was priced from.
    async fn record(&self, input: QuoteInput) -> Answer<QuoteRecord> {
        let (input, quote) = match self.price(input).await? {
            Ok(priced) => priced,
            Err(refused) => return Ok(Err(refused)),
        };
        Ok(Ok(QuoteRecord {
            cart: input.cart,
            buyer: input.buyer,
            candidates: input.candidates.into_iter().map(|one| one.facts).collect(),
            choose: input.choose,
            limits: input.limits,
            now: input.now,
            quote,
        }))
    }
}

/// Why a quote cannot be held: a claim that was given does not apply.
fn not_held(ask: &Ask, quote: &Quote) -> Option<Box<Refused>> {
    if ask.choose == Choose::Best {
        return None;
    }
    // In the order of the request; what came by a code after what was named.
    let place = |claim: &ClaimId| ask.claims.iter().position(|given| given == claim);
    let first = quote
        .rejected
        .iter()
        .min_by_key(|one| (place(&one.claim_id).unwrap_or(usize::MAX), one.claim_id))?;
    Some(Refused::by(first.reasons.clone()))
}

/// Those whose claim the quote applies.
fn applied_of(mut unclaimed: Vec<Unclaimed>, quote: &Quote) -> Vec<Unclaimed> {
    unclaimed.retain(|one| {
        let applies = |applied: &Applied| applied.claim_id == one.claim_id;
        quote.applied.iter().any(applies)
    });
    unclaimed
}

/// Nothing is claimed for a price that the caller will not take.
fn price_changed(quote: &Quote, expected: Option<MinorUnits>) -> Option<Box<Refused>> {
    let expected = expected.filter(|expected| *expected != quote.total)?;
    Some(Refused::from_domain(&Refusal::PriceChanged {
        expected,
        actual: quote.total,
        currency: quote.currency,
    }))
}

fn is_about_limits(refused: &Refused) -> bool {
    let reasons = refused.reasons.iter().map(|reason| reason.code);
    reasons.chain([refused.code]).any(|code| {
        matches!(
            code,
            ReasonCode::BudgetExhausted | ReasonCode::UsageLimitReached
        )
    })
}

/// Counts a hold that is over.
fn over(answer: Result<Holding, Box<Refused>>) -> Result<Holding, Box<Refused>> {
    let word = match &answer {
        Ok(Holding::Settled(settled)) if settled.replayed => "replayed",
        Ok(Holding::Settled(_)) => "done",
        Ok(Holding::Unclaimed(_)) => "unclaimed",
        Err(_) => "refused",
    };
    metrics::transition("hold", word);
    answer
}
