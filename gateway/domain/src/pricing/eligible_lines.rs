//! Which lines of a cart a coupon applies to.
//!
//! A line matches a product set if its SKU, its brand, any of its categories or any of its tags is
//! in it. A coupon applies to the lines that match `include` (all, where that is empty) and do not
//! match `exclude`.

use crate::cart::CartLine;
use crate::pricing::Board;
use crate::terms::{Benefit, MinorUnits, ProductSet, Stage, Terms};

/// The lines of one coupon version in one cart, as ascending indices of the board.
#[derive(Debug)]
pub(crate) struct Scope {
    /// Eligible lines.
    pub(crate) lines: Vec<usize>,
    /// What they cost before discounts.
    pub(crate) initial: MinorUnits,
    /// The sum of their floors.
    pub(crate) floors: MinorUnits,
    /// Whether `include` matched a line, perhaps an excluded one.
    pub(crate) included: bool,
    /// Lines that the benefit takes from: the eligible ones, for a product voucher those with its
    /// product, at stage shipping none.
    pub(crate) targets: Vec<usize>,
    /// Pieces on the targets.
    pub(crate) pieces: u64,
}

impl Scope {
    pub(crate) fn new(board: &Board<'_>, terms: &Terms) -> Self {
        let include = Lookup::new(&terms.conditions.include);
        let exclude = Lookup::new(&terms.conditions.exclude);
        let mut included = false;
        let mut lines = Vec::new();
        for (index, line) in board.lines.iter().enumerate() {
            if !include.is_empty() && !include.matches(line) {
                continue;
            }
            included = true;
            if !exclude.matches(line) {
                lines.push(index);
            }
        }
        let targets: Vec<usize> = match (&terms.benefit, terms.stacking.stage) {
            (_, Stage::Shipping) => Vec::new(),
            (Benefit::Product { sku, .. }, _) => lines
                .iter()
                .copied()
                .filter(|&index| board.lines[index].sku == *sku)
                .collect(),
            (Benefit::Threshold { .. } | Benefit::Percent { .. } | Benefit::Fixed { .. }, _) => {
                lines.clone()
            }
        };
        Self {
            initial: lines.iter().map(|&index| board.amounts[index]).sum(),
            floors: lines.iter().map(|&index| board.floors[index]).sum(),
            pieces: targets
                .iter()
                .map(|&index| u64::from(board.lines[index].quantity))
                .sum(),
            lines,
            included,
            targets,
        }
    }
}

/// A product set with its lists sorted: they may have a thousand entries, and a cart as many lines.
struct Lookup<'t> {
    skus: Vec<&'t str>,
    categories: Vec<&'t str>,
    brands: Vec<&'t str>,
    tags: Vec<&'t str>,
}

impl<'t> Lookup<'t> {
    fn new(set: &'t ProductSet) -> Self {
        Self {
            skus: sorted(&set.skus),
            categories: sorted(&set.categories),
            brands: sorted(&set.brands),
            tags: sorted(&set.tags),
        }
    }

    fn is_empty(&self) -> bool {
        [&self.skus, &self.categories, &self.brands, &self.tags]
            .iter()
            .all(|list| list.is_empty())
    }

    fn matches(&self, line: &CartLine) -> bool {
        has(&self.skus, &line.sku)
            || line
                .categories
                .iter()
                .any(|category| has(&self.categories, category))
            || line
                .brand
                .as_ref()
                .is_some_and(|brand| has(&self.brands, brand))
            || line.tags.iter().any(|tag| has(&self.tags, tag))
    }
}

fn sorted(list: &[String]) -> Vec<&str> {
    let mut entries: Vec<&str> = list.iter().map(String::as_str).collect();
    entries.sort_unstable();
    entries
}

fn has(list: &[&str], wanted: &str) -> bool {
    !list.is_empty() && list.binary_search(&wanted).is_ok()
}
