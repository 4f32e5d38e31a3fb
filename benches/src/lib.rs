//! What the measuring programs have in common: load, the system under measure, CPU time, and the
//! peers that stand beside it.
//!
//! CPU time is the figure of record of all of them, because neighbours disturb wall-clock time,
//! hardly CPU.

pub mod child;
pub mod cpu;
pub mod fill;
pub mod flags;
pub mod goals;
pub mod instructions;
pub mod load;
pub mod memory;
pub mod peers;
pub mod report;
pub mod resp;
pub mod results;
pub mod rounds;
pub mod ruler;
pub mod statistics;
pub mod system;

use std::path::PathBuf;

use anyhow::Context;

/// A program that was built beside this one.
///
/// # Errors
/// Where the folder of this program is not known.
pub fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own
        .parent()
        .context("a program without a folder")?
        .join(name))
}
