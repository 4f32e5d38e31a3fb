//! Confirm, cancel, read; and how every decision is carried out.

use std::collections::HashMap;

use sluice_domain::coupon::Lifecycle;
use sluice_domain::id::{ClaimId, RedemptionId, UserId};
use sluice_domain::pricing::{self, Applied};
use sluice_domain::reason::ReasonCode;
use sluice_domain::redemption::decide::{
    self, Answer as DomainAnswer, ClaimNow, Command, Context, Decision, Refusal, Seen,
};
use sluice_domain::redemption::{
    Redemption, RedemptionStatus, Refund, Transition, TransitionEvent, UserLimit,
};
use sluice_domain::terms::Currency;
use sluice_domain::time::Timestamp;
use sluice_ledger::LedgerError;
use sluice_ledger::redemptions::TransitionOutcome;

use crate::error::{Answer, CheckoutError, PriceChange, Refused, contended};
use crate::{Checkout, LAPSED_FREED_MAX, ROUNDS_MAX, metrics};

/// Who asks for a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Whose redemptions the caller may touch; `None` is everybody's.
    pub owner: Option<UserId>,
    /// Who it is: `user:…` or `key:…`.
    pub actor: String,
    /// The caller's idempotency key.
    pub key: Option<String>,
}

/// A transition that is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The redemption as the operation left it.
    pub redemption: Box<Redemption>,
    /// Whether this was done before.
    pub replayed: bool,
}

/// A refund that is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refunded {
    /// The refund.
    pub refund: Refund,
    /// Where the redemption stood after it.
    pub status: RedemptionStatus,
    /// The currency of its amounts.
    pub currency: Currency,
    /// Whether this was done before.
    pub replayed: bool,
}

/// What became of a decision.
pub(crate) enum Carried {
    Settled(Settled),
    Refunded(Refunded),
    Refused(Box<Refused>),
    /// The ledger refused a use, for this reason.
    UsesRefused(Box<Refused>),
    /// Another transition came first.
    Again,
}

// === impl Checkout ===

impl Checkout {
    /// The order was paid: its reserved uses are spent. After the hold ran out it takes them again
    /// at the frozen price, or is refused with `hold_expired`.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn confirm(
        &self,
        id: RedemptionId,
        operation: &Operation,
        now: Timestamp,
    ) -> Answer<Settled> {
        let key = operation.key.clone();
        let command = Command::Confirm { key };
        let mut carried = self.command(id, operation, &command, now).await?;
        // Whoever took the uses since may have let them run out as well.
        if matches!(carried, Carried::UsesRefused(_)) && self.free_lapsed_of(id, now).await? {
            carried = self.command(id, operation, &command, now).await?;
        }
        if let Carried::UsesRefused(refused) = carried {
            carried = Carried::Refused(self.hold_expired(id, refused).await?);
        }
        let answer = settled(carried);
        metrics::transition("confirm", outcome_word(&answer));
        Ok(answer)
    }

    /// The order was given up: its reserved uses are free.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn cancel(
        &self,
        id: RedemptionId,
        operation: &Operation,
        now: Timestamp,
    ) -> Answer<Settled> {
        let key = operation.key.clone();
        let command = Command::Cancel { key };
        let answer = settled(self.command(id, operation, &command, now).await?);
        metrics::transition("cancel", outcome_word(&answer));
        Ok(answer)
    }

    /// A redemption, and all that happened to it. Unknown and foreign ones are refused alike.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn redemption(
        &self,
        id: RedemptionId,
        owner: Option<&UserId>,
    ) -> Answer<(Redemption, Vec<TransitionEvent>)> {
        let Some(redemption) = self.owned(id, owner).await? else {
            return Ok(Err(Refused::of(ReasonCode::NotFound)));
        };
        let events = self.ledger.events(id).await?;
        Ok(Ok((redemption, events)))
    }

    /// Frees holds that ran out and stand in the way of this redemption's claims; whether there
    /// were any.
    async fn free_lapsed_of(
        &self,
        id: RedemptionId,
        now: Timestamp,
    ) -> Result<bool, CheckoutError> {
        let Some(redemption) = self.ledger.redemption(id).await? else {
            return Ok(false);
        };
        let applied = redemption.record.quote.applied.iter();
        let claims: Vec<ClaimId> = applied.map(|applied| applied.claim_id).collect();
        let mut freed = false;
        for one in self.ledger.claim_uses(&claims).await? {
            let ran_out = one.held_until.is_some_and(|until| until <= now);
            if ran_out && one.redemption != id {
                freed |= self.expire(one.redemption, now).await?;
            }
        }
        // And those that keep a budget or a user's count without having one of these claims.
        freed |= self.sweep(now, LAPSED_FREED_MAX).await? > 0;
        Ok(freed)
    }

    /// The answer to a confirm whose uses the ledger does not give again.
    async fn hold_expired(
        &self,
        id: RedemptionId,
        because: Box<Refused>,
    ) -> Result<Box<Refused>, CheckoutError> {
        let Some(redemption) = self.ledger.redemption(id).await? else {
            return Ok(Refused::of(ReasonCode::NotFound));
        };
        let refusal = Refusal::hold_expired(&redemption, Vec::new());
        let refused = Refused::from_domain(&refusal);
        Ok(Box::new(Refused {
            reasons: because.reasons,
            ..*refused
        }))
    }

    /// Decides a command on an existing redemption and carries it out, again where another
    /// transition came first.
    pub(crate) async fn command(
        &self,
        id: RedemptionId,
        operation: &Operation,
        command: &Command,
        now: Timestamp,
    ) -> Result<Carried, CheckoutError> {
        for _round in 0..ROUNDS_MAX {
            let Some(redemption) = self.owned(id, operation.owner.as_ref()).await? else {
                return Ok(Carried::Refused(Refused::of(ReasonCode::NotFound)));
            };
            let seen = Some(&redemption);
            let operation_id = command.operation_id(seen);
            let event = self.ledger.redemption_operation(id, &operation_id).await?;
            // An event that is newer than the row that was read: read the row again.
            let newer = |event: &TransitionEvent| event.row_version > redemption.row_version;
            if event.as_ref().is_some_and(newer) {
                continue;
            }
            let carried = self
                .carry_out(seen, event.as_ref(), command, &operation.actor, now)
                .await?;
            match carried {
                Carried::Again => {}
                carried => return Ok(carried),
            }
        }
        Err(contended())
    }

    /// The redemption, where this owner may see it.
    async fn owned(
        &self,
        id: RedemptionId,
        owner: Option<&UserId>,
    ) -> Result<Option<Redemption>, CheckoutError> {
        let found = self.ledger.redemption(id).await?;
        Ok(found.filter(|redemption| owner.is_none_or(|owner| redemption.user == *owner)))
    }

    /// Decides on what was seen, and carries the decision out by compare-and-set.
    pub(crate) async fn carry_out(
        &self,
        seen: Option<&Redemption>,
        event: Option<&TransitionEvent>,
        command: &Command,
        actor: &str,
        now: Timestamp,
    ) -> Result<Carried, CheckoutError> {
        let record = match (command, seen) {
            (Command::Hold(hold), _) => Some(&hold.record),
            (_, seen) => seen.map(|redemption| &redemption.record),
        };
        let Some(record) = record else {
            return Ok(Carried::Refused(Refused::of(ReasonCode::NotFound)));
        };
        let policy = seen.map_or(self.settings.refund_policy, |seen| seen.refund_policy);
        let claims = self
            .claims_now(command, &record.quote.applied, record.now)
            .await?;
        let repricing = self.repricing(command, record, policy).await?;
        let decision = decide::decide(
            Seen {
                redemption: seen,
                event,
            },
            command,
            &Context {
                now,
                hold_ttl_ms: self.settings.hold_ms,
                return_claims: self.settings.return_claims,
                refund_policy: self.settings.refund_policy,
                actor,
                claim_now: &|applied: &Applied, _counted_at| {
                    claims.get(&applied.claim_id).cloned().unwrap_or_else(gone)
                },
                reprice: &|cart| repricing.quote(cart),
            },
        );
        let decision = decision.map_err(|error| CheckoutError::Corrupt {
            reason: error.to_string(),
        })?;
        match decision {
            Decision::Write(transition) => self.apply(&transition).await,
            Decision::Replay(answer) => Ok(Carried::of(answer, true)),
            Decision::Refuse(refusal) => Ok(Carried::Refused(Refused::from_domain(&refusal))),
        }
    }

    async fn apply(&self, transition: &Transition) -> Result<Carried, CheckoutError> {
        let outcome = match self.ledger.apply(transition).await {
            Ok(outcome) => outcome,
            // Carried out or not: the stored operation tells, and a retry would not be blind.
            Err(LedgerError::Unknown { reason }) => {
                let event = &transition.event;
                let found = self
                    .ledger
                    .redemption_operation(event.redemption, &event.operation_id)
                    .await;
                match found {
                    Ok(Some(found)) if found == *event => TransitionOutcome::Done,
                    _ => return Err(CheckoutError::OutcomeUnknown { reason }),
                }
            }
            Err(error) => return Err(error.into()),
        };
        Ok(match outcome {
            TransitionOutcome::Done => {
                let answer = DomainAnswer::of(&transition.redemption, &transition.event);
                let answer = answer.map_err(|error| CheckoutError::Corrupt {
                    reason: error.to_string(),
                })?;
                Carried::of(answer, false)
            }
            TransitionOutcome::Repeated(_)
            | TransitionOutcome::OperationReused(_)
            | TransitionOutcome::Stale(_) => Carried::Again,
            TransitionOutcome::OrderTaken => {
                return Err(CheckoutError::Corrupt {
                    reason: format!(
                        "order {} has a redemption that is not the one of its id",
                        transition.redemption.order
                    ),
                });
            }
            TransitionOutcome::ClaimGone { .. } => {
                Carried::UsesRefused(Refused::of(ReasonCode::NotFound))
            }
            TransitionOutcome::ClaimNotFree { uses, .. } => {
                let held = uses
                    .iter()
                    .filter_map(|one| Some((one.held_until?, &one.order)))
                    .min();
                Carried::UsesRefused(match held {
                    Some((until, order)) => Box::new(Refused {
                        detail: Some(format!("Order {order} holds it until {until}.")),
                        until: Some(until),
                        ..*Refused::of(ReasonCode::HeldByOrder)
                    }),
                    None => Refused::of(ReasonCode::AlreadyUsed),
                })
            }
            TransitionOutcome::UserLimitReached { .. } => {
                Carried::UsesRefused(Refused::of(ReasonCode::UsageLimitReached))
            }
            TransitionOutcome::BudgetReached { .. } => {
                Carried::UsesRefused(Refused::of(ReasonCode::BudgetExhausted))
            }
        })
    }

    /// What the limits of applied claims are now. Cancelling and expiring take nothing, so they ask
    /// nothing.
    async fn claims_now(
        &self,
        command: &Command,
        applied: &[Applied],
        counted_at: Timestamp,
    ) -> Result<HashMap<ClaimId, ClaimNow>, CheckoutError> {
        if matches!(command, Command::Cancel { .. } | Command::Expire) {
            return Ok(HashMap::new());
        }
        let keys = applied.iter().map(|one| (one.coupon, one.version));
        let terms = self.terms.all(&*self.ledger, keys).await?;
        let mut now = HashMap::with_capacity(applied.len());
        for one in applied {
            let Some(frozen) = terms.get(&(one.coupon, one.version)) else {
                continue;
            };
            let row = self.ledger.claim(one.claim_id).await?;
            let coupon = self.ledger.coupon(one.coupon).await?;
            let limit = frozen.uses_per_user.as_ref();
            let period = pricing::period_key(frozen, counted_at);
            now.insert(
                one.claim_id,
                ClaimNow {
                    uses_per_claim: frozen.uses_per_claim,
                    user_limit: limit.zip(period).map(|(limit, period)| UserLimit {
                        count: limit.count,
                        period,
                    }),
                    budget: coupon.as_ref().and_then(|coupon| coupon.spec.terms.budget),
                    withdrawn: row.is_none_or(|row| row.revoked)
                        || coupon.is_none_or(|coupon| coupon.lifecycle == Lifecycle::Archived),
                },
            );
        }
        Ok(now)
    }
}

/// A claim that the ledger no longer knows.
fn gone() -> ClaimNow {
    ClaimNow {
        uses_per_claim: 1,
        user_limit: None,
        budget: None,
        withdrawn: true,
    }
}

fn outcome_word(answer: &Result<Settled, Box<Refused>>) -> &'static str {
    match answer {
        Ok(settled) if settled.replayed => "replayed",
        Ok(_) => "done",
        Err(_) => "refused",
    }
}

/// The answer of a command that leaves a redemption.
fn settled(carried: Carried) -> Result<Settled, Box<Refused>> {
    match carried {
        Carried::Settled(settled) => Ok(settled),
        Carried::Refused(refused) | Carried::UsesRefused(refused) => Err(refused),
        Carried::Refunded(_) | Carried::Again => Err(Refused::of(ReasonCode::Conflict)),
    }
}

// === impl Carried ===

impl Carried {
    fn of(answer: DomainAnswer, replayed: bool) -> Self {
        match answer {
            DomainAnswer::Redemption(redemption) => Self::Settled(Settled {
                redemption,
                replayed,
            }),
            DomainAnswer::Refund {
                refund,
                status,
                currency,
            } => Self::Refunded(Refunded {
                refund,
                status,
                currency,
                replayed,
            }),
        }
    }
}

// === impl Settled ===

impl Settled {
    /// The answer of a decision that writes nothing.
    pub(crate) fn standing(decision: Decision) -> Result<Self, Box<Refused>> {
        match decision {
            Decision::Replay(DomainAnswer::Redemption(redemption)) => Ok(Self {
                redemption,
                replayed: true,
            }),
            Decision::Refuse(refusal) => Err(Refused::from_domain(&refusal)),
            Decision::Replay(DomainAnswer::Refund { .. }) | Decision::Write(_) => {
                Err(Refused::of(ReasonCode::Conflict))
            }
        }
    }
}

// === impl Refused ===

impl Refused {
    /// The refusal of a decision.
    pub(crate) fn from_domain(refusal: &Refusal) -> Box<Self> {
        let mut refused = Self::of(refusal.code());
        refused.detail = Some(refusal.detail());
        match refusal {
            // Unknown and foreign ones are answered alike, in the code's own words.
            Refusal::NotFound => refused.detail = None,
            Refusal::KeyReused { .. } => {}
            Refusal::Conflict {
                state, held_until, ..
            } => {
                refused.status = Some(*state);
                refused.until = *held_until;
            }
            Refusal::HoldExpired { held_until, .. } => refused.until = Some(*held_until),
            Refusal::PriceChanged {
                expected,
                actual,
                currency,
            } => {
                refused.price = Some(PriceChange {
                    currency: *currency,
                    expected: *expected,
                    actual: *actual,
                });
            }
            Refusal::InvalidRefund(errors) => refused.errors.clone_from(errors),
        }
        refused
    }
}
