//! One file per route.

pub(crate) mod claim;
pub(crate) mod claim_status;
pub(crate) mod coupon;
pub(crate) mod pass;
