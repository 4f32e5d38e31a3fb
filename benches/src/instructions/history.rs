//! The table of what was counted when, and how far a count may be above its last line.

use anyhow::{Context, bail};

use super::Case;

/// How much more a request may cost than the last line says, as a factor.
const GROWTH_MAX: f64 = 1.03;

/// The last line's counts, in the order of [`Case::ALL`].
///
/// # Errors
/// Where the table has no line, or one that cannot be read.
pub fn last(table: &str) -> anyhow::Result<Vec<f64>> {
    let line = table
        .lines()
        .rev()
        .find(|line| line.starts_with('|'))
        .context("the table has no line")?;
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    if cells.len() != 2 + Case::ALL.len() {
        bail!("not a line of counts: {line}");
    }
    let counts = cells[2..].iter().map(|cell| {
        let count = cell.replace(',', "").parse();
        count.with_context(|| format!("not a count: {cell}"))
    });
    counts.collect()
}

/// A line for the table.
#[must_use]
pub fn line(date: &str, subject: &str, counts: &[f64]) -> String {
    let mut line = format!("| {date} | {} |", subject.replace('|', "/"));
    for count in counts {
        line.push_str(&format!(" {} |", grouped(*count)));
    }
    line + "\n"
}

/// What is dearer than the last line allows, in words; empty where nothing is.
#[must_use]
pub fn dearer(last: &[f64], now: &[f64]) -> Vec<String> {
    let cases = Case::ALL.iter().zip(last.iter().zip(now));
    let grown = cases.filter(|(_case, (before, after))| **after > **before * GROWTH_MAX);
    grown
        .map(|(case, (before, after))| {
            format!(
                "{}: {} instructions, {:+.1} % over {} of the last line",
                case.name(),
                grouped(*after),
                (after / before - 1.0) * 100.0,
                grouped(*before)
            )
        })
        .collect()
}

/// A whole number with commas.
#[must_use]
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_written_is_read_again() {
        let head = "| date | commit | a | b | c |\n|---|---|---|---|---|\n";
        let table = head.to_owned() + &line("2026-01-02", "edge: a|b", &[12_345.4, 9.0, 1e6]);
        assert_eq!(last(&table).unwrap(), [12_345.0, 9.0, 1e6]);
        assert!(table.contains("| edge: a/b | 12,345 | 9 | 1,000,000 |"));
    }

    #[test]
    fn a_table_without_counts_is_refused() {
        assert!(last("nothing").is_err());
        assert!(last("| date | commit | a | b | c |\n|---|---|---|---|---|\n").is_err());
    }

    #[test]
    fn three_per_cent_more_is_still_allowed() {
        let last = [1_000.0, 1_000.0, 1_000.0];
        assert!(dearer(&last, &[1_030.0, 900.0, 1_000.0]).is_empty());
        let said = dearer(&last, &[1_000.0, 1_031.0, 1_000.0]);
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("granted: 1,031"), "{said:?}");
    }
}
