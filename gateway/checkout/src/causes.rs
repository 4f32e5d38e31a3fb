//! Claims that are granted because of an order: the intent before the grant, how it came out, and
//! what the order's end does to them.
//!
//! Who grants goes through three steps: [`Checkout::plan_grant`] and, where nothing was intended,
//! [`Checkout::intend_grant`]; the claim engine; [`Checkout::note_granted`] or
//! [`Checkout::note_refused`]. After a crash between any two of them a repeat goes on where the
//! first attempt stopped: the claim's id follows from coupon, user and order.
//!
//! [`Checkout::cancel_order`] writes the order's end first. A grant under way then finds it in its
//! last step, and settles its claim by itself.

use sluice_domain::cause::{self, Cause, CauseState, NextStep, OnCancel};
use sluice_domain::claim::ClaimForm;
use sluice_domain::coupon::Coupon;
use sluice_domain::id::{ClaimId, CouponId, OrderId, UserId};
use sluice_domain::reason::{Reason, ReasonCode};
use sluice_domain::redemption::ClaimUse;
use sluice_domain::time::Timestamp;
use sluice_ledger::audit_log::AuditEntry;
use sluice_ledger::causes::{CauseSettled, Intended};
use sluice_ledger::claims::Revoked;

use crate::error::{Answer, CheckoutError, Refused, contended};
use crate::wallet::WalletItem;
use crate::{Checkout, ROUNDS_MAX, metrics};

/// Who is to get what because of which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderGrant {
    /// What.
    pub coupon: CouponId,
    /// Who.
    pub user: UserId,
    /// Because of which order.
    pub order: OrderId,
}

/// What comes next for a grant.
#[derive(Debug, Clone, PartialEq)]
pub enum GrantPlan {
    /// The intent stands: grant, under this key.
    Grant(GrantTarget),
    /// Nothing is intended. Where the claim is not on its way for another reason: intend, then
    /// grant.
    Look(GrantTarget),
    /// The user has the claim for another reason. It has nothing to do with the order.
    Held(Box<WalletItem>),
}

/// The claim that a grant because of an order makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTarget {
    /// Its id, which the engine makes of the same key.
    pub claim_id: ClaimId,
    /// The key. With a blank in it, which no shopper's key has.
    pub key: String,
}

/// What the end of an order did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelledOrder {
    /// The order.
    pub order: OrderId,
    /// When it was first said to be cancelled.
    pub cancelled_at: Timestamp,
    /// Each claim that it was to be the cause of, by claim id.
    pub claims: Vec<CancelledClaim>,
}

/// What the end of an order did to one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelledClaim {
    /// The claim.
    pub claim_id: ClaimId,
    /// Whose.
    pub user: UserId,
    /// What was done.
    pub done: Done,
}

/// What was done to one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It is no row of the ledger. It was never granted, or is on its way there.
    NoRow,
    /// It was never granted because of this order.
    Refused,
    /// It is taken back, now or before.
    Revoked,
    /// It is in use, by these, and stays.
    Flagged(Vec<ClaimUse>),
}

// === impl Checkout ===

impl Checkout {
    /// What comes next for a grant. Unknown coupons and drafts are not found. Where the order was
    /// cancelled and an earlier attempt may have granted, the order's end is carried out again.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn plan_grant(
        &self,
        asked: &OrderGrant,
        actor: &str,
        now: Timestamp,
    ) -> Answer<GrantPlan> {
        let Some(coupon) = self.ledger.coupon(asked.coupon).await? else {
            return Ok(Err(Refused::of(ReasonCode::NotFound)));
        };
        if coupon.first_open_at.is_none() {
            return Ok(Err(Refused::of(ReasonCode::NotFound)));
        }
        let target = self.target(&coupon, asked);
        let known = self.ledger.order_causes(&asked.order).await?;
        let mut causes = known.causes.iter();
        let cause = causes.find(|cause| cause.claim_id == target.claim_id);
        match cause::next_step(cause, known.cancelled_at.is_some()) {
            NextStep::Refuse => {
                if cause.is_some_and(|cause| cause.state != CauseState::Refused) {
                    self.cancel_order(&asked.order, actor, now).await?;
                }
                return Ok(Err(cancelled()));
            }
            NextStep::Grant => return Ok(Ok(GrantPlan::Grant(target))),
            NextStep::Look => {}
        }
        match self.wallet_item(target.claim_id, &asked.user, now).await? {
            Some(item) if item.row.revoked => Ok(Err(taken_back(&item))),
            Some(item) => Ok(Ok(GrantPlan::Held(Box::new(item)))),
            None => Ok(Ok(GrantPlan::Look(target))),
        }
    }

    /// Writes down that the claim is about to be granted because of the order.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn intend_grant(
        &self,
        asked: &OrderGrant,
        target: &GrantTarget,
        now: Timestamp,
    ) -> Answer<()> {
        let cause = Cause {
            order: asked.order.clone(),
            claim_id: target.claim_id,
            user: asked.user,
            at: now,
            state: CauseState::Intended,
        };
        Ok(match self.ledger.intend(&cause).await? {
            Intended::Done => Ok(()),
            Intended::OrderCancelled => Err(cancelled()),
            Intended::TooMany => Err(refused_with(format!(
                "An order may be the cause of {} claims, and this one is.",
                cause::CAUSES_PER_ORDER_MAX
            ))),
        })
    }

    /// The grant was answered yes. Where the order was cancelled meanwhile, its end is carried out on
    /// the claim, and the grant is refused.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn note_granted(
        &self,
        asked: &OrderGrant,
        target: &GrantTarget,
        actor: &str,
        now: Timestamp,
    ) -> Answer<()> {
        let (order, claim_id) = (&asked.order, target.claim_id);
        let settled = self
            .ledger
            .settle_cause(order, claim_id, CauseState::Granted, None);
        match settled.await? {
            CauseSettled::Done => {
                metrics::transition("order_grant", "granted");
                Ok(Ok(()))
            }
            CauseSettled::Unchanged => {
                metrics::transition("order_grant", "replayed");
                Ok(Ok(()))
            }
            CauseSettled::OrderCancelled => {
                let ended = self.cancel_order(order, actor, now).await?;
                let mut claims = ended.claims.iter();
                let ours = claims.find(|claim| claim.claim_id == claim_id);
                if ours.is_some_and(|claim| claim.done == Done::NoRow) {
                    // Granted under class `hot`, and no row yet: a repeat finds one to take back.
                    return Err(CheckoutError::OutcomeUnknown {
                        reason: "the claim of a cancelled order is no row yet".to_owned(),
                    });
                }
                Ok(Err(cancelled()))
            }
        }
    }

    /// The grant was answered no: nothing was granted because of the order.
    ///
    /// # Errors
    /// When the ledger does not answer.
    pub async fn note_refused(
        &self,
        asked: &OrderGrant,
        target: &GrantTarget,
    ) -> Result<(), CheckoutError> {
        let (order, claim_id) = (&asked.order, target.claim_id);
        metrics::transition("order_grant", "refused");
        self.ledger
            .settle_cause(order, claim_id, CauseState::Refused, None)
            .await?;
        Ok(())
    }

    /// The order was cancelled: claims that were granted because of it are taken back where nobody
    /// uses them, and flagged where somebody does. From here on nothing is granted because of it.
    ///
    /// Repeating it is harmless, and sees how things are then: a claim that was in use and is free
    /// again is taken back.
    ///
    /// # Errors
    /// When the ledger does not answer. What was done before stays so; a repeat goes on.
    pub async fn cancel_order(
        &self,
        order: &OrderId,
        actor: &str,
        now: Timestamp,
    ) -> Result<CancelledOrder, CheckoutError> {
        let cancelled_at = self.ledger.cancel_order(order, now).await?;
        let mut claims = Vec::new();
        for cause in self.ledger.order_causes(order).await?.causes {
            let done = self.end_of(&cause, actor, now).await?;
            claims.push(CancelledClaim {
                claim_id: cause.claim_id,
                user: cause.user,
                done,
            });
        }
        Ok(CancelledOrder {
            order: order.clone(),
            cancelled_at,
            claims,
        })
    }

    /// Carries the order's end out on one claim.
    async fn end_of(
        &self,
        cause: &Cause,
        actor: &str,
        now: Timestamp,
    ) -> Result<Done, CheckoutError> {
        for _round in 0..ROUNDS_MAX {
            let row = self.ledger.claim(cause.claim_id).await?;
            // An id that follows from coupon and user has one owner; what has another is no claim of
            // this order.
            let row = row.filter(|row| row.user == cause.user);
            let uses = self.ledger.claim_uses(&[cause.claim_id]).await?;
            let revoked = row.map(|row| row.revoked);
            match cause::on_cancel(cause, revoked, &uses, now) {
                OnCancel::NotGranted if cause.state == CauseState::Refused => {
                    return Ok(Done::Refused);
                }
                OnCancel::NotGranted => return Ok(Done::NoRow),
                OnCancel::Revoked => {
                    self.settle(cause, CauseState::Revoked, actor, now).await?;
                    return Ok(Done::Revoked);
                }
                OnCancel::Flag(by) => {
                    self.settle(cause, CauseState::Flagged, actor, now).await?;
                    return Ok(Done::Flagged(by));
                }
                OnCancel::Revoke => {
                    // What is left of uses are holds that ran out: they free their claim first.
                    for one in &uses {
                        self.expire(one.redemption, now).await?;
                    }
                    match self.ledger.revoke(cause.claim_id).await? {
                        // Read again: it is taken back now, and written down as that. Or somebody
                        // came first.
                        Revoked::Done | Revoked::Unchanged | Revoked::InUse(_) => {}
                    }
                }
            }
        }
        Err(contended())
    }

    async fn settle(
        &self,
        cause: &Cause,
        to: CauseState,
        actor: &str,
        now: Timestamp,
    ) -> Result<(), CheckoutError> {
        let (action, word) = match to {
            CauseState::Flagged => ("claim.flag", "flagged"),
            _ => ("claim.revoke", "revoked"),
        };
        let entry = AuditEntry {
            at: now,
            actor: actor.to_owned(),
            action: action.to_owned(),
            object: cause.claim_id.to_string(),
            before: String::new(),
            // An order id and a user id need no escaping.
            after: format!(
                "{{\"cancelled_order\":\"{}\",\"user_id\":\"{}\"}}",
                cause.order, cause.user
            ),
            request_id: String::new(),
        };
        let settled = self
            .ledger
            .settle_cause(&cause.order, cause.claim_id, to, Some(entry));
        if settled.await? == CauseSettled::Done {
            metrics::transition("order_cancel", word);
        }
        Ok(())
    }

    fn target(&self, coupon: &Coupon, asked: &OrderGrant) -> GrantTarget {
        let key = format!("order {}", asked.order);
        let claim_id = match coupon.spec.limits.form() {
            ClaimForm::Single => self.keys.single_claim_id(coupon.id, &asked.user),
            ClaimForm::Keyed => self.keys.keyed_claim_id(coupon.id, &asked.user, &key),
        };
        GrantTarget { claim_id, key }
    }
}

fn cancelled() -> Box<Refused> {
    refused_with("The order was cancelled; nothing is granted because of it.".to_owned())
}

fn refused_with(detail: String) -> Box<Refused> {
    Box::new(Refused {
        detail: Some(detail),
        ..*Refused::of(ReasonCode::Conflict)
    })
}

/// The claim was taken back, and is not given again: its id is the same.
fn taken_back(item: &WalletItem) -> Box<Refused> {
    Refused::by(vec![Reason {
        code: ReasonCode::Archived,
        condition: "claim".into(),
        expected: "a claim that was not taken back".to_owned(),
        actual: "taken back".to_owned(),
        gap: None,
        fix: Some(
            "Grant another coupon; one that allows several claims per user has one for each order."
                .to_owned(),
        ),
        terms_version: item.row.version,
    }])
}
