//! The admin API over real HTTP, on the in-memory models of ledger and hot state.

#![expect(
    clippy::unwrap_used,
    reason = "the lint's exception for tests does not reach their helpers"
)]

#[path = "it/audit.rs"]
mod audit;
#[path = "it/connections.rs"]
mod connections;
#[path = "it/coupons.rs"]
mod coupons;
#[path = "it/explaining.rs"]
mod explaining;
#[path = "it/grants.rs"]
mod grants;
#[path = "it/http.rs"]
mod http;
#[path = "it/idempotency.rs"]
mod idempotency;
#[path = "it/keeper.rs"]
mod keeper;
#[path = "it/keys.rs"]
mod keys;
#[path = "it/openapi.rs"]
mod openapi;
#[path = "it/publishing.rs"]
mod publishing;
#[path = "it/redemptions.rs"]
mod redemptions;
#[path = "it/refusals.rs"]
mod refusals;
#[path = "it/schema.rs"]
mod schema;
#[path = "it/schemas.rs"]
mod schemas;
#[path = "it/shop.rs"]
mod shop;
#[path = "it/system.rs"]
mod system;
#[path = "it/world.rs"]
mod world;
