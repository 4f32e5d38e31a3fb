//! A claim with everything about it that does not depend on other claims.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::id::{CouponId, Version};
use crate::pricing::eligible_lines::Scope;
use crate::pricing::{Board, Candidate, Effect, Left, QuoteInput, benefit, reasons};
use crate::reason::Reason;
use crate::terms::{MinorUnits, Terms};

/// A claim, the lines of its coupon, and what it does alone.
#[derive(Debug)]
pub(crate) struct Contender<'i> {
    pub(crate) candidate: &'i Candidate,
    pub(crate) scope: Rc<Scope>,
    /// What it does on the untouched cart; `None` where it does not apply there.
    pub(crate) alone: Option<Effect>,
    /// Why it does not apply to the untouched cart; empty where it does.
    pub(crate) reasons: Vec<Reason>,
    /// In no combination does it take off more than this.
    pub(crate) bound: MinorUnits,
}

impl<'i> Contender<'i> {
    /// Every candidate of the input, each claim once, in the order of claim ids.
    pub(crate) fn all(input: &'i QuoteInput, board: &Board<'_>) -> Vec<Self> {
        let mut candidates: Vec<&Candidate> = input.candidates.iter().collect();
        candidates.sort_by_key(|candidate| candidate.facts.claim_id);
        candidates.dedup_by_key(|candidate| candidate.facts.claim_id);
        let untouched = board.untouched();
        let mut scopes: BTreeMap<(CouponId, Version), Rc<Scope>> = BTreeMap::new();
        candidates
            .into_iter()
            .map(|candidate| {
                let key = (candidate.facts.coupon, candidate.facts.version);
                let scope = scopes
                    .entry(key)
                    .or_insert_with(|| Rc::new(Scope::new(board, &candidate.terms)));
                Self::new(candidate, Rc::clone(scope), input, board, &untouched)
            })
            .collect()
    }

    fn new(
        candidate: &'i Candidate,
        scope: Rc<Scope>,
        input: &QuoteInput,
        board: &Board<'_>,
        untouched: &Left,
    ) -> Self {
        let mut contender = Self {
            candidate,
            scope,
            alone: None,
            reasons: Vec::new(),
            bound: 0,
        };
        match reasons::alone(&contender, input, board, untouched) {
            Ok(effect) => {
                contender.alone = Some(effect);
                contender.bound = benefit::bound(&contender, board, effect);
            }
            Err(reasons) => contender.reasons = reasons,
        }
        contender
    }

    pub(crate) fn terms(&self) -> &'i Terms {
        &self.candidate.terms
    }

    /// For people, and for programs that look for the claim.
    pub(crate) fn name(&self) -> String {
        format!("{} ({})", self.terms().name, self.candidate.facts.claim_id)
    }

    /// What it takes off alone, 0 where it does not apply.
    pub(crate) fn alone_value(&self) -> MinorUnits {
        self.alone.map_or(0, |effect| effect.value)
    }

    /// The order in which claims are applied: stage, priority (smaller first), larger stand-alone
    /// discount, earlier expiry (none last), smaller claim id. Each part is a property of the claim
    /// and the cart alone, so the order of the input has no part in it.
    pub(crate) fn application_order(&self, other: &Self) -> Ordering {
        let (stacking, others) = (&self.terms().stacking, &other.terms().stacking);
        let (facts, other_facts) = (&self.candidate.facts, &other.candidate.facts);
        let expiry = |facts: &crate::pricing::CandidateFacts| {
            facts.expires_at.map_or(i64::MAX, |end| end.as_millis())
        };
        (stacking.stage, stacking.priority)
            .cmp(&(others.stage, others.priority))
            .then(other.alone_value().cmp(&self.alone_value()))
            .then(expiry(facts).cmp(&expiry(other_facts)))
            .then(facts.claim_id.cmp(&other_facts.claim_id))
    }
}
