//! The engine over a hot state that follows a script and counts its calls. Time is tokio's, paused.
#![expect(
    clippy::unwrap_used,
    reason = "a fake that cannot be set up fails its test"
)]

mod claims;
mod definitions;
mod durable;
mod fake;
mod faults;
mod lookups;
mod sold_out;
mod values;
