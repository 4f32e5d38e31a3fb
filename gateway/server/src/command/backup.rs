//! `sluice backup`: copies the SQLite ledger beside the process that serves it, and checks the copy.

use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::json;
use sluice_ledger::sqlite::backup;

use crate::cli::BackupArgs;
use crate::clock::SystemClock;
use crate::config::Backend;
use crate::data_dir::DataDir;

pub(crate) fn run(arguments: &BackupArgs) -> anyhow::Result<ExitCode> {
    let settings = super::located(&arguments.locate)?;
    if settings.ledger_backend() == Backend::Cql {
        bail!("a ledger on CQL is backed up with its own tools: see docs/backup.md");
    }
    let folder = DataDir::existing(&settings.data_dir)?;
    let from = settings.ledger_path(&folder);
    // Before the first page is read: all that was acknowledged by then is in the copy.
    let taken_at = SystemClock::start().wall();
    let report = backup(&from, &arguments.to)
        .with_context(|| format!("no backup of the ledger {}", from.display()))?;
    let lanes: Vec<_> = report
        .lanes
        .iter()
        .map(|(lane, epoch, seq)| json!({"lane": lane.0, "epoch": epoch.0, "seq": seq}))
        .collect();
    let said = json!({
        "file": arguments.to,
        "bytes": report.bytes,
        "taken_at": taken_at.to_string(),
        "ledger": report.ledger.to_string(),
        "claims": report.claims,
        "lanes": lanes,
    });
    super::say(&said.to_string());
    Ok(ExitCode::SUCCESS)
}
