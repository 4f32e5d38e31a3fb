//! From the input to the quote.

use crate::id::ClaimId;
use crate::pricing::{
    AddedLine, Applied, Board, Choose, Contender, LineShare, Quote, QuoteInput, Rejected, Verdict,
    reasons, trace,
};
use crate::stacking::{self, Field, Found};
use crate::terms::{Benefit, MinorUnits};

/// A combination that was chosen, and how.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) applied: Vec<stacking::Applied>,
    /// `None` where there was nothing to search: all that was given is applied.
    pub(crate) found: Option<Found>,
}

/// Prices a cart with the best of the candidates, or with those that were given.
///
/// A pure function: the same input gives the same quote, and neither the order of lines nor that of
/// candidates matters. A candidate that is there twice counts once. Never fails: what cannot be
/// applied is in [`Quote::rejected`], with every reason.
///
/// The cart and the candidates have to be within the bounds of [`crate::input`]. The work is
/// bounded for any number of candidates (see [`crate::stacking`]).
#[must_use]
pub fn quote(input: &QuoteInput) -> Quote {
    let board = Board::new(&input.cart);
    let contenders = Contender::all(input, &board);
    of(input, &board, &contenders)
}

pub(crate) fn of(input: &QuoteInput, board: &Board<'_>, contenders: &[Contender<'_>]) -> Quote {
    let field = Field::new(board, input.limits, contenders);
    let chosen = choose(input.choose, &field);
    let discount: MinorUnits = chosen.applied.iter().map(|one| one.effect.value).sum();
    let subtotal = board.subtotal();
    let rejected = rejected(contenders, &field, &chosen, discount);
    let bound = chosen.found.as_ref().and_then(|found| found.bound);
    let mut quote = Quote {
        currency: board.currency,
        subtotal,
        shipping: board.shipping,
        discount,
        total: subtotal + board.shipping - discount,
        proven_optimal: bound.is_none_or(|bound| bound == discount),
        discount_bound: bound.filter(|&bound| bound != discount),
        applied: applied(&field, &chosen),
        rejected,
        trace: Vec::new(),
    };
    debug_assert!(quote.total >= 0, "more was taken off than there is");
    quote.trace = trace::write(&field, contenders, &chosen, &quote);
    quote
}

fn choose(choose: Choose, field: &Field<'_>) -> Chosen {
    if choose == Choose::Given
        && let Some(applied) = field.all()
    {
        return Chosen {
            applied,
            found: None,
        };
    }
    let found = field.best();
    // The search visited it as a valid combination; so it is one.
    let applied = stacking::run(field, &found.best.members).unwrap_or_default();
    debug_assert_eq!(applied.len(), found.best.members.len());
    Chosen {
        applied,
        found: Some(found),
    }
}

fn applied(field: &Field<'_>, chosen: &Chosen) -> Vec<Applied> {
    let board = field.board;
    let mut off_before: Vec<MinorUnits> = vec![0; board.lines.len()];
    let mut out = Vec::with_capacity(chosen.applied.len());
    for one in &chosen.applied {
        let candidate = field.contenders[one.place].candidate;
        let mut lines = Vec::with_capacity(one.shares.len());
        for &(line, off) in &one.shares {
            lines.push(LineShare {
                id: board.lines[line].id.clone(),
                off,
                off_before: off_before[line],
                quantity: board.lines[line].quantity,
            });
            off_before[line] += off;
        }
        out.push(Applied {
            claim_id: candidate.facts.claim_id,
            coupon: candidate.facts.coupon,
            version: candidate.facts.version,
            code: candidate.facts.code.clone(),
            value: one.effect.value,
            desired_value: one.effect.desired,
            lines,
            shipping_off: one.shipping_off,
            added: added(&candidate.terms.benefit, one.effect.gift),
        });
    }
    out
}

fn added(benefit: &Benefit, gift: bool) -> Option<AddedLine> {
    match benefit {
        Benefit::Product { sku, quantity, .. } if gift => Some(AddedLine {
            sku: sku.clone(),
            quantity: *quantity,
        }),
        Benefit::Product { .. }
        | Benefit::Threshold { .. }
        | Benefit::Percent { .. }
        | Benefit::Fixed { .. } => None,
    }
}

/// What is left out, in the order of claim ids (that of the contenders).
fn rejected(
    contenders: &[Contender<'_>],
    field: &Field<'_>,
    chosen: &Chosen,
    discount: MinorUnits,
) -> Vec<Rejected> {
    let members: Vec<usize> = chosen.applied.iter().map(|one| one.place).collect();
    let id = |place: usize| field.contenders[place].candidate.facts.claim_id;
    let by: Vec<String> = members
        .iter()
        .map(|&place| field.contenders[place].name())
        .collect();
    let mut places: Vec<(ClaimId, usize)> = (0..field.contenders.len())
        .map(|place| (id(place), place))
        .collect();
    places.sort_unstable();
    let mut out = Vec::new();
    for contender in contenders {
        let facts = &contender.candidate.facts;
        let found = places.binary_search_by_key(&facts.claim_id, |(id, _place)| *id);
        let (verdict, reasons) = match found {
            Err(_) => (Verdict::NotApplicable, contender.reasons.clone()),
            Ok(found) => {
                let place = places[found].1;
                if members.contains(&place) {
                    continue;
                }
                let conflicts = field.conflicts_of(place, &members);
                if conflicts.is_empty() {
                    let reasons = reasons::overshadowed(contender, &by, discount);
                    (Verdict::Overshadowed, reasons)
                } else {
                    (Verdict::Excluded, reasons::excluded(contender, &conflicts))
                }
            }
        };
        debug_assert!(!reasons.is_empty(), "a rejected claim has a reason");
        out.push(Rejected {
            claim_id: facts.claim_id,
            coupon: facts.coupon,
            code: facts.code.clone(),
            verdict,
            reasons,
        });
    }
    out
}
