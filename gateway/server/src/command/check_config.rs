//! `sluice check-config`: reads a file as `serve` would, and binds nothing.

use std::path::Path;
use std::process::ExitCode;

use crate::config::Backend;

pub(crate) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let settings = super::settings_from(file)?;
    let processes = match settings.ledger_backend() {
        Backend::Sqlite => "one process with all roles",
        Backend::Cql => "several processes, roles together or apart",
    };
    super::say(&format!(
        "{} is fine: data {}, control {}, ops {}, data folder {}, {processes}",
        file.display(),
        settings.data.listen,
        settings.control.listen,
        settings.ops.listen,
        settings.data_dir.display(),
    ));
    Ok(ExitCode::SUCCESS)
}
