//! Data-plane HTTP: routing, admission, identity, wire format, responses.
//!
//! [`server::Edge`] serves listeners over anything that is [`claims::Claims`] (the claim engine in
//! production, a fake in tests). The crate names no store: it knows no key and no SQL.

mod admission;
mod caller;
pub mod claims;
mod context;
mod cors;
mod customer;
mod handlers;
pub mod identity;
pub mod limits;
mod metrics;
mod parse;
pub mod respond;
mod route;
pub mod server;
mod service;
pub mod service_key;
pub mod settings;
mod wire;
