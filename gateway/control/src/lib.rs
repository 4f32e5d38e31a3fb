//! Control plane: admin API, `OpenAPI`, keys and roles, publishing.
//!
//! The control plane defines coupons and watches over them. It writes to the ledger first and puts
//! what it wrote in force in hot state by one way only, [`publish`]; it never decides a claim.
//!
//! Where to look: [`router`] is the whole surface, [`phases`] what every request goes through,
//! [`rbac`] who may do what, [`error`] how refusals are answered, [`publish`] how a change gets into
//! force, [`audit`] how the stores are checked against the invariants.

mod api;
mod app;
pub mod audit;
mod control;
mod counts;
pub mod error;
mod grants;
mod idempotency;
mod keys;
mod openapi;
mod phases;
pub mod port;
pub mod publish;
mod rbac;
mod router;
pub mod serving;
mod session;
mod settings;

pub use control::{Control, ControlParts, openapi_json};
pub use keys::{KeyError, KeySpec, bootstrap_admin_key, create_key};
pub use session::{ApiKeyText, RandomUnavailable};
pub use settings::ControlSettings;
