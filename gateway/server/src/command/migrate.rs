//! `sluice migrate`: brings the ledger's schema up to date, where no server runs on it.

use std::process::ExitCode;

use crate::cli::LocateArgs;
use crate::data_dir::DataDir;

pub(crate) fn run(arguments: &LocateArgs) -> anyhow::Result<ExitCode> {
    let settings = super::located(arguments)?;
    let folder = DataDir::create(&settings.data_dir)?;
    let _lock = folder.lock()?;
    let ledger = crate::boot::open_ledger(&settings, &folder)?;
    super::small_runtime()?.block_on(ledger.close());
    super::say(&format!(
        "{} is up to date",
        settings.ledger_path(&folder).display()
    ));
    Ok(ExitCode::SUCCESS)
}
