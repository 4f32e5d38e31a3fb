//! Configuration: typed, checked before a port is bound, documented by the default file itself.
//!
//! Three layers, each over the one before: `config/default.toml` (embedded, every key with its
//! unit and reason), the file named on the command line, and the environment
//! (`SLUICE__SECTION__KEY`). A key that is not in the default file is refused, with its line and
//! the nearest known name.

mod document;
mod load;
mod section;

use std::path::PathBuf;

pub(crate) use load::Layer;
pub(crate) use load::load;
pub(crate) use section::{Backend, Log as LogSettings, LogFormat, Settings};

/// `config/default.toml`, embedded: the schema of all keys and their defaults.
pub(crate) const DEFAULT: &str = include_str!("../../../config/default.toml");
/// `config/dev.toml`, embedded: what `sluice dev` changes.
pub(crate) const DEV: &str = include_str!("../../../config/dev.toml");

/// Exit code for a configuration that is refused (`EX_CONFIG` of sysexits.h).
pub(crate) const EXIT_CONFIG: u8 = 78;

/// Why a configuration is refused. Each message says where, what, and what would be accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{place}: is not valid TOML: {message}")]
    Syntax {
        /// File and line.
        place: String,
        /// The parser's word.
        message: String,
    },
    /// A key that nobody reads.
    #[error("{place}: unknown key `{key}`{hint}")]
    UnknownKey {
        /// File and line, or the name of the variable.
        place: String,
        /// The key, with its section.
        key: String,
        /// The nearest known name, in words; may be empty.
        hint: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{place}: `{key}` {message}")]
    Value {
        /// File and line, or where the value came from.
        place: String,
        /// The key, with its section.
        key: String,
        /// What is wrong and what would be accepted.
        message: String,
    },
}
