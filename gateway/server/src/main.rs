//! The Sluice binary: one table of contents over its commands.

mod adapter;
mod admin_client;
mod boot;
mod capacity;
mod cli;
mod clock;
mod command;
mod config;
mod data_dir;
mod hotstate_watch;
mod lane_watch;
mod ledger_store;
mod ops;
mod readiness;
mod redis_child;
mod role;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::config::{ConfigError, EXIT_CONFIG};

/// A claim makes some forty small allocations; this allocator has the cheapest of them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Dev(arguments) => command::dev::run(&arguments),
        Command::Serve(arguments) => command::serve::run(&arguments),
        Command::Audit(arguments) => command::audit::run(&arguments),
        Command::Backup(arguments) => command::backup::run(&arguments),
        Command::Explain(arguments) => command::explain::run(&arguments),
        Command::Capacity(arguments) => command::capacity::run(&arguments),
        Command::Token(arguments) => command::token::run(&arguments),
        Command::Key { command } => command::key::run(&command),
        Command::Lane { command } => command::lane::run(&command),
        Command::CheckConfig { file } => command::check_config::run(&file),
        Command::Migrate(arguments) => command::migrate::run(&arguments),
        Command::Healthcheck(arguments) => command::healthcheck::run(&arguments),
    };
    done.unwrap_or_else(|error| {
        command::complain(&error);
        if error.downcast_ref::<ConfigError>().is_some() {
            ExitCode::from(EXIT_CONFIG)
        } else {
            ExitCode::FAILURE
        }
    })
}
