//! The search itself. The module above says what it does and why it is right.

use super::run::same_coupon;
use super::{Combination, Field, Found, Marks};
use crate::pricing::{Left, Place, apply, effect};
use crate::terms::{MinorUnits, StackingGroup, Stage};

/// Steps that sharing out over one line costs, where looking at one costs 1.
const ALLOCATE_STEPS: u64 = 8;

/// The best combination, given one to start from, within so many steps.
pub(super) fn best(field: &Field<'_>, start: Combination, steps_max: u64) -> Found {
    let mut by_bound: Vec<usize> = (0..field.contenders.len()).collect();
    by_bound.sort_by_key(|&place| (std::cmp::Reverse(field.contenders[place].bound), place));
    let mut search = Search {
        field,
        by_bound,
        best: start,
        own: false,
        steps: 0,
        steps_max,
        priced: 0,
        unexplored: None,
    };
    search.below(&Node {
        left: field.untouched.clone(),
        barred: field.beyond_the_limit(),
        combination: Combination::default(),
        values: Vec::new(),
        slots: Slots::of_an_order(field),
        room: field.board.room(),
    });
    Found {
        bound: search
            .unexplored
            .map(|bound| bound.max(search.best.discount)),
        best: search.best,
        priced: search.priced,
    }
}

struct Search<'f> {
    field: &'f Field<'f>,
    /// Places by bound, the largest first.
    by_bound: Vec<usize>,
    best: Combination,
    /// The best one was come upon by the search: it precedes all that follow in application order.
    own: bool,
    steps: u64,
    steps_max: u64,
    priced: u64,
    /// The largest bound of what was left when the steps ran out.
    unexplored: Option<MinorUnits>,
}

/// A valid combination and the state after it.
struct Node {
    left: Left,
    /// Claims that may not follow.
    barred: Marks,
    combination: Combination,
    /// What each member takes off.
    values: Vec<MinorUnits>,
    /// How many more claims may follow.
    slots: Slots,
    /// What can still be taken off in all.
    room: MinorUnits,
}

/// What can follow a node at most.
#[derive(Clone, Copy)]
struct Bound {
    discount: MinorUnits,
    gifts: u32,
    /// With fewer claims in all, what the best one so far is worth cannot be reached.
    claims: usize,
}

impl Search<'_> {
    /// Looks at every combination that goes on from this node.
    fn below(&mut self, node: &Node) {
        let first = node.combination.members.last().map_or(0, |last| last + 1);
        for place in first..self.field.contenders.len() {
            let Some(bound) = self.bound(node, place) else {
                return;
            };
            if !self.can_be_better(bound) {
                // What can follow from later places is not more.
                return;
            }
            if self.steps >= self.steps_max {
                let open = self.unexplored.unwrap_or(0);
                self.unexplored = Some(open.max(bound.discount));
                return;
            }
            if node.barred.has(place) || !self.is_next_of_its_kind(node, place) {
                continue;
            }
            if let Some(next) = self.take(node, place) {
                self.below(&next);
            }
        }
    }

    fn is_next_of_its_kind(&self, node: &Node, place: usize) -> bool {
        self.field.before[place].is_none_or(|before| node.combination.members.contains(&before))
    }

    /// Whether something within this bound can rank before the best one so far.
    fn can_be_better(&self, bound: Bound) -> bool {
        let best = &self.best;
        match (bound.discount, bound.gifts).cmp(&(best.discount, best.gifts)) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            // As good at most: then only with fewer claims, or as many and an earlier one.
            std::cmp::Ordering::Equal => match bound.claims.cmp(&best.members.len()) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => !self.own,
                std::cmp::Ordering::Greater => false,
            },
        }
    }

    /// Prices the combination with one claim more; `None` where the claim does not apply there, or
    /// where nothing below can be better: only then are the lines shared out.
    fn take(&mut self, node: &Node, place: usize) -> Option<Node> {
        let claim = self.field.contenders[place];
        let spot = self.spot(node, place);
        self.steps += 1 + count(claim.scope.lines.len());
        let effect = effect(claim, &spot).ok()?;
        self.priced += 1;
        let mut combination = node.combination.clone();
        combination.members.push(place);
        combination.discount += effect.value;
        combination.gifts += u32::from(effect.gift);
        // The one to start from counts as found once it is come upon: from then on, what is only as
        // good needs no look.
        if combination.rank(&self.best).is_le() {
            self.best = combination.clone();
            self.own = true;
        }
        let mut slots = node.slots;
        slots.take(claim.terms().stacking.group);
        let mut next = Node {
            barred: self.barred(node, &combination.members, slots),
            combination,
            values: node.values.clone(),
            slots,
            room: node.room - effect.value,
            left: Left::default(),
        };
        next.values.push(effect.value);
        let bound = self.bound(&next, place + 1)?;
        if !self.can_be_better(bound) {
            return None;
        }
        next.left.clone_from(&node.left);
        if claim.terms().stacking.stage == Stage::Shipping {
            next.left.shipping -= effect.value;
        }
        self.steps += ALLOCATE_STEPS * count(claim.scope.targets.len());
        for (line, off) in apply(claim, &spot, &effect) {
            next.left.lines[line] -= off;
        }
        Some(next)
    }

    fn spot<'n>(&self, node: &'n Node, place: usize) -> Place<'n>
    where
        Self: 'n,
    {
        let (mut uses, mut used_value) = (0, 0);
        let members = &node.combination.members;
        for (&member, &value) in members.iter().zip(&node.values) {
            if same_coupon(self.field, member, place) {
                uses += 1;
                used_value += value;
            }
        }
        Place {
            board: self.field.board,
            left: &node.left,
            uses,
            used_value,
        }
    }

    /// What may not follow: what did not before, what does not go together with the member just
    /// taken, and what limits no longer allow.
    fn barred(&self, node: &Node, members: &[usize], slots: Slots) -> Marks {
        let field = self.field;
        let mut barred = node.barred.clone();
        let Some(&taken) = members.last() else {
            return barred;
        };
        barred.join(&field.conflicts[taken]);
        let coupon = |place: usize| field.contenders[place].candidate.facts.coupon;
        let of_coupon = members
            .iter()
            .filter(|&&member| coupon(member) == coupon(taken));
        let coupon_is_full = of_coupon.count() >= usize::from(field.limits.per_coupon);
        for place in taken + 1..field.contenders.len() {
            let full = coupon_is_full && coupon(place) == coupon(taken);
            if full || !slots.has(field.contenders[place].terms().stacking.group) {
                barred.add(place);
            }
        }
        barred
    }

    /// What combinations that go on from a node with a claim at or after `from` come to at most;
    /// `None` where no claim can follow.
    fn bound(&mut self, node: &Node, from: usize) -> Option<Bound> {
        self.steps += 1 + count(self.by_bound.len()) / 4;
        let mut slots = node.slots;
        let above = &node.combination;
        let wanted = self.best.discount - above.discount;
        let gifts_wanted = self.best.gifts.saturating_sub(above.gifts);
        let mut claims = above.members.len() + usize::try_from(gifts_wanted).unwrap_or(0);
        let mut more = 0;
        let mut gifts = 0;
        let mut followers = 0;
        for &place in &self.by_bound {
            if place < from || node.barred.has(place) {
                continue;
            }
            followers += 1;
            let claim = self.field.contenders[place];
            if claim.alone.is_some_and(|alone| alone.gift) {
                gifts += 1;
            } else if slots.take(claim.terms().stacking.group) {
                claims += usize::from(more < wanted);
                more += claim.bound;
            }
        }
        (followers > 0).then_some(Bound {
            discount: above.discount + more.min(node.room),
            gifts: above.gifts + gifts,
            // At least one follows.
            claims: claims.max(above.members.len() + 1),
        })
    }
}

/// How many claims more limits per order allow.
#[derive(Clone, Copy)]
struct Slots {
    all: u16,
    exclusive: u16,
    combinable: u16,
    always: u16,
}

impl Slots {
    fn of_an_order(field: &Field<'_>) -> Self {
        Self {
            all: field.limits.coupons,
            exclusive: 1,
            combinable: field.limits.combinable,
            always: field.limits.always,
        }
    }

    fn of(&mut self, group: StackingGroup) -> &mut u16 {
        match group {
            StackingGroup::Exclusive => &mut self.exclusive,
            StackingGroup::Combinable => &mut self.combinable,
            StackingGroup::Always => &mut self.always,
        }
    }

    fn has(mut self, group: StackingGroup) -> bool {
        self.all > 0 && *self.of(group) > 0
    }

    fn take(&mut self, group: StackingGroup) -> bool {
        let has = self.has(group);
        if has {
            self.all -= 1;
            *self.of(group) -= 1;
        }
        has
    }
}

fn count(entries: usize) -> u64 {
    u64::try_from(entries).unwrap_or(u64::MAX)
}
