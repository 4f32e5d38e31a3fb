//! The matrix as a page.

use std::fmt::Write as _;

use crate::play::{Played, Said};
use crate::table::Fault;

/// The page, and the faults that were not proven.
pub(crate) struct Sheet {
    pub(crate) text: String,
    pub(crate) unproven: Vec<String>,
}

/// Writes the matrix.
pub(crate) fn write(faults: &[Fault], played: &Played) -> Sheet {
    let mut text = String::from(
        "| # | fault | promise | tests | rounds | kills | result | worst recovery |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let (mut unproven, mut kills) = (Vec::new(), 0);
    for fault in faults {
        let row = Row::of(fault, played);
        kills += row.said.kills;
        if !row.proven {
            unproven.push(format!("F{:02}", fault.number));
        }
        let recovery = row
            .said
            .recovery_ms
            .map_or_else(String::new, |ms| format!("{ms} ms"));
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "| F{:02} | {} | {} | {} | {} | {} | {} | {recovery} |",
            fault.number,
            fault.fault,
            fault.promise,
            fault.tests.len(),
            row.said.rounds,
            row.said.kills,
            row.result,
        );
    }
    let _written = writeln!(
        text,
        "\n{} faults, {} tests, {kills} kills of real processes.",
        faults.len(),
        played.0.len()
    );
    Sheet { text, unproven }
}

struct Row {
    said: Said,
    result: String,
    proven: bool,
}

impl Row {
    fn of(fault: &Fault, played: &Played) -> Self {
        if let Some(why) = &fault.not_offered {
            return Self {
                said: Said::default(),
                result: format!("not offered: {why}"),
                proven: true,
            };
        }
        let results: Vec<_> = fault
            .tests
            .iter()
            .filter_map(|test| played.0.get(test))
            .collect();
        let mut said = Said::default();
        for result in &results {
            // A test that says nothing of itself was one round.
            let of_it = result.said.get(&fault.number).copied().unwrap_or(Said {
                rounds: 1,
                ..Said::default()
            });
            said.rounds += of_it.rounds;
            said.kills += of_it.kills;
            said.recovery_ms = said.recovery_ms.max(of_it.recovery_ms);
        }
        let failed = results.iter().filter(|result| !result.passed).count();
        let proven = failed == 0 && !results.is_empty();
        let result = if proven {
            "holds".to_owned()
        } else {
            format!("NOT PROVEN ({failed} of {} tests failed)", results.len())
        };
        Self {
            said,
            result,
            proven,
        }
    }
}
