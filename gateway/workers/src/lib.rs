//! Workers: lane keepers and recovery, the sweeper of holds, reminders: everything with a clock or a queue.
//!
//! [`keeper`] holds the protocol's procedures, free of I/O of their own; [`lanes`] runs them, one
//! task per lane, and is how others reach them; [`distant`] reaches those of other processes.

pub mod clock;
pub mod distant;
pub mod hold_sweeper;
pub mod keeper;
pub mod lanes;
mod mailbox;
pub mod metrics;
pub mod reminders;
mod runner;
pub mod settings;

pub use clock::Clock;
pub use distant::Grid;
pub use keeper::{Keeper, KeeperParts};
pub use lanes::{KeeperHandle, Keepers};
pub use settings::KeeperSettings;
