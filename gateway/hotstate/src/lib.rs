//! Hot state: the only crate that knows Redis, its key names and its Lua scripts.
//!
//! Two traits describe it: [`sluice_claim::port::ClaimStore`], as claims see it, and
//! [`LaneStore`], as the keeper, the control plane and the audit see it. There are two
//! implementations of both, Redis and an in-memory model, held together by one conformance suite.

#[cfg(feature = "testing")]
pub mod conformance;
pub mod lane_store;
pub mod model;
pub mod redis;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::redis::{RedisHotState, RedisSettings};
pub use lane_store::LaneStore;
pub use model::{ModelClock, ModelHotState};
