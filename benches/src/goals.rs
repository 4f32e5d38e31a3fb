//! The goals of performance, each a ratio of two things that were measured in the same rounds.

use crate::results::{Contender, Phase, Results, Sample, ratios};
use crate::statistics::Spread;

pub mod figure;

/// Which side of a number a ratio should be on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// Not above it.
    AtMost(f64),
    /// Not below it.
    AtLeast(f64),
}

/// A goal, and what the rounds say to it.
#[derive(Debug, Clone)]
pub struct Goal {
    /// Its number.
    pub number: &'static str,
    /// What is measured.
    pub what: &'static str,
    /// What it is compared with.
    pub against: &'static str,
    /// What it should be.
    pub bound: Bound,
    /// What it should be later, on the same side.
    pub then: f64,
    /// The ratio in each round; empty where it was not measured.
    pub per_round: Vec<f64>,
}

/// How a goal came out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The ratio.
    pub ratio: Spread,
    /// Whether the median is on the right side.
    pub met: bool,
    /// How far it is from the goal, as a share of the goal.
    pub by: f64,
}

impl Goal {
    /// The verdict; `None` where it was not measured.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let ratio = Spread::of(self.per_round.iter().copied())?;
        let (met, goal) = match self.bound {
            Bound::AtMost(most) => (ratio.median <= most, most),
            Bound::AtLeast(least) => (ratio.median >= least, least),
        };
        Some(Verdict {
            ratio,
            met,
            by: (ratio.median - goal).abs() / goal,
        })
    }
}

/// All goals that this bench measures.
#[must_use]
pub fn goals(results: &Results) -> Vec<Goal> {
    let mut all = cpu_goals(results);
    all.extend(other_goals(results));
    all
}

fn cpu_goals(results: &Results) -> Vec<Goal> {
    let mut all = edge_goals(results);
    all.extend(claim_goals(results));
    all
}

/// Against a bare server.
fn edge_goals(results: &Results) -> Vec<Goal> {
    let of = |phase, pick: fn(&Sample) -> f64| {
        let own = results.rounds(phase, Contender::Sluice, pick);
        ratios(&own, results.ruler(phase))
    };
    vec![
        Goal {
            number: "P1",
            what: "edge CPU per granted claim",
            against: "hyper, fixed answer",
            bound: Bound::AtMost(2.0),
            then: 1.6,
            per_round: of(Phase::Hot, |sample| sample.cpu.edge),
        },
        Goal {
            number: "P2",
            what: "edge + Redis CPU per sold-out refusal",
            against: "hyper, fixed answer",
            bound: Bound::AtMost(1.3),
            then: 1.15,
            per_round: of(Phase::SoldOut, |sample| sample.cpu.deciding()),
        },
        Goal {
            number: "P2",
            what: "Redis calls per sold-out refusal",
            against: "one",
            bound: Bound::AtMost(0.01),
            then: 0.01,
            per_round: results.figure(figure::CALLS).to_vec(),
        },
    ]
}

/// Against other ways to claim.
fn claim_goals(results: &Results) -> Vec<Goal> {
    use Contender::{Nginx, Single, Sluice};
    let redis = |sample: &Sample| sample.cpu.redis;
    let deciding = |sample: &Sample| sample.cpu.deciding();
    let everything = |sample: &Sample| sample.cpu.total();
    let nginx = results.rounds(Phase::Hot, Nginx, everything);
    let of = |phase, who, pick: fn(&Sample) -> f64| results.rounds(phase, who, pick);
    let hot = of(Phase::Hot, Sluice, deciding);
    vec![
        Goal {
            number: "P3",
            what: "Redis CPU per granted claim, 256 connections",
            against: "batches of 1",
            bound: Bound::AtMost(0.3),
            then: 0.2,
            per_round: ratios(
                &of(Phase::Batch, Sluice, redis),
                &of(Phase::Batch, Single, redis),
            ),
        },
        Goal {
            number: "P4",
            what: "claims per CPU-second, hot, edge + Redis",
            against: "nginx + Lua",
            bound: Bound::AtLeast(2.5),
            then: 3.5,
            per_round: ratios(&nginx, &hot),
        },
        Goal {
            number: "P4+",
            what: "the same with everything counted",
            against: "nginx + Lua",
            bound: Bound::AtLeast(2.5),
            then: 3.5,
            per_round: ratios(&nginx, &of(Phase::Hot, Sluice, everything)),
        },
        Goal {
            number: "P5",
            what: "claims per CPU-second, ledger, everything counted",
            against: "nginx + Lua, not durable",
            bound: Bound::AtLeast(1.4),
            then: 2.0,
            per_round: ratios(&nginx, &of(Phase::Ledger, Sluice, everything)),
        },
    ]
}

fn other_goals(results: &Results) -> Vec<Goal> {
    let of = |name| results.figure(name);
    let [p50, p99, p50_single, p99_single] = figure::LOW;
    let low = |what, own, single| Goal {
        number: "P6",
        what,
        against: "batches of 1",
        bound: Bound::AtMost(1.05),
        then: 1.0,
        per_round: ratios(of(own), of(single)),
    };
    vec![
        low("p50 at 5 % load", p50, p50_single),
        low("p99 at 5 % load", p99, p99_single),
        Goal {
            number: "P7",
            what: "accepted per second at 3x capacity",
            against: "peak",
            bound: Bound::AtLeast(0.9),
            then: 0.97,
            per_round: ratios(of(figure::ACCEPTED), of(figure::PEAK)),
        },
        Goal {
            number: "P7",
            what: "p99 of the accepted at 3x capacity",
            against: "p99 at 0.7x",
            bound: Bound::AtMost(3.0),
            then: 2.0,
            per_round: ratios(of(figure::P99[1]), of(figure::P99[0])),
        },
        Goal {
            number: "P8",
            what: "ledger drain rate while the peak lasts",
            against: "grant rate at peak",
            bound: Bound::AtLeast(1.0),
            then: 1.5,
            per_round: of(figure::DRAINED).to_vec(),
        },
        Goal {
            number: "P13",
            what: "CPU per claim, 10x winners and rows",
            against: "1x",
            bound: Bound::AtMost(1.1),
            then: 1.1,
            per_round: ratios(of(figure::GROWTH[1]), of(figure::GROWTH[0])),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::{Bound, Goal, figure, goals};
    use crate::cpu::Cpu;
    use crate::results::{Contender, Phase, Results, Sample};

    fn goal(bound: Bound, per_round: &[f64]) -> Goal {
        Goal {
            number: "P0",
            what: "a thing",
            against: "another",
            bound,
            then: 1.0,
            per_round: per_round.to_vec(),
        }
    }

    #[test]
    fn a_goal_is_met_on_its_side_of_the_bound() {
        let most = goal(Bound::AtMost(2.0), &[1.0, 1.5, 9.0])
            .verdict()
            .unwrap();
        assert!(most.met && (most.by - 0.25).abs() < 1e-9);
        let least = goal(Bound::AtLeast(2.0), &[1.0, 1.5, 9.0])
            .verdict()
            .unwrap();
        assert!(!least.met && (least.by - 0.25).abs() < 1e-9);
        assert!(goal(Bound::AtLeast(2.0), &[2.0]).verdict().unwrap().met);
        assert!(goal(Bound::AtMost(2.0), &[2.0]).verdict().unwrap().met);
    }

    #[test]
    fn what_was_not_measured_has_no_verdict() {
        assert_eq!(goal(Bound::AtMost(2.0), &[]).verdict(), None);
        assert!(
            goals(&Results::default())
                .iter()
                .all(|goal| goal.verdict().is_none())
        );
    }

    #[test]
    fn goals_compare_what_they_say() {
        let mut results = Results::default();
        let sample = |edge: f64, redis: f64, ledger: f64| Sample {
            cpu: Cpu {
                edge,
                redis,
                ledger,
                ..Cpu::default()
            },
            per_second: 1.0,
            generator_cores: 0.1,
        };
        results.add(Phase::Hot, Contender::Sluice, sample(8.0, 2.0, 10.0));
        results.add(Phase::Hot, Contender::Nginx, sample(20.0, 10.0, 0.0));
        results.add(Phase::Ledger, Contender::Sluice, sample(10.0, 3.0, 7.0));
        results.add(Phase::Batch, Contender::Sluice, sample(8.0, 2.0, 0.0));
        results.add(Phase::Batch, Contender::Single, sample(8.0, 10.0, 0.0));
        results.add(Phase::SoldOut, Contender::Sluice, sample(5.0, 1.0, 0.0));
        results.add_ruler(Phase::Hot, 4.0);
        results.add_ruler(Phase::SoldOut, 4.0);
        results.add_figure(figure::PEAK, 100.0);
        results.add_figure(figure::ACCEPTED, 95.0);
        let found: Vec<(&str, f64)> = goals(&results)
            .iter()
            .filter_map(|goal| Some((goal.number, goal.verdict()?.ratio.median)))
            .collect();
        let expected = [
            ("P1", 2.0),
            ("P2", 1.5),
            ("P3", 0.2),
            ("P4", 3.0),
            ("P4+", 1.5),
            ("P5", 1.5),
            ("P7", 0.95),
        ];
        assert_eq!(found, expected);
    }
}
