//! A checkout over the [`Store`]: reads, decides and carries out, as the real one does.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Deal, Offer, Outcome, Store, price, record};
use crate::cart::Cart;
use crate::hash::HashKeys;
use crate::id::{ClaimId, OrderId, RedemptionId, UserId, Version};
use crate::invariant::Check;
use crate::invariant::redemptions::{CouponMoney, RedemptionAudit, UseLimits};
use crate::pricing::Applied;
use crate::redemption::decide::{
    Answer, ClaimNow, Command, Context, Decision, Hold, HoldContent, Refusal, Seen, decide,
};
use crate::redemption::{Redemption, RefundPolicy, TransitionEvent};
use crate::terms::MinorUnits;
use crate::time::Timestamp;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Done(Answer),
    Refused(Refusal),
    NotFree(ClaimId),
    Budget(ClaimId),
}

pub(crate) struct Shop {
    pub(crate) store: Store,
    pub(crate) user: UserId,
    pub(crate) now: Timestamp,
    pub(crate) policy: RefundPolicy,
    pub(crate) return_claims: bool,
    pub(crate) uses_per_claim: u32,
    /// Of every coupon.
    pub(crate) budget: Option<MinorUnits>,
    pub(crate) withdrawn: BTreeSet<ClaimId>,
    /// Of every claim that is held from now on.
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) deals: BTreeMap<ClaimId, Deal>,
}

impl Shop {
    pub(crate) const TTL_MS: u32 = 900_000;

    pub(crate) fn new() -> Self {
        Self {
            store: Store::default(),
            user: crate::sample::user("ann"),
            now: crate::sample::at("2026-11-27T12:00:00Z"),
            policy: RefundPolicy::KeepAllocation,
            return_claims: true,
            uses_per_claim: 1,
            budget: None,
            withdrawn: BTreeSet::new(),
            expires_at: None,
            deals: BTreeMap::new(),
        }
    }

    pub(crate) fn id(order: &str) -> RedemptionId {
        let order: OrderId = order.parse().unwrap();
        HashKeys::derive(&[9; 32]).redemption_id(&order)
    }

    /// Priced now.
    pub(crate) fn hold(&mut self, order: &str, cart: &Cart, offers: &[Offer]) -> Command {
        self.deals.extend(offers.iter().cloned());
        let claims: Vec<ClaimId> = offers.iter().map(|(claim_id, _deal)| *claim_id).collect();
        let mut record = record(cart, offers, &self.user, self.now);
        for facts in &mut record.candidates {
            facts.expires_at = self.expires_at;
        }
        let order: OrderId = order.parse().unwrap();
        let content = HoldContent {
            order: &order,
            user: &self.user,
            cart,
            claims: &claims,
            codes: &[],
            choose: record.choose,
        };
        Command::Hold(Box::new(Hold {
            id: Self::id(order.as_str()),
            fingerprint: content.fingerprint(),
            order,
            expected_total: None,
            record,
        }))
    }

    pub(crate) fn decide(
        &self,
        redemption: Option<&Redemption>,
        event: Option<&TransitionEvent>,
        command: &Command,
    ) -> Decision {
        let claim_now = |applied: &Applied, _counted_at: Timestamp| ClaimNow {
            uses_per_claim: self.uses_per_claim,
            user_limit: None,
            budget: self.budget,
            withdrawn: self.withdrawn.contains(&applied.claim_id),
        };
        let reprice = |kept: &Cart| {
            let applied = redemption.map_or(&[][..], |row| &row.record.quote.applied);
            let offers: Vec<Offer> = applied
                .iter()
                .map(|applied| (applied.claim_id, self.deals[&applied.claim_id].clone()))
                .collect();
            price(kept, &offers)
        };
        let context = Context {
            now: self.now,
            hold_ttl_ms: Self::TTL_MS,
            return_claims: self.return_claims,
            refund_policy: self.policy,
            actor: "user:ann",
            claim_now: &claim_now,
            reprice: &reprice,
        };
        decide(Seen { redemption, event }, command, &context).unwrap()
    }

    /// Reads and decides.
    pub(crate) fn decide_now(&self, id: RedemptionId, command: &Command) -> Decision {
        let redemption = self.store.redemptions.get(&id);
        let event = self.store.event(id, &command.operation_id(redemption));
        self.decide(redemption, event.as_ref(), command)
    }

    /// Carries a decision out; `None`: read and decide again.
    pub(crate) fn carry_out(&mut self, decision: Decision) -> Option<Reply> {
        Some(match decision {
            Decision::Replay(answer) => Reply::Done(answer),
            Decision::Refuse(refusal) => Reply::Refused(refusal),
            Decision::Write(transition) => match self.store.apply(&transition) {
                Outcome::Done => {
                    let answer = Answer::of(&transition.redemption, &transition.event);
                    Reply::Done(answer.unwrap())
                }
                Outcome::Again => return None,
                Outcome::NotFree(claim_id) => Reply::NotFree(claim_id),
                Outcome::Budget(claim_id) => Reply::Budget(claim_id),
            },
        })
    }

    /// One command, alone.
    pub(crate) fn run(&mut self, order: &str, command: &Command) -> Reply {
        let decision = self.decide_now(Self::id(order), command);
        self.carry_out(decision).unwrap()
    }

    pub(crate) fn row(&self, order: &str) -> &Redemption {
        &self.store.redemptions[&Self::id(order)]
    }

    /// Passes the end of every hold.
    pub(crate) fn pass_holds(&mut self) {
        self.now = self.now.plus_millis(i64::from(Self::TTL_MS));
    }

    pub(crate) fn audit(&self) -> Vec<Check> {
        let limits = UseLimits {
            uses_per_claim: self.uses_per_claim,
            uses_per_user: None,
        };
        let coupons: BTreeMap<_, _> = self
            .deals
            .keys()
            .map(|claim_id| (claim_id.coupon(), *claim_id))
            .collect();
        let versions = coupons.keys().map(|coupon| ((*coupon, Version(1)), limits));
        let mut audit = RedemptionAudit::new(versions.collect::<HashMap<_, _>>());
        for rows in self.store.rows() {
            audit.look_at(&rows);
        }
        let money: Vec<CouponMoney> = coupons
            .into_iter()
            .map(|(coupon, claim_id)| CouponMoney {
                coupon,
                kept: self.store.usage(claim_id),
                budget: self.budget,
            })
            .collect();
        audit.finish(&money)
    }
}
