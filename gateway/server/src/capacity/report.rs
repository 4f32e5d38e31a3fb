//! The whole answer.

use serde::Serialize;

use super::CapacityError;
use super::costs::{Costs, Origin};
use super::demand::{Demand, Sale};
use super::need::Need;
use super::walls::Walls;

/// The whole answer, as `--json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    /// What was asked.
    pub(crate) sale: Sale,
    /// The requests that it makes.
    pub(crate) demand: Demand,
    /// What it takes.
    pub(crate) need: Need,
    /// Walls of one machine.
    pub(crate) one_machine: Walls,
    /// Walls of the plan.
    pub(crate) plan: Walls,
    /// Walls of the program.
    pub(crate) program: Walls,
    /// The figures by where they come from.
    pub(crate) figures: Figures,
    /// The share of a core, a network or a memory that may be used at the peak.
    pub(crate) load: f64,
}

/// Paths of figures in the file of costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) measured: Vec<String>,
    pub(crate) derived: Vec<String>,
    pub(crate) assumed: Vec<String>,
}

// === impl Report ===

impl Report {
    /// The answer.
    ///
    /// # Errors
    /// When a number of the question is outside its range.
    pub(crate) fn of(sale: &Sale, costs: &Costs) -> Result<Self, CapacityError> {
        let demand = sale.demand()?;
        let need = Need::of(sale, &demand, costs);
        let of = |origin| {
            let figures = costs.figures().into_iter();
            let those = figures.filter(|(_path, figure)| figure.origin == origin);
            those.map(|(path, _figure)| path).collect()
        };
        Ok(Self {
            sale: sale.clone(),
            demand,
            need,
            one_machine: Walls::of_one_machine(&need.busy, &demand, costs),
            plan: Walls::of_plan(&need, &demand, costs),
            program: Walls::of_program(&need.busy, costs),
            figures: Figures {
                measured: of(Origin::Measured),
                derived: of(Origin::Derived),
                assumed: of(Origin::Assumed),
            },
            load: costs.machine.load.value,
        })
    }
}
