//! A keeper in a process of its own, so that it can be killed and its disk can fail.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sluice_ledger::sqlite::exit_process;
use sluice_ledger::{LedgerError, SqliteLedger};

use crate::story::{Keeper, options, runtime};

const PATH: &str = "SLUICE_TEST_LEDGER";

/// Not a test of its own: this is what the child runs. Without the variable it has nothing to do.
#[test]
fn run_child() {
    let Ok(path) = std::env::var(PATH) else {
        return;
    };
    // The test harness has begun a line of its own.
    say("");
    let mut options = options();
    options.fatal = Arc::new(|error| {
        say(&format!("fatal {error}"));
        exit_process(error);
    });
    let ledger = match SqliteLedger::open(&path, options) {
        Ok(ledger) => ledger,
        Err(error) => {
            say(&format!("refused {error}"));
            std::process::exit(3);
        }
    };
    runtime().block_on(append_for_ever(ledger));
}

async fn append_for_ever(ledger: SqliteLedger) {
    let mut keeper = Keeper::start(ledger).await;
    let mut n = 0;
    loop {
        match keeper.append(n).await {
            Ok(seq) => {
                say(&format!("acked {n} {seq}"));
                n += 1;
            }
            Err(LedgerError::Full { reason }) => {
                say(&format!("full {} {reason}", keeper.ledger.writable()));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => {
                say(&format!("error {error}"));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Past the test harness, which would keep it.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// A running child. Ends with its owner.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
    last: Option<(u32, u64)>,
}

impl Running {
    /// Starts a child on this file; with `faults`, its disk fails as files in that folder say.
    pub(crate) fn start(path: &Path, faults: Option<&Path>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "child::run_child",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PATH, path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if let Some(faults) = faults {
            command
                .env("LD_PRELOAD", shim(faults))
                .env("SLUICE_DISK_FAULTS", faults);
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            lines,
            last: None,
        }
    }

    /// The next line; `None` when the child has ended.
    pub(crate) fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).unwrap();
        self.last = acked(line.trim_end()).or(self.last);
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// Reads until a line begins with this, and gives it.
    pub(crate) fn until(&mut self, prefix: &str) -> String {
        while let Some(line) = self.next() {
            if line.starts_with(prefix) {
                return line;
            }
        }
        panic!("the child ended before it said {prefix:?}")
    }

    /// Kills the child at once and gives the last batch and number that it acknowledged.
    pub(crate) fn kill(mut self) -> (u32, u64) {
        self.child.kill().unwrap();
        while self.next().is_some() {}
        self.last.unwrap()
    }

    /// Waits for its end and gives its exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Batch and number of an acknowledgement.
pub(crate) fn acked(line: &str) -> Option<(u32, u64)> {
    let (batch, seq) = line.strip_prefix("acked ")?.split_once(' ')?;
    Some((batch.parse().ok()?, seq.parse().ok()?))
}

/// Compiles the shim that lets a disk fail.
fn shim(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/disk_fault.c");
    let library = folder.join("disk_fault.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(compiled.success(), "a C compiler is needed for this test");
    library
}
