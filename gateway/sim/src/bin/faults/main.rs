//! Runs the fault matrix of `deploy/faults.toml` and prints it: for each fault what is promised, what
//! was done to real processes, and what came of it.
//!
//! `faults --table deploy/faults.toml --out FILE` builds the tests of the workspace, runs exactly
//! those that the table names, each by itself, and gathers the lines `matrix: F02 rounds=3 kills=3
//! recovery_ms=412` that they print. A fault without a passing test makes it fail.

mod play;
mod sheet;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

fn main() -> anyhow::Result<ExitCode> {
    let (table, out) = arguments()?;
    let text = std::fs::read_to_string(&table)
        .with_context(|| format!("cannot read {}", table.display()))?;
    let faults = table::read(&text)?;
    let binaries = play::build()?;
    let mut played = play::Played::default();
    for fault in &faults {
        for test in &fault.tests {
            played.play(test, &binaries)?;
        }
    }
    let sheet = sheet::write(&faults, &played);
    say(&sheet.text);
    std::fs::write(&out, &sheet.text).with_context(|| format!("cannot write {}", out.display()))?;
    say(&format!("written to {}", out.display()));
    Ok(if sheet.unproven.is_empty() {
        ExitCode::SUCCESS
    } else {
        say(&format!("not proven: {}", sheet.unproven.join(", ")));
        ExitCode::FAILURE
    })
}

/// The table's file and where to write the matrix.
fn arguments() -> anyhow::Result<(PathBuf, PathBuf)> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--table", table, "--out", out] => Ok((table.into(), out.into())),
        _ => anyhow::bail!("usage: faults --table FILE --out FILE"),
    }
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
fn say(line: &str) {
    println!("{line}");
}
