//! `sluice migrate`: brings the ledger's schema up to date, where no server runs on it.

use std::process::ExitCode;

use crate::cli::LocateArgs;
use crate::data_dir::DataDir;
use crate::ledger_store::LedgerStore;

pub(crate) fn run(arguments: &LocateArgs) -> anyhow::Result<ExitCode> {
    let settings = super::located(arguments)?;
    let folder = DataDir::create(&settings.data_dir)?;
    let _lock = folder.lock()?;
    let migrated = LedgerStore::migrate(&settings, &folder);
    let name = super::small_runtime()?.block_on(migrated)?;
    super::say(&format!("{name} is up to date"));
    Ok(ExitCode::SUCCESS)
}
