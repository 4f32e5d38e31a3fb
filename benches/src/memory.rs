//! Memory of processes, and how it grows.

use anyhow::Context;

use crate::statistics::Spread;

/// Growth that still counts as flat, as a factor.
pub const FLAT: f64 = 1.02;
/// The goal for bytes of a winner, against one key per user and one stream entry per claim.
pub const WINNER_GOAL: f64 = 0.5;

/// Bytes of a process that are in memory.
///
/// # Errors
/// Where it is gone.
pub fn resident(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid}"))?;
    resident_of(&status)
}

fn resident_of(status: &str) -> anyhow::Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: f64 = kilobytes.context("no VmRSS")?.trim().parse()?;
    Ok(kilobytes * 1_024.0)
}

/// A number of a section of Redis' `INFO`.
///
/// # Errors
/// Where it is not in it.
pub fn info(text: &str, field: &str) -> anyhow::Result<f64> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(value
        .with_context(|| format!("no {field}"))?
        .trim()
        .parse()?)
}

/// By what factor a steady process has grown: the median of the last quarter of its samples over
/// that of the second. The first quarter warms up. `None` with less than four samples.
#[must_use]
pub fn growth(samples: &[f64]) -> Option<f64> {
    let quarter = samples.len() / 4;
    if quarter == 0 {
        return None;
    }
    let second = Spread::of(samples[quarter..2 * quarter].iter().copied())?;
    let last = Spread::of(samples[samples.len() - quarter..].iter().copied())?;
    Some(last.median / second.median)
}

/// What a goal says of a figure.
#[must_use]
pub fn verdict(figure: f64, goal: f64) -> String {
    if figure <= goal {
        format!("met ({figure:.2}, at most {goal:.2})")
    } else {
        format!(
            "not met by {:.2} ({figure:.2}, at most {goal:.2})",
            figure - goal
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmPeak:\t  99 kB\nVmRSS:\t    1234 kB\nThreads:\t3\n";
        assert_eq!(resident_of(status).unwrap(), 1_234.0 * 1_024.0);
        assert!(resident_of("Name:\tx\n").is_err());
        assert!(resident(std::process::id()).unwrap() > 100_000.0);
    }

    #[test]
    fn a_field_of_info_is_found_by_its_whole_name() {
        let text = "# Memory\r\nused_memory_rss:7\r\nused_memory:1048576\r\n";
        assert_eq!(info(text, "used_memory").unwrap(), 1_048_576.0);
        assert!(info(text, "used").is_err());
    }

    #[test]
    fn growth_leaves_warming_up_and_single_peaks_out() {
        let mut samples = vec![10.0, 20.0, 90.0, 100.0];
        samples.extend([100.0; 4]);
        samples.extend([100.0; 4]);
        samples.extend([101.0, 500.0, 101.0, 101.0]);
        assert_eq!(growth(&samples), Some(1.01));
        assert_eq!(growth(&[1.0; 3]), None);
        let leaking: Vec<f64> = (0..16).map(|sample| 100.0 + f64::from(sample)).collect();
        assert!(growth(&leaking).unwrap() > FLAT);
    }

    #[test]
    fn a_goal_is_met_at_its_very_figure() {
        assert!(verdict(0.5, 0.5).starts_with("met"));
        assert_eq!(verdict(0.75, 0.5), "not met by 0.25 (0.75, at most 0.50)");
    }
}
