//! Tables for people, and the same as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::goals::{Bound, Goal};
use crate::results::{Results, Sample, ratios};
use crate::statistics::Spread;

/// CPU per request of everybody in every phase.
#[must_use]
pub fn costs(results: &Results) -> String {
    let mut table = format!(
        "{:<12}{:<22}{:>7}{:>8}{:>8}{:>7}{:>7}{:>8}{:>7}  {:<22}{:>12}{:>9}{:>6}\n",
        "phase",
        "CPU us per request",
        "edge",
        "keeper",
        "ledger",
        "rest",
        "redis",
        "all",
        "hyper",
        "all/hyper (spread)",
        "per CPU-s",
        "per s",
        "gen"
    );
    for (phase, who) in results.measured() {
        let of = |pick: fn(&Sample) -> f64| results.median(phase, who, pick);
        let all = results.rounds(phase, who, |sample| sample.cpu.total());
        let hyper = Spread::of(results.ruler(phase).iter().copied());
        let ratio = Spread::of(ratios(&all, results.ruler(phase)));
        // Writing into a string has no way to fail.
        writeln!(
            table,
            "{:<12}{:<22}{:>7.1}{:>8.1}{:>8.1}{:>7.1}{:>7.1}{:>8.1}{:>7}  {:<22}{:>12.0}{:>9.0}{:>6.2}",
            phase.name(),
            who.name(),
            of(|sample| sample.cpu.edge),
            of(|sample| sample.cpu.keeper),
            of(|sample| sample.cpu.ledger),
            of(|sample| sample.cpu.rest),
            of(|sample| sample.cpu.redis),
            of(|sample| sample.cpu.total()),
            hyper.map_or_else(|| "-".to_owned(), |hyper| format!("{:.1}", hyper.median)),
            ratio.map_or_else(|| "-".to_owned(), shown),
            of(|sample| 1e6 / sample.cpu.total()),
            of(|sample| sample.per_second),
            of(|sample| sample.generator_cores),
        )
        .unwrap_or_default();
    }
    table
}

/// Figures that are no CPU time.
#[must_use]
pub fn figures(results: &Results) -> String {
    let mut table = String::new();
    for (name, values) in results.figures() {
        let value = Spread::of(values.iter().copied());
        let value = value.map_or_else(|| "-".to_owned(), shown);
        writeln!(table, "{name:<46}{value}").unwrap_or_default();
    }
    table
}

/// Each goal with its ratio and verdict.
#[must_use]
pub fn goals(goals: &[Goal]) -> String {
    let mut table = format!(
        "{:<5}{:<50}{:<25}{:<28}{:<10}{:<8}verdict\n",
        "goal", "what", "against", "ratio (spread)", "goal", "then"
    );
    for goal in goals {
        let bound = match goal.bound {
            Bound::AtMost(most) => format!("<= {most}"),
            Bound::AtLeast(least) => format!(">= {least}"),
        };
        let (ratio, verdict) = goal.verdict().map_or_else(
            || ("-".to_owned(), "not measured".to_owned()),
            |verdict| {
                let by = 100.0 * verdict.by;
                let words = if verdict.met {
                    format!("met, {by:.0} % to spare")
                } else {
                    format!("not met by {by:.0} %")
                };
                (shown(verdict.ratio), words)
            },
        );
        writeln!(
            table,
            "{:<5}{:<50}{:<25}{ratio:<28}{bound:<10}{:<8}{verdict}",
            goal.number, goal.what, goal.against, goal.then
        )
        .unwrap_or_default();
    }
    table
}

/// Everything, for machines.
#[must_use]
pub fn document(results: &Results, all: &[Goal], settings: Value) -> Value {
    let costs: Vec<Value> = results
        .measured()
        .map(|(phase, who)| {
            let of = |pick: fn(&Sample) -> f64| results.rounds(phase, who, pick);
            json!({
                "phase": phase.name(),
                "contender": who.name(),
                "edge_us": of(|sample| sample.cpu.edge),
                "keeper_us": of(|sample| sample.cpu.keeper),
                "ledger_us": of(|sample| sample.cpu.ledger),
                "rest_us": of(|sample| sample.cpu.rest),
                "redis_us": of(|sample| sample.cpu.redis),
                "hyper_us": results.ruler(phase),
                "per_second": of(|sample| sample.per_second),
                "generator_cores": of(|sample| sample.generator_cores),
            })
        })
        .collect();
    let goals: Vec<Value> = all
        .iter()
        .map(|goal| {
            let verdict = goal.verdict();
            json!({
                "goal": goal.number,
                "what": goal.what,
                "against": goal.against,
                "at_most": match goal.bound { Bound::AtMost(most) => Some(most), Bound::AtLeast(_) => None },
                "at_least": match goal.bound { Bound::AtLeast(least) => Some(least), Bound::AtMost(_) => None },
                "then": goal.then,
                "per_round": goal.per_round,
                "median": verdict.map(|verdict| verdict.ratio.median),
                "met": verdict.map(|verdict| verdict.met),
            })
        })
        .collect();
    let figures: serde_json::Map<String, Value> = results
        .figures()
        .map(|(name, values)| (name.to_owned(), json!(values)))
        .collect();
    json!({"settings": settings, "costs": costs, "figures": figures, "goals": goals})
}

/// A median with its spread; three digits where it is small.
fn shown(spread: Spread) -> String {
    let digits = if spread.high < 0.1 { 5 } else { 2 };
    format!(
        "{:.digits$} ({:.digits$}-{:.digits$})",
        spread.median, spread.low, spread.high
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{costs, document, figures, goals};
    use crate::cpu::Cpu;
    use crate::goals::{Bound, Goal};
    use crate::results::{Contender, Phase, Results, Sample};

    fn goal(per_round: &[f64]) -> Goal {
        Goal {
            number: "P1",
            what: "a thing",
            against: "a peer",
            bound: Bound::AtMost(2.0),
            then: 1.6,
            per_round: per_round.to_vec(),
        }
    }

    fn results() -> Results {
        let mut results = Results::default();
        for edge in [10.0, 14.0] {
            let cpu = Cpu {
                edge,
                redis: 2.0,
                ..Cpu::default()
            };
            let sample = Sample {
                cpu,
                per_second: 9_000.0,
                generator_cores: 0.5,
            };
            results.add(Phase::Hot, Contender::Sluice, sample);
            results.add_ruler(Phase::Hot, 4.0);
        }
        results.add_figure("a figure", 0.004);
        results
    }

    #[test]
    fn the_table_says_how_far_a_goal_is() {
        let text = goals(&[goal(&[2.5, 2.0, 3.0]), goal(&[1.0]), goal(&[])]);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert!(lines[0].contains("2.50 (2.00-3.00)") && lines[0].ends_with("not met by 25 %"));
        assert!(lines[1].ends_with("met, 50 % to spare") && !lines[1].contains("not"));
        assert!(lines[2].ends_with("not measured"));
    }

    #[test]
    fn costs_are_medians_and_ratios_are_of_the_same_round() {
        let text = costs(&results());
        let line = text.lines().nth(1).unwrap();
        assert!(
            line.contains("14.0") && line.contains("3.50 (3.00-4.00)"),
            "{line}"
        );
        assert!(figures(&results()).contains("0.00400"));
    }

    #[test]
    fn the_document_has_every_round() {
        let document = document(&results(), &[goal(&[1.0])], json!({"rounds": 2}));
        assert_eq!(document["costs"][0]["edge_us"], json!([10.0, 14.0]));
        assert_eq!(document["figures"]["a figure"], json!([0.004]));
        assert_eq!(document["goals"][0]["met"], json!(true));
        assert_eq!(document["goals"][0]["at_least"], json!(null));
    }
}
