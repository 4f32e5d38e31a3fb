//! The handlers, one file per noun; `<verb>_<noun>` each.

pub(crate) mod api_keys;
pub(crate) mod audit_log;
pub(crate) mod body;
pub(crate) mod call;
pub(crate) mod cannot_use;
pub(crate) mod coupons;
pub(crate) mod index;
pub(crate) mod query;
pub(crate) mod system;
pub(crate) mod whoami;
