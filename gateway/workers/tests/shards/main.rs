//! One coupon in several lanes, each with its own keeper, on the in-memory models.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where its stage is not as it must be"
)]

mod crowd;
mod random;
mod sale;
