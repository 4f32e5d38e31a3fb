//! Instructions per request, counted by callgrind: the same figure on a busy machine and on an idle one.
//!
//! [`stage`] is the server that runs under callgrind: the real edge, engine and (in one case) Redis
//! client, on one thread. [`run`] sends it requests over one connection, one at a time, and takes
//! the difference of two runs, of N and of 2N requests: what starting costs is in both.

pub mod callgrind;
pub mod history;
mod run;
pub mod stage;

pub use run::{Counted, count};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Refused by the gateway's own proof that all is gone.
    SoldOut,
    /// Granted by a hot state in memory that does nothing but say so.
    Granted,
    /// Granted by Redis, one claim a call: with the keys, arguments and replies of the claim script.
    /// Only the gateway's instructions are counted.
    GrantedRedis,
}

// === impl Case ===

impl Case {
    /// All of them, in the order of the table's columns.
    pub const ALL: [Self; 3] = [Self::SoldOut, Self::Granted, Self::GrantedRedis];

    /// Its name in the table and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SoldOut => "sold-out",
            Self::Granted => "granted",
            Self::GrantedRedis => "granted-redis",
        }
    }

    /// The status of each answer.
    const fn status(self) -> u16 {
        match self {
            Self::SoldOut => 409,
            Self::Granted | Self::GrantedRedis => 201,
        }
    }
}
