//! Stacking: which claims are used together on one order.
//!
//! # What goes together
//! Two claims go together where their groups allow it and neither names partners without the other
//! (see [`compatible()`]), and where the limits per order are kept ([`OrderLimits`]). A combination
//! is applied in *application order* (stage, priority, larger stand-alone discount, earlier expiry,
//! smaller claim id). It is *valid* where each of its claims applies at its place: its conditions
//! hold there, and it takes something off or adds a line. Since a claim sees only those before it,
//! every beginning of a valid combination is valid too.
//!
//! # Which combination is the best
//! Ties are decided in this order:
//! 1. the larger discount;
//! 2. more vouchers that add a free line (they take nothing off, and are worth something);
//! 3. fewer claims, so that none is spent for nothing;
//! 4. the combination that comes first in application order: at the first place where two of them
//!    differ, the one with the earlier claim. So claims of earlier stages, smaller priority, larger
//!    discount, earlier expiry and smaller id are used first.
//!
//! No two combinations are equal in all four, so there is one best, whatever the order of the
//! input.
//!
//! # What is searched
//! Valid combinations, depth first: at a node, each claim that comes later in application order is
//! taken next, or left out. The state (what is left of each line) goes along, so a claim is priced
//! once per node. Claims of one coupon version that expire together and meet the same facts are
//! interchangeable; one is taken only if the ones before it are, and those beyond the limit per
//! coupon are left aside at the start.
//!
//! A node is left alone where no combination below it can be better than the best one so far. The
//! bound adds, to what was taken off so far, the bounds of the claims that may still follow, as
//! many of the largest ones as limits allow, and is never above what is left over floors. It is
//! valid because a claim never takes more off within a combination than its own bound: earlier
//! claims only make lines, shipping and budgets smaller, and every step from there to the value
//! (sum, tier, percentage, cap, room above floors, budget) never falls when its input rises. The
//! one step that may, the choice of a product voucher's pieces, has a bound of its own, over all
//! choices. Where the bound is just what the best one so far is worth, a combination could only win
//! by fewer claims or by coming first; the fewest claims whose bounds reach that worth tell whether
//! it can.
//!
//! The search starts from a greedy combination: claims by stand-alone discount, each kept where
//! the discount rises. So it is never worse than that.
//!
//! # How long
//! Work is counted in steps, about one per line that is looked at: not in time, so that the same
//! input gives the same answer on every machine. The search ends after [`STEPS_MAX`] of them. That
//! is enough for every combination of twelve claims on a cart of 1,000 lines, without any bound:
//! *up to twelve claims the result is always proven optimal*, and so are twenty on a cart of thirty
//! lines under the default limits per order. With more it depends on how well bounds cut, and where
//! the steps run out the best one found is used, `proven_optimal` is false, and the largest bound
//! of what was left is told as `discount_bound`.
//!
//! [`OrderLimits`]: crate::pricing::OrderLimits

mod compatible;
mod greedy;
mod run;
mod search;

use std::cmp::Ordering;

use crate::pricing::{Board, Contender, Left, OrderLimits};
use crate::terms::MinorUnits;

pub(crate) use compatible::Conflict;
pub use compatible::compatible;
pub(crate) use run::{Applied, run};

/// Steps after which a search ends. See the module for what it is enough for.
pub const STEPS_MAX: u64 = 1 << 25;

/// All that a search looks at: the claims that apply alone, in application order.
#[derive(Debug)]
pub(crate) struct Field<'i> {
    pub(crate) board: &'i Board<'i>,
    pub(crate) limits: OrderLimits,
    pub(crate) contenders: Vec<&'i Contender<'i>>,
    /// Nothing taken off yet.
    pub(crate) untouched: Left,
    /// For each claim, which others it does not go together with.
    conflicts: Vec<Marks>,
    /// The interchangeable claim just before each, which has to be taken first.
    before: Vec<Option<usize>>,
}

/// Claims used together, and what that is worth.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Combination {
    /// Places in application order, rising.
    pub(crate) members: Vec<usize>,
    pub(crate) discount: MinorUnits,
    /// Vouchers among them that add a free line.
    pub(crate) gifts: u32,
}

/// What a search came to.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) best: Combination,
    /// Where it is not proven: no combination takes more off than this.
    pub(crate) bound: Option<MinorUnits>,
    /// Combinations that were priced.
    pub(crate) priced: u64,
}

/// A set of places.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(Vec<u64>);

// === impl Field ===

impl<'i> Field<'i> {
    /// Takes the contenders that apply alone.
    pub(crate) fn new(
        board: &'i Board<'i>,
        limits: OrderLimits,
        contenders: &'i [Contender<'i>],
    ) -> Self {
        let mut contenders: Vec<&Contender<'_>> = contenders
            .iter()
            .filter(|contender| contender.alone.is_some())
            .collect();
        contenders.sort_by(|one, other| one.application_order(other));
        Self {
            board,
            limits,
            untouched: board.untouched(),
            conflicts: conflicts(&contenders),
            before: interchangeable(&contenders),
            contenders,
        }
    }

    /// All of them together, where they go together.
    pub(crate) fn all(&self) -> Option<Vec<Applied>> {
        let members: Vec<usize> = (0..self.contenders.len()).collect();
        run(self, &members)
    }

    /// The best combination.
    pub(crate) fn best(&self) -> Found {
        search::best(self, greedy::combination(self), STEPS_MAX)
    }

    /// Claims that follow so many interchangeable ones that the limit per coupon is reached before
    /// it is their turn.
    fn beyond_the_limit(&self) -> Marks {
        let mut barred = Marks::none(self.contenders.len());
        let mut turn = 0;
        for (place, before) in self.before.iter().enumerate() {
            turn = before.map_or(0, |_before| turn + 1);
            if turn >= self.limits.per_coupon {
                barred.add(place);
            }
        }
        barred
    }

    /// Why a claim does not go together with those that are applied; empty where it does.
    pub(crate) fn conflicts_of(&self, place: usize, members: &[usize]) -> Vec<Conflict> {
        let with: Vec<String> = members
            .iter()
            .filter(|&&member| self.conflicts[place].has(member))
            .map(|&member| self.contenders[member].name())
            .collect();
        let mut found = Vec::new();
        if !with.is_empty() {
            found.push(Conflict::Pairs { with });
        }
        found.extend(compatible::limit(self, place, members));
        found
    }
}

fn conflicts(contenders: &[&Contender<'_>]) -> Vec<Marks> {
    let mut all = vec![Marks::none(contenders.len()); contenders.len()];
    for (place, one) in contenders.iter().enumerate() {
        for (earlier, other) in contenders.iter().enumerate().take(place) {
            let (one, other) = (one.candidate, other.candidate);
            let together = compatible(
                (one.facts.coupon, &one.terms),
                (other.facts.coupon, &other.terms),
            );
            if !together {
                all[place].add(earlier);
                all[earlier].add(place);
            }
        }
    }
    all
}

/// The interchangeable claim just before each. Only neighbours count: where another claim stands
/// between two, which one of them is used decides what that other claim sees.
fn interchangeable(contenders: &[&Contender<'_>]) -> Vec<Option<usize>> {
    let kind = |place: usize| {
        let facts = &contenders[place].candidate.facts;
        (
            (facts.coupon, facts.version),
            (facts.expires_at, facts.budget_left, facts.user_uses),
        )
    };
    (0..contenders.len())
        .map(|place| {
            let before = place.checked_sub(1)?;
            (kind(before) == kind(place)).then_some(before)
        })
        .collect()
}

// === impl Combination ===

impl Combination {
    /// Less is better: see the module for the order of ties.
    pub(crate) fn rank(&self, other: &Self) -> Ordering {
        let worth = |one: &Self| {
            (
                std::cmp::Reverse(one.discount),
                std::cmp::Reverse(one.gifts),
            )
        };
        worth(self)
            .cmp(&worth(other))
            .then(self.members.len().cmp(&other.members.len()))
            .then(self.members.cmp(&other.members))
    }
}

// === impl Marks ===

impl Marks {
    fn none(places: usize) -> Self {
        Self(vec![0; places.div_ceil(64)])
    }

    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn join(&mut self, other: &Self) {
        for (mine, others) in self.0.iter_mut().zip(&other.0) {
            *mine |= others;
        }
    }
}

#[cfg(test)]
mod tests;
