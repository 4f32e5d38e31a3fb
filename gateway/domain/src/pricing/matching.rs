//! A wallet against a cart: every claim with its verdict, and the best combination.

use crate::id::{ClaimId, CouponId, Version};
use crate::pricing::{Board, Choose, Contender, Quote, QuoteInput, Verdict, outcome};
use crate::reason::Reason;
use crate::terms::MinorUnits;

/// What a match finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchAnswer {
    /// Every candidate once: first those that apply alone, the largest value first, then the
    /// others; ties by claim id.
    pub claims: Vec<Matched>,
    /// The best combination.
    pub best: Quote,
}

/// One claim of a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// The claim.
    pub claim_id: ClaimId,
    /// Its coupon.
    pub coupon: CouponId,
    /// The version of its terms.
    pub version: Version,
    /// The public code, where it came by one.
    pub code: Option<String>,
    /// Beside the best combination.
    pub verdict: Verdict,
    /// What it would take off alone; 0 where it does not apply.
    pub value: MinorUnits,
    /// Why it is not applied, all of it in order of precedence; empty where it is.
    pub reasons: Vec<Reason>,
}

/// Matches every candidate with the cart. `input.choose` is not looked at: the best combination is
/// searched. As pure as [`quote`](crate::pricing::quote), and bounded alike.
#[must_use]
pub fn match_wallet(input: &QuoteInput) -> MatchAnswer {
    let input = QuoteInput {
        choose: Choose::Best,
        ..input.clone()
    };
    let board = Board::new(&input.cart);
    let contenders = Contender::all(&input, &board);
    let best = outcome::of(&input, &board, &contenders);
    let mut claims: Vec<Matched> = contenders
        .iter()
        .map(|contender| matched(contender, &best))
        .collect();
    claims.sort_by_key(|claim| {
        let alone = claim.verdict != Verdict::NotApplicable;
        (!alone, std::cmp::Reverse(claim.value), claim.claim_id)
    });
    MatchAnswer { claims, best }
}

fn matched(contender: &Contender<'_>, best: &Quote) -> Matched {
    let facts = &contender.candidate.facts;
    // Rejected ones are in the order of claim ids.
    let rejected = best
        .rejected
        .binary_search_by_key(&facts.claim_id, |rejected| rejected.claim_id)
        .ok()
        .map(|index| &best.rejected[index]);
    Matched {
        claim_id: facts.claim_id,
        coupon: facts.coupon,
        version: facts.version,
        code: facts.code.clone(),
        verdict: rejected.map_or(Verdict::Applies, |rejected| rejected.verdict),
        value: contender.alone_value(),
        reasons: rejected.map_or_else(Vec::new, |rejected| rejected.reasons.clone()),
    }
}
