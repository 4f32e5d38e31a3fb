//! The commands, one per file.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod capacity;
pub(crate) mod check_config;
pub(crate) mod dev;
pub(crate) mod explain;
pub(crate) mod healthcheck;
pub(crate) mod key;
pub(crate) mod lane;
pub(crate) mod migrate;
pub(crate) mod serve;
pub(crate) mod token;

use std::path::Path;

use crate::cli::LocateArgs;
use crate::config::{ConfigError, DEV, Layer, Settings};

/// Prints what a command was asked for.
#[expect(
    clippy::print_stdout,
    reason = "the answer of a command goes to standard output"
)]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Prints why a command failed, with every cause.
#[expect(
    clippy::print_stderr,
    reason = "a command's complaint goes to standard error"
)]
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("sluice: {error:#}");
}

/// A runtime for a command that has little to do.
fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// The settings in a file, under the environment.
pub(crate) fn settings_from(file: &Path) -> Result<Settings, ConfigError> {
    crate::config::load(&[Layer::read(file)?], &environment())
}

/// The settings of `sluice dev` in this folder, with an optional file over them.
pub(crate) fn dev_settings(data_dir: &Path, file: Option<&Path>) -> Result<Settings, ConfigError> {
    let mut layers = vec![Layer {
        name: "config/dev.toml".to_owned(),
        text: DEV.to_owned(),
    }];
    if let Some(file) = file {
        layers.push(Layer::read(file)?);
    }
    let mut settings = crate::config::load(&layers, &environment())?;
    settings.data_dir = data_dir.to_path_buf();
    Ok(settings)
}

/// The settings of the system that a command is about.
fn located(locate: &LocateArgs) -> Result<Settings, ConfigError> {
    match &locate.config {
        Some(file) => settings_from(file),
        None => dev_settings(&locate.data_dir, None),
    }
}

fn environment() -> Vec<(String, String)> {
    std::env::vars()
        .filter(|(name, _value)| name.starts_with("SLUICE__"))
        .collect()
}
