//! Building the tests and playing them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::table::Test;

/// Lines of a failed test's output that are shown.
const TAIL_LINES: usize = 60;

/// The test binaries by package and name, with the folder that they run in.
pub(crate) type Binaries = BTreeMap<(String, String), (PathBuf, PathBuf)>;

/// What one test did.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    /// Whether it passed; also false where there is no such test.
    pub(crate) passed: bool,
    /// How long it took.
    pub(crate) took: Duration,
    /// What it said of each fault.
    pub(crate) said: BTreeMap<u8, Said>,
}

/// What a test said of a fault.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) rounds: u64,
    pub(crate) kills: u64,
    pub(crate) recovery_ms: Option<u64>,
}

/// All results so far. A test that proves several faults is played once.
#[derive(Debug, Default)]
pub(crate) struct Played(pub(crate) BTreeMap<Test, Outcome>);

/// Builds every test of the workspace.
///
/// # Errors
/// When it cannot be built.
pub(crate) fn build() -> anyhow::Result<Binaries> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_unset| "cargo".to_owned());
    let built = Command::new(cargo)
        .args(["test", "--workspace", "--locked", "--all-features"])
        .args(["--no-run", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be started")?;
    anyhow::ensure!(built.status.success(), "the tests could not be built");
    let mut binaries = Binaries::new();
    for line in built.stdout.split(|&byte| byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        if let Some((name, place)) = binary(&message) {
            binaries.insert(name, place);
        }
    }
    Ok(binaries)
}

/// The test binary that a message of cargo is about.
fn binary(message: &Value) -> Option<((String, String), (PathBuf, PathBuf))> {
    if !message["profile"]["test"].as_bool()? {
        return None;
    }
    let binary = PathBuf::from(message["executable"].as_str()?);
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let id = message["package_id"].as_str()?;
    // `path+file:///…/gateway/server#sluice@0.1.0`, or without the name where it is the folder's.
    let package = match id.rsplit_once('#')?.1.split_once('@') {
        Some((name, _version)) => name.to_owned(),
        None => manifest.parent()?.file_name()?.to_str()?.to_owned(),
    };
    let target = message["target"]["name"].as_str()?.to_owned();
    Some(((package, target), (binary, manifest.parent()?.to_owned())))
}

impl Played {
    /// Plays a test, unless it was played already.
    ///
    /// # Errors
    /// When its binary cannot be started.
    pub(crate) fn play(&mut self, test: &Test, binaries: &Binaries) -> anyhow::Result<()> {
        if self.0.contains_key(test) {
            return Ok(());
        }
        let name = (test.package.clone(), test.binary.clone());
        let Some((binary, folder)) = binaries.get(&name) else {
            crate::say(&format!("no test binary {}/{}", test.package, test.binary));
            self.0.insert(test.clone(), Outcome::default());
            return Ok(());
        };
        let begun = Instant::now();
        let output = Command::new(binary)
            .args([&test.path, "--exact", "--nocapture", "--test-threads=1"])
            .current_dir(folder)
            .env("CARGO_MANIFEST_DIR", folder)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let result = Outcome {
            // A name that matches nothing passes too, with no test run.
            passed: output.status.success() && text.contains("test result: ok. 1 passed"),
            took: begun.elapsed(),
            said: said(&text),
        };
        let verdict = if result.passed { "ok" } else { "FAILED" };
        crate::say(&format!(
            "{verdict:6} {:6.1} s  {} {}",
            result.took.as_secs_f64(),
            test.package,
            test.path
        ));
        if !result.passed {
            let all = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
            let lines: Vec<&str> = all.lines().collect();
            crate::say(&lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"));
        }
        self.0.insert(test.clone(), result);
        Ok(())
    }
}

/// The lines of the matrix in a test's output, summed up by fault.
fn said(output: &str) -> BTreeMap<u8, Said> {
    let mut said: BTreeMap<u8, Said> = BTreeMap::new();
    for line in output.lines() {
        if line.contains("storm: ") && line.contains(" rounds (") {
            storm(line, &mut said);
        }
        // The harness has begun a line of its own where tests are not captured.
        let Some((_before, line)) = line.split_once("matrix: F") else {
            continue;
        };
        let mut words = line.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        let sums = said.entry(number).or_default();
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse::<u64>() else {
                continue;
            };
            match name {
                "rounds" => sums.rounds += value,
                "kills" => sums.kills += value,
                "recovery_ms" => sums.recovery_ms = sums.recovery_ms.max(Some(value)),
                _ => {}
            }
        }
    }
    said
}

/// The kinds of fault of a storm, each with its number and the processes killed for one.
const OF_STORMS: [(&str, u8, u64); 10] = [
    ("KillServer", 1, 1),
    ("KillRedis", 2, 1),
    ("CutAofTail", 3, 1),
    ("FlushAll", 5, 0),
    ("FailOver", 6, 1),
    ("FlushScripts", 8, 0),
    ("LoseTailByReplication", 8, 0),
    ("PauseRedis", 11, 0),
    ("MoveLane", 12, 0),
    ("KillLedgerNode", 13, 1),
];

/// The last line of a storm: `… {KillServer: 12, FlushAll: 3} … slowest recovery 2.3s`. Its slowest
/// recovery is that of all kinds.
fn storm(line: &str, said: &mut BTreeMap<u8, Said>) {
    let faults = line
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    let Some((faults, _)) = faults else {
        return;
    };
    let slowest = line.split_once("slowest recovery ").and_then(|(_, text)| {
        let seconds: f64 = text.trim().strip_suffix('s')?.parse().ok()?;
        // Seconds of a test: far within the range.
        Some(Duration::try_from_secs_f64(seconds).ok()?.as_millis())
    });
    let slowest = slowest.and_then(|ms| u64::try_from(ms).ok());
    for (name, count) in faults.split(", ").filter_map(|pair| pair.split_once(": ")) {
        let kind = OF_STORMS.iter().find(|kind| kind.0 == name);
        let (Some((_, number, kills)), Ok(count)) = (kind, count.parse::<u64>()) else {
            continue;
        };
        let sums = said.entry(*number).or_default();
        sums.rounds += count;
        sums.kills += kills * count;
        sums.recovery_ms = sums.recovery_ms.max(slowest);
    }
}

#[cfg(test)]
mod tests {
    use super::{Said, said};

    #[test]
    fn lines_are_found_and_summed_up() {
        let output = "test a ... matrix: F02 rounds=3 kills=3 recovery_ms=412\nnothing\n\
             matrix: F02 rounds=1 kills=0\nmatrix: F31 rounds=9 kills=0\nok";
        let found = said(output);
        let second = Said {
            rounds: 4,
            kills: 3,
            recovery_ms: Some(412),
        };
        assert_eq!(found[&2], second);
        assert_eq!(found[&31].recovery_ms, None);
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_a_storm_did_is_counted() {
        let found = said(
            "storm: 20 rounds (4 of dev) in 98s, {KillServer: 12, FlushAll: 3}, 9 requests, \
             0 lost, slowest recovery 2.3s",
        );
        assert_eq!((found[&1].kills, found[&1].recovery_ms), (12, Some(2_300)));
        assert_eq!((found[&5].rounds, found[&5].kills), (3, 0));
    }
}
