//! `sluice check-config`: reads a file as `serve` would, and binds nothing.

use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let settings = super::settings_from(file)?;
    super::say(&format!(
        "{} is fine: data {}, control {}, ops {}, data folder {}",
        file.display(),
        settings.data.listen,
        settings.control.listen,
        settings.ops.listen,
        settings.data_dir.display(),
    ));
    Ok(ExitCode::SUCCESS)
}
